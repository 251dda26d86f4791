//! Reading TOML tables so that every error has its place.

use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ManifestError, ManifestProblem};
use crate::app::suggest::nearest;

/// The text being read, for the places of errors.
#[derive(Clone, Copy)]
pub(super) struct Document<'t> {
    pub(super) path: &'t Path,
    pub(super) text: &'t str,
}

impl Document<'_> {
    pub(super) fn error(
        &self,
        span: Option<Range<usize>>,
        problem: impl Into<ManifestProblem>,
    ) -> ManifestError {
        let before = span.and_then(|span| self.text.get(..span.start));
        let place = before.map(|before| {
            let line = before.rsplit('\n').next().unwrap_or_default();
            (before.matches('\n').count() + 1, line.chars().count() + 1)
        });
        ManifestError {
            path: self.path.to_owned(),
            place,
            problem: Box::new(problem.into()),
        }
    }
}

/// A table, and what it is called.
pub(super) struct Table<'t> {
    document: Document<'t>,
    /// As in `works.train`; empty for the whole manifest.
    name: String,
    span: Range<usize>,
    entries: &'t DeTable<'t>,
}

/// A key of a table, as it stands there.
pub(super) struct Key<'t> {
    document: Document<'t>,
    text: &'t str,
    span: Range<usize>,
}

/// A value, and under which key it stands.
pub(super) struct Value<'t> {
    document: Document<'t>,
    key: String,
    value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Table<'t> {
    /// The table of the whole document.
    pub(super) fn root(document: Document<'t>, root: &'t Spanned<DeTable<'t>>) -> Self {
        Self {
            document,
            name: String::new(),
            span: 0..0,
            entries: root.get_ref(),
        }
    }

    /// Refuses any key but these.
    pub(super) fn only(self, known: &'static [&'static str]) -> Result<Self, ManifestError> {
        let strange = |key: &Key<'_>| !known.contains(&key.text);
        // The first in the text, not in the alphabet.
        let first = self
            .iter()
            .map(|(key, _)| key)
            .filter(strange)
            .min_by_key(|k| k.span.start);
        let Some(key) = first else {
            return Ok(self);
        };
        Err(key.error(ManifestProblem::UnknownKey {
            key: key.text.to_owned(),
            table: self.shown(),
            nearest: nearest(key.text, known.iter().copied()),
            known,
        }))
    }

    /// Refuses more than this many entries.
    pub(super) fn at_most(self, most: usize) -> Result<Self, ManifestError> {
        if self.entries.len() <= most {
            return Ok(self);
        }
        let (key, reason) = (self.name.clone(), format!("has more than {most} entries"));
        Err(self.document.error(
            Some(self.span.clone()),
            ManifestProblem::Value { key, reason },
        ))
    }

    pub(super) fn get(&self, key: &str) -> Option<Value<'t>> {
        self.entries.get(key).map(|value| self.value(key, value))
    }

    pub(super) fn require(&self, key: &'static str) -> Result<Value<'t>, ManifestError> {
        self.get(key).ok_or_else(|| {
            let problem = ManifestProblem::Missing {
                table: self.shown(),
                key,
            };
            self.document.error(Some(self.span.clone()), problem)
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key<'t>, Value<'t>)> {
        let entries: &'t DeTable<'t> = self.entries;
        entries.iter().map(|(key, value)| {
            let text: &'t str = key.get_ref();
            let value = self.value(text, value);
            (
                Key {
                    document: self.document,
                    text,
                    span: key.span(),
                },
                value,
            )
        })
    }

    fn value(&self, key: &str, value: &'t Spanned<DeValue<'t>>) -> Value<'t> {
        let key = if self.name.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.name)
        };
        Value {
            document: self.document,
            key,
            value,
        }
    }

    fn shown(&self) -> String {
        if self.name.is_empty() {
            "the manifest".into()
        } else {
            format!("[{}]", self.name)
        }
    }
}

impl Key<'_> {
    pub(super) fn error(&self, problem: impl Into<ManifestProblem>) -> ManifestError {
        self.document.error(Some(self.span.clone()), problem)
    }

    pub(super) fn parse<T: FromStr<Err: Into<ManifestProblem>>>(&self) -> Result<T, ManifestError> {
        self.text.parse().map_err(|error| self.error(error))
    }
}

impl<'t> Value<'t> {
    pub(super) fn error(&self, problem: impl Into<ManifestProblem>) -> ManifestError {
        self.document.error(Some(self.value.span()), problem)
    }

    /// An error that says what this value must be.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> ManifestError {
        self.error(ManifestProblem::Value {
            key: self.key.clone(),
            reason: reason.into(),
        })
    }

    pub(super) fn text(&self) -> Result<&'t str, ManifestError> {
        self.value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.wrong_type("a string, in quotes"))
    }

    pub(super) fn boolean(&self) -> Result<bool, ManifestError> {
        self.value
            .get_ref()
            .as_bool()
            .ok_or_else(|| self.wrong_type("true or false"))
    }

    /// A whole number from `least` on.
    pub(super) fn number(&self, least: u32) -> Result<u32, ManifestError> {
        let wanted = "a whole number, without quotes";
        let integer = self
            .value
            .get_ref()
            .as_integer()
            .ok_or_else(|| self.wrong_type(wanted))?;
        u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| *number >= least)
            .ok_or_else(|| self.refuse(format!("must be a number from {least} to {}", u32::MAX)))
    }

    pub(super) fn list(&self) -> Result<impl Iterator<Item = Value<'t>>, ManifestError> {
        let wanted = "a list of strings, in brackets";
        let items = self
            .value
            .get_ref()
            .as_array()
            .ok_or_else(|| self.wrong_type(wanted))?;
        Ok(items.iter().map(|value| Value {
            document: self.document,
            key: self.key.clone(),
            value,
        }))
    }

    pub(super) fn table(&self) -> Result<Table<'t>, ManifestError> {
        let entries = self
            .value
            .get_ref()
            .as_table()
            .ok_or_else(|| self.wrong_type("a table"))?;
        let (document, name) = (self.document, self.key.clone());
        Ok(Table {
            document,
            name,
            span: self.value.span(),
            entries,
        })
    }

    pub(super) fn parse<T: FromStr<Err: Into<ManifestProblem>>>(&self) -> Result<T, ManifestError> {
        self.text()?.parse().map_err(|error| self.error(error))
    }

    fn wrong_type(&self, wanted: &'static str) -> ManifestError {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(ManifestProblem::WrongType {
            key: self.key.clone(),
            wanted,
            found,
        })
    }
}
