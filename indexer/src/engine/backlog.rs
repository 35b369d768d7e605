//! The backlog: what was taken in and is not searchable yet, and how far the commits are.
//!
//! Bookkeeping only: it locks nothing and waits for nothing. Invariant: each change is in the dirty part, in the commit under
//! way, or searchable; a failed commit puts its part back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{FencePoint, WorkspaceNumber};
use index::catalog::Workspace;
use index::{CommitPayload, IndexError};
use schemas::ids::PageId;
use tracing::Span;

use super::embed::{EmbedQueue, Vectors};
use super::pace::{EVENTS_MIN, Pace, Told};
use super::status::CommitStatus;
use crate::config::Config;
use crate::state::{Pending, Taken};
use crate::trace;

/// The first change after a rest waits for others for this part of the interval between commits.
const GATHERING_SHARE: u32 = 10;
/// How long after someone's edit commits are kept short, for the next one will come.
const EDITING: Duration = Duration::from_secs(2);
/// How many intervals a commit may take while nobody edits.
const BULK_INTERVALS: u32 = 4;

/// An amount of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
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
pub(super) struct Backlog {
    pub(super) tenants: HashMap<WorkspaceNumber, Tenant>,
    pub(super) embedding: EmbedQueue,
    /// Blocks of all pages held.
    pub(super) held_blocks: usize,
    /// Events let in and not committed yet.
    pub(super) load: Load,
    /// Those of them that changed something since the last take.
    pub(super) dirty: Load,
    /// When each of these was written, in milliseconds since 1970.
    written_ms: Vec<i64>,
    /// When the first of these came.
    pub(super) dirty_since: Option<Instant>,
    /// When someone's edit was merged last.
    pub(super) edited_at: Option<Instant>,
    /// What the commits of late took.
    pace: Pace,
    /// When the first change of the commit under way came.
    taken_since: Option<Instant>,
    /// Changes merged so far. A sender waits until a commit has come this far.
    pub(super) merged: u64,
    durable: u64,
    searchable: u64,
    /// When the last commit was begun, or the engine opened.
    began: Option<Instant>,
    /// Number of the last commit that was begun. Each try has its own.
    pub(super) commit_number: u64,
    /// Number of the last one that is on disk.
    pub(super) durable_number: u64,
    /// Number of the last one that searches see.
    searchable_number: u64,
    /// The span of what waits for the next commit, from its first change on.
    traced: Option<Span>,
    pub(super) offsets: BTreeMap<String, i64>,
    pub(super) committed_offsets: BTreeMap<String, i64>,
    pub(super) last_commit: Option<CommitStatus>,
    pub(super) stop: Stop,
    pub(super) commit_thread_ended: bool,
    /// Why the last commit failed; none once one succeeded.
    pub(super) failure: Option<Arc<IndexError>>,
}

impl Backlog {
    /// Nothing, after the commits that `payload` tells of.
    pub(super) fn after(payload: CommitPayload) -> Self {
        Self {
            began: Some(Instant::now()),
            commit_number: payload.index_seq,
            durable_number: payload.index_seq,
            searchable_number: payload.index_seq,
            offsets: payload.offsets.clone(),
            committed_offsets: payload.offsets,
            ..Self::default()
        }
    }

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

    /// Whether a bulk of events may be merged: the next commit is to stay small, so that edits need not wait long for it.
    pub(super) fn has_room_for_bulk(&self, config: &Config) -> bool {
        self.bulk_room(config) > 0
    }

    /// How many events of a bulk may be merged: a bulk at least, or none before the next commit.
    pub(super) fn bulk_room(&self, config: &Config) -> usize {
        let events_max = self.commit_events_max(config);
        let bulk = config.interactive_events_max.min(events_max / 2).max(1);
        match events_max.saturating_sub(self.dirty.events) {
            _ if !self.has_room(config) => 0,
            room if room >= bulk => room,
            _ if self.dirty.events == 0 => bulk,
            _ => 0,
        }
    }

    /// Changes that make a commit start: no more than it can write in its time.
    fn commit_events_max(&self, config: &Config) -> usize {
        let before_one_told = if self.is_edited() { EVENTS_MIN } else { config.commit_events_max };
        self.pace.events_max(self.commit_time(config)).unwrap_or(before_one_told).min(config.commit_events_max)
    }

    /// How long a commit may take: half of the interval between commits while people edit, for an edit may have to wait for two of
    /// them, and [`BULK_INTERVALS`] while nobody does, for whoever edits next.
    fn commit_time(&self, config: &Config) -> Duration {
        let interval = Duration::from_millis(config.commit_interval_ms);
        if self.is_edited() { interval / 2 } else { interval * BULK_INTERVALS }
    }

