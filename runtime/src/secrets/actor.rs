//! Who acts, for the audit log.

use jiff::Timestamp;

use super::{AuditEvent, AuditOutcome, AuditRecord};

/// The most bytes that a text may have in the audit log.
const MAX_TEXT: usize = 256;

/// The process's user and machine.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) user: String,
    pub(crate) host: String,
}

impl Actor {
    /// This process's.
    pub(crate) fn current() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self {
            user: clip(&whoami::username().unwrap_or_else(|_| format!("uid-{uid}"))),
            host: clip(&whoami::hostname().unwrap_or_else(|_| "unknown".to_owned())),
        }
    }

    /// A record of what this process does now, and has done unless it is changed.
    pub(super) fn record(&self, event: AuditEvent) -> AuditRecord {
        AuditRecord {
            sequence: 0,
            time: now(),
            user: self.user.clone(),
            host: self.host.clone(),
            pid: std::process::id(),
            event,
            outcome: AuditOutcome::Done,
            app: None,
            app_digest: None,
            component: None,
            component_digest: None,
            env: None,
            secret: None,
            version: None,
            slot: None,
            kek: None,
            grantee: None,
            host_rule: None,
            run: None,
            up_to: None,
            reason: None,
        }
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.host)
    }
}

/// Now, to the microsecond.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The text, cut to what the audit log holds, and in one line wherever it is shown.
pub(super) fn clip(text: &str) -> String {
    const MARK: &str = "…";
    let text = text.replace(char::is_control, "\u{fffd}");
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = text.floor_char_boundary(MAX_TEXT - MARK.len());
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(clip("name"), "name");
        assert_eq!(clip("a\nreleased\u{1b}[2J"), "a\u{fffd}released\u{fffd}[2J");
        for text in [
            "a".repeat(1000),
            "ü".repeat(500),
            format!("a{}", "日".repeat(500)),
        ] {
            let clipped = clip(&text);
            assert!(
                clipped.len() <= MAX_TEXT && clipped.ends_with('…'),
                "{clipped}"
            );
            assert!(clipped.len() > MAX_TEXT - 8);
        }
    }
}
