//! Which rows a search may look at, as the sign codes ask it.
//!
//! Two ways: rows that were marked before, and a predicate that is asked only about rows that are near enough to be
//! kept. Invariant: only rows of live documents of the query's model ever pass.

use tantivy::{DocId, SegmentOrdinal};

use crate::vectors::file::VectorFile;
use crate::vectors::query::QueryVector;
use crate::vectors::row::ModelTag;
use crate::vectors::segment::SegmentVectors;

/// Rows that are looked at to tell how many pass and how near they are: some ten microseconds.
const ROWS_SAMPLED: usize = 2_048;

/// Lets rows pass, 64 at a time.
pub(super) trait Filter {
    /// Whether none of the 64 rows from `first` on passes, as far as that is known without asking about each.
    fn is_blank(&self, segment_ord: SegmentOrdinal, first: u32) -> bool;

    /// Those of the rows `rows` that pass: bit `n` for row `first + n`. Bits of rows beyond the last are not set.
    fn pass(&self, segment_ord: SegmentOrdinal, first: u32, rows: u64) -> u64;
}

/// Rows that are asked about when it is known that they are near.
pub(super) struct Asked<'a, A> {
    segments: Vec<(&'a SegmentVectors, ModelOfRows)>,
    allowed: &'a A,
    model: ModelTag,
}

impl<'a, A: Fn(SegmentOrdinal, DocId) -> bool> Asked<'a, A> {
    pub(super) fn new(segments: &'a [SegmentVectors], model: ModelTag, allowed: &'a A) -> Self {
        let with_models = segments.iter().map(|segment| (segment, ModelOfRows::of(segment.file(), model)));
        Self { segments: with_models.collect(), allowed, model }
    }

    /// Looks at rows at even distances over all segments.
    pub(super) fn sample(&self, query: &QueryVector) -> Sample {
        let rows: usize = self.segments.iter().map(|(segment, _)| segment.rows() as usize).sum();
        let stride = (rows / ROWS_SAMPLED).max(1);
        let mut distances = Vec::with_capacity(2 * ROWS_SAMPLED);
        // The first row of the segment, counted from the first of all, and the row to look at next.
        let (mut start, mut next) = (0, 0);
        for (segment_ord, (segment, _)) in (0..).zip(&self.segments) {
            let sign_codes = segment.file().sign_codes();
            let end = start + segment.rows() as usize;
            while next < end {
                let row = (next - start) as u32;
                if self.passes(segment_ord, row) {
                    distances.push(query.sign_distance(sign_codes.row(row)));
                }
                next += stride;
            }
            start = end;
        }
        distances.sort_unstable();
        Sample { stride, distances }
    }

    #[inline]
    fn passes(&self, segment_ord: SegmentOrdinal, row: u32) -> bool {
        let (segment, model_of_rows) = &self.segments[segment_ord as usize];
        let is_of_model = match model_of_rows {
            ModelOfRows::This => true,
            ModelOfRows::Others => false,
            ModelOfRows::Mixed => segment.file().model_of(row) == self.model,
        };
        let doc = segment.file().doc_of(row);
        is_of_model && segment.is_alive(doc) && (self.allowed)(segment_ord, doc)
    }
}

/// Rows at even distances of which each stands for `stride`.
pub(super) struct Sample {
    stride: usize,
    /// Of those that pass, the number of signs in which they differ from the query, ascending.
    distances: Vec<u16>,
}

impl Sample {
    /// About how many rows pass.
    pub(super) fn passed(&self) -> usize {
        self.distances.len() * self.stride
    }

    /// A distance below which there are most likely more than so many rows that pass, and hardly twice as many.
    pub(super) fn limit_for(&self, rows: usize) -> u16 {
        let sampled = rows / self.stride;
        let spare = sampled / 4 + 8;
        self.distances.get(sampled + spare).map_or(u16::MAX, |distance| distance + 1)
    }
}

impl<A: Fn(SegmentOrdinal, DocId) -> bool> Filter for Asked<'_, A> {
    fn is_blank(&self, segment_ord: SegmentOrdinal, _: u32) -> bool {
        self.segments[segment_ord as usize].1 == ModelOfRows::Others
    }

    fn pass(&self, segment_ord: SegmentOrdinal, first: u32, rows: u64) -> u64 {
        let (mut left, mut passed) = (rows, 0);
        while left != 0 {
            let row = left.trailing_zeros();
            passed |= u64::from(self.passes(segment_ord, first + row)) << row;
            left &= left - 1;
        }
        passed
    }
}

/// How the rows of a file stand to the model of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelOfRows {
    /// All are of it.
    This,
    /// Some are.
    Mixed,
    /// None is.
    Others,
}

impl ModelOfRows {
    pub(super) fn of(file: &VectorFile, model: ModelTag) -> Self {
        match file.models() {
            [only] if *only == model => Self::This,
            models if models.contains(&model) => Self::Mixed,
            _ => Self::Others,
        }
    }
}
