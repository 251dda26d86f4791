//! Tests of the store as a whole; those of one file stand in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod backup;
mod bed;
mod catalogue;
mod confidential;
mod files;
mod first_use;
mod golden;
mod grants;
mod known;
mod log;
mod model;
mod process;
mod release;
mod rollback;
mod rotation;
mod run_key;
mod slots;
mod storm;
mod tamper;
mod versions;
mod wal;
