//! The best of a stream: the nearest documents by cosine, and the shortlist of rows by their signs.
//!
//! Memory is that of what is kept, not of what is offered. Invariant: what is kept does not depend on chance;
//! equal offers are told apart by their address.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use tantivy::{DocAddress, SegmentOrdinal};

use super::Neighbour;

/// Keeps the `depth` best neighbours.
pub(super) struct Nearest {
    depth: usize,
    /// The worst on top.
    kept: BinaryHeap<Reverse<ByCosine>>,
}

impl Nearest {
    /// `depth` is at least one.
    pub(super) fn new(depth: usize) -> Self {
        debug_assert!(depth > 0);
        Self { depth, kept: BinaryHeap::new() }
    }

    /// Offers a document, whose address is asked for only when it may be kept. Not-a-number is never kept.
    #[inline]
    pub(super) fn offer(&mut self, cosine: f32, address: impl FnOnce() -> DocAddress) {
        if self.kept.len() < self.depth {
            if !cosine.is_nan() {
                self.kept.push(Reverse(ByCosine(Neighbour { address: address(), cosine })));
            }
            return;
        }
        let Some(mut worst) = self.kept.peek_mut() else { return };
        if cosine >= worst.0.0.cosine {
            let offered = ByCosine(Neighbour { address: address(), cosine });
            if offered > worst.0 {
                worst.0 = offered;
            }
        }
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<Neighbour> {
        self.kept.into_sorted_vec().into_iter().map(|Reverse(ByCosine(neighbour))| neighbour).collect()
    }
}

/// Orders neighbours by cosine, equal ones by descending address: the greatest is the best.
struct ByCosine(Neighbour);

impl Ord for ByCosine {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_cosine = self.0.cosine.total_cmp(&other.0.cosine);
        by_cosine.then_with(|| other.0.address.cmp(&self.0.address))
    }
}

impl PartialOrd for ByCosine {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByCosine {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByCosine {}

/// Keeps the rows with the smallest sign distance.
pub(super) struct Shortlist {
    rows: usize,
    /// No row at or beyond this distance is kept any more.
    distance_limit: u32,
    /// At most twice `rows`.
    kept: Vec<(u32, SegmentOrdinal, u32)>,
}

impl Shortlist {
    /// `rows` is at least one.
    pub(super) fn new(rows: usize) -> Self {
        debug_assert!(rows > 0);
        Self { rows, distance_limit: u32::MAX, kept: Vec::with_capacity(2 * rows) }
    }

    /// Offers a row. Rows are offered by ascending segment and row, so that of rows at the same distance the
    /// first ones stay.
    #[inline]
    pub(super) fn offer(&mut self, distance: u32, segment_ord: SegmentOrdinal, row: u32) {
        if distance < self.distance_limit {
            self.kept.push((distance, segment_ord, row));
            if self.kept.len() == 2 * self.rows {
                self.drop_worse_half();
            }
        }
    }

    fn drop_worse_half(&mut self) {
        let (_, last, _) = self.kept.select_nth_unstable(self.rows - 1);
        self.distance_limit = last.0;
        self.kept.truncate(self.rows);
    }

    /// The rows that were kept, in ascending order.
    pub(super) fn into_sorted(mut self) -> Vec<(SegmentOrdinal, u32)> {
        if self.kept.len() > self.rows {
            self.drop_worse_half();
        }
        let mut rows: Vec<_> = self.kept.into_iter().map(|(_, segment_ord, row)| (segment_ord, row)).collect();
        rows.sort_unstable();
        rows
    }
}
