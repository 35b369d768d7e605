//! The moment at which a search gives up.

use std::time::Instant;

use crate::error::IndexError;

/// Documents that are looked at before the clock is: some microseconds.
pub(super) const DOCS_UNCHECKED: usize = 4096;

/// When to give up, if ever.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deadline(pub(super) Option<Instant>);

impl Deadline {
    pub(super) fn has_passed(self) -> bool {
        self.0.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(super) fn check(self) -> Result<(), IndexError> {
        if self.has_passed() { Err(IndexError::DeadlinePassed) } else { Ok(()) }
    }
}
