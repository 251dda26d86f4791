//! The one module with unsafe code: mapping compiled code, and waiting on a descriptor.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use super::program::Compiled;

/// Maps code that an earlier run compiled. `None` where the file is not such code, or of another
/// version or other settings of the engine.
///
/// The caller must have checked the open descriptor: a regular file that this user owns, that
/// nobody else can write to, in the cache's own folder.
pub(super) fn map_compiled(engine: &Engine, file: &File) -> Option<Compiled> {
    // By way of the descriptor, so that what was checked is what is mapped.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match Engine::detect_precompiled_file(&path).ok()?? {
        // SAFETY: mapped code runs as native code. It is written by `Cache::put` alone, which
        // names a file only once all of it is on disk, into a folder that only this user can
        // write to; both are checked on open descriptors before this call. wasmtime itself
        // compares its version and the engine's settings.
        Precompiled::Component => unsafe { Component::deserialize_file(engine, &path) }
            .ok()
            .map(Compiled::Component),
        // SAFETY: as above.
        Precompiled::Module => unsafe { Module::deserialize_file(engine, &path) }
            .ok()
            .map(Compiled::Module),
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

/// Registers a descriptor with the executor, to wait until it can be written to.
///
/// # Errors
///
/// The operating system's, for descriptors that cannot be waited for.
pub(super) fn wait_for_writable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor must stay the same one, and open, while it is registered. `AsyncFd`
    // owns the `OwnedFd`, which guarantees both.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::WRITABLE) };
    Ok(registered?)
}
