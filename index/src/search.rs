//! Searching one snapshot under a mask.
//!
//! Every function takes the mask first and gives nothing that it does not allow: candidates are asked for one by one
//! while they are found, so that a caller with little access still gets a full list. Word statistics are those of the
//! workspace: its words are terms of their own, and the counts of documents and tokens are its own.

mod expand;
mod words;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use access::{Mask, PageOrdinal};
use roaring::RoaringBitmap;
use schemas::record::PageRecord;
use tantivy::query::{Bm25StatisticsProvider, EnableScoring, Query, Weight};
use tantivy::{DocAddress, DocId, DocSet, TERMINATED, Term};

use crate::catalog::{Catalog, WorkspaceStats};
use crate::commit::{live_docs, stored_passage, stored_record};
use crate::error::{Doing, IndexError};
use crate::fields::Fields;
use crate::open::Snapshot;
use crate::passages::Passage;
use crate::vectors::{QueryVector, StoredVector, search as nearest, search_listed};

/// Below this share of all documents, the documents of a workspace are listed rather than sought.
const LISTED_SHARE: u64 = 8;
/// Documents of a segment that are asked of the mask to tell how many it allows: about a microsecond.
const DOCUMENTS_SAMPLED: usize = 256;

/// A passage in one snapshot. Good only with the searcher that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassageAddress {
    segment: u32,
    doc: DocId,
}

impl From<DocAddress> for PassageAddress {
    fn from(address: DocAddress) -> Self {
        Self { segment: address.segment_ord, doc: address.doc_id }
    }
}

impl From<PassageAddress> for DocAddress {
    fn from(address: PassageAddress) -> Self {
        Self::new(address.segment, address.doc)
    }
}

/// A passage that one retriever found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The passage.
    pub address: PassageAddress,
    /// Its page.
    pub page: PageOrdinal,
    /// BM25 or cosine, as the retriever has it.
    pub score: f32,
}

/// What to look for by words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LexicalQuery {
    /// What a passage should, must or must not hold.
    pub clauses: Vec<Clause>,
    /// Whether the last word of the last clause is still being typed.
    pub last_word_is_prefix: bool,
    /// Whether typos are forgiven: one from 5 letters, two from 9.
    pub fuzzy: bool,
}

/// One condition on a passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// How it counts.
    pub occur: Occur,
    /// Where it looks.
    pub field: Field,
    /// What it looks for.
    pub kind: ClauseKind,
}

/// How a clause counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occur {
    /// A match raises the score.
    Should,
    /// Every word must match.
    Must,
    /// A match of every word excludes the passage.
    MustNot,
}

/// Where a clause looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Title, headings and text.
    All,
    /// The title; only the first passage of a page has it.
    Title,
}

/// What a clause looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClauseKind {
    /// These words, anywhere.
    Words(String),
    /// These words, side by side.
    Phrase(String),
}

/// A snapshot to search. Cloning is cheap.
#[derive(Clone)]
pub struct Searcher {
    snapshot: Arc<Snapshot>,
    fields: Fields,
    catalog: Catalog,
}

impl std::fmt::Debug for Searcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Searcher").field("index_seq", &self.index_seq()).finish_non_exhaustive()
    }
}

impl Searcher {
    pub(crate) fn new(snapshot: Arc<Snapshot>, fields: Fields, catalog: Catalog) -> Self {
        Self { snapshot, fields, catalog }
    }

    /// Number of the commit that it reads.
    pub fn index_seq(&self) -> u64 {
        self.snapshot.payload.index_seq
    }

    /// The passages that match best by words, at most `depth`, best first; equal ones in the order of their addresses.
    /// Scores are BM25 (Robertson and Walker, SIGIR 1994; k1 = 1.2, b = 0.75) under the statistics of the workspace.
    pub fn lexical(&self, mask: &Mask, query: &LexicalQuery, depth: usize) -> Result<Vec<Candidate>, IndexError> {
        if mask.is_empty() || depth == 0 {
            return Ok(Vec::new());
        }
        let Some(built) = self.build(mask, query)? else { return Ok(Vec::new()) };
        let statistics = self.statistics(mask);
        let weight = self.weight(&*built, &statistics)?;
        let mut best = Best::new(depth);
        for segment in self.most_allowed_first(mask) {
            let reader = self.snapshot.engine.segment_reader(segment);
            let allows = self.allows(mask, segment as usize);
            weight
                .for_each_pruning(best.threshold(segment), reader, &mut |doc, score| {
                    if allows(doc) && !reader.is_deleted(doc) {
                        best.push(segment, doc, score);
                    }
                    best.threshold(segment)
                })
                .doing("search by words")?;
        }
        Ok(best.into_sorted().into_iter().map(|(segment, doc, score)| self.candidate(segment, doc, score)).collect())
    }

