//! Names: of environment entries, of secrets, of Works.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::suggest::{did_you_mean, shown, shown_char};

/// The name of an environment entry: `[A-Za-z_][A-Za-z0-9_]*`, but not `LEYDEN_…`, which is ours.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvName(String);

/// The name of a secret: as RFC 1123 has host names, and starting with a letter.
///
/// Letters, digits, dashes and periods; parts of 1 to 63 between the periods that neither begin
/// nor end with a dash; 253 at most. Names compare, order and hash without regard to case, and
/// are kept as typed.
#[derive(Debug, Clone)]
pub struct SecretName {
    typed: String,
    canonical: String,
}

/// The name of a Work: `[A-Za-z][A-Za-z0-9_-]*`, 63 at most, so that `WORK:` can stand before a
/// binding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkName(String);

/// A name was refused: which one, why and at which place, and the nearest good one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not {what}: {problem}{}", shown(before_value(typed)), did_you_mean(suggestion.as_deref()))]
pub struct NameError {
    what: &'static str,
    typed: String,
    problem: NameProblem,
    suggestion: Option<String>,
}

impl NameError {
    /// Whether it is what the Flow is called.
    pub(super) fn is_the_flow(&self) -> bool {
        self.problem == NameProblem::TheFlow
    }
}

/// What was typed up to an `=`: after it stands a value, at the wrong place.
fn before_value(typed: &str) -> &str {
    typed
        .find('=')
        .map_or(typed, |at| typed.get(..=at).unwrap_or(typed))
}

impl NameError {
    /// Why it was refused, without what was typed.
    pub fn problem(&self) -> &NameProblem {
        &self.problem
    }

    /// The nearest good name, if there is an obvious one.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }
}

/// Why a name was refused. Places are counted in characters, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameProblem {
    /// There is nothing.
    Empty,
    /// A character stands where it may not.
    Character {
        /// The character.
        found: char,
        /// Its place.
        place: usize,
        /// What holds there.
        rule: &'static str,
    },
    /// Longer than `limit` characters.
    TooLong {
        /// The most there may be.
        limit: usize,
    },
    /// The part of a secret's name that starts at `place` is longer than 63 characters.
    PartTooLong {
        /// Where the part starts.
        place: usize,
    },
    /// `LEYDEN_…` is kept for Leyden itself.
    Reserved,
    /// `flow` is what the Flow is called.
    TheFlow,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Character { found, place, rule } => {
                write!(
                    f,
                    "character {place} is `{}`, but {rule}",
                    shown_char(*found)
                )
            }
            Self::TooLong { limit } => write!(f, "it is longer than {limit} characters"),
            Self::PartTooLong { place } => {
                write!(
                    f,
                    "the part from character {place} is longer than {MAX_PART} characters"
                )
            }
            Self::TheFlow => f.write_str("that is what the Flow is called"),
            Self::Reserved => f.write_str("names that begin with `LEYDEN_` are Leyden's own"),
        }
    }
}

const MAX_SECRET_NAME: usize = 253;
const MAX_PART: usize = 63;
const MAX_WORK_NAME: usize = 63;
const RESERVED: &str = "LEYDEN_";

