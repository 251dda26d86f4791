//! An app and all that its operator gives it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::binding::{Binding, EnvEntry, EnvValue, SecretBinding, SecretRef};
use super::digest::Digest;
use super::dir_rule::DirRule;
use super::env_file::read_env_file;
use super::error::AppError;
use super::host_rule::HostRule;
use super::manifest::{MAX_NAME, Manifest, check_app_name};
use super::names::{EnvName, WorkName};
use super::scoped::Scoped;
use super::source::{ComponentSource, SourceError};
use super::suggest::nearest;

/// What a manifest's file is called.
pub const MANIFEST_FILE: &str = "leyden.toml";

/// An app: a Flow and its Works, and all that its operator gives it.
///
/// `App::from_path("app.wasm")?.env("FOO", "bar")?.secret("MY_APP_SECRET", "my-secret")?`
#[derive(Debug, Clone)]
pub struct App {
    /// What it is called if neither its operator nor its manifest says.
    default_name: String,
    folder: Option<PathBuf>,
    pub(super) manifest: Manifest,
    pub(super) flow: ComponentSource,
    pub(super) works: BTreeMap<WorkName, ComponentSource>,
    pub(super) given: Given,
}

/// What an operator gave.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    name: Option<String>,
    /// Each file is a source of its own; later ones override earlier ones.
    pub(super) env_files: Vec<BTreeMap<EnvName, EnvValue>>,
    pub(super) env: BTreeMap<(Option<WorkName>, EnvName), EnvValue>,
    pub(super) secrets: BTreeMap<(Option<WorkName>, EnvName), SecretRef>,
    pub(super) dirs: Vec<Scoped<DirRule>>,
    pub(super) hosts: Vec<Scoped<HostRule>>,
    pub(super) timeout: Option<Duration>,
    pub(super) memory: Option<u64>,
}

impl App {
    /// An app in a folder with `leyden.toml`, that file itself, or a bare component.
    ///
    /// Manifest and components are opened here, so that replacing them later makes no difference.
    ///
    /// # Errors
    /// [`AppError`] of kind [`NotFound`](super::ErrorKind::NotFound) or
    /// [`NotRunnable`](super::ErrorKind::NotRunnable).
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, AppError> {
        let path = path.as_ref();
        if path.is_dir() {
            return Self::from_folder(path);
        }
        if path.file_name().is_some_and(|name| name == MANIFEST_FILE) {
            if let Ok(false) = path.try_exists() {
                return Err(SourceError::NotFound {
                    path: path.to_owned(),
                }
                .into());
            }
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            return Self::from_folder(folder.unwrap_or(Path::new(".")));
        }
        let name = name_of(path.file_stem());
        Ok(Self::bare(name, ComponentSource::open(path)?))
    }

    /// A bare component from memory, under a name.
    ///
    /// # Errors
    /// [`AppError`] of kind [`NotRunnable`](super::ErrorKind::NotRunnable).
    pub fn from_bytes(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<Self, AppError> {
        let name = name.into();
        let flow = ComponentSource::from_bytes(name.clone(), bytes)?;
        Ok(Self::bare(name, flow))
    }

    fn bare(default_name: String, flow: ComponentSource) -> Self {
        let (manifest, works, given) = Default::default();
        Self {
            default_name,
            folder: None,
            manifest,
            flow,
            works,
            given,
        }
    }

    fn from_folder(folder: &Path) -> Result<Self, AppError> {
        let path = folder.join(MANIFEST_FILE);
        if let Ok(false) = path.try_exists() {
            return Err(AppError::NoManifest {
                folder: folder.to_owned(),
            });
        }
        let manifest = Manifest::read(&path)?;
        let folder = folder
            .canonicalize()
            .map_err(|error| SourceError::io(folder, error))?;
        let flow = open_inside(&folder, None, &manifest.flow.component)?;
        let works = manifest
            .works
            .iter()
            .map(|(name, work)| {
                let source = open_inside(&folder, Some(name), &work.component.component)?;
                Ok((name.clone(), source))
            })
            .collect::<Result<_, AppError>>()?;
        let default_name = name_of(folder.file_name());
        let given = Given::default();
        Ok(Self {
            default_name,
            folder: Some(folder),
            manifest,
            flow,
            works,
            given,
        })
    }

    /// Calls the app something else: a label, without authority.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.given.name = Some(name.into());
        self
    }

