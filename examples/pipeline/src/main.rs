//! The Flow: has each paragraph of a text counted by a Work of its own, and adds up.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use leyden_guest::{WorkError, work};

#[cfg(test)]
mod count;

/// Counted where no file is named.
const TEXT: &str = include_str!("../constitution.txt");

/// How many words are shown.
const TOP: usize = 10;

fn main() -> Result<()> {
    let text = match std::env::args().nth(1) {
        Some(file) => fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?,
        None => TEXT.to_owned(),
    };
    let total = count_words(paragraphs(&text))?;
    let words: u64 = total.values().sum();
    println!("{} paragraphs", paragraphs(&text).count());
    println!("{words} words, {} of them different", total.len());
    for (word, count) in top(&total) {
        println!("{count:6} {word}");
    }
    Ok(())
}

/// What stands between empty lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let paragraphs = text.split("\n\n").map(str::trim);
    paragraphs.filter(|paragraph| !paragraph.is_empty())
}

/// How often each word occurs in all these texts: the Works count in parallel, and their results
/// are added as they come.
fn count_words<'t>(
    texts: impl Iterator<Item = &'t str>,
) -> Result<BTreeMap<String, u64>, WorkError> {
    let count = work("count")?;
    let mut total = BTreeMap::new();
    for counted in count.map::<BTreeMap<String, u64>, _>(texts) {
        for (word, count) in counted? {
            *total.entry(word).or_default() += count;
        }
    }
    Ok(total)
}

/// The most frequent words; of equally frequent ones, the first in the alphabet.
fn top(total: &BTreeMap<String, u64>) -> Vec<(&str, u64)> {
    let mut words: Vec<(&str, u64)> = total.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    words.sort_by_key(|&(word, count)| (Reverse(count), word));
    words.truncate(TOP);
    words
}

/// The Flow's own tests: they run natively, with the Work registered as the function that it is.
#[cfg(test)]
mod tests {
    use leyden_guest::{Failure, testing};

    use super::*;

    #[test]
    fn many_works_count_what_one_would() {
        testing::register("count", count::count);
        let total = count_words(paragraphs(TEXT)).unwrap();
        assert_eq!(total, count::count(TEXT.into()).unwrap());
        assert_eq!(top(&total).first().map(|(word, _)| *word), Some("the"));
    }

    #[test]
    fn a_failed_work_fails_the_count() {
        testing::register_failure("count", Failure::Exit(1));
        let error = count_words(paragraphs("a\n\nb")).unwrap_err();
        assert_eq!(error.failure(), Some(&Failure::Exit(1)));
    }
}
