//! When segments are merged: few of them, few deleted documents in them, and no merge so long that others pile up behind it.
//!
//! Segments stand in tiers by the number of their living documents, each [`TIER_FACTOR`] times as large as the one below. A
//! tier with [`TIER_FACTOR`] segments is merged; a segment of which more than [`DELETED_SHARE_MAX`] is deleted is written
//! again without that. No merge makes a segment of more than [`SEGMENT_DOCUMENTS_MAX`] documents; one that is half full is
//! merged with no other. Of the long merges one runs at a time, so that of [`MERGE_THREADS`] one is free for the short ones
//! that keep up with commits.
//!
//! Bounds, which the tests hold to: at most [`TIER_FACTOR`] segments in each of five tiers beside those being merged, one for
//! each half of [`SEGMENT_DOCUMENTS_MAX`] beyond, and at most [`DELETED_SHARE_MAX`] deleted beside what is deleted while a
//! long merge runs. Sizes are counted in documents: the engine tells no bytes.
//!
//! It merges nothing itself: the engine asks it after every commit and every merge, and merges in threads of its own, for
//! which neither writing nor committing waits.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::merge_policy::{MergeCandidate, MergePolicy};

/// Merges that run at once. Each needs memory for the terms and the column of heads of what it merges, and one long one is
/// among them at most.
pub(crate) const MERGE_THREADS: usize = 2;

/// Most documents of a segment that a merge makes.
const SEGMENT_DOCUMENTS_MAX: u64 = 262_144;
/// Share of a segment that may be deleted before it is written again.
const DELETED_SHARE_MAX: f64 = 0.25;
/// Segments of a tier that are merged into one of the next.
const TIER_FACTOR: usize = 6;
/// Documents below which segments are in the lowest tier, and are never written again for their deleted documents alone.
const LOWEST_TIER_DOCUMENTS: u64 = 100;
/// Documents from which a merge is a long one.
const LONG_MERGE_DOCUMENTS: u64 = 21_600;

/// The policy of an index, for one writer.
pub(crate) fn policy() -> Compaction {
    Compaction::default()
}

/// Chooses merges, and remembers the long one that was started last.
#[derive(Debug, Default)]
pub(crate) struct Compaction(Mutex<Started>);

#[derive(Debug, Default)]
struct Started {
    /// The segments of the long merge that is thought to run; none when there is none.
    long: Vec<SegmentId>,
    /// The segments that were there at the last call.
    seen: HashSet<SegmentId>,
}

impl MergePolicy for Compaction {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        if segments.is_empty() {
            // The engine asks for uncommitted segments as well; there are none between commits.
            return Vec::new();
        }
        let sizes: Vec<Size> = segments
            .iter()
            .map(|segment| Size { living: segment.num_docs().into(), deleted: segment.num_deleted_docs().into() })
            .collect();
        let mut started = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Segments that are being merged are not shown. A long merge is over when what it made is, or again what it was
        // to merge.
        let ended = segments.iter().zip(&sizes).any(|(segment, size)| {
            let is_new = !started.seen.contains(&segment.id());
            started.long.contains(&segment.id()) || (is_new && 2 * size.all() >= LONG_MERGE_DOCUMENTS)
        });
        if ended {
            started.long.clear();
        }
        started.seen = segments.iter().map(SegmentMeta::id).collect();
        let ids = |merge: &Merge| merge.segments.iter().map(|at| segments[*at].id()).collect::<Vec<_>>();
        let merges = choose(&sizes, !started.long.is_empty());
        for merge in merges.iter().filter(|merge| merge.is_long) {
            started.long = ids(merge);
        }
        merges.iter().map(|merge| MergeCandidate(ids(merge))).collect()
    }
}

/// Documents of a segment.
#[derive(Clone, Copy, Debug)]
struct Size {
    living: u64,
    deleted: u64,
}

impl Size {
    fn all(self) -> u64 {
        self.living + self.deleted
    }

    fn deleted_share(self) -> f64 {
        self.deleted as f64 / self.all().max(1) as f64
    }

    /// Its tier; `None` when it is full enough to stay alone.
    fn tier(self) -> Option<u32> {
        if 2 * self.living >= SEGMENT_DOCUMENTS_MAX {
            return None;
        }
        let mut tier = 0;
        let mut documents = LOWEST_TIER_DOCUMENTS;
        while self.living >= documents {
            tier += 1;
            documents *= TIER_FACTOR as u64;
        }
        Some(tier)
    }
}

/// Segments to be made one, by their place.
#[derive(Debug)]
struct Merge {
    segments: Vec<usize>,
    is_long: bool,
}

/// The merges that are due: any number of short ones, and a long one unless one runs.
fn choose(sizes: &[Size], long_runs: bool) -> Vec<Merge> {
    let mut merges = Vec::new();
    let mut is_taken = vec![false; sizes.len()];
    let mut long_allowed = !long_runs;
    let mut take = |segments: Vec<usize>, is_taken: &mut [bool]| {
        let documents: u64 = segments.iter().map(|at| sizes[*at].living).sum();
        let is_long = documents >= LONG_MERGE_DOCUMENTS;
        if is_long && !long_allowed {
            return;
        }
        long_allowed &= !is_long;
        for at in &segments {
            is_taken[*at] = true;
        }
        merges.push(Merge { segments, is_long });
    };
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|at| sizes[*at].living);
    let tier_of = |at: usize| sizes[at].tier();
    for tier in order.chunk_by(|a, b| tier_of(*a) == tier_of(*b)) {
        if tier.len() < TIER_FACTOR || tier_of(tier[0]).is_none() {
            continue;
        }
        let mut documents = 0;
        let fits = |at: &&usize| {
            documents += sizes[**at].living;
            documents <= SEGMENT_DOCUMENTS_MAX
        };
        // Two always fit: each is less than half full.
        take(tier.iter().take_while(fits).copied().collect(), &mut is_taken);
    }
    order.sort_by_key(|at| Reverse((sizes[*at].deleted_share() * 1e6) as u64));
    for at in order {
        let is_due = sizes[at].deleted_share() > DELETED_SHARE_MAX && sizes[at].all() >= LOWEST_TIER_DOCUMENTS;
        if is_due && !is_taken[at] {
            take(vec![at], &mut is_taken);
        }
    }
    merges
}

#[cfg(test)]
mod tests;
