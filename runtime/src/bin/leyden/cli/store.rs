//! `leyden store …` as it may be typed.

use std::path::PathBuf;

use clap::Subcommand;

use super::Report;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Write a copy of the whole store to one new file, while others go on using it
    ///
    /// Values are encrypted in it as they are in the store, and the same keys open it; names and the
    /// audit log can be read by whoever reads the file. It is verified before it gets its name.
    #[command(after_long_help = BACKUP)]
    Backup {
        /// The new file
        to: PathBuf,
        #[command(flatten)]
        report: Report,
    },
    /// Put a backup in the place of the store
    ///
    /// The backup is verified whole before anything is replaced. What the store holds now is lost.
    /// The key is the backup's. A machine remembers one state of each store, wherever it is: where the
    /// backup is put at another path, the store that it is of counts as rolled back there.
    #[command(after_long_help = RESTORE)]
    Restore {
        /// The backup
        from: PathBuf,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        report: Report,
    },
    /// Bring a store of an older format to the one of this Leyden
    Upgrade(Report),
}

const BACKUP: &str = "\
Examples:
  leyden store backup /media/usb/leyden-2030-01-31.db
  leyden key export --to /media/safe/leyden-root.key      a backup without a key is of no use";

const RESTORE: &str = "\
Examples:
  leyden store restore /media/usb/leyden-2030-01-31.db
  leyden store restore backup.db --key-file old-root.key --yes";
