//! What the threads of the write side share: the pending records, the queue to the embedder, and how far each is.
//!
//! One mutex guards it all and is never held while the index is written, a text is embedded or anyone is waited for.
//! Locks are taken in one order: this mutex, then the lock of a workspace.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access::{FencePoint, WorkspaceNumber};
use index::catalog::Workspace;
use index::vectors::ModelTag;
use index::{Index, Writer};
use models::embed::{Embedder, TokenCounter};
use schemas::ids::PageId;

use super::embed::{EmbedQueue, Vectors};
use super::status::{CommitStatus, Counters};
use crate::config::Config;
use crate::dead_letters::DeadLetters;
use crate::error::{IngestError, OpenError};
use crate::split::Rules;
use crate::state::{Pending, Taken};

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
    state: Mutex<State>,
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

/// An amount of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.events -= other.events;
        self.bytes -= other.bytes;
    }
}

/// Whether and how the threads are to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// They go on.
    #[default]
    No,
    /// When what is pending is committed.
    AfterCommit,
    /// As soon as they can.
    Now,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// On disk.
    Durable,
    /// Seen by searches.
    Searchable,
}

/// What is pending of one workspace.
pub(super) struct Tenant {
    pub(super) workspace: Arc<Workspace>,
    pub(super) pending: Pending,
    /// Pages that someone edited: they are embedded first.
    pub(super) interactive: HashSet<PageId>,
    /// Everything of it is to be deleted.
    pub(super) erase: bool,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) tenants: HashMap<WorkspaceNumber, Tenant>,
    pub(super) embedding: EmbedQueue,
    /// Blocks of all pages held.
    pub(super) held_blocks: usize,
    /// Events let in and not committed yet.
    pub(super) load: Load,
    /// Those of them that changed something since the last take.
    pub(super) dirty: Load,
    /// When the first of these came.
    pub(super) dirty_since: Option<Instant>,
    /// When the first change of the commit under way came.
    taken_since: Option<Instant>,
    /// Changes merged so far. A sender waits until a commit has come this far.
    pub(super) merged: u64,
    durable: u64,
    searchable: u64,
    /// Number of the last commit that was begun. Each try has its own.
    pub(super) commit_number: u64,
    /// Number of the last one that is on disk.
    pub(super) durable_number: u64,
    pub(super) offsets: BTreeMap<String, i64>,
    pub(super) committed_offsets: BTreeMap<String, i64>,
    /// The model of all vectors; an older one while a change of model is under way.
    model_id: Option<String>,
    pub(super) last_commit: Option<CommitStatus>,
    pub(super) stop: Stop,
    commit_thread_ended: bool,
}

impl State {
    /// True when everything merged is searchable and nothing else waits for a commit.
    pub(super) fn is_idle(&self) -> bool {
        self.searchable == self.merged && self.dirty_since.is_none() && self.taken_since.is_none()
    }

    /// True when everything merged is on disk.
    pub(super) fn is_durable(&self) -> bool {
        self.durable == self.merged
    }

    pub(super) fn accepts(&self) -> bool {
        self.stop == Stop::No && !self.commit_thread_ended
    }

    /// Whether more pages can be held.
    pub(super) fn has_room(&self, config: &Config) -> bool {
        self.held_blocks < config.pending_blocks_max
    }

    /// Forgets workspaces of which nothing is held any more.
    pub(super) fn drop_empty_tenants(&mut self) {
        self.tenants.retain(|_, tenant| tenant.erase || !tenant.pending.is_empty());
        self.held_blocks = self.tenants.values().map(|tenant| tenant.pending.held_blocks()).sum();
    }

    /// When the oldest change that is not searchable was taken in.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.taken_since.or(self.dirty_since)
    }

    /// Notes changes to be committed.
    pub(super) fn mark_dirty(&mut self, changes: Load) {
        self.merged += changes.events as u64;
        self.dirty.add(changes);
        self.dirty_since.get_or_insert_with(Instant::now);
    }

    /// How long the next commit can wait; `None` when nothing waits for it.
    fn commit_due_in(&self, config: &Config) -> Option<Duration> {
        let text = self.dirty_since.map(|since| {
            let is_full = self.dirty.events >= config.commit_events_max
                || self.dirty.bytes >= config.commit_bytes_max
                || !self.has_room(config);
            let wait = if is_full { Duration::ZERO } else { Duration::from_millis(config.commit_interval_ms) };
            wait.saturating_sub(since.elapsed())
        });
        let due = match (text, self.embedding.vectors_due_in(config)) {
            (Some(text), Some(vectors)) => text.min(vectors),
            (text, vectors) => text.or(vectors)?,
        };
        Some(if self.stop == Stop::AfterCommit { Duration::ZERO } else { due })
    }

    /// Takes all that waits for a commit.
    fn take(&mut self, config: &Config, model_id: Option<&str>) -> Work {
        self.commit_number += 1;
        self.taken_since = self.dirty_since.take();
        let with_vectors = self.stop != Stop::No || self.embedding.vectors_due_in(config) == Some(Duration::ZERO);
        if self.embedding.is_idle() && model_id.is_some() {
            // No vector of a former model is left.
            self.model_id = model_id.map(str::to_owned);
        }
        let tenants = self.tenants.values_mut().map(|tenant| TenantWork {
            workspace: Arc::clone(&tenant.workspace),
            erase: tenant.erase,
            taken: tenant.pending.take(),
            interactive: std::mem::take(&mut tenant.interactive),
            fence: tenant.workspace.read().access.fence_point(),
        });
        Work {
            number: self.commit_number,
            merged: self.merged,
            load: std::mem::take(&mut self.dirty),
            tenants: tenants.collect(),
            offsets: self.offsets.clone(),
            vectors: if with_vectors { self.embedding.take_vectors() } else { Vectors::default() },
            model_id: self.model_id.clone(),
        }
    }
}