    /// The passages nearest in meaning, at most `depth`, best first. Scores are cosines.
    pub fn semantic(&self, mask: &Mask, query: &QueryVector, depth: usize) -> Result<Vec<Candidate>, IndexError> {
        if mask.is_empty() || depth == 0 {
            return Ok(Vec::new());
        }
        let vectors = &self.snapshot.vectors;
        let documents: u64 = self.snapshot.segments.iter().map(|segment| segment.page_keys.len() as u64).sum();
        let is_small = self.stats(mask).passages.saturating_mul(LISTED_SHARE) < documents;
        let never = || false;
        let found = if is_small {
            let listed = self.listed(mask)?;
            search_listed(vectors, query, |segment| listed[segment as usize].iter().copied(), depth, &never)?
        } else {
            let allows: Vec<_> = (0..vectors.len()).map(|segment| self.allows(mask, segment)).collect();
            nearest(vectors, query, |segment, doc| allows[segment as usize](doc), depth, &never)?
        };
        let candidate = |address: DocAddress, cosine| self.candidate(address.segment_ord, address.doc_id, cosine);
        Ok(found.into_iter().map(|near| candidate(near.address, near.cosine)).collect())
    }

    /// The BM25 score of each passage; `None` where it does not match or is not allowed.
    pub fn bm25_of(
        &self,
        mask: &Mask,
        query: &LexicalQuery,
        passages: &[PassageAddress],
    ) -> Result<Vec<Option<f32>>, IndexError> {
        let mut scores = vec![None; passages.len()];
        let Some(built) = self.build(mask, query)? else { return Ok(scores) };
        let statistics = self.statistics(mask);
        let weight = self.weight(&*built, &statistics)?;
        let mut order: Vec<usize> = (0..passages.len()).collect();
        order.sort_unstable_by_key(|at| passages[*at]);
        for group in order.chunk_by(|a, b| passages[*a].segment == passages[*b].segment) {
            let segment = passages[group[0]].segment;
            let reader = self.snapshot.engine.segment_reader(segment);
            let allows = self.allows(mask, segment as usize);
            let mut scorer = weight.scorer(reader, 1.0).doing("score passages by words")?;
            for at in group {
                let doc = passages[*at].doc;
                if !allows(doc) || reader.is_deleted(doc) {
                    continue;
                }
                if scorer.doc() < doc {
                    scorer.seek(doc);
                }
                if scorer.doc() == doc {
                    scores[*at] = Some(scorer.score());
                }
            }
        }
        Ok(scores)
    }

    /// The cosine of each passage with the query; `None` where it has no embedding of that model or is not allowed.
    pub fn cosine_of(
        &self,
        mask: &Mask,
        query: &QueryVector,
        passages: &[PassageAddress],
    ) -> Result<Vec<Option<f32>>, IndexError> {
        let cosine = |at: &PassageAddress| {
            self.is_allowed(mask, *at).then(|| self.snapshot.vectors[at.segment as usize].cosine(at.doc, query))?
        };
        Ok(passages.iter().map(cosine).collect())
    }

    /// The embedding of a passage.
    pub fn vector_of(&self, mask: &Mask, at: PassageAddress) -> Result<Option<StoredVector>, IndexError> {
        let vectors = &self.snapshot.vectors[at.segment as usize];
        Ok(self.is_allowed(mask, at).then(|| vectors.vector_of(at.doc)).flatten())
    }

