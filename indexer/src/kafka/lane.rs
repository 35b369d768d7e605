//! A lane: the queue of one engine and the thread that merges it, turn by turn.
//!
//! It waits where the engine has no room, and tries again where something fails: it never drops and never spins. Invariant:
//! dead letters are on disk, and in their topic where there is one, before an offset passes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use index::epochs::Epoch;
use schemas::event::{Event, InvalidEvent};
use schemas::ids::WorkspaceId;

use super::dead_letters::{DeadLetterTopic, Letter};
use super::queue::{Partition, Place, Progress, Queue, Read, Turn, Weights, takes_access};
use crate::dead_letters::{DeadLetter, Origin, SentFor};
use crate::engine::{self, Engine, Wait};
use crate::error::IngestError;
use crate::trace;

/// First and longest pause after something failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a lane waits for room in the engine before it looks at what else has come.
const ROOM_WAIT: Duration = Duration::from_millis(20);
/// How often an owner asks whether another took over.
const FENCE_INTERVAL: Duration = Duration::from_millis(200);

/// Why a lane ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its engine takes nothing any more.
    EngineStopped,
    /// Another process took its folder over.
    Superseded,
}

/// What an engine is fed by.
#[derive(Debug)]
pub(super) struct Lane {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    engine: Engine,
    topic: String,
    letters: Option<DeadLetterTopic>,
    /// The claim of the engine's folder, where others may take it over.
    epoch: Option<Epoch>,
    state: Mutex<State>,
    /// Something came, or it is to stop.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    stopping: bool,
    end: Option<End>,
    /// Failures since the last success.
    failures: u32,
}

