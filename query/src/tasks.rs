//! Blocking work of searches: how much of it runs side by side, and by when it is waited for.
//!
//! A permit moves into the work it is for, because blocking work outlives its caller: when a caller has gone or its
//! deadline has passed, the work still counts until it ends.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::trace::Place;

/// A bounded share of the runtime's blocking threads. Cloning is cheap; clones share the bound.
#[derive(Clone, Debug)]
pub(crate) struct Tasks(Arc<Semaphore>);

impl Tasks {
    /// At most this many at once.
    pub(crate) fn new(tasks_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(tasks_max)))
    }

    /// Runs blocking work and waits for it until the deadline.
    ///
    /// Cancel safety: safe; work that was started goes on and its result is dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let due = deadline.instant().into();
        // The semaphore is never closed, so only the deadline can have come.
        let Ok(Ok(permit)) = timeout_at(due, Arc::clone(&self.0).acquire_owned()).await else {
            return Err(QueryError::Overloaded);
        };
        let place = Place::here();
        let task = spawn_blocking(move || {
            let _permit = permit;
            place.go_on(work)
        });
        match timeout_at(due, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(source)) => Err(QueryError::Panicked { source }),
            Err(_) => Err(QueryError::DeadlineExceeded),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_that_is_late_keeps_its_permit_until_it_ends() {
        let tasks = Tasks::new(1);
        let (release, hold) = mpsc::channel::<()>();
        let late = tasks.run(Deadline::after(Duration::from_millis(20)), move || {
            let _ = hold.recv();
            Ok(())
        });
        assert!(matches!(late.await, Err(QueryError::DeadlineExceeded)));
        let next = tasks.run(Deadline::after(Duration::from_millis(20)), || Ok(()));
        assert!(matches!(next.await, Err(QueryError::Overloaded)));
        release.send(()).unwrap();
        tasks.run(Deadline::after(Duration::from_mins(1)), || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_its_permit() {
        let tasks = Tasks::new(1);
        let minute = Deadline::after(Duration::from_mins(1));
        let panicked = tasks.run(minute, || -> Result<(), QueryError> { panic!("on purpose") }).await;
        assert!(matches!(panicked, Err(QueryError::Panicked { .. })));
        tasks.run(minute, || Ok(())).await.unwrap();
    }
}
