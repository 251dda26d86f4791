//! `in-process instances GUEST STORE KEY SLICES MILLISECONDS`: how long an instance lives that does
//! next to nothing, and how many of them run a second, from one bound app and from the bare wasmtime
//! crate. Two of the ten entries in their environment are secrets.
//!
//! Prints a line for each slice of time: what, concurrent tasks, who, instances a second; by tabs.

use std::future::Future;
use std::time::{Duration, Instant};

use leyden::{App, Ending, Host, Input, Key, SecretStore};
use leyden_bench::{Command, SMALL, engine};
use tokio::runtime::Runtime;
use wasmtime::component::Component;
use wasmtime::error::Context;
use wasmtime::{Engine, Result, ensure};
use wasmtime_wasi::WasiCtxBuilder;

/// Instances that either side keeps memory ready for.
const POOL: u32 = 64;
/// Entries of environment that are no secrets.
const PLAIN: usize = 8;
/// How many tasks run instances at once.
const TASKS: [usize; 5] = [1, 2, 4, 16, 64];

pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    let [guest, store, key, slices, length] = arguments else {
        wasmtime::bail!("GUEST STORE KEY SLICES MILLISECONDS are expected");
    };
    let slices: usize = slices.parse()?;
    let length = Duration::from_millis(length.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let store = SecretStore::open(store, Key::from_file(key)?)?;
    let host = Host::builder()
        .instances(POOL)
        // Works would have a pool of their own beside this one.
        .works(0)
        .secrets(store)
        .build()?;
    let engine = engine(Some(POOL))?;

    let folder = std::env::current_dir()?;
    let small = folder.join("small.wat");
    std::fs::write(&small, SMALL)?;
    for (what, guest) in [("small", &*small), ("rust", guest.as_ref())] {
        let sides = Sides::new(&runtime, &host, &engine, guest)?;
        for tasks in TASKS {
            sides.compare(&runtime, what, tasks, slices, length)?;
        }
    }
    Ok(())
}

/// The same guest on either side.
struct Sides {
    bound: leyden::Bound,
    command: Command,
}

impl Sides {
    fn new(
        runtime: &Runtime,
        host: &Host,
        engine: &Engine,
        guest: &std::path::Path,
    ) -> Result<Self> {
        let mut app = App::from_path(guest)?
            .secret("MY_APP_SECRET", "my-secret")?
            .secret("OTHER_SECRET", "other-secret")?;
        for (name, value) in plain() {
            app = app.env(&name, &value)?;
        }
        Ok(Self {
            bound: runtime.block_on(host.bind(&app))?,
            command: Command::new(&Component::from_file(engine, guest)?)?,
        })
    }

    fn compare(
        &self,
        runtime: &Runtime,
        what: &str,
        tasks: usize,
        slices: usize,
        length: Duration,
    ) -> Result<()> {
        let bound = self.bound.clone();
        let leyden = move || {
            let bound = bound.clone();
            async move {
                let outcome = bound.run(Input::default()).await?;
                ensure!(outcome.ending == Ending::Exited(0), "{:?}", outcome.ending);
                Ok(())
            }
        };
        let (command, entries) = (self.command.clone(), std::sync::Arc::new(plain()));
        let bare = move || {
            let (command, entries) = (command.clone(), entries.clone());
            async move {
                let mut wasi = WasiCtxBuilder::new();
                wasi.arg("app")
                    .env("MY_APP_SECRET", "some-value")
                    .env("OTHER_SECRET", "other-value");
                for (name, value) in &*entries {
                    wasi.env(name, value);
                }
                ensure!(command.run(&mut wasi).await?, "the guest failed");
                Ok(())
            }
        };
        // What is done for the first time is not what is measured.
        rate(runtime, tasks, length, &leyden)?;
        rate(runtime, tasks, length, &bare)?;
        for _ in 0..slices {
            for (who, rate) in [
                ("leyden", rate(runtime, tasks, length, &leyden)?),
                ("bare", rate(runtime, tasks, length, &bare)?),
            ] {
                println!("{what}\t{tasks}\t{who}\t{rate}");
            }
        }
        Ok(())
    }
}

fn plain() -> Vec<(String, String)> {
    let entry = |number| (format!("ENTRY_{number}"), format!("value of {number}"));
    let mut entries = vec![("FOO".to_owned(), "bar".to_owned())];
    entries.extend((1..PLAIN).map(entry));
    entries
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
