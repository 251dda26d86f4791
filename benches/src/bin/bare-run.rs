//! `bare-run CODE NAME=VALUE...`: one run of a compiled component, mapped from a file. The least
//! that a command line tool on the wasmtime crate must do.

use leyden_bench::{Command, config};
use wasmtime::component::Component;
use wasmtime::error::Context;
use wasmtime::{Engine, Result, ensure};
use wasmtime_wasi::WasiCtxBuilder;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let code = arguments.next().context("the file of code is missing")?;
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio().arg("app");
    for entry in arguments {
        let (name, value) = entry.split_once('=').context("NAME=VALUE is expected")?;
        wasi.env(name, value);
    }

    let mut config = config(None);
    // As in Leyden, where what is compiled already needs none.
    config.enable_compiler(false);
    let engine = Engine::new(&config)?;
    // SAFETY: the file is run as native code. The benchmark names one that the `leyden` command
    // wrote just before, into a folder of this user.
    #[allow(unsafe_code, reason = "mapping code is what is measured")]
    let component = unsafe { Component::deserialize_file(&engine, code) }?;
    let command = Command::new(&component)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    ensure!(
        runtime.block_on(command.run(&mut wasi))?,
        "the guest failed"
    );
    // As the leyden command does: without taking apart what the process's end takes apart.
    std::process::exit(0);
}
