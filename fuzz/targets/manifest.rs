//! `leyden.toml`, as a downloaded app has it.
#![no_main]

use std::path::Path;

use leyden_fuzz::app::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(Path::new("leyden.toml"), bytes);
});
