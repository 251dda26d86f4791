//! One running instance: wasmtime's store, what stands in it, and its run from start to end.

use std::sync::Arc;

use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::egress::Egress;
use super::ending::{self, Ending};
use super::engine::Sandbox;
use super::environment::Environment;
use super::files::Preopen;
use super::http::Hooks;
use super::limits::{Counts, HOSTCALL_FUEL, Limiter, Limits, MAX_HTTP_FIELDS, MAX_TABLE_ELEMENTS};
use super::lookup::LookupView;
use super::mask::Mask;
use super::program::{Called, Pre, SandboxError};
use super::streams::{Closed, GuestOutput, Input, Output};
use super::trusted;
use super::works::{Works, WorksView};

/// All that one instance is given.
#[derive(Clone)]
pub struct Setup {
    /// Its environment, whole: nothing else is added.
    pub environment: Environment,
    /// Its arguments; the first is by custom the program's name.
    pub arguments: Vec<String>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// What is taken out of standard error.
    pub mask: Arc<Mask>,
    /// Whether it is taken out of standard output, too.
    pub mask_stdout: bool,
    /// Folders.
    pub folders: Vec<Preopen>,
    /// Way out to the network.
    pub egress: Arc<Egress>,
    /// Limits of memory and time.
    pub limits: Limits,
    /// Who runs Works for it, where it is a Flow.
    pub works: Option<Arc<dyn Works>>,
}

/// What stands in wasmtime's store for one instance.
pub(super) struct State {
    pub(super) environment: Environment,
    pub(super) wasi: WasiP1Ctx,
    http: WasiHttpCtx,
    hooks: Hooks,
    limiter: Limiter,
    works: Option<Arc<dyn Works>>,
}

/// The outputs of one instance.
struct Outputs {
    stdout: GuestOutput,
    stderr: GuestOutput,
}

impl Outputs {
    fn new(setup: &Setup, closed: &Closed) -> Self {
        let mask = Some(&setup.mask).filter(|mask| !mask.is_empty());
        Self {
            stdout: setup
                .stdout
                .stream(closed, mask.filter(|_| setup.mask_stdout)),
            stderr: setup.stderr.stream(closed, mask),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.wasi.ctx()
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: self.wasi.ctx().table,
            ctx: &mut self.http,
        }
    }
}

impl State {
    fn new(setup: Setup, outputs: &Outputs) -> Result<Self, SandboxError> {
        // No environment is set here: were our own `get-environment` ever missing, a guest would
        // see none.
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&setup.arguments)
            .stdin(setup.stdin.stream())
            .stdout(outputs.stdout.clone())
            .stderr(outputs.stderr.clone());
        for folder in &setup.folders {
            let permissions = if folder.read_only {
                FsPerms::ReadOnly
            } else {
                FsPerms::ReadWrite
            };
            wasi.preopened_dir(folder.opened_path(), &folder.guest, permissions)
                .map_err(|error| SandboxError::Folder {
                    path: folder.path.clone(),
                    reason: format!("{error:#}"),
                })?;
        }
        if setup.egress.opens_tcp() {
            let egress = Arc::clone(&setup.egress);
            wasi.allow_tcp(true)
                .socket_addr_check(move |address, usage| {
                    let allowed = match usage {
                        // Each connection binds first; to the wildcard address it tells nothing.
                        SocketAddrUse::TcpBind => {
                            address.ip().is_unspecified() && address.port() == 0
                        }
                        SocketAddrUse::TcpConnect => egress.may_connect(address),
                        _ => false,
                    };
                    Box::pin(async move { allowed })
                });
        }
        let mut wasi = wasi.build_p1();
        wasi.ctx()
            .table
            .set_max_capacity(Counts::of(&setup).resources);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_HTTP_FIELDS);
        Ok(Self {
            limiter: Limiter::new(&setup.limits),
            // Moved, not shared once more: the count of owners is one place in memory, which all
            // threads that run instances write to.
            environment: setup.environment,
            wasi,
            http,
            hooks: Hooks(setup.egress),
            works: setup.works,
        })
    }

    pub(super) fn lookup(&mut self) -> LookupView<'_> {
        LookupView {
            sockets: self.wasi.sockets(),
            egress: &self.hooks.0,
        }
    }

    pub(super) fn works(&mut self) -> WorksView<'_> {
        WorksView {
            table: self.wasi.ctx().table,
            works: self.works.clone(),
        }
    }
}

