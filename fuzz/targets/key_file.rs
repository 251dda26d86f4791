//! Bytes given as a key file.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use leyden_fuzz::secrets::Key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let _ = Key::from_file(file.path());
});
