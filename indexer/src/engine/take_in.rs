//! Taking events in: merged into the pending records, the access graph and the heads, all at once.
//!
//! It waits for no commit. Invariant: when [`take_in`] returns, every change of access in the batch is in the graph, so that
//! what it takes away is gone for all that asks later.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::WorkspaceNumber;
use index::IndexError;
use index::catalog::Workspace;
use index::records::PageHead;
use schemas::event::{Change, Event, InvalidEvent};
use schemas::ids::{GroupId, PageId, UserId};

use super::backlog::{Backlog, Load, Tenant};
use super::reads::Committed;
use super::shared::Core;
use crate::error::IngestError;
use crate::state::{Outcome, Pending, Touched};

/// Events merged before other senders and the commit thread get their turn.
const CHUNK_EVENTS: usize = 256;
/// What an event takes beside its text, in bytes.
const EVENT_OVERHEAD_BYTES: usize = 300;

/// What was taken in of some events.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) accepted: u64,
    pub(super) unchanged: u64,
    pub(super) conflicts: u64,
    /// By their place among those given.
    pub(super) rejected: Vec<(usize, InvalidEvent)>,
    /// What a commit must have come to for all of it to be in it.
    pub(super) ticket: u64,
    /// Number of the first commit that may hold it.
    pub(super) index_seq: u64,
}

/// Merges events. `written_ms` says when each was written, in milliseconds since 1970; those of which it says nothing, just now.
/// Many events are a bulk; with `is_bulk`, however few they are, they are one that was cut to [`Backlog::bulk_room`].
pub(super) fn take_in(
    core: &Core,
    events: &[Event],
    written_ms: &[Option<i64>],
    is_bulk: bool,
) -> Result<Taken, IngestError> {
    let started = Instant::now();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let weights: Vec<_> = events.iter().map(weigh).collect();
    let mut left = Load { events: events.len(), bytes: weights.iter().sum() };
    let is_small = events.len() < core.config.interactive_events_max;
    let_in(core, left, is_small)?;
    let deadline = Instant::now() + Duration::from_millis(core.config.wait_ms_max);
    // A bulk of a stream was cut to the room that there is, and what stands behind it waits for no commit.
    let is_fitted = is_small || is_bulk;
    let may_merge = |backlog: &Backlog| {
        if is_fitted { backlog.has_room(&core.config) } else { backlog.has_room_for_bulk(&core.config) }
    };
    let mut taken = Taken::default();
    let mut merged = Ok(());
    let mut at = 0;
    while at < events.len() && merged.is_ok() {
        if !core.wait_for(deadline, |backlog| may_merge(backlog) || !backlog.accepts()) {
            merged = Err(IngestError::Overloaded { retry_after: Duration::from_millis(core.config.wait_ms_max) });
            break;
        }
        let end = events.len().min(at + CHUNK_EVENTS);
        let written_ms: Vec<i64> =
            (at..end).map(|at| written_ms.get(at).copied().flatten().unwrap_or(now_ms)).collect();
        let chunk = Chunk {
            first: at,
            events: &events[at..end],
            bytes: &weights[at..end],
            written_ms: &written_ms,
            is_interactive: is_small && !is_bulk,
        };
        let mut backlog = core.lock();
        if !backlog.accepts() {
            merged = Err(IngestError::Stopped);
            break;
        }
        let done = merge(core, &mut backlog, &chunk, &mut taken);
        at += done.events;
        left.subtract(Load { events: done.events, bytes: weights[at - done.events..at].iter().sum() });
        merged = done.result.map_err(IngestError::Unreadable);
        if !may_merge(&backlog) {
            core.wake_commit();
        }
    }
    core.release(left);
    core.counters.merged(&taken);
    merged?;
    if !events.is_empty() {
        core.counters.metrics.merged(events.len(), started.elapsed());
    }
    taken.note(&core.lock());
    core.wake_commit();
    Ok(taken)
}

/// Moves the offsets up to which sources were read. What is below them must have been taken in, or kept in another way.
pub(super) fn read_to(core: &Core, offsets: &BTreeMap<String, i64>, taken: &mut Taken) {
    let mut backlog = core.lock();
    if offsets.iter().any(|(partition, offset)| backlog.offsets.get(partition) != Some(offset)) {
        backlog.offsets.extend(offsets.iter().map(|(partition, offset)| (partition.clone(), *offset)));
        backlog.mark_dirty(Load::default(), &[]);
    }
    taken.note(&backlog);
    drop(backlog);
    core.wake_commit();
}

impl Taken {
    fn note(&mut self, backlog: &Backlog) {
        self.ticket = backlog.merged;
        self.index_seq = if backlog.is_durable() { backlog.durable_number } else { backlog.commit_number + 1 };
    }
}

/// Of the room for events that wait, the part that small batches alone may take: one of them may take access away, and is not to be
/// turned away because of an import.
const KEPT_FOR_SMALL: usize = 8;

