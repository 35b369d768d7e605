//! What the threads of the write side share, and how they wait for each other.
//!
//! One mutex guards the backlog; it is never held while the index is written, a text is embedded or anyone is waited for.
//! Locks are taken in one order: this mutex, then the lock of a workspace.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use index::vectors::ModelTag;
use index::{Index, Writer};
use models::embed::{Embedder, TokenCounter};

use super::backlog::{Backlog, Load, Progress, Stop, Work};
use super::status::{CommitStatus, Counters};
use crate::config::Config;
use crate::dead_letters::DeadLetters;
use crate::error::{IngestError, OpenError};
use crate::split::Rules;

/// Tokens kept free for what a model's own counting may add.
const HEADROOM_TOKENS: usize = 8;
/// Longest passage where no model says.
const TOKENS_MAX_WITHOUT_MODEL: usize = 240;

pub(super) struct Core {
    pub(super) config: Config,
    pub(super) index: Index,
    pub(super) writer: Writer,
    pub(super) embedding: Option<Embedding>,
    pub(super) dead_letters: DeadLetters,
    pub(super) counters: Counters,
    token_counter: TokenCounter,
    max_tokens: usize,
    backlog: Mutex<Backlog>,
    /// There may be something to commit.
    commit_due: Condvar,
    /// There may be something to embed.
    embed_due: Condvar,
    /// A commit was made, or none will be made any more.
    progress: Condvar,
}

/// The embedding model.
pub(super) struct Embedding {
    pub(super) embedder: Embedder,
    pub(super) tag: ModelTag,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn open(index: Index, embedder: Option<Embedder>, config: Config) -> Result<Self, OpenError> {
        let writer = index.writer()?;
        let payload = index.payload();
        let token_counter = embedder.as_ref().map_or_else(TokenCounter::estimate, Embedder::token_counter);
        let tokens_max = embedder
            .as_ref()
            .map_or(TOKENS_MAX_WITHOUT_MODEL, |embedder| embedder.passage_tokens_max().saturating_sub(HEADROOM_TOKENS));
        let model_id = embedder.as_ref().map(|embedder| embedder.model_id().to_string());
        let is_other_model = payload.model_id.is_some() && payload.model_id != model_id;
        let mut backlog = Backlog::after(payload);
        if model_id.is_some() {
            backlog.embedding.queue_missing(&index, is_other_model);
        }
        Ok(Self {
            dead_letters: DeadLetters::new(&config.data_dir, config.dead_letters_bytes_max),
            embedding: embedder.map(|embedder| {
                let tag = ModelTag::of(embedder.model_id().as_str());
                Embedding { embedder, tag }
            }),
            max_tokens: tokens_max.max(config.passage_tokens.min(TOKENS_MAX_WITHOUT_MODEL)),
            config,
            index,
            writer,
            counters: Counters::default(),
            token_counter,
            backlog: Mutex::new(backlog),
            commit_due: Condvar::new(),
            embed_due: Condvar::new(),
            progress: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Backlog> {
        // Every change to the backlog is complete when a call into it ends, and none of these calls panics half way.
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs something with the rules by which passages are cut.
    pub(super) fn with_rules<T>(&self, run: impl FnOnce(&Rules<'_>) -> T) -> T {
        let count = |text: &str| self.token_counter.count(text);
        let target_tokens = self.config.passage_tokens.min(self.max_tokens);
        run(&Rules { count: &count, target_tokens, max_tokens: self.max_tokens })
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
    }

    /// Waits until a commit is due and takes what it writes; `None` when the thread is to end.
    pub(super) fn next_commit(&self) -> Option<Work> {
        let mut backlog = self.lock();
        loop {
            let due = backlog.commit_due_in(&self.config);
            backlog = match (backlog.stop, due) {
                (Stop::Now, _) | (Stop::AfterCommit, None) => return None,
                (_, Some(Duration::ZERO)) => {
                    let model_id = self.embedding.as_ref().map(|embedding| embedding.embedder.model_id().as_str());
                    let work = backlog.take(&self.config, model_id);
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
    pub(super) fn searchable(&self, work: &Work, status: CommitStatus) {
        self.lock().searchable(work, status);
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
        match (reached(&self.lock()), came) {
            (Some(number), _) => Ok(number),
            (None, true) => Err(IngestError::Stopped),
            (None, false) => Err(IngestError::NotYetCommitted { waited }),
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
