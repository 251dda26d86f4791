//! The rollback record: what this machine remembers of a store, in a folder of its own.
//!
//! A store that is put back as a whole, with its log, is consistent in itself: what tells is that
//! this machine has seen a later state. So the newest generation and audit link seen are kept
//! outside, in the file `<store id>.state`, in lines that are padded to 256 bytes:
//!
//! ```text
//! leyden-state-1 <generation> <audit sequence> <audit MAC, hex> <MAC, hex>
//! ```
//!
//! There is room for two, of which the later one counts: a newer mark is written over the other
//! one, so that a power cut leaves one that is whole, and the disk keeps it without a new file to
//! wait for. While the root key is being replaced, one is under the old key and one under the new.
//! While a backup is put in the store's place there is a third line, `leyden-restore-1 …` with
//! `leyden/1/restore` in its MAC: the store is then right in either state, whenever the restoring
//! process is killed, until whoever opens it next says in which.
//!
//! The MAC is HMAC-SHA-256 over `frame("leyden/1/state", generation, sequence, audit MAC)`. It is
//! read before a state of the store is looked at, and raised after a commit, under a lock: so it
//! is never ahead of what its reader then sees, however many write. No record (a new machine) is
//! accepted. Who can write to both folders, or remove the record and replace the store, can roll
//! back unnoticed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::StoreError;
use super::chain::Link;
use super::files::{self, Owner};
use super::keys::{Hash, KeyBytes, StoreId, same};

const MAGIC: &str = "leyden-state-1";
const LABEL: &[u8] = b"leyden/1/state";
const RESTORE_MAGIC: &str = "leyden-restore-1";
const RESTORE_LABEL: &[u8] = b"leyden/1/restore";
const MAX_RECORD_BYTES: u64 = 1024;
/// The length of a line with its newline; the file has two.
const LINE: usize = 256;

/// How far a store had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) generation: u64,
    pub(super) link: Link,
}

/// What is remembered of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The newest mark that was seen.
    pub(super) latest: Mark,
    /// The mark of a store that was about to take its place, and may have.
    pub(super) restoring: Option<Mark>,
}

/// Where the record of one store is.
#[derive(Debug)]
pub(super) struct StateRecord {
    folder: PathBuf,
    file: PathBuf,
    lock: PathBuf,
}

impl StateRecord {
    /// Makes the folder if there is none.
    pub(super) fn new(folder: &Path, store: &StoreId) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        Self::look(folder, store)
    }

    /// Makes nothing; where there is no folder, there is no record either.
    pub(super) fn look(folder: &Path, store: &StoreId) -> Result<Self, StoreError> {
        let folder = match folder.canonicalize() {
            Ok(folder) => {
                files::check_folder(&folder)?;
                folder
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => folder.to_owned(),
            Err(error) => return Err(files::io("find the folder", folder)(error)),
        };
        let file = folder.join(format!("{}.state", HEXLOWER.encode(store)));
        Ok(Self {
            lock: files::with_suffix(&file, ".lock"),
            file,
            folder,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that the record is in.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// What is remembered; `None` if this machine has not seen the store.
    pub(super) fn read(&self, key: &KeyBytes) -> Result<Option<Seen>, StoreError> {
        match self.text()? {
            Some(text) => self.parse(&text, key).map(Some),
            None => Ok(None),
        }
    }

    fn parse(&self, text: &[u8], key: &KeyBytes) -> Result<Seen, StoreError> {
        parse(text, key).ok_or_else(|| StoreError::StateRecord {
            path: self.file.clone(),
        })
    }

    fn text(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let file = match files::open_private(&self.file, Owner::Us) {
            Ok(file) => file?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::io("open", &self.file)(error)),
        };
        let mut text = Vec::with_capacity(2 * LINE + 1);
        file.take(MAX_RECORD_BYTES)
            .read_to_end(&mut text)
            .map_err(files::io("read", &self.file))?;
        Ok(Some(text))
    }

    /// Remembers this mark, unless a later one is remembered already. `in_place` tells whether the
    /// store that the mark is of still has its name; it is asked after a restore that was killed.
    pub(super) fn raise(
        &self,
        key: &KeyBytes,
        mark: Mark,
        in_place: impl FnOnce() -> bool,
    ) -> Result<(), StoreError> {
        let locked = self.lock()?;
        let Some(text) = self.text()? else {
            return locked.write(key, mark);
        };
        let Seen { latest, restoring } = self.parse(&text, key)?;
        if restoring.is_some() {
            return match in_place() {
                true => locked.write(key, mark),
                false => Ok(()),
            };
        }
        if latest.generation >= mark.generation {
            return Ok(());
        }
        match other_line(&text, &line(key, latest)) {
            Some(at) => locked.write_over(at, &line(key, mark)),
            None => locked.write(key, mark),
        }
    }

    /// Remembers this mark, whatever is remembered.
    pub(super) fn force(&self, key: &KeyBytes, mark: Mark) -> Result<(), StoreError> {
        self.lock()?.write(key, mark)
    }

    /// Keeps others from writing the record until it is dropped.
    pub(super) fn lock(&self) -> Result<Locked<'_>, StoreError> {
        Ok(Locked {
            record: self,
            _lock: files::lock(&self.lock)?,
        })
    }
}

/// The record, under its lock.
pub(super) struct Locked<'s> {
    record: &'s StateRecord,
    _lock: File,
}