    /// Gives the Flow and every Work an environment entry.
    ///
    /// # Errors
    /// [`AppError`] of kind [`Usage`](super::ErrorKind::Usage): a bad name, a value with NUL, or a
    /// name that was given already.
    pub fn env(self, name: impl AsRef<str>, value: impl Into<String>) -> Result<Self, AppError> {
        self.with(EnvEntry::new(name.as_ref().parse()?, value)?)
    }

    /// Binds a secret, as `SECRET[@VERSION][:base64]`, under an environment name, for the Flow and
    /// every Work (those that say which of the app's names they see: if it is among them).
    ///
    /// # Errors
    /// [`AppError`] of kind [`Usage`](super::ErrorKind::Usage): a bad name or reference, or a name
    /// that was given already.
    pub fn secret(self, env: impl AsRef<str>, secret: impl AsRef<str>) -> Result<Self, AppError> {
        let (env, secret) = (env.as_ref().parse()?, secret.as_ref().parse()?);
        self.with(SecretBinding { env, secret })
    }

    /// Gives the Flow and every Work the entries of a file. Later files override earlier ones, and
    /// entries given one by one override all files.
    ///
    /// # Errors
    /// [`AppError::EnvFile`].
    pub fn env_file(mut self, path: impl AsRef<Path>) -> Result<Self, AppError> {
        self.given.env_files.push(read_env_file(path.as_ref())?);
        Ok(self)
    }

    /// Gives the Flow a folder, as `HOST[::GUEST][:ro]`.
    ///
    /// # Errors
    /// [`AppError::Dir`].
    pub fn dir(self, rule: impl AsRef<str>) -> Result<Self, AppError> {
        self.with(rule.as_ref().parse::<DirRule>()?)
    }

    /// Lets the Flow reach a host, as `HOST[:PORT]`.
    ///
    /// # Errors
    /// [`AppError::Host`].
    pub fn allow_host(self, rule: impl AsRef<str>) -> Result<Self, AppError> {
        self.with(rule.as_ref().parse::<HostRule>()?)
    }

    /// Gives anything to anyone: the general form of the above, for bindings that were read from a
    /// command line, or that are for one Work. What a Work is given by name overrides what it is
    /// given with all others.
    ///
    /// # Errors
    /// [`AppError`] of kind [`Usage`](super::ErrorKind::Usage): a Work that the app does not have,
    /// or what was given already.
    pub fn with(mut self, binding: impl Into<Binding>) -> Result<Self, AppError> {
        let given = &mut self.given;
        match binding.into() {
            Binding::Env(Scoped { work, item }) => {
                check_work(&self.works, work.as_ref())?;
                insert_once(&mut given.env, (work, item.name), item.value)?;
            }
            Binding::Secret(Scoped { work, item }) => {
                check_work(&self.works, work.as_ref())?;
                insert_once(&mut given.secrets, (work, item.env), item.secret)?;
            }
            Binding::Dir(dir) => {
                check_work(&self.works, dir.work.as_ref())?;
                if given.dirs.iter().any(|other| same_place(other, &dir)) {
                    return Err(AppError::Duplicate {
                        name: dir.item.guest,
                        work: dir.work,
                    });
                }
                given.dirs.push(dir);
            }
            Binding::Host(host) => {
                check_work(&self.works, host.work.as_ref())?;
                given.hosts.push(host);
            }
        }
        Ok(self)
    }

