//! The environment lent to a guest, in memory that wipes itself.
//!
//! wasmtime's stock WASI context keeps `(String, String)` pairs, clones them at each call and never
//! wipes them. Here the pairs stand once in memory; the guest's own `get-environment` reads them
//! from there straight into the guest's memory, and the last owner overwrites them.

use std::num::NonZeroU32;
use std::sync::Arc;

use wasmtime::component::Linker as ComponentLinker;
use wasmtime::{Caller, Extern, Linker as ModuleLinker};
use wasmtime_wasi::I32Exit;
use zeroize::Zeroize;

use super::instance::State;

/// The two versions of `wasi:cli/environment` that the component linker holds.
const ENVIRONMENT_INTERFACES: [&str; 2] =
    ["wasi:cli/environment@0.2.12", "wasi:cli/environment@0.3.0"];

/// The module names under which core modules import WASI 0.1 and its predecessor.
const PREVIEW1_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// `errno` values of WASI 0.1 (`wasi_snapshot_preview1.witx`).
mod errno {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const FAULT: i32 = 21;
    pub(super) const OVERFLOW: i32 = 61;
}

/// One list of environment entries, shared by a bound component and its running instances.
///
/// Cloning shares the memory. When the last clone is dropped, names and values are overwritten.
#[derive(Clone)]
pub struct Environment(Arc<Entries>);

struct Entries {
    /// Cloned only for the length of one host call, by an instance that itself holds `Entries`:
    /// at the drop below this is the only reference. So are the secrets' bytes.
    list: Arc<[(Box<str>, Box<str>)]>,
    secrets: Box<[Secret]>,
}

/// A secret of an environment: what its entry stands for.
pub(super) struct Secret {
    /// The place of its entry.
    entry: usize,
    version: NonZeroU32,
    bytes: Arc<[u8]>,
}

/// A secret's entry, to make an environment of.
pub struct SecretEntry<'a> {
    /// The name of the entry.
    pub name: &'a str,
    /// What stands in the environment.
    pub text: &'a str,
    /// The secret itself.
    pub bytes: &'a [u8],
    /// Which version of it this is.
    pub version: NonZeroU32,
}

impl Drop for Entries {
    fn drop(&mut self) {
        let list = Arc::get_mut(&mut self.list);
        debug_assert!(list.is_some(), "an environment outlived its instances");
        for (name, value) in list.into_iter().flatten() {
            name.zeroize();
            value.zeroize();
        }
        for secret in &mut self.secrets {
            let bytes = Arc::get_mut(&mut secret.bytes);
            debug_assert!(bytes.is_some(), "a secret outlived its instances");
            bytes.into_iter().for_each(Zeroize::zeroize);
        }
    }
}

impl Environment {
    /// Copies plain entries and secrets into memory of its own, sorted by name. The caller wipes
    /// its copies.
    pub fn new<'a>(
        plain: impl IntoIterator<Item = (&'a str, &'a str)>,
        secrets: impl IntoIterator<Item = SecretEntry<'a>>,
    ) -> Self {
        let secrets: Vec<_> = secrets.into_iter().collect();
        let mut entries: Vec<_> = plain
            .into_iter()
            .map(|(name, value)| (name, value, None))
            .chain(secrets.iter().map(|one| (one.name, one.text, Some(one))))
            .collect();
        entries.sort_by_key(|(name, ..)| *name);
        let lent = entries.iter().enumerate().filter_map(|(entry, (.., one))| {
            let one = one.as_ref()?;
            Some(Secret {
                entry,
                version: one.version,
                bytes: Arc::from(one.bytes),
            })
        });
        Self(Arc::new(Entries {
            secrets: lent.collect(),
            list: entries
                .iter()
                .map(|(name, value, _)| (Box::from(*name), Box::from(*value)))
                .collect(),
        }))
    }

    /// The place of the secret under this name. Names that are not bound, and those of plain
    /// entries, are all the same: no secret.
    pub(super) fn secret_named(&self, name: &str) -> Option<u32> {
        let is_it = |secret: &Secret| self.entry(secret).is_some_and(|(of, _)| of == name);
        let place = self.0.secrets.iter().position(is_it)?;
        u32::try_from(place).ok()
    }

    /// The secret at a place.
    pub(super) fn secret(&self, place: u32) -> Option<&Secret> {
        self.0.secrets.get(usize::try_from(place).ok()?)
    }

    /// How many secrets there are.
    pub(super) fn secret_count(&self) -> usize {
        self.0.secrets.len()
    }

    /// The forms in which a guest sees the secret at a place: its bytes, and the text of its entry.
    pub(super) fn secret_forms(&self, place: usize) -> Option<[&[u8]; 2]> {
        let secret = self.0.secrets.get(place)?;
        let (_, text) = self.entry(secret)?;
        Some([&secret.bytes, text.as_bytes()])
    }

    fn entry(&self, secret: &Secret) -> Option<(&str, &str)> {
        let (name, text) = self.0.list.get(secret.entry)?;
        Some((name, text))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.list.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.list.is_empty()
    }

    /// The bytes that WASI 0.1's `environ_get` writes: `NAME=VALUE\0` for each entry.
    fn preview1_len(&self) -> usize {
        let entry = |(name, value): &(Box<str>, Box<str>)| name.len() + value.len() + 2;
        self.0.list.iter().map(entry).sum()
    }
}