/// How much of the room for events that wait a small batch, or another one, may take.
pub(super) fn room(all: usize, is_small: bool) -> usize {
    if is_small { all } else { all - all / KEPT_FOR_SMALL }
}

/// Lets events in, unless too many wait already. A batch is never too large for an empty queue.
fn let_in(core: &Core, load: Load, is_small: bool) -> Result<(), IngestError> {
    let mut backlog = core.lock();
    if !backlog.accepts() {
        return Err(IngestError::Stopped);
    }
    let is_full = backlog.load.events + load.events > room(core.config.pending_events_max, is_small)
        || backlog.load.bytes + load.bytes > room(core.config.pending_bytes_max, is_small);
    if is_full && backlog.load.events > 0 {
        let commit_ms = backlog.last_commit.as_ref().map_or(0, |commit| commit.took_ms);
        let retry_after = Duration::from_millis(commit_ms.max(core.config.commit_interval_ms).max(100));
        drop(backlog);
        core.counters.overloaded();
        core.wake_commit();
        return Err(IngestError::Overloaded { retry_after });
    }
    backlog.load.add(load);
    Ok(())
}

/// What the events of a chunk changed in one workspace.
#[derive(Default)]
struct Changed {
    pages: HashSet<PageId>,
    groups: BTreeSet<GroupId>,
    members: BTreeSet<UserId>,
}

/// Events that are merged in one go.
struct Chunk<'a> {
    /// The place of the first among those given.
    first: usize,
    events: &'a [Event],
    /// What each takes.
    bytes: &'a [usize],
    /// When each was written, in milliseconds since 1970.
    written_ms: &'a [i64],
    is_interactive: bool,
}

/// How far a chunk was merged.
struct Merged {
    /// Events that are dealt with.
    events: usize,
    result: Result<(), IndexError>,
}

/// Merges the events of a chunk, until there is no more room for their pages.
fn merge(core: &Core, backlog: &mut Backlog, chunk: &Chunk<'_>, taken: &mut Taken) -> Merged {
    let mut changed: HashMap<WorkspaceNumber, Changed> = HashMap::new();
    let mut kept = Load::default();
    let mut kept_written_ms = Vec::new();
    let mut gone = Load::default();
    let mut merged = Merged { events: 0, result: Ok(()) };
    for ((event, &bytes), &written_ms) in chunk.events.iter().zip(chunk.bytes).zip(chunk.written_ms) {
        let load = Load { events: 1, bytes };
        match merge_one(core, backlog, event, &mut changed) {
            Ok(outcome @ (Outcome::Applied | Outcome::Conflict)) => {
                taken.accepted += 1;
                taken.conflicts += u64::from(outcome == Outcome::Conflict);
                kept.add(load);
                kept_written_ms.push(written_ms);
            }
            Ok(Outcome::Unchanged) => {
                taken.unchanged += 1;
                gone.add(load);
            }
            Ok(Outcome::Rejected(error)) => {
                taken.rejected.push((chunk.first + merged.events, error));
                gone.add(load);
            }
            Err(error) => {
                merged.result = Err(error);
                break;
            }
        }
        merged.events += 1;
        if !backlog.has_room(&core.config) {
            break;
        }
    }
    // What was merged before an error holds, so its access must, too.
    for (number, changed) in changed {
        let Some(tenant) = backlog.tenants.get_mut(&number) else { continue };
        put_heads(tenant, &changed);
        if chunk.is_interactive {
            tenant.interactive.extend(changed.pages);
        }
    }
    backlog.load.subtract(gone);
    if chunk.is_interactive {
        backlog.edited_at = Some(Instant::now());
    }
    if kept.events > 0 {
        backlog.mark_dirty(kept, &kept_written_ms);
    }
    if gone.events > 0 {
        backlog.let_go_of_unchanged();
    }
    merged
}

fn merge_one(
    core: &Core,
    backlog: &mut Backlog,
    event: &Event,
    changed: &mut HashMap<WorkspaceNumber, Changed>,
) -> Result<Outcome, IndexError> {
    let workspace = core.index.catalog().get_or_create(&event.workspace);
    if workspace.read().erased {
        return Ok(Outcome::Unchanged);
    }
    let tenant = backlog.tenant(&workspace);
    let held_before = tenant.pending.held_blocks();
    if event.change == Change::WorkspaceErased {
        tenant.pending = Pending::default();
        tenant.interactive.clear();
        tenant.erase = true;
        changed.remove(&workspace.number);
        workspace.write().erase();
        backlog.held_blocks -= held_before;
        return Ok(Outcome::Applied);
    }
    let stored = Committed { writer: &core.writer, number: workspace.number };
    let applied = tenant.pending.apply(&stored, &event.change, &Arc::new(event.version.clone()));
    let held_after = tenant.pending.held_blocks();
    backlog.held_blocks = backlog.held_blocks + held_after - held_before;
    let (outcome, touched) = applied?;
    let changed = changed.entry(workspace.number).or_default();
    match touched {
        Touched::Nothing => {}
        Touched::Pages(pages) => changed.pages.extend(pages),
        Touched::Group(group) => {
            changed.groups.insert(group);
        }
        Touched::Member(user) => {
            changed.members.insert(user);
        }
    }
    Ok(outcome)
}

