//! Looks terms up in the segments of a snapshot, each once.

use std::sync::Arc;

use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{InvertedIndexReader, SegmentOrdinal, Term};

use crate::error::{Doing, IndexError};

/// A term that stands in some segment, and where its postings are.
pub(super) struct FoundTerm {
    pub(super) term: Term,
    /// What its score is multiplied with.
    pub(super) boost: f32,
    /// Documents that hold it, over all segments, deleted ones included.
    pub(super) doc_freq: u64,
    postings: Vec<Postings>,
}

struct Postings {
    segment: SegmentOrdinal,
    inverted: Arc<InvertedIndexReader>,
    info: TermInfo,
}

impl FoundTerm {
    /// Documents of a segment that hold it.
    pub(super) fn doc_freq_in(&self, segment: SegmentOrdinal) -> u32 {
        self.of(segment).map_or(0, |found| found.info.doc_freq)
    }

    /// Its postings in a segment; `None` where it does not stand.
    pub(super) fn postings(
        &self,
        segment: SegmentOrdinal,
        option: IndexRecordOption,
    ) -> Result<Option<BlockSegmentPostings>, IndexError> {
        let Some(found) = self.of(segment) else { return Ok(None) };
        let postings = found.inverted.read_block_postings_from_terminfo(&found.info, option);
        postings.map(Some).doing("read the postings of a term")
    }

    fn of(&self, segment: SegmentOrdinal) -> Option<&Postings> {
        self.postings.iter().find(|found| found.segment == segment)
    }
}

/// The terms of one snapshot; keeps the fields that it opened.
pub(super) struct Lookup<'a> {
    engine: &'a tantivy::Searcher,
    opened: Vec<(Field, Vec<Arc<InvertedIndexReader>>)>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(engine: &'a tantivy::Searcher) -> Self {
        Self { engine, opened: Vec::new() }
    }

    /// Finds a term; `None` when it stands nowhere.
    pub(super) fn find(&mut self, term: Term, boost: f32) -> Result<Option<FoundTerm>, IndexError> {
        let mut postings = Vec::new();
        for (segment, inverted) in (0..).zip(self.open(term.field())?) {
            if let Some(info) = inverted.get_term_info(&term).doing("look up a term")? {
                postings.push(Postings { segment, inverted: Arc::clone(inverted), info });
            }
        }
        let doc_freq = postings.iter().map(|found| u64::from(found.info.doc_freq)).sum();
        Ok((!postings.is_empty()).then_some(FoundTerm { term, boost, doc_freq, postings }))
    }

    fn open(&mut self, field: Field) -> Result<&[Arc<InvertedIndexReader>], IndexError> {
        let known = self.opened.iter().position(|(known, _)| *known == field);
        if known.is_none() {
            let segments = self.engine.segment_readers().iter().map(|reader| reader.inverted_index(field));
            let opened = segments.collect::<tantivy::Result<_>>().doing("open the terms of a segment")?;
            self.opened.push((field, opened));
        }
        Ok(&self.opened[known.unwrap_or(self.opened.len() - 1)].1)
    }
}
