//! `leyden secret import`: many secrets at once, from another tool's file.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use anyhow::Context as _;
use leyden::secrets::{
    ImportError, ImportFormat, Imported, MAX_VALUE_BYTES, SecretState, SecretStore, StoreError,
    named,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::{Import, ImportAs};
use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::report::{self, Format, cell, counted};
use crate::unlock;

/// More than this is no file of secrets: 64 MiB.
const MOST_BYTES: u64 = 64 << 20;

/// Why a file of a folder is not taken: Kubernetes's own entries in mounted secrets are called so,
/// and an editor's and a shell's files.
const SKIPPED: &str = "its name begins with a dot";

/// What is to be imported, and which files are not.
struct Found {
    secrets: Vec<Imported>,
    skipped: Vec<String>,
}

/// Imports secrets, or shows what that would do.
pub(super) fn run(arguments: &Import, paths: &Paths) -> anyhow::Result<()> {
    let Found { secrets, skipped } = read(arguments)?;
    if secrets.is_empty() {
        return Err(refused(match skipped.as_slice() {
            [] => "there is no secret in it".to_owned(),
            [one] => format!("there is no secret in it; {one} is skipped, because {SKIPPED}"),
            several => format!(
                "there is no secret in it; skipped, because a name begins with a dot: {}",
                several.join(", ")
            ),
        }));
    }
    let there = unlock::is_there(&paths.store);
    let store = (there || !arguments.dry_run)
        .then(|| unlock::open_or_make(paths))
        .transpose()?;
    let mut plan = secrets
        .iter()
        .map(|secret| plan(secret, store.as_ref(), arguments.set_existing))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(store) = store.filter(|_| !arguments.dry_run) {
        let imported = store.import(&secrets, arguments.set_existing)?;
        for (planned, done) in plan.iter_mut().zip(imported) {
            planned.version = Some(done.version.get());
            planned.destroys = done.destroyed;
        }
    }
    let destroys: usize = plan.iter().map(|planned| planned.destroys).sum();
    if destroys > 0 {
        let would = if arguments.dry_run { "would be " } else { "" };
        say(&format!(
            "{} {would}destroyed: no more are kept",
            older(destroys)
        ));
    }
    if arguments.report.output == Format::Json {
        let row = |(secret, planned): (&Imported, &Planned)| {
            json!({
                "from": secret.from,
                "name": secret.name.as_str(),
                "size": secret.value.len(),
                "does": planned.does,
                "destroys": planned.destroys,
                "kept": secret.kept,
                "version": planned.version,
            })
        };
        let rows = secrets.iter().zip(&plan).map(row);
        let skipped = skipped
            .iter()
            .map(|from| json!({ "from": from, "name": null, "does": "skip", "reason": SKIPPED }));
        return report::json(&rows.chain(skipped).collect::<Vec<_>>());
    }
    let done = if arguments.dry_run { "WOULD" } else { "DID" };
    let rows = secrets.iter().zip(&plan).map(|(secret, planned)| {
        let mut what = planned.does.to_owned();
        if planned.destroys > 0 {
            what = format!("{what}, destroying {}", older(planned.destroys));
        }
        if let Some(kept) = secret.kept {
            what = format!("{what}: {kept}");
        }
        [
            cell(&secret.from),
            cell(&secret.name),
            cell(counted(secret.value.len() as u64, "byte")),
            cell(what),
        ]
    });
    let skipped = skipped.iter().map(|from| {
        let why = format!("skip: {SKIPPED}");
        [cell(from), cell(""), cell(""), cell(why)]
    });
    report::table(["FROM", "SECRET", "SIZE", done], rows.chain(skipped))
}

/// What is done with a secret.
struct Planned {
    does: &'static str,
    /// How many older versions.
    destroys: usize,
    /// Its version, once it is done.
    version: Option<u32>,
}

fn older(versions: usize) -> String {
    counted(versions as u64, "older version")
}

/// What is to be done with a secret; an error where that cannot be.
fn plan(
    secret: &Imported,
    store: Option<&SecretStore>,
    set_existing: bool,
) -> anyhow::Result<Planned> {
    let planned = |does, destroys| Planned {
        does,
        destroys,
        version: None,
    };
    let Some(store) = store else {
        return Ok(planned("create", 0));
    };
    match store.find(&secret.name)? {
        None => Ok(planned("create", 0)),
        Some(found) if matches!(found.state, SecretState::Deleted { .. }) => {
            Err(StoreError::Deleted { name: found.name }.into())
        }
        Some(found) if set_existing => Ok(planned("set", found.destroyed_by_new_version())),
        Some(found) => Err(anyhow::Error::from(StoreError::Exists { name: found.name })
            .context("nothing was imported (--set-existing gives it a new version)")),
    }
}

/// A usage error in one line, whatever files and entries are called.
fn refused(problem: impl ToString) -> anyhow::Error {
    usage(report::in_line(problem))
}

fn read(arguments: &Import) -> anyhow::Result<Found> {
    let Import { from, prefix, .. } = arguments;
    if from.is_dir() {
        return read_folder(from, prefix);
    }
    let failed = |error: io::Error| refused(format!("cannot read {}: {error}", from.display()));
    // One that is not there is told before what its name does not say.
    let file = match from == Path::new("-") {
        true if io::stdin().is_terminal() => {
            return Err(usage(
                "what is typed here would be shown: pipe the secrets into standard input, or name \
                 a file",
            ));
        }
        true => None,
        false => Some(fs::File::open(from).map_err(failed)?),
    };
    let format = format(arguments)?;
    let mut text = Zeroizing::new(Vec::new());
    let read = match file {
        None => io::stdin()
            .lock()
            .take(MOST_BYTES + 1)
            .read_to_end(&mut text),
        Some(file) => file.take(MOST_BYTES + 1).read_to_end(&mut text),
    };
    if read.map_err(failed)? as u64 > MOST_BYTES {
        return Err(refused(format!("{} is larger than 64 MiB", from.display())));
    }
    let secrets = format
        .read(from, &text, prefix)
        .map_err(|error| match error {
            // It names the file, with the line.
            ImportError::Env(error) => refused(error),
            error => refused(format!("{}: {error}", from.display())),
        })?;
    Ok(Found {
        secrets,
        skipped: Vec::new(),
    })
}

fn format(arguments: &Import) -> anyhow::Result<ImportFormat> {
    let named = |format| match format {
        ImportAs::Env => ImportFormat::Env,
        ImportAs::Json => ImportFormat::Json,
        ImportAs::Yaml => ImportFormat::Yaml,
    };
    if let Some(format) = arguments.format {
        return Ok(named(format));
    }
    let name = arguments.from.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => Ok(ImportFormat::Json),
        Some("yaml" | "yml") => Ok(ImportFormat::Yaml),
        Some("env") => Ok(ImportFormat::Env),
        _ if name.starts_with(".env") => Ok(ImportFormat::Env),
        _ => Err(usage(
            "its name does not say what it is written in: say --format env, json or yaml",
        )),
    }
}