/// Runs one instance from start to end; a typed Work is called with `input`. Dropping the future
/// stops it.
pub(super) async fn run(
    sandbox: &Sandbox,
    pre: &Pre,
    setup: Setup,
    input: &[u8],
) -> Result<Called, SandboxError> {
    let closed = Closed::default();
    let outputs = Outputs::new(&setup, &closed);
    let (limits, counts) = (setup.limits, Counts::of(&setup));
    let mut store = Store::new(sandbox.engine(), State::new(setup, &outputs)?);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(HOSTCALL_FUEL);
    store.set_max_component_handles(counts.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));

    // Epochs end a guest that computes; the time-out and the closed output also end one that is
    // parked in a call to the host.
    let limit = limits.timeout;
    let since = std::time::Instant::now();
    let ended = tokio::select! {
        biased;
        result = sandbox.ticker().attend(pre.call(&mut store, input)) => {
            Some(result.map_err(SandboxError::Ticker)?)
        }
        () = closed.wait() => return Ok(Called::Ended(Ending::OutputClosed)),
        () = sleep(limit) => None,
    };
    if let Some(Err(_)) = &ended {
        // On the thread of the trap still: nothing was awaited since.
        trusted::wipe_signal_stack();
    }
    outputs.stdout.finish();
    outputs.stderr.finish();
    // An embedder's output may have held it, and this thread, beyond its limit.
    let ended = ended.filter(|_| limit.is_none_or(|limit| since.elapsed() <= limit));
    let ending = match ended {
        // It may have ended by itself after its write failed, as programs of WASI 0.3 do.
        Some(_) if closed.is_so() => Ending::OutputClosed,
        None => Ending::TimedOut(limit.unwrap_or_default()),
        Some(Ok(called)) => return Ok(called),
        Some(Err(error)) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            return Err(SandboxError::Full);
        }
        Some(Err(error)) if is_the_hosts(&error) => {
            let why = ending::one_line(&error.to_string());
            let why = format!("{why}; `ulimit -a` shows the limits of this process");
            return Err(SandboxError::Host(why));
        }
        Some(Err(error)) if let Some(most) = most_handles(&error, &counts) => {
            Ending::Trapped(format!(
                "it holds {most} handles (of started Works, pollables, files, streams, secrets), \
                 which is the most: drop what it needs no more"
            ))
        }
        Some(Err(error)) => {
            let limiter = &store.data().limiter;
            let ending = Ending::of_error(&error, &limits, limiter.refused_memory);
            // A guest that grows a table is told so; what ends it then is a trap of its own.
            if limiter.refused_table && matches!(ending, Ending::Trapped(_)) && !error.is::<Trap>()
            {
                return Err(SandboxError::NotRunnable(format!(
                    "its tables have more elements than one instance may have, \
                     {MAX_TABLE_ELEMENTS} in all"
                )));
            }
            ending
        }
    };
    Ok(Called::Ended(ending))
}

/// How many handles it may hold, where an instance ended because it held as many.
fn most_handles(error: &wasmtime::Error, counts: &Counts) -> Option<usize> {
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Some(counts.resources);
    }
    // wasmtime tells it by these words alone (`vm/component/handle_table.rs`).
    let text = error.root_cause().to_string();
    text.ends_with("store handle limit exceeded")
        .then_some(counts.handles)
}

/// Whether the operating system refused what an instance needs.
pub(super) fn is_the_hosts(error: &wasmtime::Error) -> bool {
    error.is::<std::io::Error>() || error.is::<rustix::io::Errno>()
}

async fn sleep(limit: Option<std::time::Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
