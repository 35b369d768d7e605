//! The engine: events in, one commit after another out.
//!
//! ```text
//! submit -> merge into pending records, access graph and heads at once -> acknowledge (applied)
//!           commit thread: take what changed -> split -> vectors already known -> one commit -> publish -> acknowledge
//!           embed thread:  passages without a vector -> embed -> hand back to the commit thread
//! ```
//!
//! It decodes nothing itself, decides no access and knows no source. Invariants:
//!
//! - Taking access away holds from the moment [`Engine::submit`] has merged it, before any commit; giving it holds once
//!   the content written before it is searchable.
//! - Text, vectors, records and offsets move in one commit. What is not committed stays pending and readable; a commit that
//!   fails is tried again, and nothing is lost but by ending the process before the acknowledgement.
//! - Text is searchable before it is embedded, and a text once embedded is not embedded again.
//! - Memory is bounded by [`Config`]: beyond it, events are turned away with [`IngestError::Overloaded`].

mod backlog;
mod commit;
pub(crate) mod cutting;
mod embed;
pub mod erase;
mod pace;
mod purge;
mod reads;
mod recent;
pub mod reindex;
mod shared;
mod status;
mod take_in;
mod target;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use index::{Index, IndexError};
use models::embed::Embedder;
use schemas::api::events::RejectedEvent;
use schemas::event::{Event, InvalidEvent};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};

use crate::config::Config;
use crate::dead_letters::{DeadLetter, SentFor};
use crate::decode::decode;
use crate::error::{IngestError, OpenError};
use crate::metrics::Metrics;

pub(crate) use backlog::Load;
use backlog::Progress;
use shared::Core;
pub use status::{CommitStatus, Status, WorkspaceStatus};
pub use target::ImportTarget;

/// How long a sender waits for its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Until they are merged: a revocation holds, but a crash may lose them.
    Applied,
    /// Until they are committed to disk.
    #[default]
    Durable,
    /// Until searches find them.
    Searchable,
}

/// Keeps events that were turned down safe, by their place among those given.
pub type Keep<'a> = dyn FnMut(&[(usize, InvalidEvent)]) -> Result<(), IngestError> + 'a;

/// Events of a source that can be read again.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The events.
    pub events: &'a [Event],
    /// When each was written, in milliseconds since 1970; one of which it says nothing was written just now.
    pub written_ms: &'a [Option<i64>],
    /// Up to where the source was read, these events included, by the name of the partition.
    pub offsets: &'a BTreeMap<String, i64>,
    /// Whether they are of a bulk, though they may be few: nobody waits for them as for someone's edit.
    pub is_bulk: bool,
}

/// What became of some events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submitted {
    /// Events that changed something.
    pub accepted: u64,
    /// Events that were seen before, or are older than what is there.
    pub unchanged: u64,
    /// Events that met a concurrent write; counted under `accepted` too.
    pub conflicts: u64,
    /// Events that were turned down, by their place among those given.
    pub rejected: Vec<(usize, InvalidEvent)>,
    /// Number of the commit that holds them; the first that may, where nothing was waited for.
    pub index_seq: u64,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsOutcome {
    /// Events that changed something.
    pub accepted: u64,
    /// Events that were seen before, or are older than what is there.
    pub unchanged: u64,
    /// Events that met a concurrent write; counted under `accepted` too.
    pub conflicts: u64,
    /// Events that were turned down, in the order of the batch. They are in the file of dead letters.
    pub rejected: Vec<RejectedEvent>,
    /// Number of the commit that holds the batch; the first that may, where nothing was waited for.
    pub index_seq: u64,
}

