//! One running instance: wasmtime's store, what stands in it, and its run from start to end.

use std::sync::Arc;

use wasmtime::{Store, UpdateDeadline};
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
use super::limits::{HOSTCALL_FUEL, Limiter, Limits, MAX_HANDLES, MAX_HTTP_FIELDS, MAX_RESOURCES};
use super::lookup::LookupView;
use super::program::{Pre, SandboxError};
use super::streams::{Closed, Input, Output};

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
    /// Folders.
    pub folders: Vec<Preopen>,
    /// Way out to the network.
    pub egress: Arc<Egress>,
    /// Limits of memory and time.
    pub limits: Limits,
}

/// What stands in wasmtime's store for one instance.
pub(super) struct State {
    pub(super) environment: Environment,
    pub(super) wasi: WasiP1Ctx,
    http: WasiHttpCtx,
    hooks: Hooks,
    limiter: Limiter,
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
    fn new(setup: &Setup, closed: &Closed) -> Result<Self, SandboxError> {
        // No environment is set here: were our own `get-environment` ever missing, a guest would
        // see none.
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&setup.arguments)
            .stdin(setup.stdin.stream())
            .stdout(setup.stdout.stream(closed))
            .stderr(setup.stderr.stream(closed));
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
        wasi.ctx().table.set_max_capacity(MAX_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_HTTP_FIELDS);
        Ok(Self {
            environment: setup.environment.clone(),
            wasi,
            http,
            hooks: Hooks(Arc::clone(&setup.egress)),
            limiter: Limiter::new(&setup.limits),
        })
    }

    pub(super) fn lookup(&mut self) -> LookupView<'_> {
        LookupView {
            sockets: self.wasi.sockets(),
            egress: &self.hooks.0,
        }
    }
}

/// Runs one instance from start to end. Dropping the future stops it.
pub(super) async fn run(
    sandbox: &Sandbox,
    pre: &Pre,
    setup: &Setup,
) -> Result<Ending, SandboxError> {
    let closed = Closed::default();
    let mut store = Store::new(sandbox.engine(), State::new(setup, &closed)?);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(HOSTCALL_FUEL);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
    let _running = sandbox.ticker().start().map_err(SandboxError::Ticker)?;

    // Epochs end a guest that computes; the time-out and the closed output also end one that is
    // parked in a call to the host.
    let limit = setup.limits.timeout;
    let ended = tokio::select! {
        biased;
        result = pre.call(&mut store) => Some(result),
        () = closed.wait() => return Ok(Ending::OutputClosed),
        () = sleep(limit) => None,
    };
    match ended {
        None => Ok(Ending::TimedOut(limit.unwrap_or_default())),
        Some(Ok(status)) => Ok(Ending::Exited(status)),
        Some(Err(error)) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            Err(SandboxError::Full)
        }
        Some(Err(error)) if error.is::<std::io::Error>() => {
            Err(SandboxError::Host(ending::one_line(&error.to_string())))
        }
        Some(Err(error)) => {
            let refused = store.data().limiter.refused_memory;
            Ok(Ending::of_error(&error, &setup.limits, refused))
        }
    }
}

async fn sleep(limit: Option<std::time::Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}
