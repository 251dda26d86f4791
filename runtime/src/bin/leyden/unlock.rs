//! Opening the store: which key, and the first use, which makes both.

use std::path::Path;

use leyden::secrets::{Key, SecretStore, StoreError, StoreOptions};

use crate::exit::{Failure, say, usage};
use crate::paths::{KeyFrom, Paths};
use crate::progress::Shown;
use crate::prompt::{self, NoTerminal};
use crate::{key_command, keyring};

/// Opens the store that there is.
///
/// # Errors
///
/// [`StoreError`]; [`Failure::Denied`] where no key is to be had.
pub(crate) fn open(paths: &Paths) -> anyhow::Result<SecretStore> {
    open_with(&paths.store_options(), paths)
}

/// Opens the store that there is for a look that changes nothing.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn look(paths: &Paths) -> anyhow::Result<SecretStore> {
    open_with(&paths.store_options().read_only(true), paths)
}

/// Opens the store that there is, if a key file opens it: asks nobody, and says nothing where it
/// cannot be had.
pub(crate) fn open_without_asking(paths: &Paths) -> Option<SecretStore> {
    let by_key_file = match &paths.key_from {
        KeyFrom::Passphrase(_) | KeyFrom::Command(_) | KeyFrom::Keyring(_) => false,
        _ => is_there(&paths.key_file) && is_there(&paths.store),
    };
    match by_key_file {
        true => open(paths).ok(),
        false => None,
    }
}

/// Opens the store that there is, and keeps the key that opened it.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn open_keeping_key(paths: &Paths) -> anyhow::Result<(SecretStore, Key)> {
    let key = choose_for_existing(paths)?;
    let store = open_with_key(&paths.store_options(), paths, &key)?;
    Ok((store, key.key))
}

/// The key that would open the store, which need not be there.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn key(paths: &Paths) -> anyhow::Result<Key> {
    Ok(choose(paths)?.key)
}

fn open_with(options: &StoreOptions, paths: &Paths) -> anyhow::Result<SecretStore> {
    let key = choose_for_existing(paths)?;
    open_with_key(options, paths, &key)
}

fn choose_for_existing(paths: &Paths) -> anyhow::Result<Chosen> {
    // Nobody should have to type a passphrase for a store that is not there.
    if !is_there(&paths.store) {
        return Err(StoreError::MissingStore {
            path: paths.store.clone(),
        }
        .into());
    }
    choose(paths)
}

fn open_with_key(
    options: &StoreOptions,
    paths: &Paths,
    Chosen { key, passphrase }: &Chosen,
) -> anyhow::Result<SecretStore> {
    // A passphrase takes an Argon2id for each slot that is tried.
    let _shown = passphrase.then(|| Shown::now("opening the store"));
    Ok(options.open(&paths.store, key)?)
}

/// Opens the store, or makes it, and the key file if there is neither.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn open_or_make(paths: &Paths) -> anyhow::Result<SecretStore> {
    let options = paths.store_options();
    if is_there(&paths.store) {
        return open(paths);
    }
    let opener = match &paths.key_from {
        KeyFrom::Passphrase(file) => Some(format!("the passphrase in {}", file.display())),
        KeyFrom::Command(_) => Some("the key of your key command".into()),
        KeyFrom::Keyring(label) => {
            return make_with(&keyring::read_or_make(label)?, "the keyring", paths);
        }
        KeyFrom::Ask => {
            let key = new_passphrase(paths)?;
            return make_with(&key, "your passphrase", paths);
        }
        _ => None,
    };
    if let Some(opener) = opener {
        return make_with(&choose(paths)?.key, &opener, paths);
    }
    let opened = options.open_or_create(&paths.store, &paths.key_file)?;
    let (store, key) = (paths.store.display(), paths.key_file.display());
    if opened.made_store && opened.made_key {
        say(&format!(
            "made the secret store {store} and the key that opens it, {key}\nWhoever has both can \
             read the secrets; without the key nobody can. Keep a copy of the key elsewhere: \
             leyden key export --to FILE"
        ));
    } else if opened.made_store {
        say(&format!(
            "made the secret store {store}, which the key in {key} opens"
        ));
    }
    Ok(opened.store)
}

