//! What of Leyden reads bytes from outside and does not know wasmtime: its modules themselves,
//! compiled here with the coverage that leads the fuzzer, so that wasmtime is not compiled at all.
#![allow(dead_code, unused_imports, missing_docs, unreachable_pub)]

#[path = "../../runtime/src/app/mod.rs"]
pub mod app;
#[path = "../../runtime/src/secrets/mod.rs"]
pub mod secrets;
