//! What was measured of one thing, and what it says.
//!
//! The programs measure in turn, A B A B, which no benchmark harness does; what follows from the
//! numbers is a library's to say.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use statrs::statistics::{Data, OrderStatistics as _};

/// Measurements of one thing, in the order they were made.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

/// Samples by what was measured, and of whom.
pub(crate) type Measured = BTreeMap<String, BTreeMap<String, Samples>>;

/// The middle of some samples, and between what the middle half of them lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    pub(crate) first_quartile: f64,
    pub(crate) median: f64,
    pub(crate) third_quartile: f64,
}

impl Samples {
    /// `None` where nothing was measured.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut data = Data::new(self.0.clone());
        (!self.0.is_empty()).then(|| Summary {
            first_quartile: data.lower_quartile(),
            median: data.median(),
            third_quartile: data.upper_quartile(),
        })
    }

    /// What so many of a hundred do not exceed; `None` where nothing was measured.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let mut data = Data::new(self.0.clone());
        (!self.0.is_empty()).then(|| data.percentile(percent))
    }

    /// Each sample beside the other's of the same round.
    pub(crate) fn ratios_to(&self, other: &Self) -> Self {
        let rounds = self.0.iter().zip(&other.0);
        Self(rounds.map(|(own, other)| own / other).collect())
    }
}

/// Reads a program's lines: what, who, a number.
pub(crate) fn parse(text: &str) -> Result<Measured> {
    let mut measured = Measured::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [what, who, number] = words.as_slice() else {
            anyhow::bail!("an unexpected line: {line}");
        };
        let of = measured.entry((*what).to_owned()).or_default();
        let samples = of.entry((*who).to_owned()).or_default();
        samples.0.push(number.parse().context("not a number")?);
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_does_not_depend_on_the_order() {
        let samples = |of: [f64; 5]| Samples(of.to_vec()).summary();
        assert_eq!(
            samples([1.0, 2.0, 3.0, 4.0, 5.0]),
            samples([4.0, 1.0, 5.0, 3.0, 2.0])
        );
        let median = samples([4.0, 1.0, 5.0, 3.0, 2.0]).map(|summary| summary.median);
        assert_eq!(median, Some(3.0));
        assert_eq!(Samples(Vec::new()).summary(), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let ratios = Samples(vec![2.0, 9.0]).ratios_to(&Samples(vec![1.0, 3.0, 7.0]));
        assert_eq!(ratios, Samples(vec![2.0, 3.0]));
    }
}
