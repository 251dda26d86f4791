//! Pruning the audit log: old records go, and a checkpoint says how many and that they were there.

use jiff::Timestamp;

use super::actor::now;
use super::chain::{self, Link};
use super::inspect::verify_log;
use super::{AuditEvent, AuditRecord, SecretStore, StoreError};

impl SecretStore {
    /// Removes the audit records from before this moment: from the first to the last of which no
    /// later one precedes it. Returns how many.
    ///
    /// The log is verified first; what is left follows from a checkpoint, which is MACed. Another
    /// machine that saw the store last before the checkpoint tells an older copy by its generation
    /// alone.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`]: then nothing is removed.
    pub fn audit_prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let pruned = self.write(|snapshot| {
            let (start, _) = verify_log(snapshot)?;
            let mut last = start;
            snapshot.tables.audit_after(start.sequence, |row| {
                let record: Option<AuditRecord> = serde_json::from_str(&row.body).ok();
                let old = record.is_some_and(|record| record.time < before);
                if old {
                    last = Link {
                        sequence: row.sequence,
                        mac: row.mac,
                    };
                }
                Ok(old)
            })?;
            let pruned = last.sequence - start.sequence;
            if pruned == 0 {
                return Ok(0);
            }
            let mut record = snapshot.actor.record(AuditEvent::AuditPruned);
            record.up_to = Some(last.sequence);
            let note = format!("pruned at {} by {}", now(), snapshot.actor);
            chain::prune(&snapshot.tables, &snapshot.keys.audit, last, note)?;
            snapshot.record(record)?;
            Ok(pruned)
        })?;
        if pruned > 0 {
            self.clear_log();
        }
        Ok(pruned)
    }
}
