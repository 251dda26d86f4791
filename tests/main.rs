//! What a user of Leyden sees, end to end: real components, real processes, real files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test that fails may panic"
)]

mod support;

mod admin_attacks;
mod admin_browser;
mod at_rest;
mod audit;
mod bindings;
mod command;
mod conformance;
mod embedding;
mod environment;
mod examples;
mod files;
mod grants;
mod journal;
mod keyring;
mod keys;
mod manifest;
mod manners;
mod masking;
mod memory;
mod moving;
mod network;
mod robust;
mod scope;
mod seeds;
mod terminal;
mod versions;
mod works;
mod works_model;
