//! `leyden key …` as it may be typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Report;

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the key slots: what opens the store
    List(Report),
    /// Add a key that opens the store, too: in a file, by a command, in the keyring, a passphrase, a
    /// recovery code
    #[command(after_long_help = KEY_ADD)]
    Add {
        /// What to call it: `laptop`, `recovery`
        label: String,
        #[command(flatten)]
        new: NewKey,
        /// The shell command that prints the key which --key-to handed over: it is asked at once,
        /// and the slot is added only if it prints that key
        #[arg(
            long,
            value_name = "COMMAND",
            conflicts_with_all = ["key_file_to", "to_keyring", "recovery", "passphrase"]
        )]
        key_from: Option<String>,
        #[command(flatten)]
        report: Report,
    },
    /// Remove a key slot: its key opens the store no more
    ///
    /// The last slot cannot be removed. A copy of the store from before still opens with that key;
    /// where somebody may have both, make a new root key with `key rotate --root` and change the
    /// secrets themselves.
    Remove {
        /// The slot's label, as `leyden key list` shows it
        label: String,
        /// Remove its key from the keyring, too: copies of the store from before do not open with
        /// it then
        #[arg(long)]
        from_keyring: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        report: Report,
    },
    /// Encrypt all secrets' keys under a new key, and drop the old one
    ///
    /// Others may read and write meanwhile. A rotation that was broken off goes on with the next
    /// one. No value is changed.
    #[command(after_long_help = KEY_ROTATE)]
    Rotate(Rotate),
    /// Write out a copy of the key file, to keep elsewhere
    ///
    /// Whoever has it and the store can read every secret; without any key nobody can. The export
    /// is written to the audit log first.
    #[command(after_long_help = KEY_EXPORT)]
    Export {
        /// Write it to this new file, closed to others; otherwise to standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Show it even on a terminal
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct NewKey {
    /// A new random key, written to this new file, closed to others
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file_to: Option<PathBuf>,
    /// A new random key, handed to this shell command on its standard input, to be kept in a key
    /// management service or a hardware token
    #[arg(long, value_name = "COMMAND")]
    pub(crate) key_to: Option<String>,
    /// A new random key in the operating system's keyring, under the slot's label
    #[arg(long)]
    pub(crate) to_keyring: bool,
    /// A recovery code to write on paper; it is shown once, now
    #[arg(long)]
    pub(crate) recovery: bool,
    /// A passphrase, from the file that LEYDEN_NEW_PASSPHRASE_FILE names or asked for twice
    #[arg(long)]
    pub(crate) passphrase: bool,
}

/// What to rotate.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Make a new root key as well: keep the slots whose key is given, drop all others
    ///
    /// What opens the store now is kept, with the key that it has. Other processes that have the
    /// store open must be started again, commands that begin at the same moment may have to be given
    /// again, and inputs and outputs in the journals of earlier runs cannot be read any more.
    #[arg(long)]
    pub(crate) root: bool,
    /// Keep the slot of this key file (or of the recovery code in it), too
    #[arg(long, value_name = "FILE", requires = "root")]
    pub(crate) keep_key_file: Vec<PathBuf>,
    /// Keep the slot of the passphrase in this file, too
    #[arg(long, value_name = "FILE", requires = "root")]
    pub(crate) keep_passphrase_file: Vec<PathBuf>,
    /// Keep the slot of this label, whose key the keyring holds, too
    #[arg(long, value_name = "LABEL", requires = "root")]
    pub(crate) keep_keyring: Vec<String>,
    /// Ask for the passphrases or recovery codes of this many further slots
    #[arg(long, value_name = "NUMBER", requires = "root", default_value_t)]
    pub(crate) keep_asked: u8,
    /// Do not ask before slots are dropped
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) report: Report,
}

const KEY_ADD: &str = "\
Examples:
  leyden key add usb --key-file-to /media/usb/leyden.key
  leyden key add me --passphrase
  leyden key add paper --recovery
  leyden key add desk --to-keyring
      and from then on  LEYDEN_KEYRING=desk
  leyden key add vault --key-to 'vault kv put -mount=secret leyden key=-' \
      --key-from 'vault kv get -mount=secret -field=key leyden'
      and from then on  LEYDEN_KEY_COMMAND='vault kv get -mount=secret -field=key leyden'
The keyring is the desktop's Secret Service on Linux (GNOME Keyring, KWallet, KeePassXC) and the
keychain on macOS; nothing else is used in its place where there is none.
A recovery code is typed in with --ask-key, where a passphrase is asked for, or kept in a file that
--key-file names.";

const KEY_ROTATE: &str = "\
Examples:
  leyden key rotate                     often enough: once a year, or when somebody leaves
  leyden key rotate --root --keep-asked 1
                                        when the root key may be known: asks for the recovery code,
                                        so that its slot stays
  leyden key rotate --root --keep-key-file /media/usb/leyden.key --yes
  leyden key add new --key-file-to new.key
  leyden --key-file new.key key rotate --root
                                        when the key file may be known: what it opened, the new one
                                        opens alone from now on; put it where the old one was
Whoever had the old keys and a copy of the store knows the values in it: change the secrets
themselves, too (leyden secret set).";

const KEY_EXPORT: &str = "\
Examples:
  leyden key export --to /media/usb/leyden-root.key
  leyden key export | gpg --encrypt --recipient me > root.key.gpg";
