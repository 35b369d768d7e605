//! The rows that the sign codes choose for scoring.
//!
//! First every row that a search may look at is compared by the number of signs in which it differs from the query,
//! then those that differ least by the weight of these signs. Reads nothing but sign codes; memory is that of what is
//! kept. Invariant: what is kept does not depend on chance; equal distances are told apart by their address.

use tantivy::SegmentOrdinal;

use super::VectorSearchError;
use super::filter::Filter;
use crate::vectors::kernel::{BLOCK_ROWS, WEIGHT_MAX};
use crate::vectors::query::QueryVector;
use crate::vectors::segment::SegmentVectors;

/// Rows whose codes are fetched together, between two looks at the deadline: 48 KB of MiniLM's.
const ROWS_PER_LOOK: usize = 16 * BLOCK_ROWS;

/// Of this many rows chosen by the number of signs, one is kept for scoring by the weight of the signs.
const ROWS_PER_SCORED: usize = 4;

/// A row: its segment, then its number in it.
pub(super) type Row = (SegmentOrdinal, u32);

/// Chooses rows for scoring, a quarter of the `rows` whose signs differ least; in ascending order.
///
/// `limit` is a distance below which as many rows are expected: nothing but time depends on it.
pub(super) fn choose(
    segments: &[SegmentVectors],
    filter: &(impl Filter + ?Sized),
    query: &QueryVector,
    rows: usize,
    limit: u16,
    expired: &dyn Fn() -> bool,
) -> Result<Vec<Row>, VectorSearchError> {
    let by_number =
        |limit| by_number_of_signs(segments, filter, query, Shortlist::new(rows, query.dimensions(), limit), expired);
    let mut kept = by_number(limit)?;
    if kept.len() < rows && limit < u16::MAX {
        kept = by_number(u16::MAX)?;
    }
    let width = query.dimensions().next_multiple_of(64);
    let mut shortlist = Shortlist::new(rows.div_ceil(ROWS_PER_SCORED), width * usize::from(WEIGHT_MAX), u16::MAX);
    for Kept { row, weight, .. } in kept {
        shortlist.offer(weight, row, || 0);
    }
    Ok(shortlist.into_kept().into_iter().map(|kept| kept.row).collect())
}

fn by_number_of_signs(
    segments: &[SegmentVectors],
    filter: &(impl Filter + ?Sized),
    query: &QueryVector,
    mut shortlist: Shortlist,
    expired: &dyn Fn() -> bool,
) -> Result<Vec<Kept>, VectorSearchError> {
    let mut distances = [0; BLOCK_ROWS];
    for (segment_ord, segment) in (0..).zip(segments) {
        let sign_codes = segment.file().sign_codes();
        let rows = segment.rows();
        let blocks =
            |from: u32, to: u32| (from..to).step_by(BLOCK_ROWS).filter(|first| !filter.is_blank(segment_ord, *first));
        let rows_of_block = |first: u32| (rows - first).min(BLOCK_ROWS as u32) as usize;
        for start in (0..rows).step_by(ROWS_PER_LOOK) {
            if expired() {
                return Err(VectorSearchError::DeadlineExceeded);
            }
            let end = rows.min(start.saturating_add(ROWS_PER_LOOK as u32));
            for first in blocks(start, end) {
                sign_codes.fetch_range(first, rows_of_block(first));
            }
            for first in blocks(start, end) {
                let codes = sign_codes.rows(first, rows_of_block(first));
                let near = query.near(codes, shortlist.limit, &mut distances);
                let mut left = filter.pass(segment_ord, first, near);
                while left != 0 {
                    let row = left.trailing_zeros();
                    let weight = || query.weighted_distance(sign_codes.row(first + row));
                    shortlist.offer(distances[row as usize], (segment_ord, first + row), weight);
                    left &= left - 1;
                }
            }
        }
    }
    Ok(shortlist.into_kept())
}

/// A row that may be chosen.
struct Kept {
    distance: u16,
    /// The weight of the signs that differ, taken while the code is in the cache.
    weight: u16,
    row: Row,
}

/// Keeps the rows at the smallest distance.
struct Shortlist {
    rows: usize,
    /// No row at or beyond this distance is kept any more.
    limit: u16,
    /// In the order in which they were offered; fewer than twice `rows`.
    kept: Vec<Kept>,
    /// How many are kept at each distance.
    counts: Vec<u32>,
}

impl Shortlist {
    /// `rows` is at least one; no distance is beyond `distance_max`, which is below that of the type.
    fn new(rows: usize, distance_max: usize, limit: u16) -> Self {
        debug_assert!(rows > 0 && distance_max < usize::from(u16::MAX));
        Self { rows, limit, kept: Vec::with_capacity(2 * rows), counts: vec![0; distance_max + 1] }
    }

    /// Offers a row. Rows are offered in ascending order, so that of rows at the same distance the first ones stay.
    #[inline]
    fn offer(&mut self, distance: u16, row: Row, weight: impl FnOnce() -> u16) {
        if distance < self.limit {
            self.kept.push(Kept { distance, weight: weight(), row });
            self.counts[usize::from(distance)] += 1;
            if self.kept.len() == 2 * self.rows {
                self.drop_worse_half();
            }
        }
    }

    fn drop_worse_half(&mut self) {
        let mut room = self.rows as u32;
        let mut limit = 0;
        while self.counts[limit] <= room {
            room -= self.counts[limit];
            limit += 1;
        }
        self.counts[limit] = room;
        self.counts[limit + 1..].fill(0);
        self.limit = limit as u16;
        self.kept.retain(|kept| {
            let is_last = kept.distance == self.limit && room > 0;
            room -= u32::from(is_last);
            kept.distance < self.limit || is_last
        });
    }

    /// What was kept, by ascending row.
    fn into_kept(mut self) -> Vec<Kept> {
        if self.kept.len() > self.rows {
            self.drop_worse_half();
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_nearest_rows_are_kept_and_of_equals_the_first(
            distances in proptest::collection::vec(0..=20_u16, 0..200),
            rows in 1..50_usize,
        ) {
            let mut shortlist = Shortlist::new(rows, 20, u16::MAX);
            let offered = distances.iter().zip(0..).map(|(distance, row)| (*distance, (row / 64, row)));
            let mut expected: Vec<_> = offered.clone().collect();
            offered.for_each(|(distance, row)| shortlist.offer(distance, row, || 0));
            expected.sort_unstable();
            expected.truncate(rows);
            let mut expected: Vec<Row> = expected.into_iter().map(|(_, row)| row).collect();
            expected.sort_unstable();
            let kept: Vec<Row> = shortlist.into_kept().into_iter().map(|kept| kept.row).collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
