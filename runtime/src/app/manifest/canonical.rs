//! The canonical manifest: the bytes that an app's identity is hashed over.
//!
//! What is encoded is what the manifest means, not how it is written: comments, order, spelling of
//! durations, and defaults that are written out make no difference. Paths are left out, because
//! each component stands there with its own digest. [`Encoder`] says how values are written; they
//! come in this order:
//!
//! - name (an option of bytes); the Flow's component;
//! - Works, a map by name: component, `parallel` (an option), `retries`, retry on error (0 or 1),
//!   `cache` (0 or 1);
//! - `env`, a map of names to values; `secrets`, a map of names to secrets.
//!
//! A component is: `timeout` (an option of whole seconds and the nanoseconds of the rest),
//! `memory` in bytes (an option), `env`, `secrets` (an option of a list), `hosts` (a list).
//! A secret is its name in lower case, its version (an option), and 1 for base64 or 0. Lists are
//! sorted. Hosts are written as they are shown.

use crate::app::binding::{Encoding, EnvValue, SecretRef};
use crate::app::digest::{Digest, Encoder};
use crate::app::names::{EnvName, WorkName};

use super::spec::{ComponentSpec, Manifest, RetryOn};

use std::collections::BTreeMap;

/// What is hashed is this and nothing else; another format gets another label.
const LABEL: &str = "leyden app digest, format 1";

impl Manifest {
    /// The canonical manifest; the module says how it is written.
    fn canonical(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.option(self.name.as_ref(), Encoder::bytes);
        component(&mut out, &self.flow);
        out.list(&self.works, |out, (name, work)| {
            out.bytes(name.as_str());
            component(out, &work.component);
            out.option(work.parallel, |out, parallel| {
                out.number(parallel.get().into())
            });
            out.number(work.retries.into());
            out.number((work.retry_on == RetryOn::Error).into());
            out.number(work.cache.into());
        });
        env(&mut out, &self.env);
        out.list(&self.secrets, |out, (name, reference)| {
            out.bytes(name.as_str());
            secret(out, reference);
        });
        out.finish()
    }

    /// The app's identity: SHA-256 over a label, the canonical manifest as bytes, the digest of
    /// the Flow's component as bytes, and a map of the Works' names to their components' digests.
    pub(in crate::app) fn digest(
        &self,
        flow: Digest,
        works: &BTreeMap<&WorkName, Digest>,
    ) -> Digest {
        let mut out = Encoder::default();
        out.bytes(LABEL);
        out.bytes(self.canonical());
        out.bytes(flow.as_bytes());
        out.list(works, |out, (name, digest)| {
            out.bytes(name.as_str());
            out.bytes(digest.as_bytes());
        });
        Digest::of(&out.finish())
    }
}

fn component(out: &mut Encoder, spec: &ComponentSpec) {
    // Naming each field, so that a new one cannot be forgotten.
    let ComponentSpec {
        component: _,
        timeout,
        memory,
        env: own,
        secrets,
        hosts,
    } = spec;
    out.option(*timeout, |out, timeout| {
        out.number(timeout.as_secs());
        out.number(timeout.subsec_nanos().into());
    });
    out.option(*memory, Encoder::number);
    env(out, own);
    out.option(secrets.as_ref(), |out, seen| {
        out.list(seen, |out, name| out.bytes(name.as_str()))
    });
    let mut shown: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    shown.sort_unstable();
    out.list(shown, Encoder::bytes);
}

fn env(out: &mut Encoder, env: &BTreeMap<EnvName, EnvValue>) {
    out.list(env, |out, (name, value)| {
        out.bytes(name.as_str());
        out.bytes(value.as_str());
    });
}

fn secret(out: &mut Encoder, reference: &SecretRef) {
    let SecretRef {
        name,
        version,
        encoding,
    } = reference;
    out.bytes(name.canonical());
    out.option(*version, |out, version| out.number(version.get().into()));
    out.number((*encoding == Encoding::Base64).into());
}

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;
