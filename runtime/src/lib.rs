#![doc = include_str!("crate.md")]

// Its examples are compiled, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub mod app;
pub mod host;
pub mod run;
pub mod sandbox;
pub mod secrets;

mod error;
mod granted;

pub use app::App;
pub use error::Error;
pub use host::{Bound, Host, HostBuilder};
pub use run::{Event, Input, Outcome, Running, Stopper};
pub use sandbox::{Captured, Ending, Output};
pub use secrets::{Key, SecretStore, SecretValue};
