//! `leyden:app/secrets`: the bound secrets of a component, as bytes.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use super::environment::Secret;
use super::instance::State;

/// As `guest-sdk/wit/leyden.wit` has it.
const INTERFACE: &str = "leyden:app/secrets@0.1.0";

/// Why a secret cannot be had.
#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum Error {
    #[component(name = "unbound")]
    Unbound,
}

/// Puts the interface into a linker.
///
/// By hand, and not by generated bindings: those would return a value as a `Vec`, which nobody
/// wipes. Here it goes from the memory of the environment straight into the guest's. A handle is
/// the secret's place in the environment, which no instance outlives.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut secrets = linker.instance(INTERFACE)?;
    secrets.resource("secret", ResourceType::host::<Secret>(), |_, _| Ok(()))?;
    secrets.func_wrap(
        "get",
        |store: StoreContextMut<'_, State>, (name,): (String,)| {
            let found = store.data().environment.secret_named(&name);
            Ok((found.map(Resource::<Secret>::new_own).ok_or(Error::Unbound),))
        },
    )?;
    secrets.func_wrap(
        "[method]secret.reveal",
        |store: StoreContextMut<'_, State>, (secret,): (Resource<Secret>,)| {
            Ok((find(&store, &secret)?.bytes(),))
        },
    )?;
    secrets.func_wrap(
        "[method]secret.version",
        |store: StoreContextMut<'_, State>, (secret,): (Resource<Secret>,)| {
            Ok((find(&store, &secret)?.version(),))
        },
    )
}

fn find<'a>(
    store: &'a StoreContextMut<'_, State>,
    secret: &Resource<Secret>,
) -> wasmtime::Result<&'a Secret> {
    let found = store.data().environment.secret(secret.rep());
    found.ok_or_else(|| wasmtime::Error::msg("there is no such secret"))
}
