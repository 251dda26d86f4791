//! `leyden:app/works` and `works-async`: how a Flow starts Works and hears of their end.
//!
//! The sandbox runs one instance and knows of no other: what a Flow asks for goes upwards through
//! [`Works`], and what comes back is a [`Started`].

use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::failure::Failure;
use super::instance::State;
use super::started::{self, MAX_PAYLOAD, Started};

use bindings::leyden::app::{types, works, works_async};

/// What `guest-sdk/wit/leyden.wit` says, as Rust.
#[allow(missing_docs, clippy::all, clippy::indexing_slicing, unreachable_pub)]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package leyden:host;
            world contract {
                import leyden:app/works@0.1.0;
                import leyden:app/works-async@0.1.0;
                export leyden:app/work@0.1.0;
            }
        ",
        path: "../guest-sdk/wit",
        imports: {
            "leyden:app/works.start": async | trappable,
            "leyden:app/works.[method]started.output": async | trappable,
            "leyden:app/works-async.start": async | store | trappable,
            "leyden:app/works-async.[method]started.output": async | store | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "wasi:io/poll": wasmtime_wasi::p2::bindings::io::poll,
            "leyden:app/works.started": crate::sandbox::started::Started,
            "leyden:app/works-async.started": crate::sandbox::started::Started,
        },
        require_store_data_send: true,
    });
}

/// Runs the Works that the Flow in an instance starts.
pub trait Works: Send + Sync {
    /// The names of the app's Works, sorted.
    fn names(&self) -> Vec<String>;

    /// Starts a Work, or says at once why not.
    fn start<'a>(&'a self, work: &'a str, input: Vec<u8>) -> Starting<'a>;
}

/// A Work that is about to be started: it waits where the run holds as many inputs as it may.
pub type Starting<'a> = Pin<Box<dyn Future<Output = Started> + Send + 'a>>;

/// Puts both interfaces into a linker.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    works::add_to_linker::<State, HasWorks>(linker, State::works)?;
    works_async::add_to_linker::<State, HasWorks>(linker, State::works)?;
    types::add_to_linker::<State, HasWorks>(linker, State::works)
}

/// Marks this module's implementation for the linker.
pub(super) struct HasWorks;

impl HasData for HasWorks {
    type Data<'a> = WorksView<'a>;
}

/// What these interfaces need of an instance.
pub(super) struct WorksView<'a> {
    pub(super) table: &'a mut ResourceTable,
    /// None in a component that is no Flow.
    pub(super) works: Option<Arc<dyn Works>>,
}

async fn start(works: Option<Arc<dyn Works>>, work: &str, input: Vec<u8>) -> Started {
    let refused = |why: String| Started::ended(Err(Failure::Refused(why)));
    match works {
        None => {
            refused("it is started by what is no Flow, or by that of an app without Works".into())
        }
        Some(_) if input.len() > MAX_PAYLOAD => refused(format!(
            "its input has {} bytes, and the most is {MAX_PAYLOAD} (64 MiB): give it in parts, or \
             as a file",
            input.len()
        )),
        Some(works) => works.start(work, input).await,
    }
}

impl WorksView<'_> {
    fn names(&self) -> Vec<String> {
        self.works.as_ref().map(|w| w.names()).unwrap_or_default()
    }

    fn get(&self, started: &Resource<Started>) -> wasmtime::Result<&Started> {
        Ok(self.table.get(started)?)
    }
}

impl types::Host for WorksView<'_> {}

impl works::Host for WorksView<'_> {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Self::names(self))
    }

    async fn start(&mut self, work: String, input: Vec<u8>) -> wasmtime::Result<Resource<Started>> {
        let started = start(self.works.clone(), &work, input).await;
        Ok(self.table.push(started)?)
    }
}

impl works::HostStarted for WorksView<'_> {
    fn status(&mut self, started: Resource<Started>) -> wasmtime::Result<types::Status> {
        Ok(self.get(&started)?.status().into())
    }

    fn subscribe(&mut self, started: Resource<Started>) -> wasmtime::Result<Resource<DynPollable>> {
        // An entry of its own, which goes with the pollable: it may outlive the `started`.
        let watched = Watched(self.get(&started)?.clone());
        let watched = self.table.push(watched)?;
        subscribe(self.table, watched)
    }

    async fn output(
        &mut self,
        started: Resource<Started>,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Failure>> {
        let started = self.get(&started)?.clone();
        Ok(answer(started.output().await))
    }

    fn stop(&mut self, started: Resource<Started>) -> wasmtime::Result<()> {
        self.get(&started)?.stop();
        Ok(())
    }

    fn drop(&mut self, started: Resource<Started>) -> wasmtime::Result<()> {
        self.table.delete(started)?;
        Ok(())
    }
}

/// A Work that a pollable waits for.
struct Watched(Started);

#[wasmtime_wasi::async_trait]
impl Pollable for Watched {
    async fn ready(&mut self) {
        self.0.wait().await;
    }
}

impl works_async::Host for WorksView<'_> {
    fn names(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Self::names(self))
    }
}

impl works_async::HostStarted for WorksView<'_> {
    fn status(&mut self, started: Resource<Started>) -> wasmtime::Result<types::Status> {
        Ok(self.get(&started)?.status().into())
    }

    fn stop(&mut self, started: Resource<Started>) -> wasmtime::Result<()> {
        self.get(&started)?.stop();
        Ok(())
    }

    fn drop(&mut self, started: Resource<Started>) -> wasmtime::Result<()> {
        self.table.delete(started)?;
        Ok(())
    }
}

impl<T: Send> works_async::HostWithStore<T> for HasWorks {
    async fn start(
        store: &Accessor<T, Self>,
        work: String,
        input: Vec<u8>,
    ) -> wasmtime::Result<Resource<Started>> {
        let works = store.with(|mut access| access.get().works);
        let started = start(works, &work, input).await;
        store.with(|mut access| Ok(access.get().table.push(started)?))
    }
}

impl<T: Send> works_async::HostStartedWithStore<T> for HasWorks {
    async fn output(
        store: &Accessor<T, Self>,
        started: Resource<Started>,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Failure>> {
        let started = store.with(|mut access| access.get().get(&started).cloned())?;
        Ok(answer(started.output().await))
    }
}

fn answer(output: Result<bytes::Bytes, Failure>) -> Result<Vec<u8>, types::Failure> {
    Ok(output?.into())
}

impl From<started::Status> for types::Status {
    fn from(status: started::Status) -> Self {
        match status {
            started::Status::Pending => Self::Pending,
            started::Status::Running => Self::Running,
            started::Status::Succeeded => Self::Succeeded,
            started::Status::Failed => Self::Failed,
            started::Status::Stopped => Self::Stopped,
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Error(text) => Self::Error(text),
            Failure::Trap(reason) => Self::Trap(reason),
            Failure::Exit(status) => Self::Exit(status),
            Failure::TimedOut(limit) => {
                Self::TimedOut(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))
            }
            Failure::OutOfMemory(limit) => Self::OutOfMemory(limit),
            Failure::Stopped => Self::Stopped,
            Failure::Refused(why) => Self::Refused(why),
        }
    }
}
