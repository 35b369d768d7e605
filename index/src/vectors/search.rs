//! The nearest vectors to a query among the documents that the caller allows.
//!
//! It reads nothing but vectors: who may see what comes in as a predicate or as lists. Invariants: nothing comes
//! back that is deleted, not allowed, or of another model; equal inputs give equal outputs, in every order of
//! execution.
//!
//! Up to [`EXACT_ROWS_MAX`] rows that a search may look at are marked, one bit each, and all scored from their integers.
//! Beyond that the sign codes alone are read first, and choose the rows that are scored. Whether a row may be looked at
//! is then asked only when it is near enough to be chosen, for that costs as much as reading its code.
//!
//! Measured by `cargo bench -p index --bench vectors` on one core of an AMD EPYC (Zen 5) that about ten other threads wanted
//! too, MiniLM's 384 dimensions, milliseconds on the processor (synthetic vectors) by the share of documents allowed:
//!
//! | rows | depth | 1 % | 10 % | 100 % |
//! | --- | --- | --- | --- | --- |
//! | 10,000 | 10; 100 | 0.01; 0.01 | 0.03; 0.04 | 0.13; 0.14 |
//! | 100,000 | 10; 100 | 0.09; 0.10 | 0.40; 0.43 | 0.49; 0.77 |
//! | 1,000,000 | 10; 100 | 1.4; 1.4 | 4.0; 4.3 | 4.5; 5.4 |

use tantivy::{DocAddress, DocId, SegmentOrdinal};
use thiserror::Error;

use super::file::scale_of;
use super::kernel::BLOCK_ROWS;
use super::query::QueryVector;
use super::segment::SegmentVectors;

mod filter;
mod marked;
mod nearest;
mod shortlist;

use filter::Asked;
use marked::MarkedRows;
use nearest::Nearest;

/// Up to this many rows are all scored; beyond it the sign codes choose first.
const EXACT_ROWS_MAX: usize = 16_384;

/// Up to about this many rows that pass are marked, and thereby counted; beyond it they are asked about when near.
const MARKED_ROWS_MAX: usize = 2 * EXACT_ROWS_MAX;

/// How many of [`EXACT_ROWS_MAX`] rows the number of differing signs leaves, however few are asked for.
const SHORTLIST_ROWS_MIN: usize = 2_048;

/// How many of [`EXACT_ROWS_MAX`] rows it leaves for each one asked for.
const SHORTLIST_ROWS_PER_HIT: usize = 40;

/// How the shortlist grows with the candidates: by a third with each doubling.
const SHORTLIST_GROWTH: f64 = 0.42;

/// A document and its cosine with the query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Ordinal of the segment in the slice that was searched, and the document in it.
    pub address: DocAddress,
    /// Between -1 and 1 but for rounding.
    pub cosine: f32,
}

/// Why a search gives nothing.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum VectorSearchError {
    /// The caller's deadline passed before the search was done.
    #[error("deadline passed during the vector search")]
    DeadlineExceeded,
    /// The query cannot be compared with the vectors of the index.
    #[error("query of {query} dimensions against vectors of {stored}")]
    Dimensions {
        /// Dimensions of the query.
        query: usize,
        /// Dimensions of the index.
        stored: usize,
    },
}

/// Finds the `depth` nearest documents among those that `allowed` accepts, over all segments.
///
/// `allowed` gives the same answer whenever it is asked about the same document; it is asked about live documents that
/// have a vector of the query's model, some of them never and some twice. `expired` is asked about every 50
/// microseconds. Returns the best first, equal cosines by ascending address; at most `depth`, fewer when there are
/// fewer.
///
/// Exact over the stored vectors up to 16,384 candidates. Beyond that a true neighbour is missed when more rows
/// than the shortlist holds have signs nearer to the query's. Against full-precision cosines, over 560 queries and
/// 2,000 to 60,000 passages of documentation embedded by MiniLM, under masks of 10, 50 and 100 %, the search found
/// 0.994 to 0.998 of the nearest 10 at depth 10 and 0.990 to 0.998 of the nearest 100 at depth 100; scoring every
/// stored row finds 0.995 to 0.998 of both. What it puts in the place of a missed one is less near by 0.015 at worst.
pub fn search(
    segments: &[SegmentVectors],
    query: &QueryVector,
    allowed: impl Fn(SegmentOrdinal, DocId) -> bool,
    depth: usize,
    expired: &dyn Fn() -> bool,
) -> Result<Vec<Neighbour>, VectorSearchError> {
    are_comparable(segments, query)?;
    if depth == 0 {
        return Ok(Vec::new());
    }
    let rows: usize = segments.iter().map(|segment| segment.rows() as usize).sum();
    if rows > MARKED_ROWS_MAX {
        let asked = Asked::new(segments, query.model(), &allowed);
        let sample = asked.sample(query);
        if sample.passed() > MARKED_ROWS_MAX
            && let Some(rows) = shortlist_rows(sample.passed(), depth)
        {
            let chosen = shortlist::choose(segments, &asked, query, rows, sample.limit_for(rows), expired)?;
            return rank_chosen(segments, &chosen, query, depth, expired);
        }
    }
    let mark = |(segment_ord, segment): (SegmentOrdinal, &SegmentVectors)| {
        MarkedRows::matching(segment, query.model(), |doc| allowed(segment_ord, doc), expired)
    };
    let marked: Vec<MarkedRows> = (0..).zip(segments).map(mark).collect::<Result<_, _>>()?;
    rank_marked(segments, &marked, query, depth, expired)
}

