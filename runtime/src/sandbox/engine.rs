//! The engine: made once for each host, shared by all instances.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::app::{ComponentSource, HostRule, Kind};

use super::cache::Cache;
use super::egress::Egress;
use super::http;
use super::instance::is_the_hosts;
use super::linkers::Linkers;
use super::program::{Compiled, Program, Role, SandboxError, engine_failed, not_runnable};
use super::ticker::Ticker;
use super::trusted::Code;

/// How memory for instances is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// Mapped for each instance: for a command that runs one.
    OnDemand,
    /// Kept ready for so many instances at once: for a service. Making the pool takes
    /// milliseconds and reserves address space, not memory.
    Pool(u32),
}

/// Host stack of an instance, in bytes.
const STACK: usize = 2 << 20;
/// What is kept in memory of each finished instance's slot; it is zeroed before it is kept.
const KEEP_RESIDENT: usize = 64 << 10;
/// What one component may have where instances are pooled. Rust's have 5 core instances and 2
/// tables, Python's 14 and 2; both one memory.
const CORE_INSTANCES: u32 = 64;
const MEMORIES: u32 = 4;
const TABLES: u32 = 16;
/// Stacks of one instance at once: WASI 0.3 guests have one for each of their tasks.
const STACKS: u32 = 4;

/// Engine, linkers and cache; clones share them.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

struct Shared {
    /// Runs what was compiled. It has no compiler: making one takes longer than mapping code that
    /// is in the cache.
    engine: Engine,
    /// The same with a compiler, made when the first program is compiled.
    compiler: OnceLock<Engine>,
    linkers: Linkers,
    ticker: Ticker,
    cache: Option<Cache>,
    tls: Mutex<Option<Arc<rustls::ClientConfig>>>,
}

impl Sandbox {
    /// Starts an engine.
    ///
    /// # Errors
    ///
    /// Where the operating system refuses the address space, or on an unknown processor.
    pub fn new(allocation: Allocation, cache: Option<Cache>) -> Result<Self, SandboxError> {
        let mut config = config();
        config.enable_compiler(false);
        if let Allocation::Pool(instances) = allocation {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
        }
        let engine = Engine::new(&config).map_err(engine_failed)?;
        Ok(Self(Arc::new(Shared {
            compiler: OnceLock::new(),
            linkers: Linkers::default(),
            ticker: Ticker::new(engine.clone()),
            engine,
            cache,
            tls: Mutex::default(),
        })))
    }

