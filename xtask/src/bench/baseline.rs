//! Ratios beside those of an earlier run, which are kept in `benches/baseline.json`: those of quick and
//! of whole runs apart, because a quick one measures smaller stores and fewer Works.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use super::output::Output;
use super::report::say;
use super::row::{Bound, Ratio, Row};
use super::samples::Summary;
use crate::repository;

/// How much worse a ratio may be before it is told, where its middle half says so as well.
const TOLERANCE: f64 = 0.25;

/// Medians of ratios by their names.
type Ratios = BTreeMap<String, f64>;

/// What is kept, and which part of it is this run's.
pub(crate) struct Baseline {
    path: PathBuf,
    kinds: BTreeMap<String, Ratios>,
    kind: &'static str,
}

impl Baseline {
    /// To compare with.
    ///
    /// # Errors
    ///
    /// Where nothing of this kind is kept, or it is damaged.
    pub(crate) fn to_check(quick: bool) -> Result<Self> {
        let baseline = Self::read(quick)?;
        baseline.before()?;
        Ok(baseline)
    }

    /// To keep the ratios in; what is damaged is made anew.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub(crate) fn to_save(quick: bool) -> Result<Self> {
        drop(Output::open(&path()?)?);
        Self::read(quick).or_else(|error| {
            eprintln!("{error:#}: it is made anew.");
            Self::of(quick, BTreeMap::new())
        })
    }

    /// What is kept; nothing, where there is no file.
    fn read(quick: bool) -> Result<Self> {
        let path = path()?;
        let kinds = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Self::of(quick, kinds)
    }

    fn of(quick: bool, kinds: BTreeMap<String, Ratios>) -> Result<Self> {
        Ok(Self {
            path: path()?,
            kinds,
            kind: if quick { "quick" } else { "whole" },
        })
    }

    /// What is compared with.
    fn before(&self) -> Result<&Ratios> {
        let before = self.kinds.get(self.kind).filter(|kept| !kept.is_empty());
        before.with_context(|| {
            format!(
                "{} has no {} run: keep one with --save",
                self.path.display(),
                self.kind
            )
        })
    }

    /// Keeps the ratios of this run for later ones.
    pub(crate) fn save(mut self, rows: &[Row]) -> Result<()> {
        let kept = compared(rows)
            .map(|(key, _, of)| (key, (of.median * 1000.0).round() / 1000.0))
            .collect();
        self.kinds.insert(self.kind.to_owned(), kept);
        let text = serde_json::to_string_pretty(&self.kinds)? + "\n";
        fs::write(&self.path, text)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        say(format_args!(
            "\nThe ratios are kept in {}",
            self.path.display()
        ));
        Ok(())
    }

    /// Says which rows got worse, and which cannot be compared.
    ///
    /// # Errors
    ///
    /// Where any got worse, or none can be compared.
    pub(crate) fn check(&self, rows: &[Row]) -> Result<()> {
        let (path, kind) = (self.path.display(), self.kind);
        let mut missing = self.before()?.clone();
        let (mut worse, mut new, mut count) = (Vec::new(), Vec::new(), 0);
        for (key, bound, of) in compared(rows) {
            let Some(before) = missing.remove(&key) else {
                new.push(key);
                continue;
            };
            count += 1;
            // The end of the middle half that is nearer to what it was.
            let nearest = match bound {
                Bound::AtMost(_) => of.first_quartile,
                Bound::AtLeast(_) => of.third_quartile,
            };
            let by = |ratio, tolerance| bound.is_worse(ratio, before, tolerance);
            if by(of.median, TOLERANCE) && by(nearest, 0.0) {
                worse.push(format!("{key}: {:.3}, and it was {before:.3}", of.median));
            }
        }
        say(format_args!(
            "\n{count} ratios were compared with those of a {kind} run in {path}"
        ));
        for key in missing.keys() {
            say(format_args!("not measured now: {key}"));
        }
        for key in new {
            say(format_args!("not measured then: {key}"));
        }
        if !worse.is_empty() {
            bail!("these got worse:\n  {}", worse.join("\n  "));
        }
        ensure!(
            count > 0,
            "nothing was compared: keep a run of today with --save"
        );
        say(format_args!(
            "none got worse by more than {:.0} %",
            TOLERANCE * 100.0
        ));
        Ok(())
    }
}

fn path() -> Result<PathBuf> {
    Ok(repository::root()?.join("benches/baseline.json"))
}

/// What has a goal and was measured beside something of the same run.
fn compared(rows: &[Row]) -> impl Iterator<Item = (String, Bound, Summary)> {
    rows.iter().flat_map(|row| {
        let ratios = row.ratios().into_iter().filter(Ratio::is_of_one_run);
        ratios.filter_map(|ratio| Some((ratio.key(row), ratio.goal?, ratio.samples.summary()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::row::Goal;
    use super::super::samples::Samples;
    use super::*;

    fn row(own: [f64; 4]) -> Row {
        Row {
            id: "row".into(),
            title: String::new(),
            unit: "",
            digits: 1,
            leyden: vec![("leyden".into(), Samples(own.to_vec()))],
            beside: vec![("other 1.2.3".into(), Samples(vec![1.0; 4]))],
            goals: vec![Goal {
                own: "leyden",
                other: "other",
                bound: Bound::AtMost(1.0),
            }],
        }
    }

    fn baseline(kind: &'static str) -> Baseline {
        let of_quick = Ratios::from([("row: leyden : other".to_owned(), 1.0)]);
        Baseline {
            path: "baseline.json".into(),
            kinds: BTreeMap::from([("quick".to_owned(), of_quick)]),
            kind,
        }
    }

    #[test]
    fn a_ratio_that_got_worse_is_told() {
        let quick = baseline("quick");
        assert!(quick.check(&[row([1.2; 4])]).is_ok());
        assert!(quick.check(&[row([1.3; 4])]).is_err());
        // Half of the samples are what they were.
        assert!(quick.check(&[row([1.0, 1.0, 1.6, 1.7])]).is_ok());
        // Nothing to compare with, and nothing to compare.
        assert!(baseline("whole").check(&[row([1.0; 4])]).is_err());
        assert!(quick.check(&[]).is_err());
    }
}
