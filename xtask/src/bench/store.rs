//! Stores of few and of many secrets: what a secret takes, and how that grows.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::memory::Memory;
use super::row::{Bound, Goal, Row};
use super::samples::{self, Measured, Samples};
use crate::home::Home;
use crate::step;

const FEW: usize = 100;
/// Bytes that 100,000 secrets take in memory, and more.
const IN_MEMORY: u64 = 512 << 20;
const BARE: &str = "a point read and AES-256-GCM";

/// What is measured of each store: by what the program calls it, and in words.
const GROWING: [(&str, &str); 6] = [
    (
        "resolve",
        "A further secret of a bind: resolved, opened, its audit record",
    ),
    ("open", "Opening a store by a key file"),
    ("bind", "A bind of one secret, audited and on disk"),
    ("page", "A page of 50 of the list"),
    ("add", "Adding a secret, audited and on disk"),
    ("rotate", "Rotating the KEK, for each version"),
];

pub(crate) fn measure(home: &Home, quick: bool) -> Result<Vec<Row>> {
    let (rounds, many) = if quick {
        ("15", 10_000)
    } else {
        ("50", 100_000)
    };
    let measure_in = |folder: &Path| -> Result<Measured> {
        let mut program = super::in_process(home, "store")?;
        program.arg(folder).arg(rounds);
        program.args([FEW, many].map(|size| size.to_string()));
        samples::parse(&step::output(&mut program)?)
    };
    let mut measured = measure_in(&home.path().join("stores"))?;
    // A bind of many secrets waits longer for the disk than one of one, which is the commit's.
    let in_memory = Memory::make(IN_MEMORY).and_then(|folder| measure_in(folder.path()));
    match in_memory {
        Ok(mut in_memory) => {
            let resolve = in_memory.remove("resolve").unwrap_or_default();
            measured.insert("resolve".into(), resolve);
        }
        Err(error) => {
            eprintln!("{error:#}");
            eprintln!("Stores cannot be in memory here: what a secret takes has the disk in it.");
        }
    }

    let mut rows = Vec::new();
    for (what, title) in GROWING {
        let mut by_whom = measured.remove(what).unwrap_or_default();
        if what == "resolve" {
            rows.push(resolve(&by_whom, "few", FEW));
            rows.push(resolve(&by_whom, "many", many));
        }
        let mut of = |size: usize| {
            let name = format!("leyden {size}");
            let samples = by_whom.remove(&name).unwrap_or_default();
            (format!("of {size} secrets"), samples)
        };
        let (few, (_, samples)) = (of(FEW), of(many));
        // The tree over the secrets has a level for each 16 times as many.
        let logarithm = (many as f64).ln() / (FEW as f64).ln();
        rows.push(Row {
            id: format!("store growth: {what}"),
            title: format!("{title}; a store of {many} secrets beside one of {FEW}"),
            unit: "microseconds; less is better",
            digits: 1,
            leyden: vec![("of many secrets".into(), samples)],
            beside: vec![few],
            goals: match what {
                "resolve" => vec![at_most("of many", "of", logarithm)],
                _ => Vec::new(),
            },
        });
    }
    Ok(rows)
}

/// Beside what nobody can do without, in a store of so many.
fn resolve(by_whom: &BTreeMap<String, Samples>, which: &str, size: usize) -> Row {
    let of = |who: &str| by_whom.get(&format!("{who} {size}")).cloned();
    Row {
        id: format!("store of {which}: resolve"),
        title: format!(
            "A further secret of a bind, of {size}: resolved, opened, its audit record; the bind's \
             commit apart"
        ),
        unit: "microseconds; less is better",
        digits: 1,
        leyden: vec![("leyden".into(), of("leyden").unwrap_or_default())],
        beside: vec![(BARE.into(), of(BARE).unwrap_or_default())],
        goals: vec![at_most("leyden", BARE, 8.0)],
    }
}

fn at_most(own: &'static str, other: &'static str, most: f64) -> Goal {
    Goal {
        own,
        other,
        bound: Bound::AtMost(most),
    }
}
