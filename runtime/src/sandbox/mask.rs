//! Masking: what a program prints for people is shown without the secrets that were bound.
//!
//! Masked are exact values of 4 bytes or more, and their lines of 8 or more, also across the
//! borders of writes. It keeps secrets out of terminals and logs where a program shows one by
//! mistake; it cannot where a program wants to, by showing it in another form.
//!
//! No value is copied: patterns are places in the memory of the environments, which is wiped with
//! them. For that reason, and because common automata copy what they look for, the search is our
//! own.

use std::borrow::Cow;

use zeroize::{Zeroize, Zeroizing};

use super::environment::Environment;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";
/// The shortest value and the shortest line of a value that are masked, in bytes: what is shorter
/// would make holes everywhere, and tell by them what it is.
const MIN_VALUE: usize = 4;
const MIN_LINE: usize = 8;
/// Longer lines are looked for in pieces of this size: the most that is held back for what may
/// still come.
pub(super) const MAX_PATTERN: usize = 1024;

/// The secrets to hide: those of some environments.
pub struct Mask {
    environments: Vec<Environment>,
    /// Sorted by what they stand for; no two are the same.
    patterns: Vec<Pattern>,
    /// Whether some pattern begins with this byte.
    first: [bool; 256],
}

/// A part of a secret: where it is.
#[derive(Clone, Copy)]
struct Pattern {
    environment: usize,
    secret: usize,
    /// 0 for its bytes, 1 for its text.
    form: usize,
    start: usize,
    len: usize,
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The longest pattern there; 0 if none.
    Match(usize),
    /// All of the bytes, but a pattern goes on.
    Begun,
}

impl Mask {
    /// Looks for the secrets of these environments.
    pub fn new(environments: impl IntoIterator<Item = Environment>) -> Self {
        let mut mask = Self {
            environments: environments.into_iter().collect(),
            patterns: Vec::new(),
            first: [false; 256],
        };
        let mut patterns = Vec::new();
        for (environment, of) in mask.environments.iter().enumerate() {
            let secrets = (0..of.secret_count()).filter_map(|n| Some((n, of.secret_forms(n)?)));
            for (secret, forms) in secrets {
                for (form, bytes) in forms.into_iter().enumerate() {
                    let pattern = |(start, len)| Pattern {
                        environment,
                        secret,
                        form,
                        start,
                        len,
                    };
                    patterns.extend(parts(bytes).into_iter().map(pattern));
                }
            }
        }
        patterns.sort_by(|a, b| mask.text(*a).cmp(mask.text(*b)));
        patterns.dedup_by(|a, b| mask.text(*a) == mask.text(*b));
        for pattern in &patterns {
            let first = mask.text(*pattern).first().copied();
            if let Some(begins) = first.and_then(|byte| mask.first.get_mut(usize::from(byte))) {
                *begins = true;
            }
        }
        mask.patterns = patterns;
        mask
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// A text without the secrets in it.
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut masker = Masker::default();
        let mut shown = masker.push(self, text.as_bytes());
        shown.extend(masker.finish(self));
        Cow::Owned(String::from_utf8_lossy(&shown).into_owned())
    }

    fn text(&self, pattern: Pattern) -> &[u8] {
        let find = || {
            let environment = self.environments.get(pattern.environment)?;
            let forms = environment.secret_forms(pattern.secret)?;
            let form: &[u8] = forms.get(pattern.form)?;
            form.get(pattern.start..pattern.start + pattern.len)
        };
        find().unwrap_or_default()
    }

    /// What stands at the beginning of these bytes; `last` where nothing comes after them.
    fn find(&self, bytes: &[u8], last: bool) -> Found {
        let Some(first) = bytes.first() else {
            return Found::Match(0);
        };
        if self.first.get(usize::from(*first)) != Some(&true) {
            return Found::Match(0);
        }
        let head = bytes.get(..MIN_VALUE).unwrap_or(bytes);
        let from = self.patterns.partition_point(|p| self.text(*p) < head);
        let mut longest = 0;
        for pattern in self.patterns.iter().skip(from) {
            let text = self.text(*pattern);
            if !text.starts_with(head) {
                break;
            }
            if bytes.starts_with(text) {
                longest = longest.max(text.len());
            } else if !last && text.starts_with(bytes) {
                return Found::Begun;
            }
        }
        Found::Match(longest)
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} patterns)", self.patterns.len())
    }
}

/// What is looked for of a value: starts and lengths.
fn parts(value: &[u8]) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    if value.len() >= MIN_VALUE && value.len() <= MAX_PATTERN {
        parts.push((0, value.len()));
    }
    let mut start = 0;
    for line in value.split(|byte| *byte == b'\n') {
        let len = line.strip_suffix(b"\r").unwrap_or(line).len();
        let mut done = 0;
        // The last piece ends with the line and may reach back into the one before it.
        while len - done > MAX_PATTERN {
            parts.push((start + done, MAX_PATTERN));
            done += MAX_PATTERN;
        }
        let rest = match done {
            0 => len,
            _ => (len - done).max(MIN_LINE),
        };
        if rest >= MIN_LINE {
            parts.push((start + len - rest, rest));
        }
        start += line.len() + 1;
    }
    parts
}

/// One stream of bytes from which secrets are taken out.
#[derive(Default)]
pub(super) struct Masker {
    /// What may be the beginning of a secret.
    held: Zeroizing<Vec<u8>>,
    /// How many of the bytes held belong to a secret for which a mask was already put.
    covered: usize,
}

