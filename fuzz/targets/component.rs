//! Bytes given as APP: recognised, or refused.
#![no_main]

use leyden_fuzz::app::App;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = leyden_fuzz::app::imports(bytes);
    if let Ok(app) = App::from_bytes("app", bytes) {
        let _ = app.digest();
        let _ = app.plan();
    }
});
