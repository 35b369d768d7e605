//! Turns: how many searches are at work side by side, and how long the others wait for theirs.
//!
//! Where more comes than can be answered, a queue that is bounded by the deadlines of those in it makes every answer late, and most
//! too late. Here a search waits for its turn for a share of its time only: what would be late is turned away early, to be sent
//! again, and what gets a turn is answered in time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::deadline::Deadline;
use crate::error::QueryError;

/// The turns of a read side. Cloning is cheap; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    wait_share: f32,
}

/// A search at work, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    /// At most this many at once, and no longer wait for one of them than this share of the time that is left.
    pub(crate) fn new(searches_max: usize, wait_share: f32) -> Self {
        Self { free: Arc::new(Semaphore::new(searches_max)), wait_share }
    }

    /// Waits for a turn, in the order in which searches came. [`QueryError::Overloaded`] when none came in time.
    ///
    /// Cancel safety: safe; the place in the queue is given up.
    pub(crate) async fn take(&self, deadline: Deadline) -> Result<Turn, QueryError> {
        let wait = deadline.left().mul_f32(self.wait_share);
        // The semaphore is never closed, so only the time can have come.
        match timeout(wait, Arc::clone(&self.free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
            _ => Err(QueryError::Overloaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_search_waits_for_a_share_of_its_time_and_is_turned_away_then() {
        let turns = Turns::new(1, 0.1);
        let first = turns.take(Deadline::after(LONG)).await.unwrap();
        let short = Deadline::after(Duration::from_millis(200));
        assert!(matches!(turns.take(short).await, Err(QueryError::Overloaded)));
        assert!(!short.has_passed(), "it is told early");
        drop(first);
        turns.take(Deadline::after(LONG)).await.unwrap();
    }

    #[tokio::test]
    async fn a_turn_that_ends_is_the_next_ones() {
        let turns = Turns::new(1, 1.0);
        let first = turns.take(Deadline::after(LONG)).await.unwrap();
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(Deadline::after(LONG)).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        second.await.unwrap().unwrap();
    }
}
