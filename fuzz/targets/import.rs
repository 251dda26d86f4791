//! Files of secrets from other tools: read or refused, in each format.
#![no_main]

use std::path::Path;

use leyden_fuzz::secrets::ImportFormat;
use libfuzzer_sys::fuzz_target;

// The first byte chooses the format.
fuzz_target!(|bytes: &[u8]| {
    let Some((first, text)) = bytes.split_first() else {
        return;
    };
    let format = match first % 3 {
        0 => ImportFormat::Env,
        1 => ImportFormat::Json,
        _ => ImportFormat::Yaml,
    };
    let _ = format.read(Path::new("file"), text, "");
});
