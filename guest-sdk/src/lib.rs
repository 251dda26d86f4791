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
//! Outside a sandbox, as in an app's own unit tests, the same functions read the environment of the
//! process. Every [`Error`] names the variable, and none repeats its value.

mod config;
mod env;
mod error;
mod secret;

pub use config::from_env;
pub use env::{env, env_as};
pub use error::Error;
pub use secret::{Secret, secret};
