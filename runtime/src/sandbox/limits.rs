//! What one instance may use of memory, tables and handles.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::app::DEFAULT_MEMORY;

use super::instance::Setup;

/// Elements in all of an instance's tables together.
pub(super) const MAX_TABLE_ELEMENTS: usize = 1_000_000;
/// Core instances, memories and tables of one component.
const MAX_CORE_ITEMS: usize = 1_000;
/// Bytes of the headers of one HTTP request or response.
pub(super) const MAX_HTTP_FIELDS: usize = 32 << 10;
/// Bytes that a guest may hand to the host in one call. More than a Work's input may have, so
/// that one that is too large is refused and not a trap.
pub(super) const HOSTCALL_FUEL: usize = 128 << 20;

/// How many things of the host one instance may hold.
pub(super) struct Counts {
    /// Entries of the host's table of resources (files, streams, requests …).
    pub(super) resources: usize,
    /// Live component-model handles.
    pub(super) handles: usize,
}

impl Counts {
    /// A Flow holds its Works, and what it waits with for each: so much that 100,000 may be
    /// waited for at once.
    pub(super) fn of(setup: &Setup) -> Self {
        match setup.works {
            Some(_) => Self {
                resources: 400_000,
                handles: 400_000,
            },
            None => Self {
                resources: 1_000,
                handles: 100_000,
            },
        }
    }
}

/// Limits of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its linear memories together.
    pub memory: u64,
    /// How long it may run; compiling does not count.
    pub timeout: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: DEFAULT_MEMORY,
            timeout: None,
        }
    }
}

/// Counts what an instance uses and refuses growth beyond its limits.
pub(super) struct Limiter {
    memory_limit: usize,
    memory_used: usize,
    table_elements: usize,
    /// Whether memory was refused: tells "out of memory" from other traps.
    pub(super) refused_memory: bool,
    /// Whether a table was: where it comes with the instance, there can be no instance.
    pub(super) refused_table: bool,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: usize::try_from(limits.memory).unwrap_or(usize::MAX),
            memory_used: 0,
            table_elements: 0,
            refused_memory: false,
            refused_table: false,
        }
    }
}

/// `used` after growing from `current` to `desired`, if that stays within `limit`.
fn grown(used: usize, current: usize, desired: usize, limit: usize) -> Option<usize> {
    let after = used.checked_add(desired.saturating_sub(current))?;
    (after <= limit).then_some(after)
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Beyond the memory's own maximum the growth fails whatever we answer.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        match grown(self.memory_used, current, desired, self.memory_limit) {
            Some(used) => {
                self.memory_used = used;
                Ok(true)
            }
            None => {
                self.refused_memory = true;
                Ok(false)
            }
        }
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        match grown(self.table_elements, current, desired, MAX_TABLE_ELEMENTS) {
            Some(elements) => {
                self.table_elements = elements;
                Ok(true)
            }
            None => {
                self.refused_table = true;
                Ok(false)
            }
        }
    }

    fn instances(&self) -> usize {
        MAX_CORE_ITEMS
    }

    fn tables(&self) -> usize {
        MAX_CORE_ITEMS
    }

    fn memories(&self) -> usize {
        MAX_CORE_ITEMS
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut limiter = Limiter::new(&Limits {
            memory: 100,
            timeout: None,
        });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.refused_memory);
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
        assert!(limiter.refused_memory);
    }

    #[test]
    fn a_memorys_own_maximum_is_not_our_refusal() {
        let mut limiter = Limiter::new(&Limits::default());
        assert!(!limiter.memory_growing(0, 100, Some(50)).unwrap());
        assert!(!limiter.refused_memory);
    }

    #[test]
    fn tables_are_bounded() {
        let mut limiter = Limiter::new(&Limits::default());
        assert!(limiter.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
    }
}
