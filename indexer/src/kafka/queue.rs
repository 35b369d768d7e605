//! What was read and is not merged yet, by workspace, so that each gets its turn.
//!
//! Pure bookkeeping. Workspaces take turns, for events commute: one that imports does not delay the edits of others that were
//! read, nor those that stand behind it in the partition ([`partition`]). What takes access away goes first, unless it is a bulk:
//! a workspace that deletes its pages delays nobody either. Invariant: the position of a partition never passes an event that is
//! not merged, or a bad one that is not kept.

mod partition;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use schemas::event::{Change, Event, InvalidEvent};
use schemas::grant::Role;
use schemas::ids::WorkspaceId;

pub(super) use partition::{Again, Partition, Progress};

/// Turns in a row that workspaces have which are named; all others have one.
pub(super) type Weights = HashMap<WorkspaceId, u32>;

/// Most events of one turn: enough to be merged at full speed, and over in some milliseconds.
const TURN_EVENTS_MAX: usize = 512;
/// How long after a bulk a workspace's few events are still taken for the rest of it, and not for someone's edits.
const BULK_GOES_ON: Duration = Duration::from_secs(2);
/// Most bad messages that are kept at once.
const REFUSED_MAX: usize = 512;

/// A message that was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) place: Place,
    /// About how many bytes it takes while it waits.
    pub(super) bytes: usize,
    pub(super) content: Result<Event, Refused>,
}

/// Where and when a message was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// In milliseconds since 1970; none where the broker does not say.
    pub(super) written_ms: Option<i64>,
}

/// A message that is no event.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Vec<u8>,
    pub(super) error: InvalidEvent,
}

/// What a lane does next. Everything in it must be done before it is given to [`Queue::done`].
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) events: Vec<Event>,
    pub(super) refused: Vec<(Place, Refused)>,
    /// The places of the events, in the same order.
    pub(super) places: Vec<Place>,
    /// The bytes of all this, in the order of events, then bad messages.
    bytes: Vec<usize>,
    /// Whether the events are of a bulk, though they may be few.
    pub(super) is_bulk: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    weights: Weights,
    /// Workspaces with events, each once, with the turns it has left in a row; the first has the next turn.
    turns: VecDeque<(WorkspaceId, u32)>,
    events: HashMap<WorkspaceId, VecDeque<(Place, usize, Event)>>,
    /// When the workspaces had a bulk that had one of late.
    bulks: HashMap<WorkspaceId, Instant>,
    refused: VecDeque<(Place, usize, Refused)>,
    /// Events that take access away: few of a workspace go before all others, for taking it sooner shows nobody anything.
    taking: HashMap<WorkspaceId, VecDeque<(Place, usize, Event)>>,
    /// Workspaces with such events, each once; the first is the next.
    takers: VecDeque<WorkspaceId>,
    /// Whether the last turn took access away.
    took_access: bool,
    partitions: BTreeMap<i32, Partition>,
}

impl Queue {
    /// One in which these workspaces have more turns than others.
    pub(super) fn weighing(weights: Weights) -> Self {
        Self { weights, ..Self::default() }
    }

    fn weight(&self, workspace: &WorkspaceId) -> u32 {
        self.weights.get(workspace).copied().unwrap_or(1)
    }

    /// Takes a partition in, read from an offset on.
    pub(super) fn begin(&mut self, partition: i32, offset: i64) {
        self.partitions.insert(partition, Partition::from(offset));
    }

    /// Adds a message; those of a partition come in the order of their offsets, but for what was set aside.
    pub(super) fn push(&mut self, read: Read) {
        let Read { place, bytes, content } = read;
        let workspace = content.as_ref().ok().map(|event| &event.workspace);
        self.partitions.entry(place.partition).or_default().add(place, workspace, bytes);
        match content {
            Ok(event) if takes_access(&event.change) => {
                let waiting = self.taking.entry(event.workspace.clone()).or_default();
                if waiting.is_empty() {
                    self.takers.push_back(event.workspace.clone());
                }
                waiting.push_back((place, bytes, event));
            }
            Ok(event) => {
                let weight = self.weight(&event.workspace);
                let waiting = self.events.entry(event.workspace.clone()).or_default();
                if waiting.is_empty() {
                    self.turns.push_back((event.workspace.clone(), weight));
                }
                waiting.push_back((place, bytes, event));
            }
            Err(refused) => self.refused.push_back((place, bytes, refused)),
        }
    }