/// What one commit writes.
pub(super) struct Work {
    pub(super) number: u64,
    merged: u64,
    load: Load,
    pub(super) tenants: Vec<TenantWork>,
    pub(super) offsets: BTreeMap<String, i64>,
    pub(super) vectors: Vectors,
    pub(super) model_id: Option<String>,
}

/// What one commit writes of a workspace.
pub(super) struct TenantWork {
    pub(super) workspace: Arc<Workspace>,
    pub(super) erase: bool,
    pub(super) taken: Taken,
    pub(super) interactive: HashSet<PageId>,
    /// The access that may be given once this is searchable.
    pub(super) fence: FencePoint,
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
        let mut state = State {
            commit_number: payload.index_seq,
            durable_number: payload.index_seq,
            offsets: payload.offsets.clone(),
            committed_offsets: payload.offsets,
            model_id: payload.model_id.clone(),
            ..State::default()
        };
        if model_id.is_some() {
            let is_other_model = payload.model_id.is_some() && payload.model_id != model_id;
            state.embedding.queue_missing(&index, is_other_model);
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
            state: Mutex::new(state),
            commit_due: Condvar::new(),
            embed_due: Condvar::new(),
            progress: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Every change to the state is complete when a call into it ends, and none of these calls panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut state = self.lock();
        state.stop = state.stop.max(stop);
        drop(state);
        self.commit_due.notify_all();
        self.embed_due.notify_all();
        self.progress.notify_all();
    }

    /// Waits until a commit is due and takes what it writes; `None` when the thread is to end.
    pub(super) fn next_commit(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            let due = state.commit_due_in(&self.config);
            state = match (state.stop, due) {
                (Stop::Now, _) | (Stop::AfterCommit, None) => return None,
                (_, Some(Duration::ZERO)) => {
                    let model_id = self.embedding.as_ref().map(|embedding| embedding.embedder.model_id().as_str());
                    return Some(state.take(&self.config, model_id));
                }
                (_, Some(due)) => self.commit_due.wait_timeout(state, due).unwrap_or_else(PoisonError::into_inner).0,
                (_, None) => self.commit_due.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Waits for a while, unless the threads are to end at once.
    pub(super) fn pause(&self, wait: Duration) {
        let state = self.lock();
        let paused = self.commit_due.wait_timeout_while(state, wait, |state| state.stop != Stop::Now);
        drop(paused);
    }

    /// Waits until there is something to embed and lets `take` take it; `None` when the thread is to end.
    pub(super) fn next_to_embed<T>(&self, mut take: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.stop != Stop::No {
                return None;
            }
            if let Some(taken) = take(&mut state) {
                return Some(taken);
            }
            state = self.embed_due.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a while before the model is tried again.
    pub(super) fn pause_embedding(&self, wait: Duration) {
        let state = self.lock();
        let paused = self.embed_due.wait_timeout_while(state, wait, |state| state.stop == Stop::No);
        drop(paused);
    }

    /// Says that a commit is on disk.
    pub(super) fn durable(&self, work: &Work) {
        let mut state = self.lock();
        state.durable = state.durable.max(work.merged);
        state.durable_number = work.number;
        state.committed_offsets.clone_from(&work.offsets);
        drop(state);
        self.progress.notify_all();
    }

    /// Says that a commit is seen by searches: lets go of what it holds.
    pub(super) fn searchable(&self, work: &Work, status: CommitStatus) {
        let mut state = self.lock();
        state.searchable = state.searchable.max(work.merged);
        state.taken_since = None;
        state.load.subtract(work.load);
        state.last_commit = Some(status);
        for done in &work.tenants {
            if let Some(tenant) = state.tenants.get_mut(&done.workspace.number) {
                tenant.erase &= !done.erase;
                tenant.pending.committed();
            }
        }
        state.drop_empty_tenants();
        state.embedding.vectors_committed();
        drop(state);
        self.progress.notify_all();
        self.embed_due.notify_all();
    }

    /// Says that a commit failed: what it was to hold is pending as before.
    pub(super) fn not_committed(&self, work: Work) {
        let mut state = self.lock();
        state.dirty.add(work.load);
        let since = state.taken_since.take();
        state.dirty_since = since.or(state.dirty_since);
        for failed in work.tenants {
            if let Some(tenant) = state.tenants.get_mut(&failed.workspace.number) {
                tenant.pending.not_committed();
                tenant.interactive.extend(failed.interactive);
            }
        }
        state.embedding.give_back(work.vectors);
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
        let reached = |state: &State| match progress {
            Progress::Durable => state.durable >= ticket,
            Progress::Searchable => state.searchable >= ticket,
        };
        let came = self.wait_for(deadline, |state| reached(state) || state.commit_thread_ended);
        let state = self.lock();
        match (came, reached(&state)) {
            (_, true) => Ok(state.durable_number),
            (true, false) => Err(IngestError::Stopped),
            (false, false) => Err(IngestError::NotYetCommitted { waited }),
        }
    }

    /// Waits until the state is as wanted; false when the deadline came first.
    pub(super) fn wait_for(&self, deadline: Instant, is_reached: impl Fn(&State) -> bool) -> bool {
        let mut state = self.lock();
        while !is_reached(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
