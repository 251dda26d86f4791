//! One component instance: engine, linkers, environment, streams, limits, outbound network.
//!
//! The sandbox is handed everything that a guest may have; it knows no secret store.

mod address;
mod cache;
mod egress;
mod ending;
mod engine;
mod environment;
mod files;
mod http;
mod instance;
mod limits;
mod lookup;
mod program;
mod streams;
mod ticker;
mod trusted;

pub use cache::{Cache, CacheReport};
pub use egress::Egress;
pub use ending::Ending;
pub use engine::{Allocation, Sandbox};
pub use environment::Environment;
pub use files::{FilesError, Preopen};
pub use instance::Setup;
pub use limits::Limits;
pub use program::{Program, SandboxError, World};
pub use streams::{Captured, Input, Output};
