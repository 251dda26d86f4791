//! `instances GUEST STORE KEY SLICES MILLISECONDS`: how many instances a second run from one bound
//! app, and from the bare wasmtime crate, in turn in this process.
//!
//! Prints a line for each slice of time: concurrent tasks, who, instances a second; by tabs.
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

use std::future::Future;
use std::time::{Duration, Instant};

use leyden::{App, Ending, Host, Input, Key, SecretStore};
use leyden_bench::{Command, engine};
use tokio::runtime::Runtime;
use wasmtime::component::Component;
use wasmtime::error::Context;
use wasmtime::{Result, ensure};
use wasmtime_wasi::WasiCtxBuilder;

/// Instances that either side keeps memory ready for.
const POOL: u32 = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [guest, store, key, slices, length] = arguments.as_slice() else {
        wasmtime::bail!("GUEST STORE KEY SLICES MILLISECONDS are expected");
    };
    let slices: usize = slices.parse()?;
    let length = Duration::from_millis(length.parse()?);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;

    let store = SecretStore::open(store, Key::from_file(key)?)?;
    let host = Host::builder().instances(POOL).secrets(store).build()?;
    let app = App::from_path(guest)?
        .env("FOO", "bar")?
        .secret("MY_APP_SECRET", "my-secret")?
        .secret("OTHER_SECRET", "other-secret")?;
    let bound = runtime.block_on(host.bind(&app))?;
    let leyden = move || {
        let bound = bound.clone();
        async move {
            let outcome = bound.run(Input::default()).await?;
            ensure!(outcome.ending == Ending::Exited(0), "{:?}", outcome.ending);
            Ok(())
        }
    };

    let component = Component::from_file(&engine(Some(POOL))?, guest)?;
    let command = Command::new(&component)?;
    let bare = move || {
        let command = command.clone();
        async move {
            let mut wasi = WasiCtxBuilder::new();
            wasi.arg("app")
                .env("FOO", "bar")
                .env("MY_APP_SECRET", "some-value")
                .env("OTHER_SECRET", "other-value");
            ensure!(command.run(&mut wasi).await?, "the guest failed");
            Ok(())
        }
    };

    let cores = std::thread::available_parallelism()?.get();
    let tasks = if cores == 1 { vec![1] } else { vec![1, cores] };
    for tasks in tasks {
        // What is done for the first time is not what is measured.
        rate(&runtime, tasks, length, &leyden)?;
        rate(&runtime, tasks, length, &bare)?;
        for _ in 0..slices {
            println!(
                "{tasks}\tleyden\t{}",
                rate(&runtime, tasks, length, &leyden)?
            );
            println!("{tasks}\tbare\t{}", rate(&runtime, tasks, length, &bare)?);
        }
    }
    Ok(())
}

/// How often a second `tasks` tasks together do `one` thing, over a slice of time.
fn rate<F, R>(runtime: &Runtime, tasks: usize, length: Duration, one: &F) -> Result<f64>
where
    F: Fn() -> R + Clone + Send + 'static,
    R: Future<Output = Result<()>> + Send,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let one = one.clone();
            runtime.spawn(async move {
                let mut count = 0_u32;
                while start.elapsed() < length {
                    one().await?;
                    count += 1;
                }
                Ok::<u32, wasmtime::Error>(count)
            })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += runtime.block_on(task).context("a task failed")??;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}