/// The write side of one index. Cloning is cheap; all clones share its threads.
///
/// All methods block; call them from blocking threads, never from an async task. [`Engine::close`] commits what is pending.
/// When the last handle is dropped without it, what was not committed is lost as in a crash, and the drop waits for the
/// commit or the embedding at hand.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the write side. Pages whose passages lack a vector are queued for the embedder; with none, search goes by words
    /// alone. The model must be the one that the generation in use was built with, where it was built with one.
    pub fn open(index: Index, embedder: Option<Embedder>, config: Config) -> Result<Self, OpenError> {
        Self::open_counting(index, embedder, config, Metrics::default())
    }

    /// As [`Engine::open`]; what it does is counted in `metrics`, together with what other engines count there.
    pub fn open_counting(
        index: Index,
        embedder: Option<Embedder>,
        config: Config,
        metrics: Metrics,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let core = Arc::new(Core::open(index, embedder, config, metrics)?);
        let engine = Self(Arc::new(Handle { core: Arc::clone(&core), threads: Mutex::default() }));
        engine.start("commit", commit::run)?;
        engine.start("embed", embed::run)?;
        engine.start("purge", purge::run)?;
        Ok(engine)
    }

    fn start(&self, name: &'static str, run: fn(&Core)) -> Result<(), OpenError> {
        let core = Arc::clone(&self.0.core);
        let thread = Builder::new()
            .name(format!("indexer-{name}"))
            .spawn(move || run(&core))
            .map_err(|source| OpenError::Thread { name, source })?;
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Takes in events and waits as asked, [`Config::wait_ms_max`] at most. Events of several workspaces may be mixed.
    ///
    /// On an error, what was taken in before it stays; sending the events again does no harm.
    pub fn submit(&self, events: &[Event], wait: Wait) -> Result<Submitted, IngestError> {
        self.submit_read_to(events, &BTreeMap::new(), wait)
    }

    /// As [`Engine::submit`], for a source that can be read again from an offset: `offsets` says up to where it was read,
    /// these events included, by the name of its partition. They are committed together with the events.
    pub fn submit_read_to(
        &self,
        events: &[Event],
        offsets: &BTreeMap<String, i64>,
        wait: Wait,
    ) -> Result<Submitted, IngestError> {
        let mut keep = |rejected: &[(usize, InvalidEvent)]| {
            let texts: Vec<_> = rejected.iter().map(|(at, _)| events[*at].encode()).collect();
            let letters = texts.iter().zip(rejected).map(|(event, (at, error))| DeadLetter {
                event: event.as_bytes(),
                error,
                origin: None,
                sent_for: SentFor::One(events[*at].workspace.as_str()),
            });
            self.keep(&letters.collect::<Vec<_>>())
        };
        self.submit_read(&Read { events, written_ms: &[], offsets, is_bulk: false }, wait, &mut keep)
    }

    /// As [`Engine::submit_read_to`]; `keep` is given the events that were turned down, by their place among those given, and
    /// has to keep them safe before it returns: only then do the offsets move past them.
    pub fn submit_read(&self, read: &Read<'_>, wait: Wait, keep: &mut Keep<'_>) -> Result<Submitted, IngestError> {
        let core = &self.0.core;
        let mut taken = take_in::take_in(core, read.events, read.written_ms, read.is_bulk)?;
        if !taken.rejected.is_empty() {
            keep(&taken.rejected)?;
        }
        if !read.offsets.is_empty() {
            take_in::read_to(core, read.offsets, &mut taken);
        }
        let index_seq = core.wait(&taken, wait)?;
        let take_in::Taken { accepted, unchanged, conflicts, rejected, .. } = taken;
        Ok(Submitted { accepted, unchanged, conflicts, rejected, index_seq })
    }

    /// Decodes a batch (see [`decode`]), takes in its good events and keeps the bad ones in the file of dead letters before
    /// it answers. With a `guard`, events of other workspaces are bad.
    pub fn submit_bytes(
        &self,
        guard: Option<&WorkspaceId>,
        body: &[u8],
        wait: Wait,
    ) -> Result<EventsOutcome, IngestError> {
        let core = &self.0.core;
        let now_ms = jiff::Timestamp::now().as_millisecond().unsigned_abs();
        let batch = decode(body, guard, now_ms)?;
        let (places, events): (Vec<_>, Vec<_>) =
            batch.events.into_iter().map(|decoded| ((decoded.index, decoded.bytes), decoded.event)).unzip();
        let taken = take_in::take_in(core, &events, &[], false)?;
        let full = taken.rejected.iter().map(|(at, error)| (places[*at].clone(), error));
        let bad = batch.bad.iter().map(|bad| ((bad.index, bad.bytes.clone()), &bad.error));
        let mut turned_down: Vec<_> = full.chain(bad).collect();
        turned_down.sort_by_key(|((index, _), _)| *index);
        let letters = turned_down.iter().map(|((_, bytes), error)| DeadLetter {
            event: &body[bytes.clone()],
            error,
            origin: None,
            sent_for: guard.map_or(SentFor::Any, |workspace| SentFor::One(workspace.as_str())),
        });
        self.keep(&letters.collect::<Vec<_>>())?;
        let index_seq = core.wait(&taken, wait)?;
        let rejected = turned_down.into_iter().map(|((index, bytes), error)| RejectedEvent {
            index: index as u64,
            id: id_of(&body[bytes]),
            field: error.field.clone(),
            code: error.code,
            reason: error.reason.clone(),
        });
        let rejected = rejected.collect();
        let take_in::Taken { accepted, unchanged, conflicts, .. } = taken;
        Ok(EventsOutcome { accepted, unchanged, conflicts, rejected, index_seq })
    }

    /// Keeps dead letters, and waits until they are on disk.
    pub fn keep(&self, letters: &[DeadLetter<'_>]) -> Result<(), IngestError> {
        let core = &self.0.core;
        core.counters.rejected(letters);
        core.dead_letters
            .append(letters, jiff::Timestamp::now())
            .map_err(|source| IngestError::DeadLetters { path: core.dead_letters.path(), source })
    }

    /// The record of a page with its blocks, the newest there is; `None` when nothing was ever said about it.
    pub fn page_record(&self, workspace: &WorkspaceId, page: &PageId) -> Result<Option<PageRecord>, IngestError> {
        self.0.core.page_record(workspace, page).map_err(IngestError::Unreadable)
    }

    /// The record of a group, the newest there is.
    pub fn group_record(&self, workspace: &WorkspaceId, group: &GroupId) -> Result<Option<GroupRecord>, IngestError> {
        self.0.core.group_record(workspace, group).map_err(IngestError::Unreadable)
    }

    /// The record of a person, the newest there is.
    pub fn member_record(&self, workspace: &WorkspaceId, user: &UserId) -> Result<Option<MemberRecord>, IngestError> {
        self.0.core.member_record(workspace, user).map_err(IngestError::Unreadable)
    }

    /// The pages that exist in a workspace, those in the trash included, in no order.
    pub fn pages(&self, workspace: &WorkspaceId) -> Vec<PageId> {
        let Some(workspace) = self.0.core.index.catalog().get(workspace) else { return Vec::new() };
        let state = workspace.read();
        state.heads().filter(|head| !head.deleted).map(|head| head.page.clone()).collect()
    }

    /// Up to where each partition was read, by the last commit: where a source goes on after a restart.
    pub fn committed_offsets(&self) -> BTreeMap<String, i64> {
        self.0.core.lock().committed_offsets.clone()
    }

    /// Why the last commit failed; `None` once one succeeded. What it was to hold is kept and tried again.
    pub fn failure(&self) -> Option<Arc<IndexError>> {
        self.0.core.lock().failure.clone()
    }

    /// How the write side stands.
    pub fn status(&self) -> Status {
        status::status(&self.0.core)
    }

    /// How it stands with one workspace; `None` when nothing was ever said about it.
    pub fn workspace_status(&self, workspace: &WorkspaceId) -> Option<WorkspaceStatus> {
        status::workspace_status(&self.0.core, workspace)
    }

    /// Names the content of a workspace: equal for two engines with the same records, passages and vectors, whatever came
    /// in between. Reads everything that is committed; for tests and for comparing replicas.
    pub fn content_digest(&self, workspace: &WorkspaceId) -> Result<String, IngestError> {
        status::content_digest(&self.0.core, workspace).map_err(IngestError::Unreadable)
    }

    /// Waits until so many events can be taken in, or none ever again; false when the time ran out first.
    pub fn wait_for_room(&self, events: usize, timeout: Duration) -> bool {
        let core = &self.0.core;
        let room = take_in::room(core.config.pending_events_max, events < core.config.interactive_events_max);
        core.wait_for(Instant::now() + timeout, |backlog| {
            let is_full = backlog.load.events + events > room;
            !backlog.accepts()
                || backlog.load.events == 0
                || (!is_full && backlog.load.bytes < core.config.pending_bytes_max / 2)
        })
    }

    /// How many events of a bulk would be merged at once. Fewer than [`Config::interactive_events_max`] are merged always.
    pub fn bulk_room(&self) -> usize {
        let core = &self.0.core;
        core.lock().bulk_room(&core.config)
    }

    /// Waits until a bulk of events would be merged at once, or none ever again; false when the time ran out first. Fewer
    /// events than [`Config::interactive_events_max`] are merged without it.
    pub fn wait_for_bulk(&self, timeout: Duration) -> bool {
        let core = &self.0.core;
        core.wait_for(Instant::now() + timeout, |backlog| !backlog.accepts() || backlog.has_room_for_bulk(&core.config))
    }

    /// The index that it writes.
    pub fn index(&self) -> &Index {
        &self.0.core.index
    }

    /// What it is configured with.
    pub fn config(&self) -> &Config {
        &self.0.core.config
    }

    /// Waits until everything taken in is searchable; false when the time ran out first.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.0.core.wait_for(Instant::now() + timeout, backlog::Backlog::is_idle)
    }

    /// Waits until everything taken in is searchable, by meaning too; false when the time ran out first.
    pub fn wait_embedded(&self, timeout: Duration) -> bool {
        self.0.core.wait_for(Instant::now() + timeout, |backlog| backlog.is_idle() && backlog.embedding.is_idle())
    }

    /// Has purges end after the segment at hand, so that whoever waits for one is not waited for. What is left is purged when the index is next
    /// opened. All else goes on until [`Engine::close`].
    pub fn stop_purges(&self) {
        self.0.core.purges.stop();
    }

    /// Stops taking events in, commits what is pending, and ends the threads. What waits to be embedded is taken up again
    /// when the index is next opened. Blocks until that is done; false when what is pending could not be committed.
    pub fn close(&self) -> bool {
        self.0.core.stop(backlog::Stop::AfterCommit);
        self.0.join();
        self.0.core.lock().is_idle()
    }
}

impl Handle {
    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has said so in the log.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.stop(backlog::Stop::Now);
        self.join();
    }
}

impl Core {
    /// Waits for events as asked, and names the commit that holds them.
    fn wait(&self, taken: &take_in::Taken, wait: Wait) -> Result<u64, IngestError> {
        let progress = match wait {
            Wait::Applied => return Ok(taken.index_seq),
            Wait::Durable => Progress::Durable,
            Wait::Searchable => Progress::Searchable,
        };
        self.wait_until(progress, taken.ticket)
    }
}

/// The id that the source gave an event, as far as it can be read.
fn id_of(event: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let Named { id } = serde_json::from_slice(event).ok()?;
    (id.len() <= 512).then_some(id)
}
