//! Where everything is: the store, its key, and Leyden's folders.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use etcetera::BaseStrategy as _;
use leyden::run::journal::{Keep, Runs};
use leyden::secrets::{self, AuditSink, AuditTarget};

use crate::cli::{self, StoreOptions};
use crate::exit::{explain, say, usage};

const STORE: &str = "LEYDEN_STORE";
const KEY_FILE: &str = "LEYDEN_KEY_FILE";
const PASSPHRASE_FILE: &str = "LEYDEN_PASSPHRASE_FILE";
const KEY_COMMAND: &str = "LEYDEN_KEY_COMMAND";
const KEYRING: &str = "LEYDEN_KEYRING";
const AUDIT_TO: &str = "LEYDEN_AUDIT_TO";
const AUDIT_REQUIRED: &str = "LEYDEN_AUDIT_REQUIRED";
const NEW_PASSPHRASE_FILE: &str = "LEYDEN_NEW_PASSPHRASE_FILE";
const RUNS_MAX_AGE: &str = "LEYDEN_RUNS_MAX_AGE";
const RUNS_MAX_SIZE: &str = "LEYDEN_RUNS_MAX_SIZE";

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Paths {
    /// The store's database.
    pub(crate) store: PathBuf,
    /// The key file, which need not be there.
    pub(crate) key_file: PathBuf,
    /// What says where the key is.
    pub(crate) key_from: KeyFrom,
    /// A file with the passphrase of a new key slot.
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Leyden's folders, which need not be there.
    pub(crate) folders: Folders,
    /// Every path that an option or a variable names, also where another overrides it.
    named: Vec<PathBuf>,
    slot: Option<String>,
    audit_sink: Option<AuditSink>,
    accept_rollback: bool,
    /// How long the store is waited for, where that is not as long as ever.
    wait: Option<Duration>,
    /// For how long runs are kept, or what is wrong with a variable that says so.
    keep: Result<Keep, &'static str>,
}

/// What says where the key is, strongest first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyFrom {
    /// `--key-file`.
    Option,
    /// What this shell command prints: `--key-command`, or `LEYDEN_KEY_COMMAND`, which is weaker
    /// than a passphrase's file.
    Command(OsString),
    /// The slot whose key is in the operating system's keyring: `--keyring`, or `LEYDEN_KEYRING`,
    /// which is weaker than `LEYDEN_KEY_COMMAND`.
    Keyring(String),
    /// `--ask-key`: a passphrase or recovery code that is asked for.
    Ask,
    /// A passphrase in the file that the environment names.
    Passphrase(PathBuf),
    /// `LEYDEN_KEY_FILE`.
    Environment,
    /// Nobody: the default key file, or a passphrase that is asked for.
    Default,
}

/// Leyden's folders (XDG Base Directory Specification 0.8).
#[derive(Debug)]
pub(crate) struct Folders {
    pub(crate) data: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) cache: PathBuf,
}

