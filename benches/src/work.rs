//! A typed Work run with the wasmtime crate alone: instantiated, called, dropped.

use wasmtime::component::{Component, Linker, ResourceTable, ResourceType};
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::WasiCtxBuilder;

use crate::State;

mod bindings {
    #![allow(missing_docs, clippy::all, clippy::indexing_slicing, unreachable_pub)]
    wasmtime::component::bindgen!({
        inline: "package leyden:bare; world bare { export leyden:app/work@0.1.0; }",
        path: "../guest-sdk/wit",
        exports: { default: async },
    });
}

/// A typed Work, linked and ready to be instantiated many times.
#[derive(Clone)]
pub struct Work {
    engine: Engine,
    linked: bindings::BarePre<State>,
}

impl Work {
    /// Links a component to WASI 0.2.
    ///
    /// # Errors
    ///
    /// Where it is no typed Work, or needs more than WASI.
    pub fn new(component: &Component) -> Result<Self> {
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        // Imported by Works that do not ask for one here.
        let mut secrets = linker.instance("leyden:app/secrets@0.1.0")?;
        secrets.resource("secret", ResourceType::host::<()>(), |_, _| Ok(()))?;
        for function in ["get", "[method]secret.reveal", "[method]secret.version"] {
            secrets.func_new(function, |_, _, _, _| wasmtime::bail!("there is none here"))?;
        }
        Ok(Self {
            engine: component.engine().clone(),
            linked: bindings::BarePre::new(linker.instantiate_pre(component)?)?,
        })
    }

    /// Calls it in an instance of its own.
    ///
    /// # Errors
    ///
    /// Where it traps.
    pub async fn run(&self, input: &[u8]) -> Result<Result<Vec<u8>, String>> {
        let state = State {
            wasi: WasiCtxBuilder::new().arg("work").build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, state);
        // As in `Command::run`.
        store.set_epoch_deadline(u64::MAX / 2);
        let work = self.linked.instantiate_async(&mut store).await?;
        work.leyden_app_work().call_run(&mut store, input).await
    }
}
