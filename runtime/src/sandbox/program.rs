//! A component or core module, compiled, linked and ready to be instantiated many times.

use std::path::PathBuf;

use bytes::Bytes;
use wasmtime::component::{Component, InstancePre as ComponentPre};
use wasmtime::{ExportType, InstancePre as ModulePre, Module, Store};
use wasmtime_wasi::{p2, p3};

use crate::app::Digest;

use super::ending::{self, Ending};
use super::engine::Sandbox;
use super::entry::Entry;
use super::failure::Failure;
use super::instance::{self, Setup, State};
use super::limits::MAX_TABLE_ELEMENTS;
use super::started::MAX_PAYLOAD;
use super::streams::{Input, Output};
use super::works::bindings::ContractPre as WorkPre;

/// Why something cannot be run; each is Leyden's or the component's fault, not the guest's end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The bytes are no valid component or module, or it needs what this host does not give.
    #[error("it cannot be run: {0}")]
    NotRunnable(String),
    /// The folder of compiled components cannot be used.
    #[error("the cache folder {} cannot be used: {reason}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// Why not, and what mends it.
        reason: String,
    },
    /// A folder could not be opened for the instance.
    #[error("the folder {} cannot be opened: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// The operating system did not give the memory or stack that an instance needs.
    #[error("the operating system gave no room for an instance: {0}")]
    Host(String),
    /// All slots of the pool are taken.
    #[error("as many instances run as this host was built for; wait, or build it for more")]
    Full,
    /// TLS for outbound HTTPS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] rustls::Error),
    /// The engine could not be made.
    #[error("the WebAssembly engine cannot be started: {0}")]
    Engine(String),
    /// The thread that guards time limits could not be started.
    #[error("no thread can be started to guard time limits: {0}")]
    Ticker(#[source] std::io::Error),
}

/// The longest error that a Work can return, in bytes; the rest is cut off.
pub(crate) const MAX_ERROR: usize = 64 << 10;

/// Compiled code of either kind.
#[derive(Clone)]
pub(super) enum Compiled {
    Component(Component),
    Module(Module),
}

/// Which version of WASI a program is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// A core module of WASI 0.1 (or its predecessor).
    Wasi01,
    /// A component that exports `wasi:cli/run@0.2`.
    Wasi02,
    /// A component that exports `wasi:cli/run@0.3`.
    Wasi03,
    /// A typed Work: a component that exports `leyden:app/work@0.1`.
    Work,
}

/// What a program is to be run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The Flow: a program.
    Flow,
    /// A Work: a typed one, or a program.
    Work,
}

impl std::fmt::Display for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wasi01 => "WASI 0.1",
            Self::Wasi02 => "WASI 0.2",
            Self::Wasi03 => "WASI 0.3",
            Self::Work => "leyden:app/work",
        })
    }
}

/// A program that can be run, again and again.
pub struct Program {
    sandbox: Sandbox,
    digest: Digest,
    pre: Pre,
}

pub(super) enum Pre {
    Module(ModulePre<State>),
    Wasi02(p2::bindings::CommandPre<State>),
    Wasi03(p3::bindings::CommandPre<State>),
    Work(WorkPre<State>),
}

/// What became of one call of a program.
pub(super) enum Called {
    /// A typed Work returned this.
    Returned(Result<Vec<u8>, String>),
    /// The instance ended, as programs do.
    Ended(Ending),
}

impl Program {
    pub(super) fn new(
        sandbox: &Sandbox,
        digest: Digest,
        compiled: &Compiled,
        role: Role,
    ) -> Result<Self, SandboxError> {
        check_tables(compiled)?;
        let pre = match compiled {
            Compiled::Module(module) => link_module(sandbox, module)?,
            Compiled::Component(component) => link_component(sandbox, component, role)?,
        };
        Ok(Self {
            sandbox: sandbox.clone(),
            digest,
            pre,
        })
    }

    /// The digest of the bytes that this program was compiled from.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Which version of WASI it is written to.
    pub fn world(&self) -> World {
        match self.pre {
            Pre::Module(_) => World::Wasi01,
            Pre::Wasi02(_) => World::Wasi02,
            Pre::Wasi03(_) => World::Wasi03,
            Pre::Work(_) => World::Work,
        }
    }

    /// Runs one instance with its own memory, as a program. Dropping the future stops it.
    ///
    /// # Errors
    ///
    /// Where the host fails; an end of the guest, good or bad, is an [`Ending`].
    pub async fn run(&self, setup: Setup) -> Result<Ending, SandboxError> {
        match instance::run(&self.sandbox, &self.pre, setup, &[]).await? {
            Called::Ended(ending) => Ok(ending),
            // Not reached: what is loaded as a Flow is no typed Work.
            Called::Returned(result) => Ok(Ending::Exited(result.is_err().into())),
        }
    }

    /// Runs one instance with its own memory, as a Work: bytes in, bytes out. A program has its
    /// input on standard input and its output is what it writes to standard output, whatever
    /// `setup` says of these. Dropping the future stops it.
    ///
    /// # Errors
    ///
    /// Where the host fails; whatever the Work does is in the result.
    pub async fn work(
        &self,
        mut setup: Setup,
        input: Bytes,
    ) -> Result<Result<Bytes, Failure>, SandboxError> {
        if let Pre::Work(_) = self.pre {
            return Ok(
                match instance::run(&self.sandbox, &self.pre, setup, &input).await? {
                    Called::Returned(Ok(output)) => bounded(output),
                    Called::Returned(Err(error)) => Err(Failure::Error(cut(error))),
                    Called::Ended(ending) => Err(ending.into()),
                },
            );
        }
        // One byte more, to see that there is more: it ends with the next.
        let (stdout, output) = Output::capture_all(MAX_PAYLOAD + 1);
        setup.stdin = Input::Bytes(input);
        setup.stdout = stdout;
        setup.mask_stdout = false;
        let ending = self.run(setup).await?;
        Ok(match ending {
            Ending::Exited(0) => bounded(output.take()),
            other => Err(match bounded(output.take()) {
                Err(refused) if matches!(other, Ending::OutputClosed) => refused,
                _ => other.into(),
            }),
        })
    }
}

