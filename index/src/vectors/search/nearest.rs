//! The best of a stream: the nearest documents by cosine.
//!
//! Memory is that of what is kept, not of what is offered. Invariant: what is kept does not depend on chance;
//! equal offers are told apart by their address.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use tantivy::DocAddress;

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
