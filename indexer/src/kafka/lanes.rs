//! The partitions that are held, each with its lane, and how far they are behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::api::operate::{PartitionStatus, StreamStatus};

use super::lane::{End, Lane};
use crate::engine::Engine;

/// A partition that is held.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) lane: Arc<Lane>,
    pub(super) paused: bool,
    /// Where the partition ended when it was last asked.
    pub(super) end_offset: Option<i64>,
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
        self.lock().insert(partition, Held { lane, paused: false, end_offset: None });
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
            let lag_events = held.end_offset.map(|end| (end - progress.position).max(0) as u64);
            let lag_ms = progress.first_written_ms.map_or(0, |written_ms| (now_ms - written_ms).max(0) as u64);
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