/// An error's text, cut where it is longer than a text for people is.
fn cut(mut error: String) -> String {
    if error.len() > MAX_ERROR {
        error.truncate(error.floor_char_boundary(MAX_ERROR));
        error.push('…');
    }
    // Not the room of what was cut off.
    error.shrink_to_fit();
    error
}

fn bounded(output: Vec<u8>) -> Result<Bytes, Failure> {
    if output.len() > MAX_PAYLOAD {
        return Err(Failure::Refused(format!(
            "its output has more than {MAX_PAYLOAD} bytes (64 MiB): give it in parts, or as a file"
        )));
    }
    Ok(output.into())
}

/// Whether its tables fit into what an instance may have; it could not be instantiated at all.
fn check_tables(compiled: &Compiled) -> Result<(), SandboxError> {
    let required = match compiled {
        Compiled::Module(module) => Some(module.resources_required()),
        Compiled::Component(component) => component.resources_required(),
    };
    let largest = required.and_then(|required| required.max_initial_table_size);
    match largest
        .filter(|largest| usize::try_from(*largest).unwrap_or(usize::MAX) > MAX_TABLE_ELEMENTS)
    {
        Some(largest) => Err(SandboxError::NotRunnable(format!(
            "it has a table of {largest} elements, and the most is {MAX_TABLE_ELEMENTS}"
        ))),
        None => Ok(()),
    }
}

fn link_module(sandbox: &Sandbox, module: &Module) -> Result<Pre, SandboxError> {
    let is_start = |export: ExportType<'_>| {
        export.name() == "_start"
            && (export.ty().func())
                .is_some_and(|start| start.params().len() + start.results().len() == 0)
    };
    if !module.exports().any(is_start) {
        return Err(SandboxError::NotRunnable(
            "it is a core module without a function `_start: () -> ()`, so not a command; build it as a \
             program, not as a library"
                .into(),
        ));
    }
    let linker = sandbox.linkers().modules(sandbox.engine());
    let pre = linker.map_err(engine_failed)?.instantiate_pre(module);
    Ok(Pre::Module(pre.map_err(not_runnable)?))
}

fn link_component(
    sandbox: &Sandbox,
    component: &Component,
    role: Role,
) -> Result<Pre, SandboxError> {
    let pre: ComponentPre<State> = sandbox
        .linkers()
        .of(component)
        .map_err(engine_failed)?
        .instantiate_pre(component)
        .map_err(not_runnable)?;
    let checked = |entry: Entry| match entry.is_typed_right(component, sandbox.engine()) {
        true => Ok(()),
        false => Err(SandboxError::NotRunnable(
            "its function `run` is not of the type that its interface says; build it with \
             bindings of that interface"
                .into(),
        )),
    };
    if role == Role::Work
        && let Ok(work) = WorkPre::new(pre.clone())
    {
        checked(Entry::Work)?;
        return Ok(Pre::Work(work));
    }
    if let Ok(command) = p3::bindings::CommandPre::new(pre.clone()) {
        checked(Entry::Program { version: "0.3" })?;
        return Ok(Pre::Wasi03(command));
    }
    if let Ok(command) = p2::bindings::CommandPre::new(pre.clone()) {
        checked(Entry::Program { version: "0.2" })?;
        return Ok(Pre::Wasi02(command));
    }
    Err(SandboxError::NotRunnable(
        match role {
            Role::Work => {
                "it exports neither `leyden:app/work` nor `wasi:cli/run`, so it is no Work; build \
                 it with `#[leyden_guest::work]`, or as a program"
            }
            Role::Flow if WorkPre::new(pre).is_ok() => {
                "it is a Work and no program: name it as a Work in a leyden.toml, beside a Flow \
                 that starts it"
            }
            Role::Flow => {
                "it is a component that does not export `wasi:cli/run`, so not a command; build \
                 it as a program, not as a library"
            }
        }
        .into(),
    ))
}

pub(super) fn engine_failed(error: wasmtime::Error) -> SandboxError {
    SandboxError::Engine(format!("{error:#}"))
}

/// An error of compiling or linking, whole but in one line.
pub(super) fn not_runnable(error: wasmtime::Error) -> SandboxError {
    let text = format!("{error:#}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    SandboxError::NotRunnable(ending::one_line(&words))
}

impl Pre {
    /// Instantiates and calls the program's entry.
    pub(super) async fn call(
        &self,
        store: &mut Store<State>,
        input: &[u8],
    ) -> wasmtime::Result<Called> {
        let succeeded = match self {
            Self::Module(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
                start.call_async(store, ()).await?;
                true
            }
            Self::Wasi02(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                command.wasi_cli_run().call_run(store).await?.is_ok()
            }
            Self::Wasi03(pre) => {
                let command = pre.instantiate_async(&mut *store).await?;
                store
                    .run_concurrent(async |store| command.wasi_cli_run().call_run(store).await)
                    .await??
                    .is_ok()
            }
            Self::Work(pre) => {
                let work = pre.instantiate_async(&mut *store).await?;
                let returned = work.leyden_app_work().call_run(store, input).await?;
                return Ok(Called::Returned(returned));
            }
        };
        Ok(Called::Ended(Ending::Exited(i32::from(!succeeded))))
    }
}
