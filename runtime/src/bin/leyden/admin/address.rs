//! What stands in an address: read, or refused in words for people.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// What an address has behind its `?`.
pub(super) struct InQuery<T>(pub(super) T);

/// The one part of an address's path that varies.
pub(super) struct InPath(pub(super) String);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::try_from_uri(&parts.uri).map(|Query(asked)| Self(asked));
        read.map_err(|_| {
            let text = "The address asks for something twice, or for a number that is none.";
            Problem::Usage(text.to_owned())
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(name)| Self(name))
            .map_err(|_| Problem::NotFound("The name in the address is no text.".to_owned()))
    }
}
