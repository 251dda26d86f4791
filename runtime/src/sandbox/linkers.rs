//! What guests can import: linkers, each made when the first guest needs it.
//!
//! Most guests import WASI 0.2 and nothing else. Making all that there is takes a command that runs
//! one of them longer than running it.

use std::sync::OnceLock;

use wasmtime::component::{Component, Linker as ComponentLinker};
use wasmtime::{Engine, Linker as ModuleLinker};
use wasmtime_wasi::{p0, p1, p2, p3};

use super::instance::State;
use super::{environment, lookup, secrets, works};

/// How the names of interfaces begin that are linked for every component, and the version of those
/// of WASI.
const COMMON: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
    "leyden:app/",
];
const COMMON_VERSION: &str = "@0.2.";
const OURS: &str = "leyden:app/";

#[derive(Default)]
pub(super) struct Linkers {
    common: OnceLock<ComponentLinker<State>>,
    all: OnceLock<ComponentLinker<State>>,
    modules: OnceLock<ModuleLinker<State>>,
}

impl Linkers {
    /// The linker that has what a component imports, as far as this host gives it.
    pub(super) fn of(&self, component: &Component) -> wasmtime::Result<&ComponentLinker<State>> {
        let engine = component.engine();
        let imported = component.component_type();
        match imported.imports(engine).all(|(name, _)| is_common(name)) {
            true => made(&self.common, || components(engine, false)),
            false => made(&self.all, || components(engine, true)),
        }
    }

    pub(super) fn modules(&self, engine: &Engine) -> wasmtime::Result<&ModuleLinker<State>> {
        made(&self.modules, || modules(engine))
    }
}

fn is_common(name: &str) -> bool {
    let known = COMMON.iter().any(|start| name.starts_with(start));
    known && (name.starts_with(OURS) || name.contains(COMMON_VERSION))
}

fn made<T>(cell: &OnceLock<T>, make: impl FnOnce() -> wasmtime::Result<T>) -> wasmtime::Result<&T> {
    match cell.get() {
        Some(made) => Ok(made),
        None => {
            let made = make()?;
            Ok(cell.get_or_init(|| made))
        }
    }
}

/// WASI 0.2 without HTTP and our own interfaces; or all that a component can have.
fn components(engine: &Engine, all: bool) -> wasmtime::Result<ComponentLinker<State>> {
    let mut linker = ComponentLinker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    if all {
        p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    environment::shadow_in_components(&mut linker)?;
    lookup::shadow(&mut linker)?;
    secrets::link(&mut linker)?;
    works::link(&mut linker)?;
    Ok(linker)
}

fn modules(engine: &Engine) -> wasmtime::Result<ModuleLinker<State>> {
    let mut linker = ModuleLinker::new(engine);
    p1::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    p0::add_to_linker_async(&mut linker, |state: &mut State| &mut state.wasi)?;
    environment::shadow_in_modules(&mut linker)?;
    Ok(linker)
}
