//! `--check`: ratios beside those of an earlier run, which are kept in `benches/baseline.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::row::{Bound, Ratio, Row};
use crate::repository;

/// How much worse a ratio may be before it is told, where its middle half says so as well.
const TOLERANCE: f64 = 0.25;

/// Medians of ratios by their names.
type Ratios = BTreeMap<String, f64>;

fn path() -> Result<PathBuf> {
    Ok(repository::root()?.join("benches/baseline.json"))
}

/// Keeps the ratios of this run for later ones.
pub(crate) fn save(rows: &[Row]) -> Result<()> {
    let mut ratios = Ratios::new();
    for row in rows {
        for ratio in row.ratios().into_iter().filter(Ratio::is_of_one_run) {
            if let (Some(_), Some(of)) = (ratio.goal, ratio.samples.summary()) {
                ratios.insert(ratio.key(row), (of.median * 1000.0).round() / 1000.0);
            }
        }
    }
    let path = path()?;
    let text = serde_json::to_string_pretty(&ratios)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nThe ratios are kept in {}", path.display());
    Ok(())
}

/// Says which rows got worse.
///
/// # Errors
///
/// Where any did.
pub(crate) fn check(rows: &[Row]) -> Result<()> {
    let path = path()?;
    let text = fs::read_to_string(&path)
        .with_context(|| format!("there is no {}: make it with --save", path.display()))?;
    let before: Ratios = serde_json::from_str(&text)?;
    let (mut worse, mut checked) = (Vec::new(), 0);
    for row in rows {
        for ratio in row.ratios().into_iter().filter(Ratio::is_of_one_run) {
            let key = ratio.key(row);
            let (Some(bound), Some(of), Some(before)) =
                (ratio.goal, ratio.samples.summary(), before.get(&key))
            else {
                continue;
            };
            checked += 1;
            // The end of the middle half that is nearer to what it was.
            let nearest = match bound {
                Bound::AtMost(_) => of.first_quartile,
                Bound::AtLeast(_) => of.third_quartile,
            };
            let by = |ratio, tolerance| bound.is_worse(ratio, *before, tolerance);
            if by(of.median, TOLERANCE) && by(nearest, 0.0) {
                worse.push(format!("{key}: {:.3}, and it was {before:.3}", of.median));
            }
        }
    }
    println!("\n{checked} ratios were compared with {}", path.display());
    if !worse.is_empty() {
        bail!("these got worse:\n  {}", worse.join("\n  "));
    }
    println!("none got worse by more than {:.0} %", TOLERANCE * 100.0);
    Ok(())
}
