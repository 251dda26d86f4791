//! One comparison: several subjects did the same work in turn.

use serde_json::{Value, json};

use super::samples::Samples;

pub(crate) struct Row {
    /// By which the baseline knows it.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    /// How many digits after the point are worth showing.
    pub(crate) digits: usize,
    /// Leyden's own.
    pub(crate) leyden: Vec<(String, Samples)>,
    /// What it is measured beside.
    pub(crate) beside: Vec<(String, Samples)>,
    /// What the ratios are to come to.
    pub(crate) goals: Vec<Goal>,
}

/// What one of Leyden's subjects is to come to beside another: named by how their names begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) own: &'static str,
    pub(crate) other: &'static str,
    pub(crate) bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    pub(crate) fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }

    /// Whether `ratio` is worse than `before` by more than the part `tolerance`.
    pub(crate) fn is_worse(self, ratio: f64, before: f64, tolerance: f64) -> bool {
        match self {
            Self::AtMost(_) => ratio > before * (1.0 + tolerance),
            Self::AtLeast(_) => ratio < before / (1.0 + tolerance),
        }
    }

    pub(crate) fn number(self) -> f64 {
        match self {
            Self::AtMost(number) | Self::AtLeast(number) => number,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

/// One of Leyden's subjects beside another.
pub(crate) struct Ratio {
    pub(crate) own: String,
    pub(crate) other: String,
    pub(crate) samples: Samples,
    pub(crate) goal: Option<Bound>,
}

impl Ratio {
    /// Whether both were measured in this run, so that a busy machine is so for both.
    pub(crate) fn is_of_one_run(&self) -> bool {
        !self.other.starts_with("Lightning")
    }

    /// By which the baseline knows it: without the other's version.
    pub(crate) fn key(&self, row: &Row) -> String {
        let other: Vec<&str> = self
            .other
            .split(' ')
            .filter(|word| !is_version(word))
            .collect();
        format!("{}: {} : {}", row.id, self.own, other.join(" "))
    }
}

fn is_version(word: &str) -> bool {
    word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit())
}

impl Row {
    /// Each of Leyden's subjects beside each other.
    pub(crate) fn ratios(&self) -> Vec<Ratio> {
        let mut ratios = Vec::new();
        for (own, samples) in &self.leyden {
            for (other, others) in &self.beside {
                let goal = self
                    .goals
                    .iter()
                    .find(|goal| own.starts_with(goal.own) && other.starts_with(goal.other));
                ratios.push(Ratio {
                    own: own.clone(),
                    other: other.clone(),
                    samples: samples.ratios_to(others),
                    goal: goal.map(|goal| goal.bound),
                });
            }
        }
        ratios
    }

    pub(crate) fn to_json(&self) -> Value {
        let entry = |name: &str, samples: &Samples| {
            let summary = samples.summary();
            json!({
                "name": name,
                "first_quartile": summary.map(|of| of.first_quartile),
                "median": summary.map(|of| of.median),
                "third_quartile": summary.map(|of| of.third_quartile),
                "samples": samples.0,
            })
        };
        let subjects = self.leyden.iter().chain(&self.beside);
        let subjects: Vec<Value> = subjects.map(|(name, of)| entry(name, of)).collect();
        let ratio = |ratio: &Ratio| {
            let name = format!("{} : {}", ratio.own, ratio.other);
            let goal = ratio.goal.map(|goal| goal.to_string());
            json!({ "goal": goal, "ratio": entry(&name, &ratio.samples) })
        };
        let ratios: Vec<Value> = self.ratios().iter().map(ratio).collect();
        json!({
            "id": self.id,
            "title": self.title,
            "unit": self.unit,
            "subjects": subjects,
            "ratios": ratios,
        })
    }
}