/// As [`search`], among listed documents: for when they are few, or come from postings.
///
/// `listed` gives the candidates of a segment in ascending order; documents without a vector of the query's model
/// and deleted ones may be among them and are passed over. Costs grow with the lists, not with the segments, but
/// for one bit a row.
pub fn search_listed<L>(
    segments: &[SegmentVectors],
    query: &QueryVector,
    listed: impl Fn(SegmentOrdinal) -> L,
    depth: usize,
    expired: &dyn Fn() -> bool,
) -> Result<Vec<Neighbour>, VectorSearchError>
where
    L: IntoIterator<Item = DocId>,
{
    are_comparable(segments, query)?;
    let mark = |(segment_ord, segment): (SegmentOrdinal, &SegmentVectors)| {
        MarkedRows::listed(segment, query.model(), listed(segment_ord), expired)
    };
    let marked: Vec<MarkedRows> = (0..).zip(segments).map(mark).collect::<Result<_, _>>()?;
    rank_marked(segments, &marked, query, depth, expired)
}

fn are_comparable(segments: &[SegmentVectors], query: &QueryVector) -> Result<(), VectorSearchError> {
    match segments.iter().find(|segment| segment.dimensions() != query.dimensions()) {
        None => Ok(()),
        Some(other) => Err(VectorSearchError::Dimensions { query: query.dimensions(), stored: other.dimensions() }),
    }
}

/// Ranks the marked rows, by way of the sign codes when that is cheaper.
fn rank_marked(
    segments: &[SegmentVectors],
    marked: &[MarkedRows],
    query: &QueryVector,
    depth: usize,
    expired: &dyn Fn() -> bool,
) -> Result<Vec<Neighbour>, VectorSearchError> {
    let candidates = marked.iter().map(MarkedRows::len).sum();
    let depth = depth.min(candidates);
    if depth == 0 {
        return Ok(Vec::new());
    }
    if let Some(rows) = shortlist_rows(candidates, depth) {
        let chosen = shortlist::choose(segments, marked, query, rows, u16::MAX, expired)?;
        return rank_chosen(segments, &chosen, query, depth, expired);
    }
    let mut nearest = Nearest::new(depth);
    for (segment_ord, (segment, rows)) in (0..).zip(segments.iter().zip(marked)) {
        rows.for_each_batch(expired, |batch| score(segment_ord, segment, batch, query, &mut nearest))?;
    }
    Ok(nearest.into_sorted())
}

/// Ranks rows that the sign codes have chosen, in ascending order.
fn rank_chosen(
    segments: &[SegmentVectors],
    chosen: &[shortlist::Row],
    query: &QueryVector,
    depth: usize,
    expired: &dyn Fn() -> bool,
) -> Result<Vec<Neighbour>, VectorSearchError> {
    let mut nearest = Nearest::new(depth);
    let mut batch = Vec::with_capacity(BLOCK_ROWS);
    for of_segment in chosen.chunk_by(|one, next| one.0 == next.0) {
        let segment_ord = of_segment[0].0;
        for rows in of_segment.chunks(BLOCK_ROWS) {
            if expired() {
                return Err(VectorSearchError::DeadlineExceeded);
            }
            batch.clear();
            batch.extend(rows.iter().map(|(_, row)| *row));
            score(segment_ord, &segments[segment_ord as usize], &batch, query, &mut nearest);
        }
    }
    Ok(nearest.into_sorted())
}

/// How many of so many candidates the number of differing signs leaves; `None` when scoring all of them is as good.
///
/// The shortlist grows with the [`SHORTLIST_GROWTH`]th power of the candidates. Measured on MiniLM embeddings of 15,000,
/// 30,000 and 60,000 passages of documentation, the shortlist that holds 99 % of the true nearest 100 grows by a third with
/// each doubling (2,073, 2,735, 3,670 rows), and that of the nearest 10 by a sixth (421, 433, 570). This gives about twice as
/// many as were needed for the nearest 100, at each of these sizes.
fn shortlist_rows(candidates: usize, depth: usize) -> Option<usize> {
    let rows_of_exact_max = SHORTLIST_ROWS_MIN.max(depth.saturating_mul(SHORTLIST_ROWS_PER_HIT));
    let growth = (candidates as f64 / EXACT_ROWS_MAX as f64).powf(SHORTLIST_GROWTH);
    let rows = (rows_of_exact_max as f64 * growth) as usize;
    let is_worth_it = candidates > EXACT_ROWS_MAX && rows < candidates / 2;
    is_worth_it.then_some(rows)
}

/// Scores a batch of ascending rows from their integers.
fn score(
    segment_ord: SegmentOrdinal,
    segment: &SegmentVectors,
    batch: &[u32],
    query: &QueryVector,
    nearest: &mut Nearest,
) {
    let file = segment.file();
    let (components, scales) = (file.components(), file.scales());
    components.fetch(batch);
    scales.fetch(batch);
    for &row in batch {
        let cosine = query.cosine(components.row(row), scale_of(scales.row(row)));
        nearest.offer(cosine, || DocAddress::new(segment_ord, file.doc_of(row)));
    }
}