/// Each file of a folder, under its name, and the names of those that are skipped. Links are
/// followed: Kubernetes mounts each secret as one into a folder that is skipped.
fn read_folder(folder: &Path, prefix: &str) -> anyhow::Result<Found> {
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    let shown = report::in_line(folder.display());
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {shown}"))? {
        let path = entry
            .with_context(|| format!("cannot read {shown}"))?
            .path();
        let name = path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".") {
            skipped.push(name.to_string_lossy().into_owned());
            continue;
        }
        let name = name.to_str().ok_or_else(|| {
            let problem = "has a name that is not UTF-8, so nothing was imported; rename it";
            refused(format!("{path:?} {problem}"))
        })?;
        // Of where a link leads.
        let is_file = path.metadata().map(|metadata| metadata.is_file());
        let problem = match (is_file, path.is_symlink()) {
            (Ok(true), _) => None,
            (Ok(false), false) => Some("is no regular file"),
            (Ok(false), true) => Some("is a link to something that is no regular file"),
            (Err(_), true) => Some("is a link that leads to no file"),
            (Err(_), false) => Some("cannot be looked at"),
        };
        if let Some(problem) = problem {
            let nothing = "so nothing was imported";
            return Err(refused(format!("{} {problem}, {nothing}", path.display())));
        }
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .and_then(|file| {
                file.take(MAX_VALUE_BYTES as u64 + 1)
                    .read_to_end(&mut bytes)
            })
            .with_context(|| format!("cannot read {}", report::in_line(path.display())))?;
        files.push((name.to_owned(), bytes));
    }
    files.sort();
    skipped.sort();
    let secrets = named(files, prefix).map_err(refused)?;
    Ok(Found { secrets, skipped })
}
