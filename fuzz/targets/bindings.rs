//! The forms of `--env`, `--secret`, `--dir` and `--allow-host`: what is read is shown alike.
#![no_main]

use leyden_fuzz::app::{DirRule, EnvEntry, HostRule, Scoped, SecretBinding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = text.parse::<Scoped<EnvEntry>>();
    let _ = text.parse::<Scoped<SecretBinding>>();
    let _ = text.parse::<Scoped<DirRule>>();
    let _ = text.parse::<Scoped<HostRule>>();
    if let Ok(rule) = text.parse::<HostRule>() {
        assert_eq!(rule.to_string().parse::<HostRule>().as_ref(), Ok(&rule));
    }
});
