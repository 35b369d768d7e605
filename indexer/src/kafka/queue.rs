//! What was read and is not merged yet, by workspace, so that each gets its turn.
//!
//! Pure bookkeeping. Workspaces take turns, for events commute: one that imports does not delay the edits of others that were
//! read. Invariant: the position of a partition never passes an event that is not merged, or a bad one that is not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use schemas::event::{Event, InvalidEvent};
use schemas::ids::WorkspaceId;

/// Most events of one turn: enough to be merged at full speed, and over in some milliseconds.
const TURN_EVENTS_MAX: usize = 512;
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
}

/// How far a partition was read.
#[derive(Debug, Default)]
struct Partition {
    /// Offsets that are read and not done, each with when it was written.
    waiting: BTreeMap<i64, Option<i64>>,
    /// The next offset to read.
    next: i64,
    /// Whether anything was read of it: a partition that never was moves no offset.
    is_read: bool,
    /// What waits, in bytes.
    bytes: usize,
}

/// How far a partition was read and done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// All before this offset is done.
    pub(super) position: i64,
    /// The next offset to read.
    pub(super) next: i64,
    /// What waits, in bytes.
    pub(super) bytes: usize,
    /// When the first message that waits was written, in milliseconds since 1970.
    pub(super) first_written_ms: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Workspaces with events, each once; the first has the next turn.
    turns: VecDeque<WorkspaceId>,
    events: HashMap<WorkspaceId, VecDeque<(Place, usize, Event)>>,
    refused: VecDeque<(Place, usize, Refused)>,
    partitions: BTreeMap<i32, Partition>,
}

impl Queue {
    /// Takes a partition in, read from an offset on.
    pub(super) fn begin(&mut self, partition: i32, offset: i64) {
        self.partitions.insert(partition, Partition { next: offset, ..Partition::default() });
    }

    /// Adds a message; those of a partition come in the order of their offsets.
    pub(super) fn push(&mut self, read: Read) {
        let Read { place, bytes, content } = read;
        let progress = self.partitions.entry(place.partition).or_default();
        progress.waiting.insert(place.offset, place.written_ms);
        progress.next = place.offset + 1;
        progress.is_read = true;
        progress.bytes += bytes;
        match content {
            Ok(event) => {
                let waiting = self.events.entry(event.workspace.clone()).or_default();
                if waiting.is_empty() {
                    self.turns.push_back(event.workspace.clone());
                }
                waiting.push_back((place, bytes, event));
            }
            Err(refused) => self.refused.push_back((place, bytes, refused)),
        }
    }

    /// Takes what is to be done next; `None` when nothing can be: with `takes_bulk` false, workspaces with `bulk_events` or
    /// more wait. A turn is of one workspace, or of several that have few events.
    pub(super) fn take(&mut self, takes_bulk: bool, bulk_events: usize) -> Option<Turn> {
        let mut turn = Turn::default();
        let mut bytes_refused = Vec::new();
        for (place, bytes, refused) in self.refused.drain(..self.refused.len().min(REFUSED_MAX)) {
            turn.refused.push((place, refused));
            bytes_refused.push(bytes);
        }
        for _ in 0..self.turns.len() {
            let Some(workspace) = self.turns.pop_front() else { break };
            let waiting = self.events.get_mut(&workspace).map_or(0, |waiting| waiting.len());
            let is_bulk = turn.events.len() + waiting >= bulk_events;
            if is_bulk && (!takes_bulk || !turn.events.is_empty()) {
                self.turns.push_back(workspace);
                continue;
            }
            let Some(events) = self.events.get_mut(&workspace) else { continue };
            for (place, bytes, event) in events.drain(..waiting.min(TURN_EVENTS_MAX)) {
                turn.places.push(place);
                turn.bytes.push(bytes);
                turn.events.push(event);
            }
            if events.is_empty() {
                self.events.remove(&workspace);
            } else {
                self.turns.push_back(workspace);
            }
            if is_bulk {
                break;
            }
        }
        turn.bytes.extend(bytes_refused);
        (!turn.events.is_empty() || !turn.refused.is_empty()).then_some(turn)
    }

    /// Where the partitions will be read on once a turn is done: what goes into the commit with it.
    pub(super) fn positions_after(&self, turn: &Turn) -> BTreeMap<i32, i64> {
        let mut done: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
        for place in turn.all_places() {
            done.entry(place.partition).or_default().insert(place.offset);
        }
        let none = BTreeSet::new();
        let read = self.partitions.iter().filter(|(_, progress)| progress.is_read);
        read.map(|(partition, progress)| {
            let done = done.get(partition).unwrap_or(&none);
            let first_left = progress.waiting.keys().find(|offset| !done.contains(offset));
            (*partition, first_left.copied().unwrap_or(progress.next))
        })
        .collect()
    }