fn make_with(key: &Key, opener: &str, paths: &Paths) -> anyhow::Result<SecretStore> {
    let made = {
        let _shown = Shown::now("making the store");
        paths.store_options().create(&paths.store, key)
    };
    match made {
        Ok(store) => {
            warn_of_short(key);
            say(&format!(
                "made the secret store {}; {opener} opens it, and without it nobody can read what \
                 is in there",
                paths.store.display(),
            ));
            Ok(store)
        }
        // Somebody else was faster.
        Err(StoreError::StoreExists { .. }) => open(paths),
        Err(error) => Err(error.into()),
    }
}

/// Warns of a short passphrase, once it opens the store.
pub(crate) fn warn_of_short(key: &Key) {
    if key.is_short_passphrase() {
        say(
            "warning: the passphrase has less than 12 characters: whoever has a copy of the store \
             can try out short ones until one opens it",
        );
    }
}

/// Whether somebody named what opens the store, or its key file is there. Nobody is asked then who did
/// not say so.
pub(crate) fn has_key(paths: &Paths) -> bool {
    paths.key_from != KeyFrom::Default || is_there(&paths.key_file)
}

/// Whether there is something at this path, a broken link too: what it is, the store says.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The key that opens the store.
struct Chosen {
    key: Key,
    passphrase: bool,
}

/// Chooses the key that opens the store: a passphrase file, else what the key command prints, else
/// the keyring's, else the key file if it is there, else a passphrase or recovery code from the
/// terminal. What was asked for and cannot be had is not made up for by another.
///
/// # Errors
///
/// [`StoreError`] of the key file; [`Failure::Denied`] where there is none and no terminal, or the
/// key command or the keyring gives none.
fn choose(paths: &Paths) -> anyhow::Result<Chosen> {
    match &paths.key_from {
        KeyFrom::Passphrase(file) => {
            return Ok(Chosen {
                key: Key::from_passphrase_file(file)?,
                passphrase: true,
            });
        }
        KeyFrom::Command(command) => {
            return Ok(Chosen {
                key: key_command::read(command)?,
                passphrase: false,
            });
        }
        KeyFrom::Keyring(label) => {
            return Ok(Chosen {
                key: keyring::read(label)?,
                passphrase: false,
            });
        }
        KeyFrom::Ask => {}
        _ if !has_key(paths) => {}
        _ => {
            return Ok(Chosen {
                key: Key::from_file(&paths.key_file)?,
                passphrase: false,
            });
        }
    }
    let question = format!(
        "Passphrase or recovery code for {}: ",
        paths.store.display()
    );
    match typed_key(&question) {
        Ok(key) => Ok(Chosen {
            key,
            passphrase: true,
        }),
        Err(error) if error.is::<NoTerminal>() => Err(Failure::Denied(no_terminal(paths)).into()),
        Err(error) => Err(error),
    }
}

/// Why nothing opens the store where nobody can be asked.
fn no_terminal(paths: &Paths) -> String {
    let store = paths.store.display();
    match paths.key_from {
        KeyFrom::Ask => format!(
            "nothing opens {store}: --ask-key asks for a passphrase or recovery code, and there is \
             no terminal to ask on; leave --ask-key out, or give the key with --key-file FILE instead"
        ),
        _ => format!(
            "nothing opens {store}: there is no key file at {}, LEYDEN_PASSPHRASE_FILE is not set, \
             and there is no terminal to ask for a passphrase on; give the key with --key-file FILE",
            paths.key_file.display()
        ),
    }
}

/// A passphrase or recovery code from the terminal.
///
/// # Errors
///
/// [`NoTerminal`]; [`StoreError::RecoveryCode`] for one with a typing error.
pub(crate) fn typed_key(question: &str) -> anyhow::Result<Key> {
    Ok(Key::from_typed(prompt::hidden(question)?)?)
}

/// A new passphrase, from the file that the environment names or asked for twice.
///
/// # Errors
///
/// A usage error where it is empty; [`Failure::Denied`] where there is no terminal.
pub(crate) fn new_passphrase(paths: &Paths) -> anyhow::Result<Key> {
    if let Some(file) = &paths.new_passphrase_file {
        return Ok(Key::from_passphrase_file(file)?);
    }
    match prompt::new_passphrase() {
        Ok(passphrase) if passphrase.is_empty() => Err(usage("the new passphrase is empty")),
        Ok(passphrase) => Ok(Key::from_passphrase(passphrase)),
        Err(error) if error.is::<NoTerminal>() => Err(Failure::Denied(
            "there is no terminal to ask for the new passphrase on; name a file that holds it in \
             LEYDEN_NEW_PASSPHRASE_FILE"
                .into(),
        )
        .into()),
        Err(error) => Err(error),
    }
}
