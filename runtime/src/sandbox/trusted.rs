//! The one module with unsafe code: loading compiled code, waiting on a descriptor, and wiping what
//! a trap leaves of the processor's registers.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use super::program::Compiled;

/// Code as the compiler gave it, which nobody had a hand in since.
pub(super) struct Code(Vec<u8>);

impl Code {
    pub(super) fn of_component(compiler: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        compiler.precompile_component(component).map(Self)
    }

    pub(super) fn of_module(compiler: &Engine, module: &[u8]) -> wasmtime::Result<Self> {
        compiler.precompile_module(module).map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Makes it ready to be run.
    ///
    /// # Errors
    ///
    /// Where the engine has other settings than the one that compiled it, or there is no memory.
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Compiled> {
        match Engine::detect_precompiled(&self.0) {
            // SAFETY: it runs as native code. It is the compiler's own: there is no other way to
            // make a `Code`.
            Some(Precompiled::Component) => {
                unsafe { Component::deserialize(engine, &self.0) }.map(Compiled::Component)
            }
            // SAFETY: as above.
            _ => unsafe { Module::deserialize(engine, &self.0) }.map(Compiled::Module),
        }
    }
}

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

/// How much of a signal stack is wiped, in bytes: more than the kernel ever saves of the registers
/// (some 11 KiB with AVX-512 and AMX), which it does at the stack's upper end.
const SIGNAL_FRAME: usize = 32 << 10;

/// Wipes the saved registers that a trap has left on this thread's signal stack.
///
/// Many traps are signals. The kernel saves all registers on the thread's alternate stack, and a
/// vector register may still hold a part of what was last copied: the guest's environment.
pub(super) fn wipe_signal_stack() {
    let mut stack = libc::stack_t {
        ss_sp: std::ptr::null_mut(),
        ss_flags: 0,
        ss_size: 0,
    };
    // SAFETY: sigaltstack(2) with no new stack only writes to `stack`, which is one.
    let asked = unsafe { libc::sigaltstack(std::ptr::null(), &mut stack) };
    let in_use = stack.ss_flags & (libc::SS_ONSTACK | libc::SS_DISABLE) != 0;
    if asked != 0 || in_use || stack.ss_sp.is_null() {
        return;
    }
    let size = stack.ss_size.min(SIGNAL_FRAME);
    // SAFETY: the kernel has just said that this thread's signal stack is there, and that no
    // handler runs on it: these are its last `size` bytes, which nobody reads any more. Volatile,
    // because for the compiler nobody ever does.
    unsafe {
        let end = stack.ss_sp.cast::<u8>().add(stack.ss_size - size);
        for at in 0..size {
            end.add(at).write_volatile(0);
        }
    }
}
