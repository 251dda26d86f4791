//! A component run with the wasmtime crate alone, on the engine settings that Leyden uses: what
//! Leyden is measured beside. No audit, no limits, no wiping of what a guest was given.

mod small;
mod work;

pub use small::SMALL;
pub use work::Work;

use wasmtime::Result;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// An engine with Leyden's settings; with a pool for so many instances at once, or none.
///
/// Those that compiled code depends on are checked: the one-shot program maps code out of
/// Leyden's own cache, which wasmtime refuses where settings differ. The pool's are not: they are
/// a copy of those in `runtime/src/sandbox/engine.rs`.
///
/// # Errors
///
/// Where the operating system refuses the address space.
pub fn engine(pool: Option<u32>) -> Result<Engine> {
    Engine::new(&config(pool))
}

/// The settings of [`engine`].
#[must_use]
pub fn config(pool: Option<u32>) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_component_model_async(true)
        .async_stack_size(2 << 20)
        .async_stack_zeroing(true);
    if let Some(instances) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(instances)));
    }
    config
}

fn pooling(instances: u32) -> PoolingAllocationConfig {
    let all = |of_one: u32| instances.saturating_mul(of_one);
    let kept = 64 << 10;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(all(64))
        .total_memories(all(4))
        .total_tables(all(16))
        .total_stacks(all(4))
        .total_gc_heaps(instances)
        .max_core_instances_per_component(64)
        .max_memories_per_component(4)
        .max_tables_per_component(16)
        .max_memories_per_module(4)
        .max_tables_per_module(16)
        .table_elements(100_000)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        .decommit_batch_size(1)
        .linear_memory_keep_resident(kept)
        .table_keep_resident(kept)
        .async_stack_keep_resident(kept)
        .pagemap_scan(Enabled::No);
    pool
}

/// What stands in the store of one instance.
pub struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// A command component, linked and ready to be instantiated many times.
#[derive(Clone)]
pub struct Command {
    engine: Engine,
    linked: CommandPre<State>,
}

impl Command {
    /// Links a component to WASI 0.2.
    ///
    /// # Errors
    ///
    /// Where it is not a command.
    pub fn new(component: &Component) -> Result<Self> {
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Ok(Self {
            engine: component.engine().clone(),
            linked: CommandPre::new(linker.instantiate_pre(component)?)?,
        })
    }

    /// Runs one instance; whether it succeeded.
    ///
    /// # Errors
    ///
    /// Where it traps.
    pub async fn run(&self, wasi: &mut WasiCtxBuilder) -> Result<bool> {
        let state = State {
            wasi: wasi.build(),
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&self.engine, state);
        // Nobody advances the epoch: the check is compiled in and never strikes.
        store.set_epoch_deadline(1);
        let command = self.linked.instantiate_async(&mut store).await?;
        Ok(command.wasi_cli_run().call_run(&mut store).await?.is_ok())
    }
}