impl Locked<'_> {
    /// Remembers this mark.
    pub(super) fn write(&self, key: &KeyBytes, mark: Mark) -> Result<(), StoreError> {
        let empty = format!("{:1$}\n", "", LINE - 1);
        self.write_text(&(line(key, mark) + &empty))
    }

    /// Remembers, beside what is remembered, the mark of a store that is about to take the place of
    /// this one, whose own mark is `replaced` where that can be told.
    pub(super) fn write_restoring(
        &self,
        key: &KeyBytes,
        replaced: Option<Mark>,
        mark: Mark,
    ) -> Result<(), StoreError> {
        // As it is: it may be under another root key.
        let seen = self.record.text()?;
        let seen = seen.and_then(|text| String::from_utf8(text).ok());
        let mut text = seen
            .or_else(|| replaced.map(|mark| line(key, mark)))
            .unwrap_or_default();
        text.truncate(2 * LINE);
        self.write_text(&(text + &line_of(RESTORE_MAGIC, RESTORE_LABEL, key, mark)))
    }

    /// Remembers both marks, each for who has its key.
    pub(super) fn write_both(
        &self,
        (key, mark): (&KeyBytes, Mark),
        (other_key, other): (&KeyBytes, Mark),
    ) -> Result<(), StoreError> {
        self.write_text(&(line(key, mark) + &line(other_key, other)))
    }

    /// Writes one line over another, which begins at `at`.
    fn write_over(&self, at: u64, line: &str) -> Result<(), StoreError> {
        let named = &self.record.file;
        // It was checked when it was read, under the lock that is held.
        let file = File::options().write(true).open(named);
        file.and_then(|file| {
            file.write_all_at(line.as_bytes(), at)?;
            file.sync_data()
        })
        .map_err(files::io("write", named))
    }

    /// The new record is whole on disk before it takes the old one's name.
    fn write_text(&self, text: &str) -> Result<(), StoreError> {
        let named = &self.record.file;
        let new = files::with_suffix(named, ".new");
        // A process that was killed may have left one.
        files::remove(&new)?;
        let mut file = files::make_private(&new)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_data())
            .and_then(|()| std::fs::rename(&new, named))
            .map_err(files::io("write", named))
    }
}

fn line(key: &KeyBytes, mark: Mark) -> String {
    line_of(MAGIC, LABEL, key, mark)
}

fn line_of(magic: &str, label: &[u8], key: &KeyBytes, mark: Mark) -> String {
    let Mark { generation, link } = mark;
    let line = format!(
        "{magic} {generation} {} {} {}",
        link.sequence,
        HEXLOWER.encode(&link.mac),
        HEXLOWER.encode(&mac(label, key, mark))
    );
    // No number is so long that it would not fit.
    format!("{line:0$}\n", LINE - 1)
}

/// Where the line is that is not this one, in a record of two.
fn other_line(text: &[u8], this: &str) -> Option<u64> {
    let (first, second) = text.split_at_checked(LINE)?;
    match (second.len() == LINE, first == this.as_bytes()) {
        (false, _) => None,
        (true, true) => u64::try_from(LINE).ok(),
        (true, false) => Some(0),
    }
}

/// What was written under this key.
fn parse(text: &[u8], key: &KeyBytes) -> Option<Seen> {
    let lines = text.strip_suffix(b"\n")?.split(|byte| *byte == b'\n');
    let lines =
        lines.filter_map(|line| Some(std::str::from_utf8(line).ok()?.trim_end_matches(' ')));
    let latest = |magic, label| {
        let marks = lines
            .clone()
            .filter_map(|line| parse_line(line, magic, label, key));
        marks.max_by_key(|mark| mark.generation)
    };
    let restoring = latest(RESTORE_MAGIC, RESTORE_LABEL);
    // Where there was no store, or one of another root key, only the new one can be right.
    let latest = latest(MAGIC, LABEL).or(restoring)?;
    Some(Seen { latest, restoring })
}

fn parse_line(line: &str, magic: &str, label: &[u8], key: &KeyBytes) -> Option<Mark> {
    let mut words = line.split(' ');
    let mut next = || words.next();
    let hex = |word: &str| Hash::try_from(HEXLOWER.decode(word.as_bytes()).ok()?).ok();
    if next()? != magic {
        return None;
    }
    let generation = next()?.parse().ok()?;
    let link = Link {
        sequence: next()?.parse().ok()?,
        mac: hex(next()?)?,
    };
    let mark = Mark { generation, link };
    let found = hex(next()?)?;
    (next().is_none() && same(&found, &mac(label, key, mark))).then_some(mark)
}