impl Secret {
    /// The secret itself, to be lowered into a guest's memory: let it go no further.
    pub(super) fn bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    pub(super) fn version(&self) -> u32 {
        self.version.get()
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Environment({} entries)", self.len())
    }
}

/// Puts our `get-environment` in place of the stock one, for WASI 0.2 and 0.3.
pub(super) fn shadow_in_components(linker: &mut ComponentLinker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    for interface in ENVIRONMENT_INTERFACES {
        linker.instance(interface)?.func_wrap(
            "get-environment",
            |store: wasmtime::StoreContextMut<'_, State>, (): ()| {
                Ok((Arc::clone(&store.data().environment.0.list),))
            },
        )?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Puts our `environ_get`, `environ_sizes_get` and `proc_exit` in place of the stock ones, for
/// WASI 0.1.
pub(super) fn shadow_in_modules(linker: &mut ModuleLinker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    for module in PREVIEW1_MODULES {
        linker.func_wrap(module, "environ_sizes_get", environ_sizes_get)?;
        linker.func_wrap(module, "environ_get", environ_get)?;
        // The stock one refuses statuses from 126 on; a native program may end with them.
        linker.func_wrap(module, "proc_exit", proc_exit)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

fn proc_exit(status: i32) -> wasmtime::Result<()> {
    Err(I32Exit(status).into())
}

fn environ_sizes_get(mut caller: Caller<'_, State>, count_at: i32, bytes_at: i32) -> i32 {
    let environment = caller.data().environment.clone();
    let (Ok(count), Ok(bytes)) = (
        u32::try_from(environment.len()),
        u32::try_from(environment.preview1_len()),
    ) else {
        return errno::OVERFLOW;
    };
    let Some(memory) = memory(&mut caller) else {
        return errno::FAULT;
    };
    let data = memory.data_mut(&mut caller);
    let written = put(data, count_at, &count.to_le_bytes())
        .and_then(|()| put(data, bytes_at, &bytes.to_le_bytes()));
    if written.is_some() {
        errno::SUCCESS
    } else {
        errno::FAULT
    }
}

fn environ_get(mut caller: Caller<'_, State>, pointers_at: i32, bytes_at: i32) -> i32 {
    let environment = caller.data().environment.clone();
    let Some(memory) = memory(&mut caller) else {
        return errno::FAULT;
    };
    let data = memory.data_mut(&mut caller);
    let mut pointer_at = pointers_at.cast_unsigned();
    let mut byte_at = bytes_at.cast_unsigned();
    for (name, value) in environment.0.list.iter() {
        let mut entry = || {
            put(data, pointer_at.cast_signed(), &byte_at.to_le_bytes())?;
            pointer_at = pointer_at.checked_add(4)?;
            for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
                put(data, byte_at.cast_signed(), part)?;
                byte_at = byte_at.checked_add(u32::try_from(part.len()).ok()?)?;
            }
            Some(())
        };
        if entry().is_none() {
            return errno::FAULT;
        }
    }
    errno::SUCCESS
}

/// The guest's memory, which WASI 0.1 expects under the name `memory`.
fn memory(caller: &mut Caller<'_, State>) -> Option<wasmtime::Memory> {
    caller.get_export("memory").and_then(Extern::into_memory)
}

/// Writes `bytes` at a 32-bit guest address; `None` where they do not fit.
fn put(data: &mut [u8], at: i32, bytes: &[u8]) -> Option<()> {
    let at = usize::try_from(at.cast_unsigned()).ok()?;
    data.get_mut(at..at.checked_add(bytes.len())?)?
        .copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_no_value() {
        let environment = Environment::new([("NAME", "a value")], []);
        assert_eq!(format!("{environment:?}"), "Environment(1 entries)");
    }

    #[test]
    fn secrets_are_found_by_the_names_of_their_entries_alone() {
        let secret = |name, text, bytes| SecretEntry {
            name,
            text,
            bytes,
            version: NonZeroU32::MIN,
        };
        let environment = Environment::new(
            [("B", "plain")],
            [secret("C", "YQ==", b"a"), secret("A", "text", b"text")],
        );
        let names: Vec<_> = environment.0.list.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["A", "B", "C"]);
        let reveal = |name| {
            let secret = environment.secret(environment.secret_named(name)?)?;
            Some(secret.bytes().to_vec())
        };
        assert_eq!(reveal("A").unwrap(), b"text");
        assert_eq!(reveal("C").unwrap(), b"a");
        assert_eq!(reveal("B"), None, "a plain entry is no secret");
        assert_eq!(reveal("D"), None);
        assert_eq!(environment.secret_forms(0).unwrap(), [b"text", b"text"]);
        assert_eq!(environment.secret_forms(1).unwrap(), [&b"a"[..], b"YQ=="]);
        assert!(environment.secret_forms(2).is_none());
    }

    #[test]
    fn put_refuses_what_does_not_fit() {
        let mut data = [0; 4];
        assert_eq!(put(&mut data, 2, &[1, 2]), Some(()));
        assert_eq!(put(&mut data, 3, &[1, 2]), None);
        assert_eq!(put(&mut data, -1, &[1]), None);
        assert_eq!(data, [0, 0, 1, 2]);
    }
}