    /// A passage and its page.
    pub fn passage(&self, mask: &Mask, at: PassageAddress) -> Result<Option<(PageOrdinal, Passage)>, IndexError> {
        if !self.is_allowed(mask, at) {
            return Ok(None);
        }
        let passage = stored_passage(&self.snapshot, self.fields, at.into())?;
        Ok(passage.map(|passage| (self.page_at(at), passage)))
    }

    /// The passages of a page, in no order.
    pub fn page_passages(&self, mask: &Mask, page: PageOrdinal) -> Result<Vec<PassageAddress>, IndexError> {
        if !mask.allows(page) {
            return Ok(Vec::new());
        }
        let term = self.fields.page_term(mask.workspace_number(), page);
        let mut passages = Vec::new();
        for address in live_docs(&self.snapshot, &term, usize::MAX)? {
            // The record of the page carries its key too.
            if stored_passage(&self.snapshot, self.fields, address)?.is_some() {
                passages.push(address.into());
            }
        }
        Ok(passages)
    }

    /// The record of a page as it was committed.
    pub fn page_record(&self, mask: &Mask, page: PageOrdinal) -> Result<Option<PageRecord>, IndexError> {
        if !mask.allows(page) {
            return Ok(None);
        }
        let term = self.fields.page_term(mask.workspace_number(), page);
        for address in live_docs(&self.snapshot, &term, usize::MAX)? {
            if let Some(record) = stored_record(&self.snapshot, self.fields, address, "page record")? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The pages with a passage that matches.
    pub fn matching_pages(&self, mask: &Mask, query: &LexicalQuery) -> Result<RoaringBitmap, IndexError> {
        let mut pages = RoaringBitmap::new();
        let Some(built) = self.build(mask, query)? else { return Ok(pages) };
        let scoring = EnableScoring::disabled_from_searcher(&self.snapshot.engine);
        let weight = built.weight(scoring).doing("plan a search")?;
        for (segment, reader) in self.snapshot.engine.segment_readers().iter().enumerate() {
            let allows = self.allows(mask, segment);
            let keys = &self.snapshot.segments[segment].page_keys;
            let mut collect = |docs: &[DocId]| {
                let docs = docs.iter().filter(|doc| allows(**doc) && !reader.is_deleted(**doc));
                pages.extend(docs.map(|doc| keys[*doc as usize] as u32));
            };
            weight.for_each_no_score(reader, &mut collect).doing("find matching pages")?;
        }
        Ok(pages)
    }

    fn candidate(&self, segment: u32, doc: DocId, score: f32) -> Candidate {
        let address = PassageAddress { segment, doc };
        Candidate { address, page: self.page_at(address), score }
    }

    fn page_at(&self, at: PassageAddress) -> PageOrdinal {
        PageOrdinal(self.snapshot.segments[at.segment as usize].page_keys[at.doc as usize] as u32)
    }

    fn is_allowed(&self, mask: &Mask, at: PassageAddress) -> bool {
        let reader = self.snapshot.engine.segment_reader(at.segment);
        self.allows(mask, at.segment as usize)(at.doc) && !reader.is_deleted(at.doc)
    }

    /// The decision of the mask for the documents of one segment: two array reads and a bit.
    fn allows<'a>(&'a self, mask: &'a Mask, segment: usize) -> impl Fn(DocId) -> bool + 'a {
        let keys = self.snapshot.segments[segment].page_keys.as_slice();
        let workspace = u64::from(mask.workspace_number());
        move |doc| {
            let key = keys[doc as usize];
            key >> 32 == workspace && mask.allows(PageOrdinal(key as u32))
        }
    }

    /// The segments, by how many documents the mask allows of a sample of each: the more good ones are found early, the
    /// more of the rest the engine leaves out. No segment is left out here.
    fn most_allowed_first(&self, mask: &Mask) -> Vec<u32> {
        let allowed = |segment: &u32| {
            let documents = self.snapshot.segments[*segment as usize].page_keys.len();
            let step = documents.div_ceil(DOCUMENTS_SAMPLED).max(1);
            let allows = self.allows(mask, *segment as usize);
            Reverse((0..documents).step_by(step).filter(|doc| allows(*doc as DocId)).count() * step)
        };
        let mut segments: Vec<u32> = (0..self.snapshot.segments.len() as u32).collect();
        segments.sort_by_cached_key(allowed);
        segments
    }

    /// The allowed documents of the workspace in each segment, ascending.
    fn listed(&self, mask: &Mask) -> Result<Vec<Vec<DocId>>, IndexError> {
        let term = self.fields.workspace_term(mask.workspace_number());
        let mut listed = vec![Vec::new(); self.snapshot.segments.len()];
        for address in live_docs(&self.snapshot, &term, usize::MAX)? {
            if self.allows(mask, address.segment_ord as usize)(address.doc_id) {
                listed[address.segment_ord as usize].push(address.doc_id);
            }
        }
        Ok(listed)
    }

    fn stats(&self, mask: &Mask) -> WorkspaceStats {
        self.catalog.numbered(mask.workspace_number()).map(|workspace| workspace.read().stats()).unwrap_or_default()
    }

    fn statistics(&self, mask: &Mask) -> Statistics<'_> {
        Statistics { searcher: self, stats: self.stats(mask) }
    }

    fn weight(&self, query: &dyn Query, statistics: &Statistics<'_>) -> Result<Box<dyn Weight>, IndexError> {
        let scoring = EnableScoring::enabled_from_statistics_provider(statistics, &self.snapshot.engine);
        query.weight(scoring).doing("plan a search")
    }
}

/// Word statistics of one workspace.
struct Statistics<'a> {
    searcher: &'a Searcher,
    stats: WorkspaceStats,
}

