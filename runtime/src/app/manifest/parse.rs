//! Reading `leyden.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use toml::de::DeTable;

use super::error::{ManifestError, ManifestProblem};
use super::spec::{ComponentSpec, Manifest, RetryOn, WorkSpec};
use super::table::{Document, Table, Value};
use crate::app::binding::{EnvEntry, EnvValue, SecretRef};
use crate::app::file::{OpenError, open_regular, read_bounded};
use crate::app::names::EnvName;

/// The most bytes a manifest may have: 1 MiB.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// The most characters an app's name may have.
pub(in crate::app) const MAX_NAME: usize = 128;
/// The most Works, and the most secrets, that an app may have: every Work may ask for every secret,
/// so that a small file could otherwise ask for hundreds of millions.
const MAX_ENTRIES: usize = 256;
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const MANIFEST: &[&str] = &["name", "flow", "works", "env", "secrets"];
const FLOW: &[&str] = &["component", "timeout", "memory", "env", "secrets", "hosts"];
const WORK: &[&str] = &[
    "component",
    "parallel",
    "timeout",
    "memory",
    "retries",
    "retry",
    "cache",
    "env",
    "secrets",
    "hosts",
];

impl Manifest {
    /// Reads a manifest's text; `path` is for messages only, and no file is touched.
    ///
    /// # Errors
    /// [`ManifestError`], with the place.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ManifestError> {
        let document = |text| Document { path, text };
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(document("").error(None, ManifestProblem::TooLarge));
        }
        let text = str::from_utf8(bytes).map_err(|error| {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let good = str::from_utf8(good).unwrap_or_default();
            document(good).error(Some(good.len()..good.len()), ManifestProblem::NotUtf8)
        })?;
        let document = document(text);
        // Only its message: the error as a whole shows the line, where a value may stand.
        let root = DeTable::parse(text).map_err(|error| {
            document.error(
                error.span(),
                ManifestProblem::Syntax(error.message().to_owned()),
            )
        })?;
        read_manifest(&Table::root(document, &root).only(MANIFEST)?)
    }

    /// Reads a manifest's file, an ordinary one.
    pub(in crate::app) fn read(path: &Path) -> Result<Self, ManifestError> {
        let error = |problem| Document { path, text: "" }.error(None, problem);
        let (file, _) = open_regular(path).map_err(|open| match open {
            OpenError::NotAFile(what) => error(ManifestProblem::NotAFile(what)),
            OpenError::Io(source) => error(ManifestProblem::Io(source)),
        })?;
        let bytes = read_bounded(file, MAX_MANIFEST_BYTES)
            .map_err(|source| error(ManifestProblem::Io(source)))?
            .ok_or_else(|| error(ManifestProblem::TooLarge))?;
        Self::parse(path, &bytes)
    }
}

fn read_manifest(root: &Table<'_>) -> Result<Manifest, ManifestError> {
    let env = root
        .get("env")
        .map_or(Ok(BTreeMap::new()), |value| read_env(&value))?;
    let mut secrets = BTreeMap::new();
    if let Some(table) = root.get("secrets") {
        for (key, value) in table.table()?.at_most(MAX_ENTRIES)?.iter() {
            let name: EnvName = key.parse()?;
            if env.contains_key(&name) {
                return Err(key.error(ManifestProblem::PlainAndSecret { env: name }));
            }
            secrets.insert(name, value.parse::<SecretRef>()?);
        }
    }
    let flow = root.require("flow")?.table()?.only(FLOW)?;
    let mut works = BTreeMap::new();
    if let Some(table) = root.get("works") {
        for (key, value) in table.table()?.at_most(MAX_ENTRIES)?.iter() {
            let work = value.table()?.only(WORK)?;
            works.insert(key.parse()?, read_work(&work, &secrets)?);
        }
    }
    let name = root
        .get("name")
        .map(|value| read_name(&value))
        .transpose()?;
    Ok(Manifest {
        name,
        flow: read_component(&flow, &secrets)?,
        works,
        env,
        secrets,
    })
}

fn read_work(
    table: &Table<'_>,
    asked: &BTreeMap<EnvName, SecretRef>,
) -> Result<WorkSpec, ManifestError> {
    let retry_on = |value: Value<'_>| match value.text()? {
        "error" if table.get("retries").is_none() => {
            Err(value.refuse("does nothing without `retries`, which says how often"))
        }
        "error" => Ok(RetryOn::Error),
        _ => Err(value.refuse(
            "can only be \"error\": start the Work again when it returned an error, too \
             (leave it out to do so after traps, time-outs and out of memory alone)",
        )),
    };
    Ok(WorkSpec {
        component: read_component(table, asked)?,
        // The number is at least one.
        parallel: table
            .get("parallel")
            .map(|v| v.number(1))
            .transpose()?
            .and_then(NonZeroU32::new),
        retries: table
            .get("retries")
            .map_or(Ok(0), |value| value.number(0))?,
        retry_on: table
            .get("retry")
            .map_or(Ok(RetryOn::default()), retry_on)?,
        cache: table
            .get("cache")
            .map_or(Ok(false), |value| value.boolean())?,
    })
}

