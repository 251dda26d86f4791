//! A component that does nothing but read its environment: what an instance costs by itself.

/// Its text: 500 bytes when compiled to binary, and one page of memory.
pub const SMALL: &str = r#"(component
    (import "wasi:cli/environment@0.2.0" (instance $environment
        (export "get-environment"
            (func (result (list (tuple string string)))))))
    (core module $memory
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $bytes))
    (alias core export $memory "realloc" (core func $realloc))
    (core func $get (canon lower (func $environment "get-environment")
        (memory $bytes) (realloc $realloc)))
    (core module $main
        (import "host" "get" (func $get (param i32)))
        (func (export "run") (result i32)
            (call $get (i32.const 16))
            (i32.const 0)))
    (core instance $main (instantiate $main
        (with "host" (instance (export "get" (func $get))))))
    (func $run (result (result)) (canon lift (core func $main "run")))
    (instance $exported (export "run" (func $run)))
    (export "wasi:cli/run@0.2.0" (instance $exported)))"#;
