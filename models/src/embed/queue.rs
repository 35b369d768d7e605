//! What waits for the model: two bounded queues, one of queries and one of batches of passages.
//!
//! A query is refused when its queue is full, because someone waits for the answer; a batch of passages waits for room, which
//! slows its producer down. Queries always come out first. Invariant: after [`Queue::close`] both queues are empty and stay so;
//! dropping a job tells its caller that no answer will come.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::EmbedError;

/// Hash of a query as it is handed to the model. Keeping hashes bounds the cache and keeps what people asked out of it.
pub(super) type QueryKey = [u8; 32];

/// The number of a batch and its vectors, in the order of its texts.
pub(super) type PassageReply = (usize, Result<Vec<Vec<f32>>, EmbedError>);

/// One query, and where its vector goes.
pub(super) struct QueryJob {
    pub(super) text: String,
    pub(super) key: QueryKey,
    pub(super) deadline: Instant,
    pub(super) reply: SyncSender<Result<Arc<[f32]>, EmbedError>>,
}

/// One batch of passages; the reply carries `number` so that batches can come back in any order.
pub(super) struct PassageJob {
    pub(super) number: usize,
    pub(super) texts: Vec<String>,
    pub(super) reply: Sender<PassageReply>,
}

/// What the worker does next.
pub(super) enum Job {
    Query(QueryJob),
    Passages(PassageJob),
}

/// The two queues, shared by every handle and the worker.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    work_arrived: Condvar,
    room_made: Condvar,
    len_max: usize,
}

#[derive(Default)]
struct Waiting {
    queries: VecDeque<QueryJob>,
    passages: VecDeque<PassageJob>,
    closed: bool,
}

impl Queue {
    /// An open queue that holds at most `len_max` queries and at most `len_max` batches.
    pub(super) fn new(len_max: usize) -> Self {
        Self { waiting: Mutex::default(), work_arrived: Condvar::new(), room_made: Condvar::new(), len_max }
    }

    /// Adds a query, or refuses it at once.
    pub(super) fn push_query(&self, job: QueryJob) -> Result<(), EmbedError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(EmbedError::WorkerGone);
        }
        if waiting.queries.len() >= self.len_max {
            return Err(EmbedError::Overloaded { queue_len_max: self.len_max });
        }
        waiting.queries.push_back(job);
        self.work_arrived.notify_one();
        Ok(())
    }

    /// Adds a batch of passages, waiting until there is room.
    pub(super) fn push_passages(&self, job: PassageJob) -> Result<(), EmbedError> {
        let mut waiting = self.lock();
        while !waiting.closed && waiting.passages.len() >= self.len_max {
            waiting = self.room_made.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            return Err(EmbedError::WorkerGone);
        }
        waiting.passages.push_back(job);
        self.work_arrived.notify_one();
        Ok(())
    }

    /// Takes the oldest query, else the oldest batch, waiting for one to come; `None` once closed.
    pub(super) fn next(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(query) = waiting.queries.pop_front() {
                return Some(Job::Query(query));
            }
            if let Some(passages) = waiting.passages.pop_front() {
                self.room_made.notify_one();
                return Some(Job::Passages(passages));
            }
            waiting = self.work_arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Drops everything that waits and refuses everything to come.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        *waiting = Waiting { closed: true, ..Waiting::default() };
        self.work_arrived.notify_all();
        self.room_made.notify_all();
    }

    /// Queries and batches of passages waiting, without those being computed.
    pub(super) fn lens(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.queries.len(), waiting.passages.len())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code under this lock can panic halfway through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
