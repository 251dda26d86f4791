//! The host, seen from inside a sandbox: `leyden:app` through its WIT bindings.

use std::cell::OnceCell;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::{Failure, Status};

use bindings::leyden::app::{secrets, types, works};
use bindings::wasi::io::poll::{self, Pollable};

/// Generated; public for what `#[leyden_guest::work]` generates, which exports `leyden:app/work`.
#[allow(missing_docs, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        inline: "
            package leyden:guest;

            world guest {
                include leyden:app/flow@0.1.0;
                include leyden:app/worker@0.1.0;
            }
        ",
        path: "wit",
        world: "leyden:guest/guest",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_guest",
        default_bindings_module: "leyden_guest::__private::bindings",
    });
}

/// The names of the app's Works.
pub(crate) fn names() -> Vec<String> {
    works::names()
}

/// Starts a Work.
pub(crate) fn start(work: &str, input: &[u8]) -> Handle {
    Handle {
        ended: OnceCell::new(),
        started: works::start(work, input),
    }
}

/// A started Work.
pub(crate) struct Handle {
    /// Dropped before what it belongs to.
    ended: OnceCell<Pollable>,
    started: works::Started,
}

impl Handle {
    pub(crate) fn status(&self) -> Status {
        match self.started.status() {
            types::Status::Pending => Status::Pending,
            types::Status::Running => Status::Running,
            types::Status::Succeeded => Status::Succeeded,
            types::Status::Failed => Status::Failed,
            types::Status::Stopped => Status::Stopped,
        }
    }

    pub(crate) fn output(&self) -> Result<Vec<u8>, Failure> {
        self.started.output().map_err(|failure| match failure {
            types::Failure::Error(text) => Failure::Error(text),
            types::Failure::Trap(reason) => Failure::Trap(reason),
            types::Failure::Exit(status) => Failure::Exit(status),
            types::Failure::TimedOut(limit) => Failure::TimedOut(Duration::from_nanos(limit)),
            types::Failure::OutOfMemory(limit) => Failure::OutOfMemory(limit),
            types::Failure::Stopped => Failure::Stopped,
            types::Failure::Refused(reason) => Failure::Refused(reason),
        })
    }

    pub(crate) fn stop(&self) {
        self.started.stop();
    }

    fn pollable(&self) -> &Pollable {
        self.ended.get_or_init(|| self.started.subscribe())
    }
}

/// Waits until any has ended: the places of all that have, in order. There is at least one.
pub(crate) fn ended(handles: &[&Handle]) -> Vec<usize> {
    let pollables: Vec<&Pollable> = handles.iter().map(|handle| handle.pollable()).collect();
    let mut places: Vec<usize> = poll::poll(&pollables)
        .into_iter()
        .filter_map(|place| usize::try_from(place).ok())
        .collect();
    places.sort_unstable();
    places
}

/// The secret bound to an environment name, and its version.
pub(crate) fn secret(name: &str) -> Option<(Zeroizing<Vec<u8>>, u32)> {
    let secret = secrets::get(name).ok()?;
    Some((secret.reveal().into(), secret.version()))
}