impl Masker {
    /// What can be shown now of all that came so far.
    pub(super) fn push(&mut self, mask: &Mask, bytes: &[u8]) -> Vec<u8> {
        self.show(mask, bytes, false)
    }

    /// What was held back, once nothing more comes.
    pub(super) fn finish(&mut self, mask: &Mask) -> Vec<u8> {
        self.show(mask, &[], true)
    }

    fn show(&mut self, mask: &Mask, bytes: &[u8], last: bool) -> Vec<u8> {
        // With room for all: growing would leave a copy behind that nobody wipes.
        let mut all = Zeroizing::new(Vec::with_capacity(self.held.len() + bytes.len()));
        all.extend_from_slice(&self.held);
        all.extend_from_slice(bytes);
        self.held.zeroize();
        let mut shown = Vec::with_capacity(all.len());
        let mut at = 0;
        while let Some(rest) = all.get(at..).filter(|rest| !rest.is_empty()) {
            match mask.find(rest, last) {
                Found::Begun => {
                    *self.held = rest.to_vec();
                    break;
                }
                Found::Match(len) => {
                    if len > 0 && self.covered == 0 {
                        shown.extend_from_slice(MASK);
                    }
                    // Secrets that overlap are one hole.
                    self.covered = self.covered.max(len);
                    match self.covered.checked_sub(1) {
                        Some(left) => self.covered = left,
                        None => shown.extend(rest.first()),
                    }
                    at += 1;
                }
            }
        }
        shown
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::super::environment::SecretEntry;
    use super::*;

    fn mask(values: &[&[u8]]) -> Mask {
        let entries = values.iter().map(|bytes| SecretEntry {
            name: "S",
            text: str::from_utf8(bytes).unwrap_or(""),
            bytes,
            version: NonZeroU32::MIN,
        });
        Mask::new([Environment::new([], entries)])
    }

    fn masked(mask: &Mask, writes: &[&[u8]]) -> Vec<u8> {
        let mut masker = Masker::default();
        let mut shown: Vec<u8> = writes
            .iter()
            .flat_map(|bytes| masker.push(mask, bytes))
            .collect();
        shown.extend(masker.finish(mask));
        shown
    }

    #[test]
    fn values_and_their_lines_are_hidden() {
        let mask = mask(&[b"some-value", b"first line of it\r\nshort\nanother one\n"]);
        for (written, shown) in [
            ("a some-value b", "a *** b"),
            ("some-valuesome-value", "******"),
            ("some-valu", "some-valu"),
            ("see first line of it.", "see ***."),
            ("short another one", "short ***"),
        ] {
            assert_eq!(mask.hide(written), shown, "{written}");
        }
    }

    #[test]
    fn secrets_that_overlap_are_one_hole() {
        let mask = mask(&[b"abcdefgh", b"efghijkl", b"abcd"]);
        assert_eq!(mask.hide("xabcdefghijklx"), "x***x");
        assert_eq!(mask.hide("xabcdx"), "x***x");
        assert_eq!(mask.hide("xabcdefgx"), "x***efgx");
    }

    #[test]
    fn a_secret_that_begins_another_is_hidden_at_the_end_too() {
        let mask = mask(&[b"abcd", b"abcdefgh"]);
        assert_eq!(mask.hide("abcdef"), "***ef");
    }

    #[test]
    fn what_is_too_short_is_shown() {
        assert!(mask(&[b"abc", b""]).is_empty());
        assert_eq!(mask(&[b"abcd"]).hide("abcd"), "***");
    }

    #[test]
    fn a_long_value_is_hidden_in_pieces() {
        let value: Vec<u8> = (0..5000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        let mask = mask(&[&value]);
        let shown = masked(&mask, &[b"<", &value, b">"]);
        assert!(!shown.iter().any(u8::is_ascii_digit), "{shown:?}");
        assert!(mask.patterns.iter().all(|p| p.len <= MAX_PATTERN));
    }

    #[test]
    fn what_may_go_on_is_held_back_and_shown_if_it_does_not() {
        let mask = mask(&[b"some-value"]);
        let mut masker = Masker::default();
        assert_eq!(masker.push(&mask, b"x some-"), b"x ");
        assert_eq!(masker.push(&mask, b"where"), b"some-where");
        assert_eq!(masker.push(&mask, b" some-val"), b" ");
        assert_eq!(masker.push(&mask, b"ue!"), b"***!");
        assert_eq!(masker.push(&mask, b"some-"), b"");
        assert_eq!(masker.finish(&mask), b"some-");
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            secrets in prop::collection::vec("[ab]{4,9}", 1..4),
            text in "[abc]{0,60}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let values: Vec<_> = secrets.iter().map(|s| s.as_bytes()).collect();
            let mask = mask(&values);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let writes: Vec<_> =
                cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let shown = masked(&mask, &writes);
            let whole = mask.hide(&text).into_owned();
            prop_assert_eq!(&shown, whole.as_bytes());
            let shown = String::from_utf8(shown).unwrap();
            for secret in &secrets {
                prop_assert!(!shown.contains(secret.as_str()), "{} in {}", secret, shown);
            }
            if secrets.iter().all(|secret| !text.contains(secret.as_str())) {
                prop_assert_eq!(shown, text);
            }
        }
    }
}
