//! What Leyden gives an app's components beside WASI: the app's Works, and secrets as bytes. As
//! WIT has it, `leyden:app`, which WASI 0.1 cannot ask.

mod failure;
#[cfg_attr(target_family = "wasm", path = "wasi.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "native.rs")]
mod host;
mod json;
mod map;
mod secret_bytes;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod work;

pub use failure::{Failure, Status, WorkError};
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use host::bindings;
pub use json::read_input;
pub(crate) use json::{BytesOutcome, Outcome};
pub use map::Map;
pub use secret_bytes::{SecretBytes, secret_bytes};
pub use work::{AsCompleted, Started, Work, as_completed, wait_any, work};
