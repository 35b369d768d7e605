//! The partitions that are held, each with its lane, and how far they are behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::api::operate::{PartitionStatus, StreamStatus};

use super::lane::{End, Lane};
use super::queue::Progress;
use crate::engine::Engine;

/// A partition that is held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) lane: Arc<Lane>,
    pub(super) paused: bool,
    pub(super) reach: Reach,
}

/// How near a partition was read to its end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reach {
    /// Where the partition ended when it was last asked.
    end_offset: Option<i64>,
    /// Whether the client came to the end, and no message since. Markers of transactions have offsets too, so that the end
    /// alone does not tell whether there is something to read.
    is_at_end: bool,
    /// The end that was measured first since then.
    read_to: Option<i64>,
    /// When it was last found that all was read.
    all_read_ms: Option<i64>,
    /// When the partition was taken in.
    held_ms: i64,
}

impl Reach {
    pub(super) fn from(held_ms: i64) -> Self {
        Self { held_ms, ..Self::default() }
    }

    /// Notes that a message came.
    pub(super) fn came(&mut self) {
        self.is_at_end = false;
        self.read_to = None;
    }

    /// Notes that the client came to the end.
    pub(super) fn ended(&mut self) {
        self.is_at_end = true;
        self.read_to = None;
    }

    /// Notes where the partition ends, which is read on at `next`.
    pub(super) fn measured(&mut self, end: i64, next: i64, now_ms: i64) {
        self.end_offset = Some(end);
        if self.is_at_end {
            self.read_to.get_or_insert(end);
        }
        if self.unread(next).is_none() {
            self.all_read_ms = Some(now_ms);
        }
    }

    /// Where the partition ends, if something before is not read yet.
    fn unread(&self, next: i64) -> Option<i64> {
        self.end_offset.filter(|end| *end > next && self.read_to != Some(*end))
    }

    /// How many events it is behind, as far as known, and how many milliseconds.
    ///
    /// Of the first event that was not read yet it is only known that it was written after the last that was, and after the last
    /// time that all was read: the milliseconds are at least those that it waits, and seldom more.
    fn lag(&self, progress: &Progress, now_ms: i64) -> (Option<u64>, u64) {
        let unread = self.unread(progress.next);
        let is_done = unread.is_none() && progress.position >= progress.next;
        let events = self.end_offset.map(|end| if is_done { 0 } else { (end - progress.position).max(0) as u64 });
        let unread_since = || progress.last_written_ms.max(self.all_read_ms).unwrap_or(self.held_ms);
        let since = progress.first_written_ms.or_else(|| unread.map(|_| unread_since()));
        (events, since.map_or(0, |since_ms| (now_ms - since_ms).max(0) as u64))
    }
}

#[derive(Debug, Default)]
pub(super) struct Lanes {
    held: Mutex<BTreeMap<i32, Held>>,
    pub(super) connected: AtomicBool,
    /// Whether nothing is read any more, because the client or the engine does not go on.
    pub(super) has_ended: AtomicBool,
    gaps: AtomicU64,
}

impl Lanes {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self, partition: i32, lane: Arc<Lane>) {
        let reach = Reach::from(jiff::Timestamp::now().as_millisecond());
        self.lock().insert(partition, Held { lane, paused: false, reach });
    }

    pub(super) fn note_gap(&self) {
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// The first lane that ended by itself, with its partition.
    pub(super) fn ended(&self) -> Option<(i32, End)> {
        self.lock().iter().find_map(|(partition, held)| Some((*partition, held.lane.end()?)))
    }

    /// The engines that are fed, in the order of their partitions; one that several feed, several times.
    pub(super) fn engines(&self) -> Vec<Engine> {
        self.lock().values().map(|held| held.lane.engine().clone()).collect()
    }

    pub(super) fn status(&self, now_ms: i64) -> StreamStatus {
        let held = self.lock();
        let partitions = held.iter().map(|(partition, held)| {
            let progress = held.lane.progress(*partition);
            let (lag_events, lag_ms) = held.reach.lag(&progress, now_ms);
            PartitionStatus {
                partition: *partition,
                position: progress.position,
                committed: held.lane.committed(*partition),
                lag_events,
                lag_ms,
                in_flight_bytes: progress.bytes as u64,
                paused: held.paused,
            }
        });
        StreamStatus {
            partitions: partitions.collect(),
            connected: self.connected.load(Ordering::Relaxed),
            failing: self.has_ended.load(Ordering::Relaxed) || held.values().any(|held| held.lane.failures() > 0),
            gaps_total: self.gaps.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of a partition of which all before `next` was read, the last written at `written_ms`, and is merged.
    fn merged(next: i64, written_ms: i64) -> Progress {
        Progress { position: next, next, last_written_ms: Some(written_ms), ..Progress::default() }
    }

    /// The lag was 0 while a partition could not be read, for of what is not read nothing waits.
    #[test]
    fn a_partition_that_is_not_read_on_lags() {
        let mut reach = Reach::from(1_000);
        assert_eq!(reach.lag(&Progress::default(), 5_000), (None, 0), "nothing is known yet");
        reach.measured(10, 0, 2_000);
        assert_eq!(reach.lag(&Progress::default(), 5_000), (Some(10), 4_000), "since it was taken in, at least");
        // Old events are read and merged at once, and more of them come.
        reach.came();
        reach.measured(10, 5, 6_000);
        assert_eq!(reach.lag(&merged(5, 500), 6_000), (Some(5), 5_500));
        reach.measured(10, 10, 8_000);
        assert_eq!(reach.lag(&merged(10, 700), 9_000), (Some(0), 0));
        reach.measured(12, 10, 20_000_000);
        assert_eq!(reach.lag(&merged(10, 700), 20_000_000), (Some(2), 19_992_000), "all was read before, at 8,000");
        reach.measured(12, 12, 20_000_100);
        reach.measured(13, 12, 20_002_100);
        assert_eq!(reach.lag(&merged(12, 700), 20_002_600), (Some(1), 2_500), "not the age of the event before");
        let waiting = Progress { next: 13, first_written_ms: Some(20_002_000), ..merged(12, 20_002_000) };
        assert_eq!(reach.lag(&waiting, 20_003_000), (Some(1), 1_000), "it was read, and waits");
    }

    #[test]
    fn the_marker_of_a_transaction_at_the_end_is_nothing_that_lags() {
        let mut reach = Reach::from(0);
        reach.came();
        reach.measured(6, 5, 1_000);
        assert_eq!(reach.lag(&merged(5, 900), 1_000), (Some(1), 100));
        reach.ended();
        reach.measured(6, 5, 3_000);
        assert_eq!(reach.lag(&merged(5, 900), 60_000), (Some(0), 0), "the client came to the end");
        reach.measured(8, 5, 61_000);
        assert_eq!(
            reach.lag(&merged(5, 900), 62_000),
            (Some(3), 59_000),
            "something was written since, and is not read"
        );
        reach.ended();
        reach.measured(8, 5, 63_000);
        assert_eq!(reach.lag(&merged(5, 900), 64_000), (Some(0), 0), "it was taken back: no message came of it");
        reach.came();
        reach.ended();
        reach.measured(10, 9, 65_000);
        assert_eq!(reach.lag(&merged(9, 64_500), 66_000), (Some(0), 0));
    }
}
