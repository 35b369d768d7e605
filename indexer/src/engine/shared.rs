//! What the threads of the write side share, and how they wait for each other.
//!
//! One mutex guards the backlog; it is never held while the index is written, a text is embedded or anyone is waited for.
//! Locks are taken in one order: the one of commits, this mutex, then the lock of a workspace.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use index::{Index, Writer};
use models::embed::Embedder;

use super::backlog::{Backlog, Load, Progress, Stop, Work};
use super::cutting::Cutting;
use super::pace::Told;
use super::purge::Purges;
use super::recent::Recent;
use super::status::{CommitStatus, Counters};
use crate::config::Config;
use crate::dead_letters::DeadLetters;
use crate::error::{IngestError, OpenError};
use crate::metrics::Metrics;

pub(super) struct Core {
    pub(super) config: Config,
    pub(super) index: Index,
    pub(super) writer: Writer,
    pub(super) dead_letters: DeadLetters,
    pub(super) counters: Counters,
    /// How the generation in use makes passages.
    cutting: RwLock<Arc<Cutting>>,
    /// Held while a commit is made, and while another generation takes the place of the one in use.
    commits: Mutex<()>,
    /// Whether a generation is being built.
    pub(super) is_rebuilding: AtomicBool,
    /// Pages that were just written and wait for vectors.
    pub(super) recent: Recent,
    /// What erased workspaces left in the files.
    pub(super) purges: Purges,
    backlog: Mutex<Backlog>,
    /// There may be something to commit.
    commit_due: Condvar,
    /// There may be something to embed.
    embed_due: Condvar,
    /// A commit was made, or none will be made any more.
    progress: Condvar,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn open(
        index: Index,
        embedder: Option<Embedder>,
        config: Config,
        metrics: Metrics,
    ) -> Result<Self, OpenError> {
        let writer = index.writer()?;
        let cutting = Cutting::of_index(&index, embedder, config.passage_tokens)?;
        let mut backlog = Backlog::after(index.payload());
        if cutting.embedding.is_some() {
            backlog.embedding.queue_missing(&index);
        }
        let purges = Purges::default();
        purges.look_again(&index);
        Ok(Self {
            dead_letters: DeadLetters::new(&config.data_dir, config.dead_letters_bytes_max),
            recent: Recent::new(config.recent_bytes_max),
            config,
            index,
            writer,
            counters: Counters::within(metrics),
            cutting: RwLock::new(Arc::new(cutting)),
            commits: Mutex::new(()),
            is_rebuilding: AtomicBool::new(false),
            purges,
            backlog: Mutex::new(backlog),
            commit_due: Condvar::new(),
            embed_due: Condvar::new(),
            progress: Condvar::new(),
        })
    }