    /// Takes what is to be done next; `None` when nothing can be. A turn is of one workspace, or of several that have few events.
    /// Workspaces with `bulk_events` or more, or which had so many a moment before `now`, take no more than `bulk_room`, and wait
    /// where that is nothing.
    ///
    /// Few events that take access away go first, and wait for no bulk. After a turn that took access away others have one, so
    /// that neither many of those nor a bulk of them hold up edits.
    pub(super) fn take(&mut self, bulk_room: usize, bulk_events: usize, now: Instant) -> Option<Turn> {
        let mut turn = Turn::default();
        let mut bytes_refused = Vec::new();
        for (place, bytes, refused) in self.refused.drain(..self.refused.len().min(REFUSED_MAX)) {
            turn.refused.push((place, refused));
            bytes_refused.push(bytes);
        }
        if self.took_access {
            let is_urgent = self.taking.values().any(|waiting| waiting.len() < bulk_events);
            self.take_others(&mut turn, if is_urgent { 0 } else { bulk_room }, bulk_events, now);
        }
        let took_others = !turn.events.is_empty();
        if !took_others {
            self.take_few_taking(&mut turn, bulk_events);
            if turn.events.is_empty() {
                self.take_bulk_taking(&mut turn, bulk_room, now);
            }
        }
        self.took_access = !took_others && !turn.events.is_empty();
        if turn.events.is_empty() {
            self.take_others(&mut turn, bulk_room, bulk_events, now);
        }
        turn.bytes.extend(bytes_refused);
        (!turn.events.is_empty() || !turn.refused.is_empty()).then_some(turn)
    }

    /// Takes what takes access away, of the workspaces that have little of it.
    fn take_few_taking(&mut self, turn: &mut Turn, bulk_events: usize) {
        let turn_events_max = bulk_events.saturating_sub(1).min(TURN_EVENTS_MAX);
        for _ in 0..self.takers.len() {
            let Some(workspace) = self.takers.pop_front() else { break };
            let Some(events) = self.taking.get_mut(&workspace) else { continue };
            if events.len() < bulk_events {
                let room = turn_events_max - turn.events.len();
                turn.add(events.drain(..events.len().min(room)));
            }
            if events.is_empty() {
                self.taking.remove(&workspace);
            } else {
                self.takers.push_back(workspace);
            }
        }
    }

    /// Takes of the next workspace that has what takes access away: much of it, as of a mass deletion, where those with few come
    /// before.
    fn take_bulk_taking(&mut self, turn: &mut Turn, bulk_room: usize, now: Instant) {
        if bulk_room == 0 {
            return;
        }
        let Some(workspace) = self.takers.pop_front() else { return };
        let Some(events) = self.taking.get_mut(&workspace) else { return };
        turn.is_bulk = true;
        turn.add(events.drain(..events.len().min(TURN_EVENTS_MAX).min(bulk_room)));
        if events.is_empty() {
            self.taking.remove(&workspace);
        } else {
            self.takers.push_back(workspace.clone());
        }
        self.note_bulk(workspace, now);
    }