    /// Notes that a turn is done.
    pub(super) fn done(&mut self, turn: &Turn) {
        for (place, bytes) in turn.all_places().zip(&turn.bytes) {
            let Some(progress) = self.partitions.get_mut(&place.partition) else { continue };
            progress.waiting.remove(&place.offset);
            progress.bytes = progress.bytes.saturating_sub(*bytes);
        }
    }

    pub(super) fn progress(&self, partition: i32) -> Progress {
        let Some(Partition { waiting, next, bytes, .. }) = self.partitions.get(&partition) else {
            return Progress::default();
        };
        let first = waiting.first_key_value();
        Progress {
            position: first.map_or(*next, |(offset, _)| *offset),
            next: *next,
            bytes: *bytes,
            first_written_ms: first.and_then(|(_, written_ms)| *written_ms),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.refused.is_empty()
    }
}

impl Turn {
    fn all_places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().chain(self.refused.iter().map(|(place, _)| place))
    }
}

#[cfg(test)]
mod tests {
    use schemas::event::{Change, InvalidCode};
    use schemas::ids::RegionId;
    use schemas::version::{Timestamp, VectorClock, Version};

    use super::*;

    fn event(workspace: &str) -> Event {
        let region = RegionId::new("eu").unwrap();
        let version = Version {
            clock: VectorClock([(region.clone(), 1)].into()),
            timestamp: Timestamp { wall_ms: 1, logical: 0 },
            region,
        };
        let workspace = WorkspaceId::new(workspace).unwrap();
        Event { id: "1".into(), source: "/t".into(), workspace, time: None, version, change: Change::WorkspaceErased }
    }

    fn read(partition: i32, offset: i64, workspace: Option<&str>) -> Read {
        let error = InvalidEvent::new(InvalidCode::Malformed, "", "is bad");
        let content = workspace.map(event).ok_or(Refused { key: None, payload: Vec::new(), error });
        Read { place: Place { partition, offset, written_ms: Some(offset) }, bytes: 10, content }
    }

    fn taken(turn: &Turn) -> Vec<(&str, i64)> {
        turn.events.iter().zip(&turn.places).map(|(event, place)| (event.workspace.as_str(), place.offset)).collect()
    }

    #[test]
    fn a_workspace_with_many_events_lets_others_go_first_when_there_is_no_room_for_it() {
        let mut queue = Queue::default();
        queue.begin(0, 100);
        (100..105).for_each(|offset| queue.push(read(0, offset, Some("import"))));
        queue.push(read(0, 105, Some("edits")));
        let edits = queue.take(false, 5).unwrap();
        assert_eq!(taken(&edits), [("edits", 105)]);
        assert_eq!(queue.positions_after(&edits), [(0, 100)].into(), "the import before it is not merged");
        queue.done(&edits);
        assert!(queue.take(false, 5).is_none() && !queue.is_empty());
        let import = queue.take(true, 5).unwrap();
        assert_eq!(import.events.len(), 5);
        assert_eq!(queue.positions_after(&import), [(0, 106)].into());
        queue.done(&import);
        assert_eq!(queue.progress(0), Progress { position: 106, next: 106, bytes: 0, first_written_ms: None });
        assert!(queue.is_empty());
    }

    #[test]
    fn few_events_of_several_workspaces_share_a_turn_and_bad_ones_hold_the_position() {
        let mut queue = Queue::default();
        queue.begin(0, 0);
        queue.begin(1, 7);
        [Some("a"), None, Some("b")]
            .into_iter()
            .zip(0..)
            .for_each(|(workspace, at)| queue.push(read(0, at, workspace)));
        let turn = queue.take(true, 100).unwrap();
        assert_eq!((taken(&turn), turn.refused.len()), (vec![("a", 0), ("b", 2)], 1));
        assert_eq!(
            queue.positions_after(&turn),
            [(0, 3)].into(),
            "a partition of which nothing was read does not move"
        );
        queue.done(&turn);
        assert_eq!(queue.progress(0).bytes, 0);
    }

    #[test]
    fn a_large_import_takes_many_turns_between_which_others_come() {
        let mut queue = Queue::default();
        for offset in 0..2_000 {
            queue.push(read(0, offset, Some("import")));
        }
        let first = queue.take(true, 100).unwrap();
        queue.push(read(1, 0, Some("edits")));
        assert_eq!(first.events.len(), TURN_EVENTS_MAX);
        let second = queue.take(true, 100).unwrap();
        let third = queue.take(true, 100).unwrap();
        assert_eq!(second.events.len(), TURN_EVENTS_MAX);
        assert_eq!(taken(&third), [("edits", 0)]);
    }
}
