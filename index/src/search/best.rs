//! The best documents that were found so far.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use tantivy::DocId;

/// The `depth` best of those pushed: highest score first, then lowest address.
pub(super) struct Best {
    depth: usize,
    heap: BinaryHeap<Worst>,
}

/// Orders documents so that the worst is on top of the heap: lowest score, then highest address.
#[derive(PartialEq)]
struct Worst(u32, DocId, f32);

impl Eq for Worst {}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        other.2.total_cmp(&self.2).then((self.0, self.1).cmp(&(other.0, other.1)))
    }
}

impl Best {
    pub(super) fn new(depth: usize) -> Self {
        Self { depth, heap: BinaryHeap::with_capacity(depth + 1) }
    }

    /// Only a higher score than this can still come in from a segment whose documents come in ascending order.
    pub(super) fn threshold(&self, segment: u32) -> f32 {
        match self.heap.peek() {
            // An equal one of an earlier segment goes before the worst.
            Some(worst) if self.heap.len() >= self.depth && segment < worst.0 => worst.2.next_down(),
            Some(worst) if self.heap.len() >= self.depth => worst.2,
            _ => f32::MIN,
        }
    }

    pub(super) fn push(&mut self, segment: u32, doc: DocId, score: f32) {
        self.heap.push(Worst(segment, doc, score));
        if self.heap.len() > self.depth {
            self.heap.pop();
        }
    }

    /// Segment, document and score, best first.
    pub(super) fn into_sorted(self) -> impl Iterator<Item = (u32, DocId, f32)> {
        self.heap.into_sorted_vec().into_iter().map(|Worst(segment, doc, score)| (segment, doc, score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_segments_are_searched_does_not_choose_among_equals() {
        let found = [(0, 3, 1.0), (0, 7, 1.0), (1, 0, 1.0), (1, 4, 2.0), (2, 5, 1.0), (2, 6, 0.5)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut best = Best::new(3);
            for searched in order {
                for (segment, doc, score) in found.into_iter().filter(|(segment, ..)| *segment == searched) {
                    if score > best.threshold(segment) {
                        best.push(segment, doc, score);
                    }
                }
            }
            assert!(best.into_sorted().eq([(1, 4, 2.0), (0, 3, 1.0), (0, 7, 1.0)]), "{order:?}");
        }
    }
}
