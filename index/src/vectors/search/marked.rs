//! The rows of one segment that a search may look at: one bit each.
//!
//! Invariant: only rows of live documents of the query's model are ever marked.

use tantivy::{DocId, SegmentOrdinal};

use super::VectorSearchError;
use super::filter::{Filter, ModelOfRows};
use crate::vectors::file::VectorFile;
use crate::vectors::kernel::BLOCK_ROWS;
use crate::vectors::row::ModelTag;
use crate::vectors::segment::SegmentVectors;

/// Words of marks between two looks at the deadline: 4,096 rows.
const WORDS_PER_BLOCK: usize = 64;

pub(super) struct MarkedRows {
    rows: u32,
    words: Vec<u64>,
    len: usize,
}

impl MarkedRows {
    fn none(rows: u32) -> Self {
        Self { rows, words: vec![0; (rows as usize).div_ceil(64)], len: 0 }
    }

    /// Marks the rows whose document the predicate accepts.
    pub(super) fn matching(
        segment: &SegmentVectors,
        model: ModelTag,
        allowed: impl Fn(DocId) -> bool,
        expired: &dyn Fn() -> bool,
    ) -> Result<Self, VectorSearchError> {
        let file = segment.file();
        let mut marked = Self::none(file.rows());
        let Some(row_is_of_model) = model_check(file, model) else {
            return Ok(marked);
        };
        let accepts = |row: u32, doc: DocId| segment.is_alive(doc) && row_is_of_model(row) && allowed(doc);
        match file.listed_documents() {
            [] => marked.fill(expired, |row| accepts(row, row))?,
            documents => marked.fill(expired, |row| accepts(row, u32::from_le_bytes(documents[row as usize])))?,
        }
        Ok(marked)
    }

    fn fill(&mut self, expired: &dyn Fn() -> bool, accepts: impl Fn(u32) -> bool) -> Result<(), VectorSearchError> {
        let rows = self.rows;
        for (block, words) in self.words.chunks_mut(WORDS_PER_BLOCK).enumerate() {
            if expired() {
                return Err(VectorSearchError::DeadlineExceeded);
            }
            for (position, word) in words.iter_mut().enumerate() {
                let first = ((block * WORDS_PER_BLOCK + position) * 64) as u32;
                let bits = rows.saturating_sub(first).min(64);
                *word = (0..bits).fold(0, |word, bit| word | (u64::from(accepts(first + bit)) << bit));
                self.len += word.count_ones() as usize;
            }
        }
        Ok(())
    }

    /// Marks the rows of the listed documents, which ascend.
    pub(super) fn listed(
        segment: &SegmentVectors,
        model: ModelTag,
        listed: impl IntoIterator<Item = DocId>,
        expired: &dyn Fn() -> bool,
    ) -> Result<Self, VectorSearchError> {
        let file = segment.file();
        let mut marked = Self::none(file.rows());
        let Some(row_is_of_model) = model_check(file, model) else {
            return Ok(marked);
        };
        let mut rows = RowCursor { file, next_row: 0 };
        for (position, doc) in listed.into_iter().enumerate() {
            if position % (WORDS_PER_BLOCK * 64) == 0 && expired() {
                return Err(VectorSearchError::DeadlineExceeded);
            }
            let Some(row) = rows.row_of(doc) else { continue };
            if segment.is_alive(doc) && row_is_of_model(row) {
                marked.mark(row);
            }
        }
        Ok(marked)
    }

    fn mark(&mut self, row: u32) {
        let word = &mut self.words[row as usize / 64];
        let bit = 1 << (row % 64);
        self.len += usize::from(*word & bit == 0);
        *word |= bit;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Visits the marked rows in ascending order, up to [`BLOCK_ROWS`] at a time.
    pub(super) fn for_each_batch(
        &self,
        expired: &dyn Fn() -> bool,
        mut visit: impl FnMut(&[u32]),
    ) -> Result<(), VectorSearchError> {
        if self.len == 0 {
            return Ok(());
        }
        let mut batch = Vec::with_capacity(BLOCK_ROWS);
        for (block, words) in self.words.chunks(WORDS_PER_BLOCK).enumerate() {
            if expired() {
                return Err(VectorSearchError::DeadlineExceeded);
            }
            for (position, &word) in words.iter().enumerate() {
                let first = ((block * WORDS_PER_BLOCK + position) * 64) as u32;
                if word == u64::MAX && batch.is_empty() {
                    visit(&std::array::from_fn::<u32, BLOCK_ROWS, _>(|row| first + row as u32));
                    continue;
                }
                let mut left = word;
                while left != 0 {
                    batch.push(first + left.trailing_zeros());
                    left &= left - 1;
                    if batch.len() == BLOCK_ROWS {
                        visit(&batch);
                        batch.clear();
                    }
                }
            }
        }
        visit(&batch);
        Ok(())
    }
}

impl Filter for [MarkedRows] {
    fn is_blank(&self, segment_ord: SegmentOrdinal, first: u32) -> bool {
        self.pass(segment_ord, first, u64::MAX) == 0
    }

    fn pass(&self, segment_ord: SegmentOrdinal, first: u32, rows: u64) -> u64 {
        self[segment_ord as usize].words[first as usize / 64] & rows
    }
}

/// Tells whether a row is of the model; `None` when no row of the file is.
fn model_check(file: &VectorFile, model: ModelTag) -> Option<impl Fn(u32) -> bool> {
    let model_of_rows = ModelOfRows::of(file, model);
    let is_of_model = move |row| model_of_rows == ModelOfRows::This || file.model_of(row) == model;
    (model_of_rows != ModelOfRows::Others).then_some(is_of_model)
}

/// Finds the rows of ascending documents by steps that double, from where the last one was.
struct RowCursor<'a> {
    file: &'a VectorFile,
    next_row: usize,
}

impl RowCursor<'_> {
    fn row_of(&mut self, doc: DocId) -> Option<u32> {
        if self.file.is_dense() {
            return self.file.row_of(doc);
        }
        let documents = &self.file.listed_documents()[self.next_row..];
        let is_before = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes) < doc;
        let mut reach = 1;
        while reach < documents.len() && is_before(&documents[reach]) {
            reach *= 2;
        }
        let nearby = &documents[..documents.len().min(reach + 1)];
        let skipped = nearby.partition_point(is_before);
        self.next_row += skipped;
        let found = documents.get(skipped).is_some_and(|bytes| u32::from_le_bytes(*bytes) == doc);
        found.then_some(self.next_row as u32)
    }
}
