//! One term's place in the postings of a segment.

#[cfg(doc)]
use tantivy::TERMINATED;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::BlockSegmentPostings;
use tantivy::query::Bm25Weight;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, SegmentOrdinal, SegmentReader};

use super::{BLOCK_DOCS, Weighted};
use crate::error::{Doing, IndexError};

/// A place in the postings of a term: a document, or the end.
pub(in crate::search) struct Cursor<'a> {
    postings: BlockSegmentPostings,
    /// Place within the block. The engine fills a block up with [`TERMINATED`].
    at: usize,
    bm25: &'a Bm25Weight,
    norms: FieldNormReader,
    is_counted: bool,
    /// The most it adds to a score.
    pub(super) most: f64,
}

impl<'a> Cursor<'a> {
    /// At the first document of a segment that holds the term; `None` when there is none.
    pub(super) fn open(
        term: &'a Weighted,
        segment: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> Result<Option<Self>, IndexError> {
        let Some(postings) = term.found.postings(segment, IndexRecordOption::WithFreqs)? else { return Ok(None) };
        let norms = reader.fieldnorms_readers().get_field(term.found.term.field());
        let norms = norms.doing("read the lengths of documents")?;
        Ok(Some(Self {
            postings,
            at: 0,
            bm25: &term.bm25,
            norms: norms.unwrap_or_else(|| FieldNormReader::constant(reader.max_doc(), UNCOUNTED_TOKENS)),
            is_counted: term.is_counted,
            most: f64::from(term.most),
        }))
    }

    /// The document that it is at; [`TERMINATED`] at the end.
    #[inline]
    pub(super) fn doc(&self) -> DocId {
        self.postings.doc(self.at)
    }

    /// The score of the document that it is at.
    #[inline]
    pub(super) fn score(&self) -> f32 {
        self.score_at(self.at, self.doc())
    }

    /// How often the term stands in the document that it is at; once where the field counts no words.
    #[inline]
    pub(in crate::search) fn frequency(&self) -> u32 {
        if self.is_counted { self.postings.freq(self.at) } else { 1 }
    }

    /// Goes on to the first document from `target` on; stays where it is when that is behind it.
    #[inline]
    pub(in crate::search) fn seek(&mut self, target: DocId) -> DocId {
        if self.doc() < target {
            self.at = self.postings.seek(target);
        }
        self.doc()
    }

    /// Whether a document of this block may score more than `bar`. Blocks that are not full are always taken to.
    #[inline]
    pub(super) fn block_reaches(&mut self, bar: f64) -> bool {
        let has_best = self.is_counted && self.postings.block_len() == BLOCK_DOCS;
        !has_best || f64::from(self.postings.block_max_score(&self.norms, self.bm25)) > bar
    }

    /// Goes through the documents of this block from here on that lie below `end`, and on to the one that follows:
    /// `each` takes those that `wanted` accepts, with their scores.
    #[inline]
    pub(super) fn read_block(&mut self, end: DocId, wanted: impl Fn(DocId) -> bool, mut each: impl FnMut(DocId, f32)) {
        let docs = self.postings.docs();
        let mut at = self.at;
        while let Some(&doc) = docs.get(at).filter(|doc| **doc < end) {
            if wanted(doc) {
                each(doc, self.score_at(at, doc));
            }
            at += 1;
        }
        self.go(at);
    }

    /// Leaves out the documents of this block that lie below `end`.
    #[inline]
    pub(super) fn pass_block(&mut self, end: DocId) {
        let docs = self.postings.docs();
        let passed = match docs.last() {
            Some(last) if *last < end => docs.len(),
            _ => docs.partition_point(|doc| *doc < end),
        };
        self.go(passed.max(self.at));
    }

    #[inline]
    fn go(&mut self, at: usize) {
        self.at = at;
        if at == BLOCK_DOCS {
            self.postings.advance();
            self.at = 0;
        }
    }

    #[inline]
    fn score_at(&self, at: usize, doc: DocId) -> f32 {
        self.bm25.score(self.norms.fieldnorm_id(doc), self.postings.freq(at))
    }
}

/// Length of every document where the field keeps none.
const UNCOUNTED_TOKENS: u32 = 1;

/// The score of a match in a field that counts no words.
pub(super) fn uncounted_score(bm25: &Bm25Weight) -> f32 {
    bm25.score(FieldNormReader::fieldnorm_to_id(UNCOUNTED_TOKENS), 1)
}
