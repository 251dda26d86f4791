//! The Work: counts the words of one piece of text.

use std::collections::BTreeMap;
use std::convert::Infallible;

/// How often each word occurs, in lower case.
#[leyden_guest::work]
pub fn count(text: String) -> Result<BTreeMap<String, u64>, Infallible> {
    let mut counts = BTreeMap::new();
    for word in text.split(|character: char| !character.is_alphanumeric()) {
        if !word.is_empty() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    Ok(counts)
}
