//! What a file is, by its first bytes: something to run, or what to do about it.

use std::path::Path;

/// What a source holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A WebAssembly component.
    Component,
    /// A WebAssembly core module.
    CoreModule,
    /// WebAssembly text of either kind.
    Text,
}

/// As many first bytes as are looked at.
pub(super) const LOOKED_AT: usize = 4096;

/// What both kinds of WebAssembly binary start with.
const MAGIC: &[u8] = b"\0asm";
/// Version 1, layer 0 (WebAssembly core specification 2.0, 5.5.16).
const CORE: &[u8] = &[1, 0, 0, 0];
/// Version 13, layer 1 (component model, design/mvp/Binary.md).
const COMPONENT: &[u8] = &[13, 0, 1, 0];

impl Kind {
    /// The kind of what starts with these bytes, or what it looks like instead and what to do.
    ///
    /// The path is looked at only where the bytes say nothing to run.
    pub(super) fn of(start: &[u8], path: Option<&Path>) -> Result<Self, &'static str> {
        if let Some(rest) = start.strip_prefix(MAGIC) {
            return match rest {
                rest if rest.starts_with(CORE) => Ok(Self::CoreModule),
                rest if rest.starts_with(COMPONENT) => Ok(Self::Component),
                rest if rest.len() < CORE.len() => {
                    Err("it is WebAssembly cut off after its first bytes; build or copy it again")
                }
                _ => Err(
                    "it is WebAssembly of a version that Leyden does not know; build it for the target wasm32-wasip2",
                ),
            };
        }
        let text = start.trim_ascii_start();
        if text.starts_with(b"(") || text.starts_with(b";;") {
            return Ok(Self::Text);
        }
        Err(looks_like(start, text, path))
    }
}

fn looks_like(start: &[u8], text: &[u8], path: Option<&Path>) -> &'static str {
    const PYTHON: &str = "this is a Python file: make a component of it with componentize-py";
    const JAVASCRIPT: &str =
        "this is a JavaScript file: make a component of it with `jco componentize`";

    if start.is_empty() {
        return "it is empty; was it built to the end?";
    }
    if MAGIC.starts_with(start) {
        return "it is WebAssembly cut off after its first bytes; build or copy it again";
    }
    let extension = path
        .and_then(|path| path.extension()?.to_str())
        .unwrap_or_default();
    if start.starts_with(b"\x7fELF") {
        // wasmtime marks what it precompiled with this ELF OS/ABI.
        const WASMTIME_ABI: u8 = 200;
        return if extension == "cwasm" || start.get(7) == Some(&WASMTIME_ABI) {
            "this is a precompiled .cwasm, which is native code and never loaded: give the .wasm it was made from"
        } else {
            "this is a native Linux program: build it for the target wasm32-wasip2"
        };
    }
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first_line_has = |word: &str| {
        first_line
            .windows(word.len())
            .any(|window| window == word.as_bytes())
    };
    match extension {
        "py" => return PYTHON,
        "js" | "mjs" | "cjs" => return JAVASCRIPT,
        "rs" => return "this is Rust source: build it with `cargo build --target wasm32-wasip2`",
        "c" | "cc" | "cpp" | "go" | "ts" => {
            return "this is source code: compile it to a WASI component first";
        }
        "toml" => return "this is TOML: an app's manifest is called leyden.toml",
        _ => {}
    }
    if text.starts_with(b"#!") {
        return if first_line_has("python") {
            PYTHON
        } else if first_line_has("node") {
            JAVASCRIPT
        } else {
            "this is a script for a native interpreter: what runs here is WebAssembly"
        };
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"\x1f\x8b") {
        return "this is a packed archive: unpack it and give the .wasm in it";
    }
    if start.starts_with(b"MZ") || MACH_O.iter().any(|magic| start.starts_with(magic)) {
        return "this is a native program: build it for the target wasm32-wasip2";
    }
    if extension == "cwasm" {
        return "this is a precompiled .cwasm, which is native code and never loaded: give the .wasm it was made from";
    }
    if start.contains(&0) {
        "it is neither a WebAssembly component nor a module"
    } else {
        "it is text, but not WebAssembly text"
    }
}

/// 64-bit Mach-O in both byte orders, and a universal binary.
const MACH_O: [&[u8]; 3] = [
    &[0xcf, 0xfa, 0xed, 0xfe],
    &[0xfe, 0xed, 0xfa, 0xcf],
    &[0xca, 0xfe, 0xba, 0xbe],
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_runs() {
        for (start, kind) in [
            (&b"\0asm\x01\0\0\0rest"[..], Kind::CoreModule),
            (b"\0asm\x0d\0\x01\0", Kind::Component),
            (b"(component)", Kind::Text),
            (b" \n ;; comment\n(module)", Kind::Text),
            (b"(; comment ;) (module)", Kind::Text),
        ] {
            assert_eq!(Kind::of(start, None), Ok(kind));
            // A wrong extension does not matter.
            assert_eq!(Kind::of(start, Some(Path::new("a.py"))), Ok(kind));
        }
    }

    #[test]
    fn what_does_not_run_says_what_it_is() {
        let elf = |abi: u8| [b"\x7fELF\x02\x01\x01", &[abi][..]].concat();
        for (start, path, words) in [
            (&b""[..], "app.wasm", "empty"),
            (b"\0as", "app.wasm", "cut off"),
            (b"\0asm", "app.wasm", "cut off"),
            (b"\0asm\x01\0\0", "app.wasm", "cut off"),
            (b"\0asm\x02\0\0\0", "app.wasm", "version"),
            (b"\0asm\x0c\0\x01\0", "app.wasm", "version"),
            (&elf(200), "app", ".cwasm"),
            (&elf(0), "app.cwasm", ".cwasm"),
            (&elf(0), "app", "native Linux program"),
            (b"import os\n", "app.py", "componentize-py"),
            (b"#!/usr/bin/env python3\n", "app", "componentize-py"),
            (b"#!/bin/sh\n", "app", "script"),
            (b"console.log(1)", "app.js", "jco"),
            (b"fn main() {}", "main.rs", "cargo build"),
            (b"name = 'a'", "app.toml", "leyden.toml"),
            (b"PK\x03\x04", "app.zip", "archive"),
            (b"MZ\x90", "app.exe", "native program"),
            (b"\x01\0\x02", "app", "neither"),
            (b"hello", "app", "text"),
        ] {
            let shown = Kind::of(start, Some(Path::new(path))).unwrap_err();
            assert!(shown.contains(words), "{path}: {shown}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, path: String) {
            let _ = Kind::of(&bytes, Some(Path::new(&path)));
        }
    }
}