    /// How the generation in use makes passages. Good for one commit or one page.
    pub(super) fn cutting(&self) -> Arc<Cutting> {
        Arc::clone(&self.cutting.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another way of making passages in place, with the generation that was built by it. Vectors on their way are
    /// dropped, and what has none is queued.
    pub(super) fn set_cutting(&self, cutting: Cutting) {
        let has_model = cutting.embedding.is_some();
        *self.cutting.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(cutting);
        self.recent.clear();
        let mut backlog = self.lock();
        backlog.embedding.restart();
        if has_model {
            backlog.embedding.queue_missing(&self.index);
        }
        drop(backlog);
        self.wake_embed();
        self.purges.look_again(&self.index);
    }

    /// Holds commits back while it is held.
    pub(super) fn hold_commits(&self) -> MutexGuard<'_, ()> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Backlog> {
        // Every change to the backlog is complete when a call into it ends, and none of these calls panics half way.
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back the room of events that were let in and not merged.
    pub(super) fn release(&self, load: Load) {
        self.lock().load.subtract(load);
    }

    /// Tells the commit thread that there may be something to do.
    pub(super) fn wake_commit(&self) {
        self.commit_due.notify_all();
    }

    /// Tells the embed thread that there may be something to do.
    pub(super) fn wake_embed(&self) {
        self.embed_due.notify_all();
    }

    pub(super) fn stop(&self, stop: Stop) {
        let mut backlog = self.lock();
        backlog.stop = backlog.stop.max(stop);
        drop(backlog);
        self.commit_due.notify_all();
        self.embed_due.notify_all();
        self.progress.notify_all();
        self.purges.stop();
    }

    /// Waits until a commit is due and takes what it writes; `None` when the thread is to end.
    pub(super) fn next_commit(&self) -> Option<Work> {
        let mut backlog = self.lock();
        loop {
            let due = backlog.commit_due_in(&self.config);
            backlog = match (backlog.stop, due) {
                (Stop::Now, _) | (Stop::AfterCommit, None) => return None,
                (_, Some(Duration::ZERO)) => {
                    let work = backlog.take(&self.config);
                    // There is room for the next bulk.
                    self.progress.notify_all();
                    return Some(work);
                }
                (_, Some(due)) => self.commit_due.wait_timeout(backlog, due).unwrap_or_else(PoisonError::into_inner).0,
                (_, None) => self.commit_due.wait(backlog).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Waits for a while before a commit is tried again, unless the threads are to end.
    pub(super) fn pause(&self, wait: Duration) {
        let backlog = self.lock();
        let paused = self.commit_due.wait_timeout_while(backlog, wait, |backlog| backlog.stop == Stop::No);
        drop(paused);
    }

    /// Waits until there is something to embed and lets `take` take it; `None` when the thread is to end.
    pub(super) fn next_to_embed<T>(&self, mut take: impl FnMut(&mut Backlog) -> Option<T>) -> Option<T> {
        let mut backlog = self.lock();
        loop {
            if backlog.stop != Stop::No {
                return None;
            }
            if let Some(taken) = take(&mut backlog) {
                return Some(taken);
            }
            backlog = self.embed_due.wait(backlog).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a while before the model is tried again.
    pub(super) fn pause_embedding(&self, wait: Duration) {
        let backlog = self.lock();
        let paused = self.embed_due.wait_timeout_while(backlog, wait, |backlog| backlog.stop == Stop::No);
        drop(paused);
    }

    /// Says that a commit is on disk.
    pub(super) fn durable(&self, work: &Work) {
        self.lock().durable(work);
        self.progress.notify_all();
    }

    /// Says that a commit is seen by searches.
    pub(super) fn searchable(&self, work: &Work, status: CommitStatus, told: &Told) {
        self.lock().searchable(work, status, told);
        self.progress.notify_all();
        self.embed_due.notify_all();
    }

    /// Says that no commit will come any more.
    pub(super) fn commit_thread_ended(&self) {
        self.lock().commit_thread_ended = true;
        self.progress.notify_all();
    }

    /// Waits until a commit has come as far as `ticket`; gives its number.
    pub(super) fn wait_until(&self, progress: Progress, ticket: u64) -> Result<u64, IngestError> {
        let waited = Duration::from_millis(self.config.wait_ms_max);
        let deadline = Instant::now() + waited;
        let reached = |backlog: &Backlog| backlog.reached(progress, ticket);
        let came = self.wait_for(deadline, |backlog| reached(backlog).is_some() || backlog.commit_thread_ended);
        let backlog = self.lock();
        match (reached(&backlog), came) {
            (Some(number), _) => Ok(number),
            (None, true) => Err(IngestError::Stopped),
            (None, false) => Err(match backlog.failure.clone() {
                Some(source) => IngestError::Failing { waited, source },
                None => IngestError::NotYetCommitted { waited },
            }),
        }
    }

    /// Waits until the backlog is as wanted; false when the deadline came first.
    pub(super) fn wait_for(&self, deadline: Instant, is_reached: impl Fn(&Backlog) -> bool) -> bool {
        let mut backlog = self.lock();
        while !is_reached(&backlog) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            backlog = self.progress.wait_timeout(backlog, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