/// What each kind of name needs besides its check.
macro_rules! name {
    ($name:ident, $what:literal, $check:ident, $repair:ident, |$typed:ident| $make:expr, $field:tt) => {
        impl $name {
            /// The name as typed.
            pub fn as_str(&self) -> &str {
                &self.$field
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from($typed: String) -> Result<Self, NameError> {
                let Err(problem) = $check(&$typed) else {
                    return Ok($make);
                };
                let meant = before_value(&$typed).trim_end_matches('=');
                let suggestion =
                    Some($repair(meant)).filter(|good| $check(good).is_ok() && *good != $typed);
                Err(NameError {
                    what: $what,
                    typed: $typed,
                    problem,
                    suggestion,
                })
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(typed: &str) -> Result<Self, NameError> {
                typed.to_owned().try_into()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(typed: &str) -> Result<Self, NameError> {
                typed.parse()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

name!(
    EnvName,
    "an environment name",
    check_env,
    repair_env,
    |typed| Self(typed),
    0
);
name!(
    WorkName,
    "a Work's name",
    check_work,
    repair_work,
    |typed| Self(typed),
    0
);
name!(
    SecretName,
    "a secret's name",
    check_secret,
    repair_secret,
    |typed| Self {
        canonical: typed.to_ascii_lowercase(),
        typed
    },
    typed
);

impl SecretName {
    /// The lower-case form: what names are compared by and what cryptography sees.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl PartialEq for SecretName {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for SecretName {}

impl PartialOrd for SecretName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SecretName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.canonical.cmp(&other.canonical)
    }
}

impl Hash for SecretName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

fn check_env(typed: &str) -> Result<(), NameProblem> {
    if typed.is_empty() {
        return Err(NameProblem::Empty);
    }
    if typed.starts_with(RESERVED) {
        return Err(NameProblem::Reserved);
    }
    check_characters(typed, |first, character| match character {
        'A'..='Z' | 'a'..='z' | '_' => None,
        '0'..='9' if first => Some("it starts with a letter or `_`"),
        '0'..='9' => None,
        _ => Some("only letters, digits and `_` may stand in it"),
    })
}

fn check_work(typed: &str) -> Result<(), NameProblem> {
    if typed.is_empty() {
        return Err(NameProblem::Empty);
    }
    if typed.eq_ignore_ascii_case("flow") {
        return Err(NameProblem::TheFlow);
    }
    check_characters(typed, |first, character| match character {
        'A'..='Z' | 'a'..='z' => None,
        '0'..='9' | '_' | '-' if first => Some("it starts with a letter"),
        '0'..='9' | '_' | '-' => None,
        _ => Some("only letters, digits, `_` and `-` may stand in it"),
    })?;
    // Checked last: by now every character is one byte.
    if typed.len() > MAX_WORK_NAME {
        return Err(NameProblem::TooLong {
            limit: MAX_WORK_NAME,
        });
    }
    Ok(())
}

fn check_secret(typed: &str) -> Result<(), NameProblem> {
    if typed.is_empty() {
        return Err(NameProblem::Empty);
    }
    check_characters(typed, |first, character| match character {
        'A'..='Z' | 'a'..='z' => None,
        _ if first => Some("it starts with a letter"),
        '0'..='9' | '-' | '.' => None,
        _ => Some("only letters, digits, dashes and periods may stand in it"),
    })?;
    if typed.len() > MAX_SECRET_NAME {
        return Err(NameProblem::TooLong {
            limit: MAX_SECRET_NAME,
        });
    }
    let mut start = 1;
    for part in typed.split('.') {
        let end = start + part.len();
        if part.is_empty() {
            // The period that closes nothing is the second of two; at the end it is the last.
            let place = start.min(typed.len());
            return Err(NameProblem::Character {
                found: '.',
                place,
                rule: "a period stands between two parts",
            });
        }
        for (dash, place) in [
            (part.starts_with('-'), start),
            (part.ends_with('-'), end - 1),
        ] {
            if dash {
                let rule = "a part neither begins nor ends with a dash";
                return Err(NameProblem::Character {
                    found: '-',
                    place,
                    rule,
                });
            }
        }
        if part.len() > MAX_PART {
            return Err(NameProblem::PartTooLong { place: start });
        }
        start = end + 1;
    }
    Ok(())
}

/// Finds the first character that breaks a rule; the rule is told whether it is the first one.
fn check_characters(
    typed: &str,
    rule: impl Fn(bool, char) -> Option<&'static str>,
) -> Result<(), NameProblem> {
    for (index, found) in typed.chars().enumerate() {
        if let Some(rule) = rule(index == 0, found) {
            return Err(NameProblem::Character {
                found,
                place: index + 1,
                rule,
            });
        }
    }
    Ok(())
}

/// Strange characters become `_`; a leading digit gets one before it.
fn repair_env(typed: &str) -> String {
    let typed = typed.trim();
    let typed = typed.strip_prefix(RESERVED).unwrap_or(typed);
    let good = replace_others(typed, '_', |c| c.is_ascii_alphanumeric() || c == '_');
    if good.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{good}")
    } else {
        good
    }
}

/// Strange characters become `-`; what cannot begin a name is left out.
fn repair_work(typed: &str) -> String {
    let good = replace_others(typed.trim(), '-', |c| {
        c.is_ascii_alphanumeric() || c == '_' || c == '-'
    });
    good.trim_start_matches(|c: char| !c.is_ascii_alphabetic())
        .trim_end_matches('-')
        .to_owned()
}

/// Strange characters become dashes; dashes and periods that bound nothing are left out; a leading
/// digit gets `s-` before it. The rest stays as typed.
fn repair_secret(typed: &str) -> String {
    let good = replace_others(typed.trim(), '-', |c| {
        c.is_ascii_alphanumeric() || c == '-' || c == '.'
    });
    let parts: Vec<_> = good
        .split('.')
        .map(|part| part.trim_matches('-'))
        .filter(|p| !p.is_empty())
        .collect();
    let good = parts.join(".");
    if good.starts_with(|c: char| c.is_ascii_digit()) {
        format!("s-{good}")
    } else {
        good
    }
}

fn replace_others(typed: &str, by: char, good: impl Fn(char) -> bool) -> String {
    typed
        .chars()
        .map(|c| if good(c) { c } else { by })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn refused<T: FromStr<Err = NameError> + fmt::Debug>(typed: &str) -> String {
        typed.parse::<T>().unwrap_err().to_string()
    }

    fn place<T: FromStr<Err = NameError> + fmt::Debug>(typed: &str) -> Option<(char, usize)> {
        match typed.parse::<T>().unwrap_err().problem {
            NameProblem::Character { found, place, .. } => Some((found, place)),
            _ => None,
        }
    }

    fn suggestion<T: FromStr<Err = NameError> + fmt::Debug>(typed: &str) -> Option<String> {
        typed.parse::<T>().unwrap_err().suggestion
    }

    #[test]
    fn env_names() {
        for good in ["A", "_", "PATH", "a1_", "leyden_x", "LEYDEN"] {
            assert_eq!(good.parse::<EnvName>().unwrap().as_str(), good);
        }
        assert_eq!(place::<EnvName>("1A"), Some(('1', 1)));
        assert_eq!(place::<EnvName>("MY-VAR"), Some(('-', 3)));
        assert_eq!(place::<EnvName>("GRÖSSE"), Some(('Ö', 3)));
        assert_eq!(suggestion::<EnvName>("MY-VAR").as_deref(), Some("MY_VAR"));
        assert_eq!(suggestion::<EnvName>("1A").as_deref(), Some("_1A"));
        assert_eq!(
            "LEYDEN_X".parse::<EnvName>().unwrap_err().problem,
            NameProblem::Reserved
        );
        assert_eq!(suggestion::<EnvName>("LEYDEN_X").as_deref(), Some("X"));
        assert_eq!(suggestion::<EnvName>(""), None);
    }

    #[test]
    fn work_names() {
        for good in ["train", "T", "a_b-c1"] {
            assert_eq!(good.parse::<WorkName>().unwrap().as_str(), good);
        }
        assert_eq!(place::<WorkName>("a.b"), Some(('.', 2)));
        assert_eq!(place::<WorkName>("-a"), Some(('-', 1)));
        assert_eq!(suggestion::<WorkName>("a b").as_deref(), Some("a-b"));
        assert!("a".repeat(63).parse::<WorkName>().is_ok());
        assert!("a".repeat(64).parse::<WorkName>().is_err());
    }

    #[test]
    fn secret_names() {
        let longest = [
            &"a".repeat(63)[..],
            &"b".repeat(63),
            &"c".repeat(63),
            &"d".repeat(61),
        ];
        let longest = longest.join(".");
        assert_eq!(longest.len(), 253);
        for good in ["a", "my-secret", "My-Secret.v2", "a.1", "a--b", &longest] {
            assert_eq!(good.parse::<SecretName>().unwrap().as_str(), good);
        }
        for (bad, at) in [
            ("MY_secret", ('_', 3)),
            ("1password", ('1', 1)),
            ("a..b", ('.', 3)),
            (".a", ('.', 1)),
            ("a.", ('.', 2)),
            ("-a", ('-', 1)),
            ("a-", ('-', 2)),
            ("a-.b", ('-', 2)),
            ("a.-b", ('-', 3)),
            ("naïve", ('ï', 3)),
            ("a b", (' ', 2)),
        ] {
            assert_eq!(place::<SecretName>(bad), Some(at), "{bad}");
        }
        let problem = |typed: String| typed.parse::<SecretName>().unwrap_err().problem;
        assert_eq!(
            problem(format!("{longest}e")),
            NameProblem::TooLong { limit: 253 }
        );
        assert_eq!(
            problem(format!("a.{}", "b".repeat(64))),
            NameProblem::PartTooLong { place: 3 }
        );
        assert_eq!(problem(String::new()), NameProblem::Empty);
    }

    #[test]
    fn secret_names_are_suggested_and_errors_name_the_character() {
        assert_eq!(
            suggestion::<SecretName>("MY_secret").as_deref(),
            Some("MY-secret")
        );
        assert_eq!(
            suggestion::<SecretName>("my_secret").as_deref(),
            Some("my-secret")
        );
        assert_eq!(
            suggestion::<SecretName>("1password").as_deref(),
            Some("s-1password")
        );
        assert_eq!(suggestion::<SecretName>("a..b-.").as_deref(), Some("a.b"));
        assert_eq!(suggestion::<SecretName>("___"), None);
        assert_eq!(
            refused::<SecretName>("MY_secret"),
            "`MY_secret` is not a secret's name: character 3 is `_`, but only letters, digits, \
             dashes and periods may stand in it (did you mean `MY-secret`?)"
        );
    }

    #[test]
    fn secret_names_compare_without_case_and_keep_what_was_typed() {
        let typed: SecretName = "My-Secret".parse().unwrap();
        let lower: SecretName = "my-secret".parse().unwrap();
        assert_eq!(typed, lower);
        assert_eq!(typed.cmp(&lower), Ordering::Equal);
        assert_eq!(HashSet::from([typed.clone(), lower]).len(), 1);
        assert_eq!(
            (typed.to_string().as_str(), typed.canonical()),
            ("My-Secret", "my-secret")
        );
        assert_ne!(typed, "my-secret2".parse().unwrap());
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_a_good_error(typed in "\\PC{0,80}|[a-zA-Z0-9_.-]{0,80}") {
            fn check<T: FromStr<Err = NameError> + fmt::Display>(typed: &str) {
                match typed.parse::<T>() {
                    Ok(name) => assert_eq!(name.to_string(), typed),
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        if let Some(good) = error.suggestion() {
                            assert!(good.parse::<T>().is_ok());
                        }
                        if let NameProblem::Character { found, place, .. } = error.problem {
                            assert_eq!(typed.chars().nth(place - 1), Some(found));
                        }
                    }
                }
            }
            check::<EnvName>(&typed);
            check::<SecretName>(&typed);
            check::<WorkName>(&typed);
        }

        #[test]
        fn secret_names_are_those_of_rfc_1123(typed in "[aB1.-]{1,12}") {
            let good = typed.starts_with(|c: char| c.is_ascii_alphabetic())
                && typed.split('.').all(|part| {
                    !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
                });
            prop_assert_eq!(typed.parse::<SecretName>().is_ok(), good);
        }
    }
}