fn mac(label: &[u8], key: &KeyBytes, mark: Mark) -> Hash {
    let Mark { generation, link } = mark;
    let sequence = link.sequence.to_be_bytes();
    key.mac(&[label, &generation.to_be_bytes(), &sequence, &link.mac])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::keys::KeyBox;
    use super::*;

    fn mark(generation: u64) -> Mark {
        Mark {
            generation,
            link: Link {
                sequence: generation,
                mac: [generation as u8; 32],
            },
        }
    }

    fn seen(generation: u64) -> Seen {
        Seen {
            latest: mark(generation),
            restoring: None,
        }
    }

    #[test]
    fn the_latest_mark_is_kept_whoever_writes_last() {
        let folder = tempfile::TempDir::new().unwrap();
        let (record, key) = (
            StateRecord::new(folder.path(), &[1; 16]).unwrap(),
            KeyBox::zeroed(),
        );
        assert_eq!(record.read(&key).unwrap(), None);
        for (raised, kept) in [(5, 5), (3, 5), (5, 5), (6, 6)] {
            record.raise(&key, mark(raised), || false).unwrap();
            assert_eq!(record.read(&key).unwrap(), Some(seen(kept)));
        }
        record.force(&key, mark(2)).unwrap();
        assert_eq!(record.read(&key).unwrap(), Some(seen(2)));
    }

    #[test]
    fn a_store_that_may_have_been_replaced_is_right_in_both_states_until_it_is_opened() {
        let folder = tempfile::TempDir::new().unwrap();
        let record = StateRecord::new(folder.path(), &[1; 16]).unwrap();
        let (key, other) = (KeyBox::zeroed(), KeyBox::random().unwrap());
        let restoring = |latest| {
            Some(Seen {
                latest: mark(latest),
                restoring: Some(mark(9)),
            })
        };
        record.force(&key, mark(5)).unwrap();
        let locked = record.lock().unwrap();
        locked.write_restoring(&key, None, mark(9)).unwrap();
        drop(locked);
        assert_eq!(record.read(&key).unwrap(), restoring(5));
        // Who had the replaced store open does not say which one it is.
        record.raise(&key, mark(6), || false).unwrap();
        assert_eq!(record.read(&key).unwrap(), restoring(5));
        record.raise(&key, mark(5), || true).unwrap();
        assert_eq!(record.read(&key).unwrap(), Some(seen(5)));
        // What is under another root key stays.
        let locked = record.lock().unwrap();
        locked.write_restoring(&other, None, mark(9)).unwrap();
        drop(locked);
        assert_eq!(record.read(&key).unwrap(), Some(seen(5)));
        assert_eq!(record.read(&other).unwrap(), restoring(9));
        // No line can be made another.
        let text = String::from_utf8(record.text().unwrap().unwrap()).unwrap();
        let swapped = text.replace(RESTORE_MAGIC, MAGIC);
        assert_eq!(parse(swapped.as_bytes(), &other), None);
    }

    #[test]
    fn a_record_is_read_under_its_key_and_for_its_store_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let (record, key) = (
            StateRecord::new(folder.path(), &[1; 16]).unwrap(),
            KeyBox::zeroed(),
        );
        record.raise(&key, mark(5), || true).unwrap();
        let other = KeyBox::random().unwrap();
        assert!(matches!(
            record.read(&other),
            Err(StoreError::StateRecord { .. })
        ));
        let other_store = StateRecord::new(folder.path(), &[2; 16]).unwrap();
        assert_eq!(other_store.read(&key).unwrap(), None);
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let key = KeyBox::zeroed();
        let good = line(&key, mark(5)).into_bytes();
        assert_eq!(parse(&good, &key), Some(seen(5)));
        let written = good
            .iter()
            .position(|byte| byte.is_ascii_whitespace() && *byte == b'\n');
        let text = String::from_utf8(good.clone()).unwrap().trim_end().len();
        assert_eq!(written, Some(LINE - 1));
        for at in 0..text {
            let mut bad = good.clone();
            if let Some(byte) = bad.get_mut(at) {
                *byte ^= 1;
            }
            assert_eq!(parse(&bad, &key), None);
            assert_eq!(parse(good.get(..at).unwrap(), &key), None);
        }
    }

    #[test]
    fn a_line_that_was_written_in_half_leaves_the_one_before() {
        let folder = tempfile::TempDir::new().unwrap();
        let (record, key) = (
            StateRecord::new(folder.path(), &[1; 16]).unwrap(),
            KeyBox::zeroed(),
        );
        for generation in 1..=4 {
            record.raise(&key, mark(generation), || true).unwrap();
            let whole = std::fs::read(record.path()).unwrap();
            assert_eq!(whole.len(), 2 * LINE);
            for half in [0, LINE] {
                let mut torn = whole.clone();
                torn.get_mut(half + 20..half + LINE - 1).unwrap().fill(0xff);
                let of_whole = generation == 1 && half == 0;
                let left = parse(&torn, &key).map(|seen| seen.latest.generation);
                assert!(left.is_some() != of_whole, "{generation}: {left:?}");
            }
        }
    }
}
