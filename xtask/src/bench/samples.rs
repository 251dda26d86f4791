//! What was measured of one thing, and what it says.

/// Measurements of one thing, in the order they were made.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples(pub(crate) Vec<f64>);

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
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            first_quartile: quantile(&sorted, 1)?,
            median: quantile(&sorted, 2)?,
            third_quartile: quantile(&sorted, 3)?,
        })
    }

    /// Each sample beside the other's of the same round.
    pub(crate) fn ratios_to(&self, other: &Self) -> Self {
        let rounds = self.0.iter().zip(&other.0);
        Self(rounds.map(|(own, other)| own / other).collect())
    }
}

/// The `quarter`-th quartile of sorted samples, by linear interpolation between neighbours.
fn quantile(sorted: &[f64], quarter: usize) -> Option<f64> {
    let steps = sorted.len().checked_sub(1)? * quarter;
    let low = sorted.get(steps / 4)?;
    let high = sorted.get(steps.div_ceil(4))?;
    let part = [0.0, 0.25, 0.5, 0.75].get(steps % 4)?;
    Some(low + (high - low) * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_does_not_depend_on_the_order() {
        let summary = Some(Summary {
            first_quartile: 1.75,
            median: 2.5,
            third_quartile: 3.25,
        });
        assert_eq!(Samples(vec![1.0, 2.0, 3.0, 4.0]).summary(), summary);
        assert_eq!(Samples(vec![4.0, 1.0, 3.0, 2.0]).summary(), summary);
    }

    #[test]
    fn few_samples_have_a_summary_and_none_have_not() {
        let all = |value| Summary {
            first_quartile: value,
            median: value,
            third_quartile: value,
        };
        assert_eq!(Samples(vec![7.0]).summary(), Some(all(7.0)));
        assert_eq!(Samples::default().summary(), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let ratios = Samples(vec![2.0, 9.0]).ratios_to(&Samples(vec![1.0, 3.0]));
        assert_eq!(ratios, Samples(vec![2.0, 3.0]));
    }
}
