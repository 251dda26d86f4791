//! What a form brings: its fields, and a secret's value, which is wiped. Only with its session's
//! token.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use leyden::secrets::{MAX_VALUE_BYTES, SecretValue};
use zeroize::Zeroizing;

use super::Admin;
use super::problem::Problem;
use super::session::Session;

/// The most bytes that are typed for a value: each of its line feeds comes as two.
const MOST_TYPED: usize = 2 * MAX_VALUE_BYTES;
/// The most bytes of a form: a value, and room for the rest.
pub(super) const MOST_BYTES: usize = MOST_TYPED + (64 << 10);
/// The most bytes of a field that is no value, and the most fields, with the token's.
const MOST_TEXT: usize = 4096;
const MOST_FIELDS: usize = 32;

/// The names of the fields whose bytes are a secret's value.
const TYPED: &str = "value";
const FILE: &str = "file";

/// A form of the page's own.
pub(super) struct Posted {
    fields: BTreeMap<String, String>,
    value: Option<SecretValue>,
    /// Whether a value was typed, and whether a file was chosen.
    typed: bool,
    chosen: bool,
}

impl Posted {
    /// What stood in a field, without space around it; nothing where it was left empty.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |text| text.trim())
    }

    /// A field that may be left empty.
    pub(super) fn optional<T>(&self, name: &str) -> Result<Option<T>, String>
    where
        T: FromStr<Err: ToString>,
    {
        let text = Some(self.text(name)).filter(|text| !text.is_empty());
        text.map(|text| text.parse().map_err(|error: T::Err| error.to_string()))
            .transpose()
    }

    /// Whether a box was ticked.
    pub(super) fn ticked(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Whether both were given, so that nobody knows which is meant.
    pub(super) fn has_two_values(&self) -> bool {
        self.typed && self.chosen
    }

    /// The value: of the file, where one was chosen, or as it was typed.
    pub(super) fn take_value(&mut self) -> Option<SecretValue> {
        self.value.take()
    }
}

impl FromRequest<Arc<Admin>> for Posted {
    type Rejection = Problem;

    async fn from_request(request: Request, admin: &Arc<Admin>) -> Result<Self, Problem> {
        let session = request.extensions().get::<Session>().cloned();
        let session = session.ok_or(Problem::LoggedOut)?;
        let form = Multipart::from_request(request, admin).await;
        let mut form = form.map_err(|_| Problem::BadForm(StatusCode::UNSUPPORTED_MEDIA_TYPE))?;
        // Nothing is read of a form that was not made for this session.
        let first = form.next_field().await.map_err(bad)?;
        let token = match first {
            Some(field) if field.name() == Some("csrf") => text(field).await?,
            _ => return Err(Problem::Stale),
        };
        if !session.csrf.is(&token) {
            return Err(Problem::Stale);
        }
        let mut posted = Self {
            fields: BTreeMap::new(),
            value: None,
            typed: false,
            chosen: false,
        };
        let mut given = BTreeSet::from(["csrf".to_owned()]);
        while let Some(field) = form.next_field().await.map_err(bad)? {
            let name = field.name().unwrap_or_default().to_owned();
            if given.len() >= MOST_FIELDS {
                return Err(too_large());
            }
            // Which one was meant?
            if !given.insert(name.clone()) {
                return Err(Problem::Twice);
            }
            match name.as_str() {
                TYPED => {
                    let typed = read(field, MOST_TYPED).await?;
                    posted.typed = !typed.is_empty();
                    // An empty field beside a file is no value.
                    if posted.value.is_none() {
                        posted.value = Some(value(&unix_lines(&typed))?);
                    }
                }
                // Browsers send a file without a name where none was chosen.
                FILE if field.file_name().unwrap_or_default().is_empty() => {}
                FILE => {
                    posted.chosen = true;
                    posted.value = Some(value(&read(field, MAX_VALUE_BYTES).await?)?);
                }
                _ => {
                    posted.fields.insert(name, text(field).await?);
                }
            }
        }
        Ok(posted)
    }
}

/// Browsers end lines by CR LF in what was typed, whatever was meant.
fn unix_lines(typed: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut lines = Zeroizing::new(Vec::with_capacity(typed.len()));
    for (place, byte) in typed.iter().enumerate() {
        if *byte != b'\r' || typed.get(place + 1) != Some(&b'\n') {
            lines.push(*byte);
        }
    }
    lines
}

fn value(bytes: &[u8]) -> Result<SecretValue, Problem> {
    Ok(SecretValue::read_from(bytes)?)
}

async fn text(field: Field<'_>) -> Result<String, Problem> {
    let bytes = read(field, MOST_TEXT).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Problem::BadForm(StatusCode::BAD_REQUEST));
    Ok(text?.to_owned())
}

/// Reads into one buffer, which is wiped: one that grows leaves copies behind.
async fn read(mut field: Field<'_>, most: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    while let Some(chunk) = field.chunk().await.map_err(bad)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn bad(error: MultipartError) -> Problem {
    Problem::BadForm(error.status())
}

fn too_large() -> Problem {
    Problem::BadForm(StatusCode::PAYLOAD_TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_they_were_meant() {
        for (typed, meant) in [
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\rb", "a\rb"),
            ("\r\r\n", "\r\n"),
            ("a\n", "a\n"),
        ] {
            assert_eq!(**unix_lines(typed.as_bytes()), *meant.as_bytes());
        }
    }
}
