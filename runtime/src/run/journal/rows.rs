//! What a batch of records is written as: the fewest rows that say the same.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use crate::sandbox::Failure;

use super::pending::What;
use super::sql::{self, Attempt, Last, QueuedRow, RunEnd};

/// A row that is written, or changed.
enum Row<'a> {
    Queued(&'a QueuedRow, Option<Last<'a>>),
    EarlierAttempt(u64),
    Attempt(Attempt, i64),
    AttemptEnded(Attempt, i64, Option<&'a Failure>),
    Ended(Last<'a>),
    RunEnded(&'a RunEnd),
}

/// Writes records, all or none.
pub(super) fn write(connection: &Connection, records: &[What], life: u32) -> rusqlite::Result<()> {
    match rows(records, life).as_slice() {
        // That of a short Work: a statement alone needs no others around it.
        [row @ Row::Queued(..)] => write_row(connection, row),
        rows => sql::in_transaction(connection, || {
            rows.iter().try_for_each(|row| write_row(connection, row))
        }),
    }
}

fn write_row(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<()> {
    match row {
        Row::Queued(row, last) => sql::queued(connection, row, last.as_ref()),
        Row::EarlierAttempt(number) => sql::keep_attempt(connection, *number),
        Row::Attempt(which, at) => sql::attempt(connection, *which, *at),
        Row::AttemptEnded(which, at, failure) => {
            sql::attempt_ended(connection, *which, *at, *failure)
        }
        Row::Ended(last) => sql::ended(connection, last),
        Row::RunEnded(end) => sql::run_ended(connection, end),
    }
}

/// What begins and ends within these records is one row, and not two that are changed.
fn rows(records: &[What], life: u32) -> Vec<Row<'_>> {
    let lasts = lasts(records, life);
    let mut whole = HashSet::new();
    let mut rows = Vec::with_capacity(records.len());
    for record in records {
        match record {
            What::Queued(row) => {
                if life > 1 {
                    rows.push(Row::EarlierAttempt(row.number));
                }
                let last = lasts.get(&row.number).copied();
                rows.push(Row::Queued(row, last));
                whole.extend(last.map(|_| row.number));
            }
            What::Attempt(number, attempt, at) => {
                let is_last = |last: &Last<'_>| last.end.attempt == *attempt;
                if !lasts.get(number).is_some_and(is_last) {
                    rows.push(Row::Attempt((*number, life, *attempt), *at));
                }
            }
            What::Failed(number, attempt, at, failure) => {
                let which = (*number, life, *attempt);
                rows.push(Row::AttemptEnded(which, *at, Some(failure)));
            }
            What::Ended(end, ..) => {
                let last = lasts.get(&end.number).copied();
                let last = last.unwrap_or(Last::new(end, life));
                if end.attempt > 0 && last.began.is_none() {
                    let which = (end.number, life, end.attempt);
                    rows.push(Row::AttemptEnded(which, end.at, end.failure.as_ref()));
                }
                if !whole.contains(&end.number) {
                    rows.push(Row::Ended(last));
                }
            }
            What::RunEnded { end, .. } => rows.push(Row::RunEnded(end)),
        }
    }
    rows
}

/// How each Work ended that did, and when the attempt began that ended so, if it did here.
fn lasts(records: &[What], life: u32) -> HashMap<u64, Last<'_>> {
    let mut lasts = HashMap::new();
    for record in records {
        if let What::Ended(end, ..) = record {
            lasts.insert(end.number, Last::new(end, life));
        }
    }
    for record in records {
        if let What::Attempt(number, attempt, at) = record
            && let Some(last) = lasts.get_mut(number)
            && last.end.attempt == *attempt
        {
            last.began = Some(*at);
        }
    }
    lasts
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use rusqlite::types::Value;

    use super::*;
    use crate::run::journal::sql::{Begin, EndedRow};
    use crate::sandbox::{Payload, Started};

    fn queued(number: u64) -> What {
        What::Queued(QueuedRow {
            number,
            name: "work".into(),
            place: Some([7; 32]),
            occurrence: 0,
            at: 1,
            input: Some(vec![1]),
            input_size: 1,
        })
    }

    fn ended(number: u64, attempt: u32, failure: Option<Failure>) -> What {
        let row = EndedRow {
            number,
            attempt,
            at: 9,
            answer: "ran",
            output: failure.is_none().then(|| vec![2]),
            output_size: failure.is_none().then_some(1),
            failure,
        };
        What::Ended(
            row,
            Started::new(Payload::default()),
            Ok(Payload::default()),
        )
    }

    /// One that ends well, one that is tried again, one that is never run, one that does not end.
    fn records() -> Vec<What> {
        vec![
            queued(1),
            What::Attempt(1, 1, 2),
            queued(2),
            ended(1, 1, None),
            What::Attempt(2, 1, 3),
            What::Failed(2, 1, 4, Failure::Exit(1)),
            queued(3),
            What::Attempt(2, 2, 5),
            ended(3, 0, Some(Failure::Stopped)),
            queued(4),
            What::Attempt(4, 1, 6),
            ended(2, 2, Some(Failure::Exit(2))),
        ]
    }

    /// In another life: one that is tried again, and was before.
    fn records_again() -> Vec<What> {
        vec![
            queued(2),
            queued(4),
            What::Attempt(4, 1, 12),
            What::Attempt(2, 1, 13),
            What::Failed(2, 1, 14, Failure::Exit(3)),
            ended(4, 1, None),
            What::Attempt(2, 2, 15),
            ended(2, 2, None),
        ]
    }

    fn rows(connection: &Connection) -> Vec<Vec<Value>> {
        let mut rows = Vec::new();
        let works =
            "SELECT number, name, place, occurrence, queued, input, input_size, ended, answer,
             failure, output, output_size FROM work ORDER BY number";
        for all in [works, sql::ATTEMPTS] {
            let mut all = connection.prepare(all).unwrap();
            let columns = all.column_count();
            let read = all.query_map((), |row| (0..columns).map(|at| row.get(at)).collect());
            rows.extend(read.unwrap().map(Result::unwrap));
        }
        rows
    }

    /// Writes records in several commits: one ends behind each bit that is set.
    fn write_in_parts(connection: &Connection, records: &[What], cuts: u32, life: u32) {
        let mut from = 0;
        for to in 1..=records.len() {
            if to == records.len() || cuts & (1 << (to - 1)) != 0 {
                write(connection, &records[from..to], life).unwrap();
                from = to;
            }
        }
    }

    #[test]
    fn what_is_read_is_the_same_wherever_a_commit_falls() {
        let written = |first: u32, again: u32| {
            let connection = sql::create(&Begin {
                app: "app".into(),
                digest: String::new(),
                user: String::new(),
                host: String::new(),
                started: 0,
                key: None,
                invocation: None,
            })
            .unwrap();
            sql::make_works(&connection).unwrap();
            write_in_parts(&connection, &records(), first, 1);
            let before = rows(&connection);
            write_in_parts(&connection, &records_again(), again, 2);
            (before, rows(&connection))
        };
        let each_alone = written(u32::MAX, u32::MAX);
        assert_eq!(each_alone.0.len(), 4 + 4);
        assert_eq!(each_alone.1.len(), 4 + 7);
        for first in 0..1 << (records().len() - 1) {
            assert_eq!(written(first, first), each_alone, "{first:b}");
        }
        for again in 0..1 << (records_again().len() - 1) {
            assert_eq!(written(0, again), each_alone, "{again:b}");
        }
    }
}
