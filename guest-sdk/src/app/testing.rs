//! Works as plain functions, for a Flow's own unit tests. Not there inside a sandbox.
//!
//! A Flow under test runs natively, as an ordinary program. What it starts are functions that were
//! registered on the test's thread, which run on other threads, eight at once:
//!
//! ```
//! use leyden_guest::{Failure, testing, work};
//!
//! fn flow() -> Result<u32, leyden_guest::WorkError> {
//!     let length = work("length")?;
//!     let (a, b) = (length.start("one")?, length.start("three")?);
//!     Ok(a.wait::<u32>()? + b.wait::<u32>()?)
//! }
//!
//! #[leyden_guest::work]
//! fn length(text: String) -> Result<usize, String> {
//!     assert!(!text.is_empty(), "nothing to measure");
//!     Ok(text.len())
//! }
//!
//! testing::register("length", length);
//! assert_eq!(flow().unwrap(), 8);
//!
//! // A panic is a trap.
//! let started = work("length")?.start("")?;
//! let failure = started.wait::<u32>().unwrap_err().failure().cloned();
//! assert_eq!(failure, Some(Failure::Trap("panicked: nothing to measure".into())));
//!
//! // What a test cannot wait for can be told.
//! testing::register_failure("length", Failure::OutOfMemory(1 << 20));
//! assert!(flow().is_err());
//! # Ok::<(), leyden_guest::WorkError>(())
//! ```
//!
//! There is no manifest: nothing is retried, cached, limited in time or memory. Stopping a Work
//! that runs throws away what it returns; the function itself runs to its end.

use std::fmt::Display;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::host;
use super::json::{self, BytesOutcome, Outcome};
use crate::Failure;

/// Registers a function as the Work `name` of this thread's app, in place of any that was.
pub fn register<F, Shape>(name: &str, function: F)
where
    F: Function<Shape> + Send + Sync + 'static,
{
    host::register(
        name,
        Arc::new(move |input| function.call(&input).map_err(Failure::Error)),
    );
}

/// Registers a function of bytes as the Work `name` of this thread's app, in place of any that
/// was.
pub fn register_bytes<F, T, E>(name: &str, function: F)
where
    F: Fn(Vec<u8>) -> Result<T, E> + Send + Sync + 'static,
    T: Into<Vec<u8>>,
    E: Display,
{
    host::register(
        name,
        Arc::new(move |input| function(input).into_bytes().map_err(Failure::Error)),
    );
}

/// Registers a Work that always ends so: with the time-out or the exit status that a Flow is to
/// survive.
pub fn register_failure(name: &str, failure: Failure) {
    host::register(name, Arc::new(move |_| Err(failure.clone())));
}

/// A function that can be a Work: of one argument or none, returning a `Result`.
#[diagnostic::on_unimplemented(
    message = "this cannot be a Work",
    note = "a Work is a function of one `Deserialize` argument or none, which returns a `Result` \
            of a `Serialize` value and a `Display` error"
)]
pub trait Function<Shape> {
    /// Calls it with its input as JSON.
    ///
    /// # Errors
    ///
    /// The text of its own error, or that the input is not its argument.
    fn call(&self, input: &[u8]) -> Result<Vec<u8>, String>;
}

impl<F, I, R> Function<fn(I) -> R> for F
where
    F: Fn(I) -> R,
    I: DeserializeOwned,
    R: Outcome,
{
    fn call(&self, input: &[u8]) -> Result<Vec<u8>, String> {
        self(json::read_input(input)?).into_json()
    }
}

impl<F, R> Function<fn() -> R> for F
where
    F: Fn() -> R,
    R: Outcome,
{
    fn call(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        self().into_json()
    }
}