impl Paths {
    /// From the command line, the environment, and the user's XDG folders.
    ///
    /// # Errors
    ///
    /// Where no home folder is known; a usage error where records must go to a second place that
    /// nobody names.
    pub(crate) fn find(options: &StoreOptions) -> anyhow::Result<Self> {
        let xdg = etcetera::choose_base_strategy().ok();
        // A user without a home, as containers have them, may still name each folder.
        let own = |variable: &str, default: Option<PathBuf>| {
            let named = std::env::var_os(variable).map(PathBuf::from);
            let folder = named.filter(|folder| folder.is_absolute()).or(default);
            let folder = folder.with_context(|| {
                format!("no home folder is known for this user: set HOME, or {variable}")
            });
            Ok::<_, anyhow::Error>(folder?.join("leyden"))
        };
        let xdg = xdg.as_ref();
        let state = |xdg: &etcetera::base_strategy::Xdg| {
            let default = || xdg.home_dir().join(".local/state");
            xdg.state_dir().unwrap_or_else(default)
        };
        let folders = Folders {
            data: own("XDG_DATA_HOME", xdg.map(|xdg| xdg.data_dir()))?,
            config: own("XDG_CONFIG_HOME", xdg.map(|xdg| xdg.config_dir()))?,
            state: own("XDG_STATE_HOME", xdg.map(state))?,
            cache: own("XDG_CACHE_HOME", xdg.map(|xdg| xdg.cache_dir()))?,
        };
        Self::resolve(options, folders, |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        })
    }

    fn resolve(
        options: &StoreOptions,
        folders: Folders,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let (store, key_file) = (options.store.clone(), options.key_file.clone());
        let variables = [STORE, KEY_FILE, PASSPHRASE_FILE, NEW_PASSPHRASE_FILE];
        let named = variables.into_iter().filter_map(&variable);
        let audit_to = options.audit_to.clone().or_else(|| variable(AUDIT_TO));
        let required = options.audit_required || variable(AUDIT_REQUIRED).is_some();
        if required && audit_to.is_none() {
            return Err(usage(
                "audit records must go to a second place, and none is named: say which with \
                 --audit-to or LEYDEN_AUDIT_TO",
            ));
        }
        let audit_sink = audit_to.map(|to| AuditSink::new(audit_target(to), required));
        let audit_file = match audit_sink.as_ref().map(AuditSink::to) {
            Some(AuditTarget::File(file)) => Some(file.clone()),
            _ => None,
        };
        let named = named.chain(store.clone()).chain(key_file.clone());
        let named = named.chain(audit_file).collect();
        let key_from = if key_file.is_some() {
            KeyFrom::Option
        } else if let Some(command) = &options.key_command {
            KeyFrom::Command(command.clone())
        } else if let Some(label) = &options.keyring {
            KeyFrom::Keyring(label.clone())
        } else if options.ask_key {
            KeyFrom::Ask
        } else if let Some(file) = variable(PASSPHRASE_FILE) {
            KeyFrom::Passphrase(file)
        } else if let Some(command) = variable(KEY_COMMAND) {
            KeyFrom::Command(command.into_os_string())
        } else if let Some(label) = variable(KEYRING) {
            KeyFrom::Keyring(label.to_string_lossy().into_owned())
        } else if variable(KEY_FILE).is_some() {
            KeyFrom::Environment
        } else {
            KeyFrom::Default
        };
        let store = store.or_else(|| variable(STORE));
        let key_file = key_file.or_else(|| variable(KEY_FILE));
        Ok(Self {
            store: store.unwrap_or_else(|| folders.data.join("store.db")),
            key_file: key_file.unwrap_or_else(|| folders.config.join("root.key")),
            key_from,
            new_passphrase_file: variable(NEW_PASSPHRASE_FILE),
            named,
            slot: options.slot.clone(),
            audit_sink,
            accept_rollback: options.accept_rollback,
            wait: None,
            keep: keep(&variable),
            folders,
        })
    }

    /// The same, for a store that is waited for no longer than this while others write to it.
    pub(crate) fn waiting(self, wait: Duration) -> Self {
        Self {
            wait: Some(wait),
            ..self
        }
    }

    /// How the store is opened.
    pub(crate) fn store_options(&self) -> secrets::StoreOptions {
        let options = secrets::StoreOptions::new()
            .state_dir(&self.folders.state)
            .accept_rollback(self.accept_rollback);
        let options = match &self.audit_sink {
            Some(sink) => options.audit_sink(sink.clone()),
            None => options,
        };
        let options = match self.wait {
            Some(wait) => options.busy_timeout(wait),
            None => options,
        };
        match (&self.slot, &self.key_from) {
            (Some(label), _) | (None, KeyFrom::Keyring(label)) => options.slot(label),
            (None, _) => options,
        }
    }

    /// Says where audit records could not be written to the second place for them, since this was
    /// last called.
    pub(crate) fn tell_of_audit_sink(&self) {
        if let Some(failed) = self.audit_sink.as_ref().and_then(AuditSink::take_failure) {
            say(&format!("warning: {}", explain(&failed.into())));
        }
    }

    /// The journals of what ran.
    pub(crate) fn runs(&self) -> Runs {
        Runs::new(self.folders.state.join("runs")).keep(self.keep.unwrap_or_default())
    }

    /// For how long they are kept; to be asked before any is begun or removed.
    ///
    /// # Errors
    ///
    /// A usage error, where a variable says something else than a duration or a size.
    pub(crate) fn keep(&self) -> anyhow::Result<Keep> {
        self.keep.map_err(usage)
    }

    /// What no app may see through a folder that is given to it, whether it is there or not.
    pub(crate) fn protected(&self) -> Vec<PathBuf> {
        let Folders {
            data,
            config,
            state,
            cache,
        } = &self.folders;
        // The files by themselves, too: one may be mounted, or linked, elsewhere.
        [data, config, state, cache, &self.store, &self.key_file]
            .into_iter()
            .chain(&self.named)
            .cloned()
            .collect()
    }
}