impl Lane {
    /// Starts the thread.
    pub(super) fn start(
        engine: Engine,
        topic: &str,
        letters: Option<DeadLetterTopic>,
        epoch: Option<Epoch>,
        weights: Weights,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            engine,
            topic: topic.to_owned(),
            letters,
            epoch,
            state: Mutex::new(State { queue: Queue::weighing(weights), ..State::default() }),
            changed: Condvar::new(),
        });
        let lane = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("indexer-lane".to_owned()).spawn(move || lane.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes a partition in, and says where it is to be read from: where the index ends; `None` where it has nothing of it.
    pub(super) fn begin(&self, partition: i32) -> Option<i64> {
        let offset = self.committed(partition);
        self.shared.lock().queue.begin(partition, offset.unwrap_or(0));
        offset
    }

    /// Adds messages to the queue.
    pub(super) fn push(&self, read: impl IntoIterator<Item = Read>) {
        let mut state = self.shared.lock();
        read.into_iter().for_each(|read| state.queue.push(read));
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How far a partition was read and merged.
    pub(super) fn progress(&self, partition: i32) -> Progress {
        self.shared.lock().queue.progress(partition)
    }

    /// Whether an event goes before others, also where its workspace is set aside.
    pub(super) fn is_urgent(&self, event: &Event) -> bool {
        let bulk_events = self.shared.engine.config().interactive_events_max;
        takes_access(&event.change) && self.shared.lock().queue.is_urgent(event, bulk_events)
    }

    /// The next offset to read of a partition; `None` where nothing of it was read, now or before.
    pub(super) fn next(&self, partition: i32) -> Option<i64> {
        let is_known = self.of_partition(partition, |known| known.is_read()) || self.committed(partition).is_some();
        is_known.then(|| self.progress(partition).next)
    }

    /// Looks at what is known of a partition, or changes how it is read.
    pub(super) fn of_partition<T>(&self, partition: i32, look: impl FnOnce(&mut Partition) -> T) -> T {
        look(self.shared.lock().queue.partition(partition))
    }

    /// Where a partition is read on by the last commit; `None` where it has nothing of it.
    pub(super) fn committed(&self, partition: i32) -> Option<i64> {
        self.shared.engine.committed_offsets().get(&partition_name(&self.shared.topic, partition)).copied()
    }

    /// Why it ended by itself, if it did.
    pub(super) fn end(&self) -> Option<End> {
        self.shared.lock().end
    }

    /// The engine that it feeds.
    pub(super) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.shared.lock().failures
    }

    /// Ends the thread after the turn at hand. What waits is read again by whoever has the partition next.
    pub(super) fn stop(&self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has said so in the log.
            let _ = thread.join();
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The queue is whole after each of its calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let bulk_events = self.engine.config().interactive_events_max;
        let mut fence_due = Instant::now();
        // The positions that were handed on last.
        let mut told = BTreeMap::new();
        loop {
            if self.epoch.is_some() && Instant::now() >= fence_due {
                fence_due = Instant::now() + FENCE_INTERVAL;
                if self.is_superseded() {
                    return self.end(End::Superseded);
                }
            }
            let bulk_room = self.engine.bulk_room();
            let mut state = self.lock();
            if state.stopping {
                return;
            }
            let turn = state.queue.take(bulk_room, bulk_events, Instant::now());
            if turn.is_none() && !state.queue.is_empty() {
                drop(state);
                self.engine.wait_for_bulk(ROOM_WAIT);
                continue;
            }
            let positions = state.queue.positions_after(turn.as_ref().unwrap_or(&Turn::default()));
            if turn.is_none() && positions == told {
                drop(self.changed.wait_timeout(state, FENCE_INTERVAL));
                continue;
            }
            // Positions move without a turn, too, when nothing is left to be read again.
            let turn = turn.unwrap_or_default();
            drop(state);
            let done = self.traced(&turn, || self.do_until_done(&turn, &positions));
            match done {
                Ok(true) => {
                    self.lock().queue.done(&turn);
                    told = positions;
                }
                Ok(false) => return,
                Err(end) => return self.end(end),
            }
        }
    }

    /// Does a turn in a span of its own. One that moves positions alone has none.
    fn traced<T>(&self, turn: &Turn, work: impl FnOnce() -> T) -> T {
        let mut partitions = turn.all_places().map(|place| place.partition);
        let Some(first) = partitions.next() else { return work() };
        let partition = partitions.all(|partition| partition == first).then_some(first);
        trace::process(&self.topic, partition, turn.all_places().count()).in_scope(work)
    }

    fn end(&self, end: End) {
        self.lock().end = Some(end);
    }

    fn is_superseded(&self) -> bool {
        let Some(epoch) = &self.epoch else { return false };
        epoch.is_superseded().unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot tell whether a partition was taken over");
            // Whether or not it was: what is written to this folder does no harm.
            false
        })
    }

    /// Does a turn; false when the lane is to stop before it is done.
    fn do_until_done(&self, turn: &Turn, positions: &BTreeMap<i32, i64>) -> Result<bool, End> {
        let named = positions.iter().map(|(partition, offset)| (partition_name(&self.topic, *partition), *offset));
        let offsets: BTreeMap<String, i64> = named.collect();
        loop {
            let pause = match self.do_once(turn, &offsets) {
                Ok(()) => {
                    self.lock().failures = 0;
                    return Ok(true);
                }
                Err(IngestError::Stopped) => return Err(End::EngineStopped),
                Err(IngestError::Overloaded { retry_after }) => {
                    // Waits for the room itself, so that it goes on as soon as there is some.
                    self.engine.wait_for_room(turn.events.len(), retry_after.min(RETRY_PAUSE_MAX));
                    Duration::ZERO
                }
                Err(error) => {
                    let mut state = self.lock();
                    state.failures += 1;
                    let pause = (RETRY_PAUSE * 2_u32.pow(state.failures.min(10) - 1)).min(RETRY_PAUSE_MAX);
                    let failures = state.failures;
                    drop(state);
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, failures, "events of a stream cannot be merged; they are tried again");
                    pause
                }
            };
            let state = self.lock();
            let waited = self.changed.wait_timeout_while(state, pause, |state| !state.stopping);
            if waited.unwrap_or_else(PoisonError::into_inner).0.stopping {
                return Ok(false);
            }
            if self.is_superseded() {
                return Err(End::Superseded);
            }
        }
    }

    fn do_once(&self, turn: &Turn, offsets: &BTreeMap<String, i64>) -> Result<(), IngestError> {
        let refused = turn.refused.iter().map(|(place, refused)| Letter {
            key: refused.key.as_deref(),
            letter: self.letter(&refused.payload, &refused.error, place, refused.key.as_deref()),
        });
        self.keep(&refused.collect::<Vec<_>>())?;
        let mut keep = |rejected: &[(usize, InvalidEvent)]| {
            let texts: Vec<_> = rejected.iter().map(|(at, _)| turn.events[*at].encode()).collect();
            let letters = texts.iter().zip(rejected).map(|(text, (at, error))| {
                let key = Some(turn.events[*at].workspace.as_str().as_bytes());
                Letter { key, letter: self.letter(text.as_bytes(), error, &turn.places[*at], key) }
            });
            self.keep(&letters.collect::<Vec<_>>())
        };
        let written_ms: Vec<_> = turn.places.iter().map(|place| place.written_ms).collect();
        let read = engine::Read { events: &turn.events, written_ms: &written_ms, offsets, is_bulk: turn.is_bulk };
        self.engine.submit_read(&read, Wait::Applied, &mut keep)?;
        Ok(())
    }

    fn letter<'a>(
        &'a self,
        event: &'a [u8],
        error: &'a InvalidEvent,
        place: &Place,
        key: Option<&'a [u8]>,
    ) -> DeadLetter<'a> {
        let origin = Origin::Stream { topic: &self.topic, partition: place.partition, offset: place.offset };
        let workspace = key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| WorkspaceId::new(*key).is_ok());
        let sent_for = workspace.map_or(SentFor::Nobody, SentFor::One);
        DeadLetter { event, error, origin: Some(origin), sent_for }
    }

    fn keep(&self, letters: &[Letter<'_>]) -> Result<(), IngestError> {
        if letters.is_empty() {
            return Ok(());
        }
        if let Some(topic) = &self.letters {
            topic.send(letters)?;
        }
        self.engine.keep(&letters.iter().map(|letter| letter.letter).collect::<Vec<_>>())
    }
}

/// The name of a partition in the payload of a commit.
pub(super) fn partition_name(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}