    /// A component's way out to what these rules allow. Reads the system's TLS roots when the
    /// first such component needs them.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Tls`].
    pub fn egress(&self, rules: Vec<HostRule>) -> Result<Egress, SandboxError> {
        if rules.is_empty() {
            return Ok(Egress::new(rules, None));
        }
        let mut tls = self.0.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = match &*tls {
            Some(shared) => Arc::clone(shared),
            None => Arc::clone(tls.insert(Arc::new(http::tls().map_err(SandboxError::Tls)?))),
        };
        drop(tls);
        Ok(Egress::new(rules, Some(&shared)))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(super) fn linkers(&self) -> &Linkers {
        &self.0.linkers
    }

    pub(super) fn ticker(&self) -> &Ticker {
        &self.0.ticker
    }

    /// Compiles a component or module, or finds it compiled in the cache, and links it.
    ///
    /// `role` says what it must be able to run as. With `exact`, the source's bytes are read and hashed, and what runs is what they say: for
    /// apps with secrets. Otherwise a file that has not changed since it was last read is taken
    /// at its word.
    ///
    /// # Errors
    ///
    /// [`SandboxError::NotRunnable`] where it is invalid or needs what this host does not give;
    /// an error of reading the source.
    pub fn load(
        &self,
        source: &ComponentSource,
        role: Role,
        exact: bool,
    ) -> Result<Program, crate::Error> {
        let cache = self.0.cache.as_ref();
        if !exact
            && let (Some(cache), Some(file)) = (cache, source.file_id())
            && let Some(digest) = cache.digest_of(&file)
            && let Some(compiled) = cache.get(self.engine(), &digest)
        {
            return Ok(Program::new(self, digest, &compiled, role)?);
        }
        let digest = source.digest()?;
        let compiled = match cache.and_then(|cache| cache.get(self.engine(), &digest)) {
            Some(compiled) => compiled,
            None => self.compile(source)?,
        };
        let program = Program::new(self, digest, &compiled, role)?;
        if let (Some(cache), Some(file)) = (cache, source.file_id())
            && cache.digest_of(&file) != Some(digest)
        {
            // A cache that cannot be written costs time, not correctness.
            let _ = cache.remember(&file, &digest);
        }
        Ok(program)
    }

    fn compile(&self, source: &ComponentSource) -> Result<Compiled, crate::Error> {
        let bytes = source.bytes()?;
        let text;
        let (kind, bytes) = match source.kind() {
            Kind::Text => {
                text = wat::parse_bytes(bytes)
                    .map_err(|error| not_runnable(wasmtime::Error::msg(in_short(&error))))?;
                (binary_kind(&text), &text[..])
            }
            kind => (kind, bytes),
        };
        let compiler = self.compiler()?;
        let code = match kind {
            Kind::Component => Code::of_component(compiler, bytes),
            _ => Code::of_module(compiler, bytes),
        }
        .map_err(not_runnable)?;
        let code = Arc::new(code);
        if let Some(cache) = &self.0.cache {
            cache.put(&source.digest()?, Arc::clone(&code));
        }
        let loaded = code.load(self.engine()).map_err(|error| {
            match is_the_hosts(&error) {
                true => engine_failed(error),
                // It does not fit into what an instance in a pool has.
                false => not_runnable(error),
            }
        });
        Ok(loaded?)
    }

    fn compiler(&self) -> Result<&Engine, SandboxError> {
        if let Some(compiler) = self.0.compiler.get() {
            return Ok(compiler);
        }
        let compiler = Engine::new(&config()).map_err(engine_failed)?;
        Ok(self.0.compiler.get_or_init(|| compiler))
    }
}

/// What is wrong with a text, and where: without the line itself, which may be of a file that was
/// never meant to be read here.
fn in_short(error: &wat::Error) -> String {
    let whole = error.to_string();
    let mut lines = whole.lines();
    let what = lines.next().unwrap_or_default();
    let place = lines.find_map(|line| line.trim_start().strip_prefix("--> "));
    // The place is `<anon>:LINE:COLUMN`.
    match place.and_then(|place| place.split_once(':')) {
        Some((_, place)) => format!("{what} (line and column {place})"),
        None => what.to_owned(),
    }
}

/// The kind of WebAssembly that text was turned to.
fn binary_kind(bytes: &[u8]) -> Kind {
    // Layer 1 of the preamble is a component (component-model, Binary.md).
    match bytes.get(6..8) {
        Some([1, 0]) => Kind::Component,
        _ => Kind::CoreModule,
    }
}

/// What compiled code depends on, and how stacks are had.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_component_model_async(true)
        .async_stack_size(STACK)
        // Stacks are reused in a pool: what a guest left there is wiped.
        .async_stack_zeroing(true);
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    // Each of the promised instances may use all that one component may: the totals are what one
    // takes, that many times. Core instances and stacks cost nothing until used; memories and
    // tables cost address space.
    let all = |of_one: u32| instances.saturating_mul(of_one);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(all(CORE_INSTANCES))
        .total_memories(all(MEMORIES))
        .total_tables(all(TABLES))
        .total_stacks(all(STACKS))
        .total_gc_heaps(instances)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .table_elements(100_000)
        .max_core_instance_size(4 << 20)
        .max_component_instance_size(4 << 20)
        // A finished guest's memory is given back or zeroed at once: in batches, its secrets
        // would stay resident.
        .decommit_batch_size(1)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .async_stack_keep_resident(KEEP_RESIDENT)
        // Before wasmtime 50 it misses pages that were swapped out, and hands one guest's memory
        // to the next.
        .pagemap_scan(Enabled::No);
    pool
}
