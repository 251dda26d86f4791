//! What a program that holds a store open does beside it, and is to stand in the audit log.

use super::actor::clip;
use super::{AuditEvent, SecretStore, StoreError};

/// What is done; texts are cut to what the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act<'a> {
    /// Somebody logs in to a page that serves the store.
    LogIn,
    /// Somebody logs out of it.
    LogOut,
    /// Who was logged in to it is so no more, by time, or because others are.
    SessionEnd,
    /// A run is asked to stop.
    StopRun {
        /// The run.
        run: &'a str,
        /// The app's name: a label.
        app: &'a str,
        /// The app's digest.
        digest: &'a str,
    },
}

impl SecretStore {
    /// Writes an act to the audit log; to be done before it, where it is one's own to do.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`] where the log's last record is not what was written;
    /// [`StoreError::AuditSink`].
    pub fn record(&self, act: Act<'_>) -> Result<(), StoreError> {
        self.write(|snapshot| {
            let record = |event| snapshot.actor.record(event);
            let record = match act {
                Act::LogIn => record(AuditEvent::LoggedIn),
                Act::LogOut => record(AuditEvent::LoggedOut),
                Act::SessionEnd => record(AuditEvent::SessionEnded),
                Act::StopRun { run, app, digest } => {
                    let mut record = record(AuditEvent::RunStopped);
                    record.run = Some(clip(run));
                    (record.app, record.app_digest) = (Some(clip(app)), Some(clip(digest)));
                    record
                }
            };
            snapshot.record(record)
        })
    }
}