    fn is_edited(&self) -> bool {
        self.edited_at.is_some_and(|at| at.elapsed() < EDITING)
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

    /// Notes changes to be committed, and when each of them was written, in milliseconds since 1970.
    pub(super) fn mark_dirty(&mut self, changes: Load, written_ms: &[i64]) {
        self.written_ms.extend_from_slice(written_ms);
        // Offsets alone are a change, too.
        self.merged += changes.events.max(1) as u64;
        self.dirty.add(changes);
        self.dirty_since.get_or_insert_with(Instant::now);
        // Whoever brought the change is in a trace of its own.
        let traced = self.traced.get_or_insert_with(trace::index);
        Span::current().follows_from(&*traced);
    }

    /// How long the next commit can wait; `None` when nothing waits for it.
    pub(super) fn commit_due_in(&self, config: &Config) -> Option<Duration> {
        let text = self.dirty_since.map(|since| {
            let is_full = self.dirty.bytes >= config.commit_bytes_max || !self.has_room_for_bulk(config);
            // An edit after a rest waits only for what comes with it, and there is one commit in an interval at most.
            let interval = Duration::from_millis(config.commit_interval_ms);
            let rest_left = self.began.map_or(Duration::ZERO, |began| interval.saturating_sub(began.elapsed()));
            let gathering_left = (interval / GATHERING_SHARE).saturating_sub(since.elapsed());
            if is_full { Duration::ZERO } else { rest_left.max(gathering_left) }
        });
        let due = match (text, self.embedding.vectors_due_in(config)) {
            (Some(text), Some(vectors)) => text.min(vectors),
            (text, vectors) => text.or(vectors)?,
        };
        Some(if self.stop == Stop::AfterCommit { Duration::ZERO } else { due })
    }

    /// Takes all that waits for a commit.
    pub(super) fn take(&mut self, config: &Config) -> Work {
        self.commit_number += 1;
        self.began = Some(Instant::now());
        self.taken_since = self.dirty_since.take();
        let vectors = self.vectors_max(config);
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
            written_ms: std::mem::take(&mut self.written_ms),
            tenants: tenants.collect(),
            offsets: self.offsets.clone(),
            vectors: self.embedding.take_vectors(vectors),
            span: self.traced.take().unwrap_or_else(trace::index),
        }
    }

    /// Passages that the next commit may write for their vectors.
    fn vectors_max(&self, config: &Config) -> usize {
        if self.stop != Stop::No {
            return usize::MAX;
        }
        if self.embedding.vectors_due_in(config) != Some(Duration::ZERO) {
            return 0;
        }
        let more_wait = !self.has_room_for_bulk(config);
        self.pace.for_vectors_max(self.commit_time(config), self.dirty.events, more_wait)
    }

    /// Notes that a commit is on disk.
    pub(super) fn durable(&mut self, work: &Work) {
        self.durable = self.durable.max(work.merged);
        self.durable_number = work.number;
        self.committed_offsets.clone_from(&work.offsets);
        self.failure = None;
    }

    /// Notes that a commit is seen by searches: lets go of what it holds.
    pub(super) fn searchable(&mut self, work: &Work, status: CommitStatus, told: &Told) {
        self.searchable = self.searchable.max(work.merged);
        self.searchable_number = work.number;
        self.taken_since = None;
        self.load.subtract(work.load);
        self.pace.note(told);
        self.last_commit = Some(status);
        for done in &work.tenants {
            if let Some(tenant) = self.tenants.get_mut(&done.workspace.number) {
                tenant.erase &= !done.erase;
                tenant.pending.committed();
            }
        }
        self.drop_empty_tenants();
        self.embedding.vectors_committed();
    }

    /// Notes that a commit failed: what it was to hold is dirty as before.
    pub(super) fn not_committed(&mut self, work: Work, failure: Arc<IndexError>) {
        self.failure = Some(failure);
        self.dirty.add(work.load);
        self.written_ms.extend(work.written_ms);
        self.dirty_since = self.taken_since.take().or(self.dirty_since);
        for failed in work.tenants {
            if let Some(tenant) = self.tenants.get_mut(&failed.workspace.number) {
                tenant.pending.not_committed();
                tenant.interactive.extend(failed.interactive);
            }
        }
        self.embedding.give_back(work.vectors);
    }

    /// The number of the commit that holds all changes up to `ticket`, or a later one; `None` before there is one.
    pub(super) fn reached(&self, progress: Progress, ticket: u64) -> Option<u64> {
        match progress {
            Progress::Durable => (self.durable >= ticket).then_some(self.durable_number),
            Progress::Searchable => (self.searchable >= ticket).then_some(self.searchable_number),
        }
    }
}

/// What one commit writes.
pub(super) struct Work {
    pub(super) number: u64,
    merged: u64,
    load: Load,
    /// When each of its events was written, in milliseconds since 1970.
    pub(super) written_ms: Vec<i64>,
    pub(super) tenants: Vec<TenantWork>,
    pub(super) offsets: BTreeMap<String, i64>,
    pub(super) vectors: Vectors,
    pub(super) span: Span,
}

impl Work {
    /// Its events, and their bytes.
    pub(super) fn load(&self) -> Load {
        self.load
    }

    /// The pages, groups and people that its events changed.
    pub(super) fn records(&self) -> usize {
        let records = |taken: &Taken| taken.pages.len() + taken.groups.len() + taken.members.len();
        self.tenants.iter().map(|tenant| records(&tenant.taken)).sum()
    }
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
