#!/bin/sh
# Debian's linker, with the start-up objects of Debian's wasi-libc that a Rust toolchain with the
# target would bring itself. Libraries (--no-entry) need none: wit-bindgen runs their constructors.
# A component's program gets crt1-reactor.o too, whose _initialize runs constructors once: without
# it, the linker wraps every export with them, and cabi_realloc must not call the host.
flavor=component
if [ "$1" = -flavor ]; then
    flavor=$2 # rustc calls the linker itself: a core module
    shift 2
fi
for argument in "$@"; do
    if [ "$argument" = --no-entry ]; then exec wasm-ld-22 "$@"; fi
done
if [ "$flavor" = component ]; then set -- /usr/lib/wasm32-wasi/crt1-reactor.o "$@"; fi
exec wasm-ld-22 /usr/lib/wasm32-wasi/crt1-command.o "$@"