/// Brings the heads and the access graph of a workspace up to the pending records.
fn put_heads(tenant: &Tenant, changed: &Changed) {
    let mut state = tenant.workspace.write();
    for page in &changed.pages {
        if let Some(record) = tenant.pending.page(page) {
            let ordinal = state.ordinal_for(page);
            state.put_head(PageHead::of(page, ordinal, record));
        }
    }
    for group in &changed.groups {
        if let Some(record) = tenant.pending.group(group) {
            state.put_group(group, record.members.value().and_then(Option::as_ref));
        }
    }
    for user in &changed.members {
        if let Some(record) = tenant.pending.member(user) {
            state.put_member(user, record.role.value().copied(), record.erased.value() == Some(&true));
        }
    }
}

impl Backlog {
    fn tenant(&mut self, workspace: &Arc<Workspace>) -> &mut Tenant {
        self.tenants.entry(workspace.number).or_insert_with(|| Tenant {
            workspace: Arc::clone(workspace),
            pending: Pending::default(),
            interactive: HashSet::new(),
            erase: false,
        })
    }

    /// Lets go of records that were only read.
    fn let_go_of_unchanged(&mut self) {
        for tenant in self.tenants.values_mut() {
            tenant.pending.let_go_of_unchanged();
        }
        self.drop_empty_tenants();
    }
}

/// About how many bytes of memory an event takes.
fn weigh(event: &Event) -> usize {
    let text_bytes = match &event.change {
        Change::BlockUpserted { patch, .. } => patch.content.as_ref().map_or(0, |content| content.plain_text().len()),
        Change::PageUpserted { patch, .. } => {
            let properties = patch.properties.iter();
            let property_bytes = properties
                .map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.plain_text().len()))
                .sum::<usize>();
            property_bytes + patch.title.as_ref().map_or(0, String::len)
        }
        Change::PageAccessChanged { grants, .. } => grants.len() * 64,
        Change::GroupChanged { members, .. } => members.as_ref().map_or(0, Vec::len) * 64,
        _ => 0,
    };
    EVENT_OVERHEAD_BYTES + text_bytes
}

#[cfg(test)]
mod tests {
    use index::OpenMode;
    use schemas::event::BlockPatch;
    use schemas::ids::{BlockId, RegionId, WorkspaceId};
    use schemas::version::{Timestamp, VectorClock, Version};

    use super::*;
    use crate::config::Config;
    use crate::engine::Engine;

    fn edits(count: u64, first: u64) -> Vec<Event> {
        let page = PageId::new("p").unwrap();
        let edit = |number: u64| {
            let patch = BlockPatch { page: page.clone(), parent: None, position: number.to_string(), content: None };
            let region = RegionId::new("eu").unwrap();
            let clock = VectorClock([(region.clone(), 1)].into());
            let block = BlockId::new(format!("b{number}")).unwrap();
            Event {
                id: number.to_string(),
                source: "/test".to_owned(),
                workspace: WorkspaceId::new("acme").unwrap(),
                time: None,
                version: Version { clock, timestamp: Timestamp { wall_ms: number, logical: 0 }, region },
                change: Change::BlockUpserted { block, patch },
            }
        };
        (first..first + count).map(edit).collect()
    }

    #[test]
    fn a_bulk_that_was_cut_to_the_room_waits_for_no_commit() {
        let dir = tempfile::tempdir().unwrap();
        let folder = index::Config { dir: dir.path().join("index"), dimensions: 8, ..index::Config::default() };
        let config = Config {
            data_dir: dir.path().to_owned(),
            commit_interval_ms: 1,
            commit_events_max: 300,
            wait_ms_max: 1_000,
            ..Config::default()
        };
        let engine = Engine::open(index::Index::open(&folder, OpenMode::ReadWrite).unwrap(), None, config).unwrap();
        let core = &engine.0.core;
        let held = core.hold_commits();
        take_in(core, &edits(1, 0), &[], true).unwrap();
        // The thread has taken it, and stands before its commit.
        assert!(core.wait_for(Instant::now() + Duration::from_mins(1), |backlog| backlog.dirty.events == 0));
        let room = engine.bulk_room();
        assert!(room > CHUNK_EVENTS && room - CHUNK_EVENTS < core.config.interactive_events_max, "{room}");
        let taken = take_in(core, &edits(room as u64, 1), &[], true).unwrap();
        assert_eq!(taken.accepted, room as u64);
        assert_eq!(engine.bulk_room(), 0);
        drop(held);
        assert!(engine.close());
    }
}