/// A file, `syslog`, or `syslog:` and another socket than the system's.
fn audit_target(to: PathBuf) -> AuditTarget {
    let text = to.to_str().unwrap_or_default();
    match text.strip_prefix("syslog:") {
        Some(socket) if !socket.is_empty() => AuditTarget::Syslog(socket.into()),
        None if text != "syslog" => AuditTarget::File(to),
        _ => AuditTarget::Syslog(AuditTarget::SYSLOG_SOCKET.into()),
    }
}

/// For how long runs are kept.
fn keep(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Keep, &'static str> {
    let mut keep = Keep::default();
    if let Some(said) = variable(RUNS_MAX_AGE) {
        let age = said.to_str().map(humantime::parse_duration);
        keep.age = age
            .and_then(Result::ok)
            .ok_or("LEYDEN_RUNS_MAX_AGE is no duration, such as 12h, 7days or 3months")?;
    }
    if let Some(said) = variable(RUNS_MAX_SIZE) {
        let size = said.to_str().and_then(|said| cli::size(said).ok());
        keep.size = size
            .ok_or("LEYDEN_RUNS_MAX_SIZE is no size, such as 500MB, 200MiB or 2GiB")?
            .as_u64();
    }
    Ok(keep)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resolve(store: Option<&str>, key: Option<&str>, variables: &[(&str, &str)]) -> Paths {
        let options = StoreOptions {
            store: store.map(PathBuf::from),
            key_file: key.map(PathBuf::from),
            key_command: None,
            keyring: None,
            ask_key: false,
            slot: None,
            audit_to: None,
            audit_required: false,
            accept_rollback: false,
        };
        let folders = Folders {
            data: "/h/data/leyden".into(),
            config: "/h/config/leyden".into(),
            state: "/h/state/leyden".into(),
            cache: "/h/cache/leyden".into(),
        };
        Paths::resolve(&options, folders, |name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        })
        .unwrap()
    }

    #[test]
    fn what_says_for_how_long_runs_are_kept_is_read_or_refused() {
        let keep = |name, value| resolve(None, None, &[(name, value)]).keep();
        let age = keep(RUNS_MAX_AGE, "2days").map(|keep| keep.age.as_secs());
        assert_eq!(age.ok(), Some(2 * 24 * 60 * 60));
        let size = keep(RUNS_MAX_SIZE, "3KiB").map(|keep| keep.size);
        assert_eq!(size.ok(), Some(3 << 10));
        for (name, value) in [
            (RUNS_MAX_AGE, "7"),
            (RUNS_MAX_AGE, "a week"),
            (RUNS_MAX_SIZE, "much"),
            (RUNS_MAX_SIZE, "-1"),
            (RUNS_MAX_SIZE, "7"),
        ] {
            let told = keep(name, value).err().map(|error| error.to_string());
            assert!(told.is_some_and(|told| told.starts_with(name)), "{value}");
        }
    }

    #[test]
    fn options_override_variables_which_override_defaults() {
        let variables = [("LEYDEN_STORE", "/e/store"), ("LEYDEN_KEY_FILE", "/e/key")];
        let default = resolve(None, None, &[]);
        assert_eq!(default.store, PathBuf::from("/h/data/leyden/store.db"));
        assert_eq!(default.key_file, PathBuf::from("/h/config/leyden/root.key"));
        assert_eq!(default.key_from, KeyFrom::Default);
        let environment = resolve(None, None, &variables);
        assert_eq!(environment.store, PathBuf::from("/e/store"));
        assert_eq!(environment.key_file, PathBuf::from("/e/key"));
        assert_eq!(environment.key_from, KeyFrom::Environment);
        let options = resolve(Some("/o/store"), Some("/o/key"), &variables);
        assert_eq!(options.store, PathBuf::from("/o/store"));
        assert_eq!(options.key_file, PathBuf::from("/o/key"));
        assert_eq!(options.key_from, KeyFrom::Option);
    }

    #[test]
    fn a_passphrase_file_is_stronger_than_a_key_files_variable_only() {
        let variables = [
            ("LEYDEN_PASSPHRASE_FILE", "/e/pass"),
            ("LEYDEN_KEY_FILE", "/e/key"),
        ];
        let passphrase = resolve(None, None, &variables);
        assert_eq!(passphrase.key_from, KeyFrom::Passphrase("/e/pass".into()));
        assert_eq!(
            resolve(None, Some("/o/key"), &variables).key_from,
            KeyFrom::Option
        );
    }

    #[test]
    fn a_key_command_is_stronger_than_a_key_files_variable_only() {
        let variables = [
            ("LEYDEN_KEY_COMMAND", "cat k"),
            ("LEYDEN_KEY_FILE", "/e/key"),
        ];
        let command = || KeyFrom::Command("cat k".into());
        assert_eq!(resolve(None, None, &variables).key_from, command());
        let with_passphrase = [variables[0], ("LEYDEN_PASSPHRASE_FILE", "/e/pass")];
        assert_eq!(
            resolve(None, None, &with_passphrase).key_from,
            KeyFrom::Passphrase("/e/pass".into())
        );
        assert_eq!(
            resolve(None, Some("/o/key"), &variables).key_from,
            KeyFrom::Option
        );
    }

    #[test]
    fn a_keyring_is_stronger_than_a_key_files_variable_only_and_names_the_slot() {
        let variables = [
            ("LEYDEN_KEYRING", "desk"),
            ("LEYDEN_KEY_FILE", "/e/key"),
            ("LEYDEN_KEY_COMMAND", "cat k"),
        ];
        let keyring = resolve(None, None, &variables[..2]);
        assert_eq!(keyring.key_from, KeyFrom::Keyring("desk".into()));
        let command = resolve(None, None, &variables);
        assert_eq!(command.key_from, KeyFrom::Command("cat k".into()));
        let file = resolve(None, Some("/o/key"), &variables);
        assert_eq!(file.key_from, KeyFrom::Option);
    }

    #[test]
    fn all_that_could_show_a_secret_is_protected() {
        let variables = [
            ("LEYDEN_STORE", "/e/store"),
            ("LEYDEN_KEY_FILE", "/e/key"),
            ("LEYDEN_PASSPHRASE_FILE", "/e/pass"),
            ("LEYDEN_NEW_PASSPHRASE_FILE", "/e/new"),
        ];
        let protected = resolve(Some("/o/store"), Some("/o/key"), &variables).protected();
        for path in [
            "/o/store",
            "/o/key",
            "/e/store",
            "/e/key",
            "/h/data/leyden",
            "/h/config/leyden",
            "/h/state/leyden",
            "/h/cache/leyden",
            "/e/pass",
            "/e/new",
        ] {
            assert!(protected.contains(&path.into()), "{path}");
        }
        // Without any of them, what is used lies in the folders.
        let default = resolve(None, None, &[]);
        for used in [&default.store, &default.key_file] {
            let covers = |path: &PathBuf| used.starts_with(path);
            assert!(default.protected().iter().any(covers), "{}", used.display());
        }
    }
}
