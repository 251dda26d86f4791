//! What a run is called: when it began, to the millisecond, and some letters that no other has.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;

/// A run's name, such as `20261124-110809-123k3fq`: in the order of their beginnings when sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// A new one. Where the operating system gives no random bytes, the process's number serves.
    pub(super) fn new(now: Timestamp) -> Self {
        let mut random = [0; 5];
        if getrandom::fill(&mut random).is_err() {
            let [.., a, b, c, d] = std::process::id().to_be_bytes();
            random = [0, a, b, c, d];
        }
        let letters = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        let letters = letters.get(..4).unwrap_or(&letters);
        Self(format!("{}{letters}", now.strftime("%Y%m%d-%H%M%S-%3f")))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has the form of a run's whole name, which few other folders have.
    pub(super) fn is_whole(&self) -> bool {
        let parts: Vec<usize> = self.0.split('-').map(str::len).collect();
        parts == [8, 6, 7]
    }
}

/// Something that is not the name of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run's name looks like 20261124-110809-123k3fq: `leyden runs list` shows them")]
pub struct NotARunId;

/// Only what a folder of a run can be called: no name leads elsewhere.
impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_one = !text.is_empty() && text.len() <= 40 && text.chars().all(is_good);
        match is_one && text.starts_with(|c: char| c.is_ascii_digit()) {
            true => Ok(Self(text.to_owned())),
            false => Err(NotARunId),
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_by_time_and_read_back() {
        let at = |second| RunId::new(Timestamp::from_second(second).unwrap());
        let (one, two) = (at(1_800_000_000), at(1_800_000_001));
        assert!(one < two);
        assert!(one.as_str().starts_with("20270115-080000-000"), "{one}");
        assert_eq!(one.as_str().parse::<RunId>().unwrap(), one);
        assert_ne!(at(1_800_000_000), one, "letters of its own");
    }

    #[test]
    fn no_name_leads_elsewhere() {
        for text in [
            "",
            "..",
            "a",
            "-1",
            "1/2",
            "1.",
            "1\0",
            &"1".repeat(41),
            "1A",
        ] {
            assert_eq!(text.parse::<RunId>(), Err(NotARunId), "{text:?}");
        }
    }
}
