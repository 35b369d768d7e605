//! Buffers for analysing text, kept from one request to the next, so that frequent words are stemmed once.
//!
//! Bound: as many as searches ever ran side by side; one holds about a megabyte.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use index::analysis::Tokens;

/// The buffers that no request uses at the moment. Cloning is cheap; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Tokens>>>);

impl Buffers {
    /// Runs work that analyses texts.
    pub(crate) fn lend<T>(&self, work: impl FnOnce(&mut Tokens) -> T) -> T {
        let mut tokens = self.idle().pop().unwrap_or_default();
        let done = work(&mut tokens);
        self.idle().push(tokens);
        done
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Tokens>> {
        // Taking one out and putting one back cannot panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