    /// Limits how long the Flow, and with it the whole run, may take; overrides the manifest.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.given.timeout = Some(timeout);
        self
    }

    /// Limits the memory of each component, in bytes: the Flow has that, whatever the manifest says,
    /// and Works what they ask for or 1 GiB, and no more than that.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.given.memory = Some(bytes);
        self
    }

    /// What the app is called: by its operator, by its manifest, or after its file or folder.
    pub fn display_name(&self) -> &str {
        let name = self.given.name.as_ref().or(self.manifest.name.as_ref());
        name.unwrap_or(&self.default_name)
    }

    /// Whether its operator gave it this name.
    pub(super) fn given_name(&self) -> Option<&str> {
        self.given.name.as_deref()
    }

    /// Its manifest. A bare component has one with nothing but a Flow.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its absolute folder, without symbolic links; a bare component has none, because other
    /// things may lie in the folder that it is in.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Its components: the Flow, of no name, and then the Works.
    pub fn components(&self) -> impl Iterator<Item = (Option<&WorkName>, &ComponentSource)> {
        let works = self.works.iter().map(|(name, source)| (Some(name), source));
        std::iter::once((None, &self.flow)).chain(works)
    }

    /// Its identity: over the canonical manifest and every component's bytes, which are read now
    /// if they were not before. Not over what its operator gives it.
    ///
    /// # Errors
    /// [`AppError`] of kind [`NotRunnable`](super::ErrorKind::NotRunnable) if a component cannot be
    /// read.
    pub fn digest(&self) -> Result<Digest, AppError> {
        let flow = self
            .flow
            .digest()
            .map_err(|problem| self.component_error(None, problem))?;
        let digest = |(name, source): (_, &ComponentSource)| {
            let digest = source
                .digest()
                .map_err(|problem| self.component_error(Some(name), problem))?;
            Ok((name, digest))
        };
        let works = self
            .works
            .iter()
            .map(digest)
            .collect::<Result<_, AppError>>()?;
        Ok(self.manifest.digest(flow, &works))
    }

    /// Its identity, from the digests of its components: the Flow's, and the Works' by name.
    pub(crate) fn digest_of(&self, flow: Digest, works: impl Iterator<Item = Digest>) -> Digest {
        self.manifest
            .digest(flow, &self.works.keys().zip(works).collect())
    }

    fn component_error(&self, work: Option<&WorkName>, problem: SourceError) -> AppError {
        match self.folder {
            Some(_) => AppError::Component {
                work: work.cloned(),
                problem,
            },
            None => problem.into(),
        }
    }
}

/// Opens a component of a folder, which has no symbolic links left in it.
fn open_inside(
    folder: &Path,
    work: Option<&WorkName>,
    relative: &Path,
) -> Result<ComponentSource, AppError> {
    let path = folder.join(relative);
    let error = |problem| AppError::Component {
        work: work.cloned(),
        problem,
    };
    let resolved = path
        .canonicalize()
        .map_err(|io| error(SourceError::io(&path, io)))?;
    if !resolved.starts_with(folder) {
        return Err(AppError::OutsideFolder {
            work: work.cloned(),
            path,
        });
    }
    ComponentSource::open(&resolved).map_err(error)
}

fn check_work(
    works: &BTreeMap<WorkName, ComponentSource>,
    work: Option<&WorkName>,
) -> Result<(), AppError> {
    let Some(work) = work.filter(|work| !works.contains_key(work)) else {
        return Ok(());
    };
    Err(AppError::UnknownWork {
        work: work.clone(),
        nearest: nearest(work.as_str(), works.keys().map(WorkName::as_str)).map(str::to_owned),
        known: works.keys().cloned().collect(),
    })
}

fn insert_once<V>(
    map: &mut BTreeMap<(Option<WorkName>, EnvName), V>,
    key: (Option<WorkName>, EnvName),
    value: V,
) -> Result<(), AppError> {
    if map.contains_key(&key) {
        let (work, name) = key;
        return Err(AppError::Duplicate {
            name: name.to_string(),
            work,
        });
    }
    map.insert(key, value);
    Ok(())
}

/// Whether two folders would stand at the same path of one guest.
fn same_place(one: &Scoped<DirRule>, other: &Scoped<DirRule>) -> bool {
    let place = |dir: &Scoped<DirRule>| {
        let guest = dir.item.guest.as_str();
        (
            dir.work.clone(),
            Path::new(guest).components().collect::<PathBuf>(),
        )
    };
    place(one) == place(other)
}

/// What an app is called after its file or folder. What that is called, anybody may have chosen:
/// where it is no name that a manifest could give, it is made one.
fn name_of(file: Option<&OsStr>) -> String {
    let name = file.unwrap_or_default().to_string_lossy();
    let name: String = name
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(MAX_NAME)
        .collect();
    match check_app_name(&name) {
        Ok(()) => name,
        Err(_) => "app".to_owned(),
    }
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
