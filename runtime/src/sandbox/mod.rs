//! One component instance: engine, linkers, environment, streams, limits, outbound network.
//!
//! The sandbox is handed everything that a guest may have; it knows no secret store.

mod address;
mod cache;
mod egress;
mod ending;
mod engine;
mod entry;
mod environment;
mod failure;
mod files;
mod http;
mod instance;
mod limits;
mod linkers;
mod lookup;
mod mask;
mod program;
mod secrets;
mod started;
mod streams;
mod ticker;
mod trusted;
mod works;

pub use cache::{Cache, CacheReport};
pub use egress::Egress;
pub use ending::Ending;
pub use engine::{Allocation, Sandbox};
pub use environment::{Environment, SecretEntry};
pub use failure::Failure;
pub use files::{FilesError, Preopen};
pub use instance::Setup;
pub use limits::Limits;
pub use mask::Mask;
pub(crate) use program::MAX_ERROR;
pub use program::{Program, Role, SandboxError, World};
pub use started::{MAX_PAYLOAD, Payload, Started, Status};
pub use streams::{Captured, Input, Output};
pub use works::{Starting, Works};
