//! What Flows and Works tell each other, as JSON. No error repeats a value.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Reads a value.
///
/// # Errors
///
/// What does not fit, and where.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| reason(&error))
}

/// Reads a Work's input.
///
/// # Errors
///
/// What does not fit, and where, as its Flow is to be told.
pub fn read_input<T: DeserializeOwned>(input: &[u8]) -> Result<T, String> {
    read(input)
        .map_err(|reason| format!("its input cannot be read as {}: {reason}", type_name::<T>()))
}

/// A type's name without the paths of its parts: `Vec<Order>`.
pub(crate) fn type_name<T: ?Sized>() -> String {
    let parts = std::any::type_name::<T>().split_inclusive(|c: char| c != ':' && !is_name(c));
    parts.filter_map(|part| part.rsplit("::").next()).collect()
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// What is wrong with JSON. Serde's own words repeat values, but for these.
fn reason(error: &serde_json::Error) -> String {
    let place = match (error.line(), error.column()) {
        // Serde lost it, as it does for an enum without tags.
        (0, _) => String::new(),
        (line, column) => format!(" (line {line}, column {column})"),
    };
    let words = error.to_string();
    match error.classify() {
        Category::Data => match words.split_once(" at line ") {
            Some((what, _)) if what.starts_with("missing field `") => format!("{what}{place}"),
            _ => format!("a value is of another type{place}"),
        },
        Category::Syntax | Category::Eof | Category::Io => format!("it is not JSON{place}"),
    }
}

/// What a Work's function may return: a `Result` of what JSON can hold, with an error that says
/// what it is.
#[diagnostic::on_unimplemented(
    message = "a Work cannot return `{Self}`",
    label = "not a `Result` of a `Serialize` value and a `Display` error",
    note = "a Work returns a `Result`, so that it can tell its Flow what went wrong"
)]
pub trait Outcome {
    /// The value as JSON, or the error's text.
    ///
    /// # Errors
    ///
    /// The function's own, and a value that JSON cannot hold.
    fn into_json(self) -> Result<Vec<u8>, String>;
}

impl<T: Serialize, E: Display> Outcome for Result<T, E> {
    fn into_json(self) -> Result<Vec<u8>, String> {
        let value = self.map_err(|error| error.to_string())?;
        serde_json::to_vec(&value)
            .map_err(|_| format!("its output, a {}, cannot be JSON", type_name::<T>()))
    }
}

/// What the function of a Work of bytes may return: a `Result` of bytes or text, with an error
/// that says what it is.
#[diagnostic::on_unimplemented(
    message = "a Work of bytes cannot return `{Self}`",
    label = "not a `Result` of bytes and a `Display` error",
    note = "a Work of bytes returns `Result<Vec<u8>, E>` or `Result<String, E>`"
)]
pub trait BytesOutcome {
    /// The bytes, or the error's text.
    ///
    /// # Errors
    ///
    /// The function's own.
    fn into_bytes(self) -> Result<Vec<u8>, String>;
}

impl<T: Into<Vec<u8>>, E: Display> BytesOutcome for Result<T, E> {
    fn into_bytes(self) -> Result<Vec<u8>, String> {
        self.map(Into::into).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Job {
        #[allow(dead_code)]
        epochs: u32,
    }

    #[test]
    fn what_does_not_fit_is_told_without_its_value() {
        for (json, said) in [
            (
                "{\"epochs\": \"hunter2\"}",
                "of another type (line 1, column 20)",
            ),
            ("{\"epoch\": \"hunter2\"}", "missing field `epochs` (line 1"),
            ("hunter2", "it is not JSON (line 1, column 1)"),
            ("", "it is not JSON"),
        ] {
            let error = read::<Job>(json.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{json}: {error}");
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn an_unknown_place_is_not_told() {
        #[derive(Debug, Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(#[allow(dead_code)] u32),
        }
        let error = read::<Either>(b"\"hunter2\"").unwrap_err();
        assert_eq!(error, "a value is of another type");
    }

    #[test]
    fn types_are_told_by_their_own_names() {
        assert_eq!(type_name::<Vec<Job>>(), "Vec<Job>");
        assert_eq!(type_name::<str>(), "str");
        let told = type_name::<BTreeMap<(String, &[u8; 2]), Option<Job>>>();
        assert_eq!(told, "BTreeMap<(String, &[u8; 2]), Option<Job>>");
    }

    #[test]
    fn a_results_two_sides() {
        assert_eq!(Ok::<_, String>((1, "a")).into_json().unwrap(), b"[1,\"a\"]");
        assert_eq!(Err::<(), _>("no data").into_json().unwrap_err(), "no data");
        assert_eq!(Ok::<_, String>("a").into_bytes().unwrap(), b"a");
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        let keys = BTreeMap::from([(vec![1], 1)]);
        let error = Ok::<_, String>(keys).into_json().unwrap_err();
        assert!(error.contains("BTreeMap"), "{error}");
    }
}