/// What a Flow and a Work have in common.
fn read_component(
    table: &Table<'_>,
    asked: &BTreeMap<EnvName, SecretRef>,
) -> Result<ComponentSpec, ManifestError> {
    let secrets = |value: Value<'_>| value.list()?.map(|item| item.parse()).collect();
    let hosts = |value: Value<'_>| value.list()?.map(|item| item.parse()).collect();
    let spec = ComponentSpec {
        component: read_component_path(&table.require("component")?)?,
        timeout: table
            .get("timeout")
            .map(|value| read_timeout(&value))
            .transpose()?,
        memory: table
            .get("memory")
            .map(|value| read_memory(&value))
            .transpose()?,
        env: table
            .get("env")
            .map_or(Ok(BTreeMap::new()), |value| read_env(&value))?,
        secrets: table.get("secrets").map(secrets).transpose()?,
        hosts: table.get("hosts").map_or(Ok(BTreeSet::new()), hosts)?,
    };
    match (
        table.get("env"),
        spec.env
            .keys()
            .find(|n| asked.contains_key(n) && spec.sees(n)),
    ) {
        (Some(value), Some(both)) => {
            Err(value.error(ManifestProblem::PlainAndSecret { env: both.clone() }))
        }
        _ => Ok(spec),
    }
}

fn read_env(value: &Value<'_>) -> Result<BTreeMap<EnvName, EnvValue>, ManifestError> {
    let mut env = BTreeMap::new();
    for (key, value) in value.table()?.iter() {
        let entry =
            EnvEntry::new(key.parse()?, value.text()?).map_err(|error| value.error(error))?;
        env.insert(entry.name, entry.value);
    }
    Ok(env)
}

fn read_name(value: &Value<'_>) -> Result<String, ManifestError> {
    let name = value.text()?;
    check_app_name(name).map_err(|reason| value.refuse(reason))?;
    Ok(name.to_owned())
}

/// Refuses what no app can be called, saying why. An app's name is a label: anything that can be
/// shown on one line.
///
/// # Errors
/// What is wrong with it.
pub fn check_app_name(name: &str) -> Result<(), &'static str> {
    if name.trim().is_empty() {
        Err("cannot be empty")
    } else if name.chars().count() > MAX_NAME {
        Err("cannot have more than 128 characters")
    } else if name.contains(char::is_control) {
        Err("cannot contain control characters")
    } else {
        Ok(())
    }
}

fn read_timeout(value: &Value<'_>) -> Result<Duration, ManifestError> {
    let parsed = humantime::parse_duration(value.text()?)
        .map_err(|error| value.refuse(format!("must be a duration such as \"30s\": {error}")))?;
    check_timeout(parsed).map_err(|reason| value.refuse(reason))?;
    Ok(parsed)
}

/// A year at most, so that adding it to a moment cannot overflow.
pub(in crate::app) fn check_timeout(timeout: Duration) -> Result<(), &'static str> {
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        return Err("must be longer than nothing and no longer than 365 days");
    }
    Ok(())
}

fn read_memory(value: &Value<'_>) -> Result<u64, ManifestError> {
    let ByteSize(bytes) = value
        .text()?
        .parse()
        .map_err(|_| value.refuse("must be an amount such as \"256MiB\""))?;
    check_memory(bytes).map_err(|reason| value.refuse(reason))?;
    Ok(bytes)
}

/// What does not fit saturates when it is read, so the largest number stands for any such.
pub(in crate::app) fn check_memory(bytes: u64) -> Result<(), &'static str> {
    match bytes {
        0 => Err("must be more than nothing"),
        u64::MAX => Err("is more than can be counted"),
        _ => Ok(()),
    }
}

/// A path that, as text, stays in the manifest's folder. Symbolic links are looked at when the
/// file is opened.
fn read_component_path(value: &Value<'_>) -> Result<PathBuf, ManifestError> {
    let path = Path::new(value.text()?);
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(value.refuse("cannot leave the folder by `..`")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(value.refuse("must be relative to the manifest's folder"));
            }
        }
    }
    if inside.as_os_str().is_empty() || inside.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(value.refuse("must be the path of a file"));
    }
    Ok(inside)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