    /// Takes what does not take access away.
    fn take_others(&mut self, turn: &mut Turn, bulk_room: usize, bulk_events: usize, now: Instant) {
        for _ in 0..self.turns.len() {
            let Some((workspace, turns_left)) = self.turns.pop_front() else { break };
            let waiting = self.events.get_mut(&workspace).map_or(0, |waiting| waiting.len());
            let is_bulk = turn.events.len() + waiting >= bulk_events || self.had_bulk(&workspace, now);
            if is_bulk && (bulk_room == 0 || !turn.events.is_empty()) {
                self.turns.push_back((workspace, turns_left));
                continue;
            }
            let Some(events) = self.events.get_mut(&workspace) else { continue };
            let turn_events_max = if is_bulk { TURN_EVENTS_MAX.min(bulk_room) } else { TURN_EVENTS_MAX };
            turn.add(events.drain(..waiting.min(turn_events_max)));
            if events.is_empty() {
                self.events.remove(&workspace);
            } else if turns_left > 1 {
                self.turns.push_front((workspace.clone(), turns_left - 1));
            } else {
                let weight = self.weight(&workspace);
                self.turns.push_back((workspace.clone(), weight));
            }
            if is_bulk {
                turn.is_bulk = true;
                if waiting >= bulk_events {
                    self.note_bulk(workspace, now);
                }
                break;
            }
        }
    }

    fn note_bulk(&mut self, workspace: WorkspaceId, now: Instant) {
        self.bulks.retain(|_, at| now.saturating_duration_since(*at) < BULK_GOES_ON);
        self.bulks.insert(workspace, now);
    }

    /// Whether a change that takes access away goes before others also where its workspace is set aside: of pages that are removed
    /// only as long as no `bulk_events` such changes wait, for one act may remove a whole tree.
    pub(super) fn is_urgent(&self, event: &Event, bulk_events: usize) -> bool {
        let removes_page = matches!(event.change, Change::PageTrashed { .. } | Change::PageDeleted { .. });
        let waiting = self.taking.get(&event.workspace).map_or(0, VecDeque::len);
        !(removes_page && waiting >= bulk_events)
    }

    fn had_bulk(&self, workspace: &WorkspaceId, now: Instant) -> bool {
        self.bulks.get(workspace).is_some_and(|at| now.saturating_duration_since(*at) < BULK_GOES_ON)
    }

    /// Where the partitions will be read on once a turn is done: what goes into the commit with it.
    pub(super) fn positions_after(&self, turn: &Turn) -> BTreeMap<i32, i64> {
        let mut done: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
        for place in turn.all_places() {
            done.entry(place.partition).or_default().insert(place.offset);
        }
        let none = BTreeSet::new();
        let read = self.partitions.iter().filter(|(_, progress)| progress.is_read());
        read.map(|(partition, progress)| (*partition, progress.position_after(done.get(partition).unwrap_or(&none))))
            .collect()
    }

    /// Notes that a turn is done.
    pub(super) fn done(&mut self, turn: &Turn) {
        let workspaces = turn.events.iter().map(|event| Some(&event.workspace)).chain(std::iter::repeat(None));
        for ((place, workspace), bytes) in turn.all_places().zip(workspaces).zip(&turn.bytes) {
            if let Some(progress) = self.partitions.get_mut(&place.partition) {
                progress.remove(*place, workspace, *bytes);
            }
        }
    }

    pub(super) fn progress(&self, partition: i32) -> Progress {
        self.partitions.get(&partition).map(Partition::progress).unwrap_or_default()
    }

    /// What is known of a partition, to read it by.
    pub(super) fn partition(&mut self, partition: i32) -> &mut Partition {
        self.partitions.entry(partition).or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.refused.is_empty() && self.takers.is_empty()
    }
}

/// Whether a change takes access away and gives none, whatever came before. Grants and groups may do both: those that give must
/// not go before what was written to the page until then.
pub(super) fn takes_access(change: &Change) -> bool {
    match change {
        Change::MemberChanged { role, .. } => *role == Role::Removed,
        Change::UserErased { .. }
        | Change::WorkspaceErased
        | Change::PageTrashed { .. }
        | Change::PageDeleted { .. } => true,
        _ => false,
    }
}

impl Turn {
    fn add(&mut self, events: impl Iterator<Item = (Place, usize, Event)>) {
        for (place, bytes, event) in events {
            self.places.push(place);
            self.bytes.push(bytes);
            self.events.push(event);
        }
    }

    pub(super) fn all_places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().chain(self.refused.iter().map(|(place, _)| place))
    }
}

#[cfg(test)]
mod tests;
