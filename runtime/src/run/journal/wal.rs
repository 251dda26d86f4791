//! Damage in the log that a killed run leaves in front of its database. SQLite drops what stands
//! there from the first damaged byte on, as if it had never been written, and says nothing.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use rusqlite::Connection;

use crate::secrets::open_regular;

/// Bytes of the log's header, and of the one in front of each page (SQLite's file format, "The WAL
/// File").
const HEADER: usize = 32;
const FRAME: usize = 24;
/// The header begins with this; one more where checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;

/// What is damaged, for people, in the log of a run whose process died. A log that was cut behind
/// its header looks like one of a run that died earlier: nothing can tell that.
pub(super) fn damage(connection: &Connection, journal: &Path) -> Option<String> {
    let what = match damaged_from(connection, journal).ok()?? {
        0 => "is missing or damaged".to_owned(),
        at => format!("is damaged at byte {at}"),
    };
    Some(format!(
        "its log journal.db-wal {what}: what was written from there on is lost, and those Works run \
         again where the run is resumed"
    ))
}

fn damaged_from(connection: &Connection, journal: &Path) -> io::Result<Option<u64>> {
    let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    // A run that started no Work, or was closed, has no log.
    if mode.is_ok_and(|mode| mode != "wal") {
        return Ok(None);
    }
    match open_regular(
        File::options().read(true),
        &journal.with_extension("db-wal"),
    ) {
        Ok(log) => first_damage(BufReader::with_capacity(1 << 16, log)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(0)),
        Err(error) => Err(error),
    }
}

/// The first byte of the header or frame that is damaged.
fn first_damage(mut log: impl io::Read) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER];
    if !fills(&mut log, &mut header)? {
        return Ok(Some(0));
    }
    let big = match word(&header, 0).wrapping_sub(MAGIC) {
        0 => false,
        1 => true,
        _ => return Ok(Some(0)),
    };
    let size = word(&header, 8) as usize;
    let (summed, sums) = header.split_at(HEADER - 8);
    let mut sum = checksum((0, 0), summed, big);
    if sum != (word(sums, 0), word(sums, 4)) || !(512..=65536).contains(&size) {
        return Ok(Some(0));
    }
    let mut frame = vec![0; FRAME + size];
    let (mut at, mut bad) = (HEADER as u64, None);
    while fills(&mut log, &mut frame)? {
        // Others are left of what the log was used for before.
        let is_ours = frame.get(8..16) == header.get(16..24);
        if bad.is_none() {
            let (head, page) = frame.split_at(FRAME);
            sum = checksum(sum, head.get(..8).unwrap_or_default(), big);
            sum = checksum(sum, page, big);
            let is_whole = is_ours && sum == (word(head, 16), word(head, 20));
            bad = (!is_whole).then_some(at);
        }
        // Frames are written in their order, and a process that dies leaves whole ones.
        if is_ours && bad.is_some() {
            return Ok(bad);
        }
        at += frame.len() as u64;
    }
    Ok(None)
}

/// Whether there was enough to fill this.
fn fills(from: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

/// SQLite's, which goes on from one part to the next.
fn checksum((mut a, mut b): (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    let read = |word: [u8; 4]| match big {
        true => u32::from_be_bytes(word),
        false => u32::from_le_bytes(word),
    };
    for &[a0, a1, a2, a3, b0, b1, b2, b3] in bytes.as_chunks().0 {
        a = a.wrapping_add(read([a0, a1, a2, a3])).wrapping_add(b);
        b = b.wrapping_add(read([b0, b1, b2, b3])).wrapping_add(a);
    }
    (a, b)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::sql;
    use super::*;

    /// A journal that is written, and its log.
    fn journal(folder: &Path) -> (Connection, PathBuf) {
        let file = folder.join("journal.db");
        fs::write(&file, b"").unwrap();
        let connection = sql::open_logged(&file).unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        let insert = "INSERT INTO t VALUES (zeroblob(50000))";
        connection.execute(insert, ()).unwrap();
        (connection, file)
    }

    #[test]
    fn damage_is_found_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (_open, file) = journal(folder.path());
        let mut log = fs::read(file.with_extension("db-wal")).unwrap();
        let whole = word(&log, 8) as usize + FRAME;
        assert!(log.len() > 9 * whole, "several frames");
        let last = log.len() - whole;
        for at in (0..log.len()).step_by(211).chain(last..last + FRAME) {
            log[at] ^= 0x10;
            let frame = at.checked_sub(HEADER);
            let frame = frame.map_or(0, |at| HEADER + at / whole * whole);
            // A last frame with another salt could be one of an earlier use.
            let is_seen = !(last + 8..last + 16).contains(&at);
            let expected = is_seen.then_some(frame as u64);
            assert_eq!(first_damage(&*log).unwrap(), expected, "{at}");
            log[at] ^= 0x10;
        }
        for cut in [0, 1, HEADER - 1] {
            assert_eq!(first_damage(&log[..cut]).unwrap(), Some(0), "{cut}");
        }
        for cut in [HEADER, HEADER + 1, last, log.len() - 1, log.len()] {
            assert_eq!(first_damage(&log[..cut]).unwrap(), None, "{cut}");
        }
    }

    #[test]
    fn damage_is_told_of_no_life_but_the_one_that_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let [made, file] = ["made", "journal"].map(|name| folder.path().join(name));
        let run = sql::create(&sql::Begin {
            app: String::new(),
            digest: String::new(),
            user: String::new(),
            host: String::new(),
            started: 1,
            key: None,
            invocation: None,
        })
        .unwrap();
        let made = made.with_extension("db");
        run.execute("VACUUM INTO ?1", [made.to_str().unwrap()])
            .unwrap();
        let first = sql::open_logged(&made).unwrap();
        first.execute_batch("CREATE TABLE t (x)").unwrap();
        let insert = "INSERT INTO t VALUES (zeroblob(50000))";
        first.execute(insert, ()).unwrap();
        // As its process leaves it when it is killed.
        let file = file.with_extension("db");
        fs::copy(&made, &file).unwrap();
        let mut log = fs::read(made.with_extension("db-wal")).unwrap();
        let middle = log.len() / 2;
        log[middle] ^= 1;
        fs::write(file.with_extension("db-wal"), log).unwrap();
        let look = || sql::look(&file).unwrap().unwrap();
        assert!(damage(&look(), &file).is_some());
        let again = sql::resume(&file).unwrap();
        assert_eq!(damage(&again, &file), None);
    }

    #[test]
    fn what_is_left_of_an_earlier_use_is_no_damage_and_a_log_that_is_missing_is() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, file) = journal(folder.path());
        let restart = "PRAGMA wal_checkpoint(RESTART)";
        connection.query_row(restart, (), |_| Ok(())).unwrap();
        connection.execute("DELETE FROM t", ()).unwrap();
        assert_eq!(damaged_from(&connection, &file).unwrap(), None);
        drop(connection);
        let look = || Connection::open(&file).unwrap();
        assert_eq!(damaged_from(&look(), &file).unwrap(), Some(0));
        let off = "PRAGMA journal_mode=DELETE";
        look().query_row(off, (), |_| Ok(())).unwrap();
        assert_eq!(damaged_from(&look(), &file).unwrap(), None);
    }
}
