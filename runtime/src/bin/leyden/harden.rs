//! Process-wide settings that keep secrets out of core dumps and away from other processes.
//!
//! The umask is left as it is: files of Leyden's own are made with their modes set, and what an
//! app writes into a folder that it was given follows the user's umask, as with any program.

use rustix::process::{Resource, Rlimit};

/// Makes this process leave no core dump and refuse to be traced by other processes of the user.
pub(crate) fn process() {
    // Lowering a limit is always allowed; `leyden doctor` tells if any of this had no effect.
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Whether this process can leave no core dump.
pub(crate) fn leaves_no_core_dump() -> bool {
    let limited = rustix::process::getrlimit(Resource::Core).current == Some(0);
    // A core_pattern(5) that pipes to a program passes the limit by; not being dumpable holds.
    #[cfg(target_os = "linux")]
    let closed = matches!(
        rustix::process::dumpable_behavior(),
        Ok(rustix::process::DumpableBehavior::NotDumpable)
    );
    #[cfg(not(target_os = "linux"))]
    let closed = true;
    limited && closed
}
