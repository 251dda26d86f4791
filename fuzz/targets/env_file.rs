//! Files for `--env-file`.
#![no_main]

use std::path::Path;

use leyden_fuzz::app::parse_env_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_env_file(Path::new("file.env"), bytes);
});