impl Bm25StatisticsProvider for Statistics<'_> {
    fn total_num_tokens(&self, field: tantivy::schema::Field) -> tantivy::Result<u64> {
        if field == self.searcher.fields.all {
            return Ok(self.stats.tokens);
        }
        // Other fields keep no counts by workspace: their mean length over the whole index stands for it.
        let engine = &self.searcher.snapshot.engine;
        let tokens = engine.total_num_tokens(field)? as f64;
        let documents = engine.num_docs().max(1) as f64;
        Ok((tokens / documents * self.stats.passages as f64) as u64)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.stats.passages.max(1))
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        // Deleted documents count until they are merged away, so the frequency may exceed the number of documents.
        Ok(self.searcher.snapshot.engine.doc_freq(term)?.min(self.stats.passages.max(1)))
    }
}

/// The best documents so far.
struct Best {
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
    fn new(depth: usize) -> Self {
        Self { depth, heap: BinaryHeap::with_capacity(depth + 1) }
    }

    /// Only a higher score than this can still come in from a segment whose documents come in ascending order.
    fn threshold(&self, segment: u32) -> f32 {
        match self.heap.peek() {
            // An equal one of an earlier segment goes before the worst.
            Some(worst) if self.heap.len() >= self.depth && segment < worst.0 => worst.2.next_down(),
            Some(worst) if self.heap.len() >= self.depth => worst.2,
            _ => f32::MIN,
        }
    }

    fn push(&mut self, segment: u32, doc: DocId, score: f32) {
        self.heap.push(Worst(segment, doc, score));
        if self.heap.len() > self.depth {
            self.heap.pop();
        }
    }

    fn into_sorted(self) -> Vec<(u32, DocId, f32)> {
        self.heap.into_sorted_vec().into_iter().map(|Worst(segment, doc, score)| (segment, doc, score)).collect()
    }
}

/// True when the postings of a term hold a live document that `allows` accepts; looks at `limit` of them at most.
fn count_allowed(
    reader: &tantivy::SegmentReader,
    term: &Term,
    allows: &impl Fn(DocId) -> bool,
    limit: u32,
) -> Result<u32, IndexError> {
    let inverted = reader.inverted_index(term.field()).doing("open the terms of a segment")?;
    let postings = inverted.read_postings(term, tantivy::schema::IndexRecordOption::Basic);
    let Some(mut postings) = postings.doing("look up a term")? else { return Ok(0) };
    let mut count = 0;
    while postings.doc() != TERMINATED && count < limit {
        let doc = postings.doc();
        count += u32::from(allows(doc) && !reader.is_deleted(doc));
        postings.advance();
    }
    Ok(count)
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
            assert_eq!(best.into_sorted(), [(1, 4, 2.0), (0, 3, 1.0), (0, 7, 1.0)], "{order:?}");
        }
    }
}
