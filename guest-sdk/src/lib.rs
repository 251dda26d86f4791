//! What an app that runs under Leyden sees of its host: its environment, typed.
//!
//! Leyden gives a component exactly the plain values and secrets that its operator bound to it, as
//! entries of its WASI environment (0.1, 0.2 and 0.3 alike):
//!
//! ```text
//! leyden run app app.wasm --env PORT=8080 --secret MY_APP_SECRET=my-secret
//! ```
//!
//! This crate reads them:
//!
//! ```
//! fn main() -> Result<(), leyden_guest::Error> {
//! #   // SAFETY: a doctest is a process with one thread.
//! #   unsafe { std::env::set_var("PORT", "8080"); std::env::set_var("MY_APP_SECRET", "s3cret"); }
//!     let port: u16 = leyden_guest::env_as("PORT")?;
//!     let secret = leyden_guest::secret("MY_APP_SECRET")?;
//!     println!("port {port}, a secret of {} bytes", secret.expose().len());
//!     Ok(())
//! }
//! ```
//!
//! or all at once, into a struct of your own ([`from_env`]):
//!
//! ```
//! # // SAFETY: a doctest is a process with one thread.
//! # unsafe { std::env::set_var("PORT", "8080"); std::env::set_var("MY_APP_SECRET", "s3cret"); }
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     port: u16,
//!     my_app_secret: leyden_guest::Secret,
//!     #[serde(default)]
//!     tags: Vec<String>,
//! }
//!
//! let config: Config = leyden_guest::from_env()?;
//! assert_eq!(config.port, 8080);
//! # assert_eq!(config.my_app_secret.expose(), "s3cret");
//! # assert!(config.tags.is_empty());
//! # Ok::<(), leyden_guest::Error>(())
//! ```
//!
//! A Flow starts its app's Works and waits for them ([`work()`], [`Work`], [`Started`]), and a
//! function becomes a Work by an [attribute](macro@work):
//!
//! ```
//! #[leyden_guest::work]
//! fn train(epochs: u32) -> Result<String, String> {
//!     match epochs {
//!         0 => Err("nothing to do".into()),
//!         _ => Ok(format!("a model of {epochs} epochs")),
//!     }
//! }
//!
//! fn flow() -> Result<(), leyden_guest::WorkError> {
//!     let train = leyden_guest::work("train")?;
//!     for model in train.map::<String, _>([1, 0, 3]) {
//!         match model {
//!             Ok(model) => println!("{model}"),
//!             Err(error) => eprintln!("{error}"), // train failed: nothing to do
//!         }
//!     }
//!     Ok(())
//! }
//!
//! // In a unit test, as here, the Work is the function itself.
//! leyden_guest::testing::register("train", train);
//! flow()?;
//! # Ok::<(), leyden_guest::WorkError>(())
//! ```
//!
//! Flow and Work are components of their own, each with what its operator gave it. Nothing that a
//! Flow can do hands its own environment or secrets on; what it puts into an input, it does.
//!
//! Outside a sandbox, as in an app's own unit tests, the same functions read the environment of the
//! process, and Works are the functions that were registered ([`testing`]). Every [`Error`] names the
//! variable, and none repeats its value. Built for WASI 0.1, there is the environment alone.

#[cfg(not(target_env = "p1"))]
mod app;
mod config;
mod env;
mod error;
mod secret;

#[cfg(not(target_family = "wasm"))]
pub use app::testing;
#[cfg(not(target_env = "p1"))]
pub use app::{
    AsCompleted, Failure, Map, SecretBytes, Started, Status, Work, WorkError, as_completed,
    secret_bytes, wait_any, work,
};
pub use config::from_env;
pub use env::{env, env_as};
pub use error::Error;
pub use secret::{Secret, secret};

/// Makes a function the Work of this component.
///
/// It takes one argument or none, and returns a `Result`. The argument is read from JSON, what is
/// in `Ok` is written as JSON, and the Flow is told the error's `Display` text; so these types are
/// `serde`'s `Deserialize` and `Serialize`, and `Display`. The function itself stays what it is:
/// call it in unit tests, or give it to `leyden_guest::testing::register`.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Job {
///     text: String,
/// }
///
/// #[leyden_guest::work]
/// fn count(job: Job) -> Result<usize, std::convert::Infallible> {
///     Ok(job.text.split_whitespace().count())
/// }
/// # assert_eq!(count(Job { text: "a b".into() }), Ok(2));
/// ```
///
/// With `bytes`, it gets the input as it is (`Vec<u8>`), and returns bytes or text:
///
/// ```
/// #[leyden_guest::work(bytes)]
/// fn upper(input: Vec<u8>) -> Result<String, std::string::FromUtf8Error> {
///     Ok(String::from_utf8(input)?.to_uppercase())
/// }
/// ```
///
/// The component is built as a library: `crate-type = ["cdylib"]`, and holds one Work. How many of
/// them run, how long, and what they see, stands in the app's `leyden.toml`.
///
/// What cannot be a Work is refused where it stands:
///
/// ```compile_fail
/// #[leyden_guest::work] // a Work returns a `Result`
/// fn count(text: String) -> usize {
///     text.len()
/// }
/// ```
/// ```compile_fail
/// #[leyden_guest::work] // two arguments: make them a tuple or a struct
/// fn add(a: u32, b: u32) -> Result<u32, String> {
///     Ok(a + b)
/// }
/// ```
/// ```compile_fail
/// struct Job; // does not implement `Deserialize`
/// #[leyden_guest::work]
/// fn train(job: Job) -> Result<(), String> {
///     Ok(())
/// }
/// ```
#[cfg(not(target_env = "p1"))]
pub use leyden_guest_macro::work;

/// For what [`macro@work`] generates.
#[cfg(not(target_env = "p1"))]
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::app::bindings;
    pub use crate::app::read_input;
    use crate::app::{BytesOutcome, Outcome};

    pub fn json(outcome: impl Outcome) -> Result<Vec<u8>, String> {
        outcome.into_json()
    }

    pub fn bytes(outcome: impl BytesOutcome) -> Result<Vec<u8>, String> {
        outcome.into_bytes()
    }
}

/// Exports a function from bytes to bytes as `leyden:app/work`; natively there is nothing to do.
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_work {
    ($run:ident) => {};
}

/// Exports a function from bytes to bytes as `leyden:app/work`.
#[cfg(all(target_family = "wasm", not(target_env = "p1")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_work {
    ($run:ident) => {
        struct Work;

        impl $crate::__private::bindings::exports::leyden::app::work::Guest for Work {
            fn run(
                input: ::std::vec::Vec<u8>,
            ) -> ::core::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                $run(input)
            }
        }

        $crate::__private::bindings::export_guest!(Work);
    };
}
