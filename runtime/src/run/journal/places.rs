//! Which start of a Work is which: by the Work, its component, its input, and how often that came
//! before. Never by order alone, so that a resumed Flow may start its Works in another order.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};

use crate::app::Digest;
use crate::sandbox::Failure;
use crate::secrets::RunKey;

use super::sql;

/// One start's place among all of its run.
pub(in crate::run) struct Place {
    /// A keyed hash of Work, component and input.
    pub(super) hash: [u8; 32],
    /// How often the same came before.
    pub(super) occurrence: u32,
    /// The number that it had in an earlier life of the run.
    pub(in crate::run) number: Option<u64>,
    has_answer: bool,
}

/// What an earlier life of a run has in a place.
pub(in crate::run) enum Earlier {
    /// No answer.
    Nothing,
    /// One that does not open: the Work runs again.
    Damaged,
    /// This one.
    Answer(Result<Bytes, Failure>),
}

/// The places of one run, and what stands in them from its earlier lives.
#[derive(Default)]
pub(super) struct Places(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// How often each came so far. A Flow may have millions of inputs, so that only the beginnings of
    /// their hashes are kept: where two are alike, which the key keeps a guest from bringing about, no
    /// more happens than that their Works run again when the run is resumed in another order.
    seen: HashMap<[u8; 8], u32>,
    earlier: HashMap<([u8; 32], u32), Row>,
    /// For each input one start that had an output, until it is asked for.
    outputs: HashMap<[u8; 32], u64>,
    /// Reads the answers, one at a time as they are asked for.
    journal: Option<Connection>,
}

#[derive(Clone, Copy)]
struct Row {
    number: u64,
    has_answer: bool,
}

impl Places {
    /// Those of a run that is gone on with, and the first number that is free.
    ///
    /// What the Work itself answered, an output, an error or an exit status, is an answer. Traps,
    /// time-outs and the like are not: whoever resumes the run wants these tried again.
    pub(super) fn resume(path: &Path) -> rusqlite::Result<Option<(Self, u64)>> {
        let Some(journal) = sql::look(path)? else {
            return Ok(None);
        };
        let (mut earlier, mut outputs) = (HashMap::new(), HashMap::new());
        let mut next = 1;
        let mut statement = journal.prepare(
            "SELECT number, place, occurrence, output IS NOT NULL AND ended IS NOT NULL,
             failure IS NULL FROM work",
        )?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let number = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
            next = next.max(number + 1);
            if let Some(place) = row.get::<_, Option<[u8; 32]>>(1)? {
                let row_ = Row {
                    number,
                    has_answer: row.get(3)?,
                };
                earlier.insert((place, row.get(2)?), row_);
                if row_.has_answer && row.get(4)? {
                    outputs.insert(place, number);
                }
            }
        }
        drop(rows);
        drop(statement);
        let inner = Inner {
            seen: HashMap::new(),
            earlier,
            outputs,
            journal: Some(journal),
        };
        Ok(Some((Self(Mutex::new(inner)), next)))
    }

    /// The place of the next start with this Work and input.
    pub(super) fn next(&self, key: &RunKey, work: &str, component: Digest, input: &[u8]) -> Place {
        let hash = key.mac(&format!("place {work} {component}"), input);
        let [a, b, c, d, e, f, g, h, ..] = hash;
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = inner.seen.entry([a, b, c, d, e, f, g, h]).or_insert(0);
        let occurrence = *seen;
        *seen += 1;
        let row = inner.earlier.get(&(hash, occurrence)).copied();
        Place {
            hash,
            occurrence,
            number: row.map(|row| row.number),
            has_answer: row.is_some_and(|row| row.has_answer),
        }
    }

    /// What was answered there in an earlier life.
    pub(super) fn answer(&self, key: &RunKey, place: &Place) -> Earlier {
        match place.number.filter(|_| place.has_answer) {
            None => Earlier::Nothing,
            Some(number) => self
                .open(key, number)
                .map_or(Earlier::Damaged, Earlier::Answer),
        }
    }

    /// The output of any start with the same Work and input in an earlier life, once.
    pub(super) fn same(&self, key: &RunKey, place: &Place) -> Option<Bytes> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.outputs.remove(&place.hash)?;
        drop(inner);
        self.open(key, number)?.ok()
    }

    fn open(&self, key: &RunKey, number: u64) -> Option<Result<Bytes, Failure>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sealed, failed) = inner
            .journal
            .as_ref()?
            .prepare_cached("SELECT output, failure IS NOT NULL FROM work WHERE number = ?")
            .and_then(|mut statement| {
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                let row = statement.query_row([number], |row| {
                    Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, bool>(1)?))
                });
                row.optional()
            })
            .ok()??;
        if failed {
            let failure = match key.open(super::writer::ERROR, number, &sealed) {
                Some(error) => Failure::Error(String::from_utf8(error).ok()?),
                None => {
                    let status = key.open(super::writer::EXIT, number, &sealed)?;
                    Failure::Exit(i32::from_be_bytes(status.try_into().ok()?))
                }
            };
            return Some(Err(failure));
        }
        Some(Ok(key.open(super::writer::OUTPUT, number, &sealed)?.into()))
    }
}
