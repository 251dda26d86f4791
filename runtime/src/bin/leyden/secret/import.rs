//! `leyden secret import`: many secrets at once, from another tool's file.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::Context as _;
use leyden::secrets::{
    ImportFormat, Imported, MAX_VALUE_BYTES, SecretState, SecretStore, StoreError, named,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::{Import, ImportAs};
use crate::exit::usage;
use crate::paths::Paths;
use crate::report::{self, Format, cell};
use crate::unlock;

/// More than this is no file of secrets: 64 MiB.
const MOST_BYTES: u64 = 64 << 20;

/// Imports secrets, or shows what that would do.
pub(super) fn run(arguments: &Import, paths: &Paths) -> anyhow::Result<()> {
    let secrets = read(arguments)?;
    if secrets.is_empty() {
        return Err(usage("there is no secret in it"));
    }
    let there = unlock::is_there(&paths.store);
    let store = (there || !arguments.dry_run)
        .then(|| unlock::open_or_make(paths))
        .transpose()?;
    let plan = secrets
        .iter()
        .map(|secret| plan(secret, store.as_ref(), arguments.set_existing))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let versions = match &store {
        Some(store) if !arguments.dry_run => {
            let versions = store.import(&secrets, arguments.set_existing)?;
            versions.iter().map(|version| Some(version.get())).collect()
        }
        _ => vec![None; secrets.len()],
    };
    if arguments.report.output == Format::Json {
        let row = |((secret, what), version): ((&Imported, &&str), &Option<u32>)| {
            json!({
                "from": secret.from,
                "name": secret.name.as_str(),
                "size": secret.value.len(),
                "does": what,
                "version": version,
            })
        };
        let rows: Vec<_> = secrets.iter().zip(&plan).zip(&versions).map(row).collect();
        return report::json(&rows);
    }
    let done = if arguments.dry_run { "WOULD" } else { "DID" };
    let rows = secrets.iter().zip(&plan).map(|(secret, what)| {
        [
            cell(&secret.from),
            cell(&secret.name),
            cell(format!("{} bytes", secret.value.len())),
            cell(what),
        ]
    });
    report::table(["FROM", "SECRET", "SIZE", done], rows)
}

/// What is done with a secret; an error where that cannot be.
fn plan(
    secret: &Imported,
    store: Option<&SecretStore>,
    set_existing: bool,
) -> anyhow::Result<&'static str> {
    let Some(store) = store else {
        return Ok("create");
    };
    match store.show(&secret.name) {
        Err(StoreError::NotFound { .. }) => Ok("create"),
        Err(error) => Err(error.into()),
        Ok(found) if matches!(found.state, SecretState::Deleted { .. }) => {
            Err(StoreError::Deleted { name: found.name }.into())
        }
        Ok(_) if set_existing => Ok("set"),
        Ok(found) => Err(anyhow::Error::from(StoreError::Exists { name: found.name })
            .context("nothing was imported (--set-existing gives it a new version)")),
    }
}

fn read(arguments: &Import) -> anyhow::Result<Vec<Imported>> {
    let Import { from, prefix, .. } = arguments;
    if from.is_dir() {
        let files = read_folder(from)?;
        return named(files, prefix).map_err(|error| usage(error.to_string()));
    }
    let format = format(arguments)?;
    let mut text = Zeroizing::new(Vec::new());
    let failed = |error: io::Error| usage(format!("cannot read {}: {error}", from.display()));
    let read = match from == Path::new("-") {
        true => io::stdin()
            .lock()
            .take(MOST_BYTES + 1)
            .read_to_end(&mut text),
        false => {
            fs::File::open(from).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut text))
        }
    };
    if read.map_err(failed)? as u64 > MOST_BYTES {
        return Err(usage(format!("{} is larger than 64 MiB", from.display())));
    }
    format
        .read(from, &text, prefix)
        .map_err(|error| usage(format!("{}: {error}", from.display())))
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

/// Each file of a folder, under its name; what begins with a dot is left out, as Kubernetes's own
/// entries in mounted secrets do.
fn read_folder(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let shown = folder.display();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {shown}"))? {
        let path = entry
            .with_context(|| format!("cannot read {shown}"))?
            .path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("a file's name in {shown} is not UTF-8"))?;
        if name.starts_with('.') {
            continue;
        }
        if !path.is_file() {
            return Err(usage(format!("{} is no regular file", path.display())));
        }
        let mut bytes = Vec::new();
        fs::File::open(&path)
            .and_then(|file| {
                file.take(MAX_VALUE_BYTES as u64 + 1)
                    .read_to_end(&mut bytes)
            })
            .with_context(|| format!("cannot read {}", path.display()))?;
        files.push((name.to_owned(), bytes));
    }
    files.sort();
    Ok(files)
}
