//! Searching one snapshot under a mask.
//!
//! Every function takes the mask first and gives nothing that it does not allow: candidates are asked for one by one
//! while they are found, so that a caller with little access still gets a full list. Word statistics are those of the
//! workspace: its words are terms of their own, and the counts of documents and tokens are its own. A search ends with
//! [`IndexError::DeadlinePassed`] when its searcher has a deadline and that has passed.

mod allowed;
mod best;
mod compounds;
mod deadline;
mod expand;
mod lookup;
mod statistics;
mod tree;
mod union;
mod whole;
mod words;

use std::sync::Arc;
use std::time::Instant;

use access::{Mask, PageOrdinal};
use roaring::RoaringBitmap;
use schemas::page_text::PageText;
use schemas::record::PageRecord;
use tantivy::{DocAddress, DocId};

use crate::catalog::{Catalog, WorkspaceStats};
use crate::commit::{stored_passage, stored_record};
use crate::error::IndexError;
use crate::fields::Fields;
use crate::open::Snapshot;
use crate::pages::DocKind;
use crate::passages::Passage;
use crate::vectors::{QueryVector, StoredVector, VectorSearchError, search as nearest, search_listed};
use allowed::Allowed;
use deadline::Deadline;
use statistics::Statistics;
use tree::Tree;
use union::Union;
use words::Plan;

pub use whole::Bm25Shape;

/// Below this share of all documents, allowed ones are listed for a search by meaning rather than sought.
const LISTED_SHARE: f64 = 0.125;

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
    /// Whether typos are forgiven in words that no passage holds: one from 5 letters, two from 9.
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
    deadline: Deadline,
}

impl std::fmt::Debug for Searcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Searcher").field("index_seq", &self.index_seq()).finish_non_exhaustive()
    }
}

impl Searcher {
    pub(crate) fn new(snapshot: Arc<Snapshot>, fields: Fields, catalog: Catalog) -> Self {
        Self { snapshot, fields, catalog, deadline: Deadline::default() }
    }

    /// The same snapshot, whose searches fail with [`IndexError::DeadlinePassed`] soon after `deadline`: each looks at the
    /// clock every few thousand documents.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Deadline(Some(deadline));
        self
    }

    /// Number of the commit that it reads.
    pub fn index_seq(&self) -> u64 {
        self.snapshot.payload.index_seq
    }

    /// The model of the vectors that it reads; none while there are none.
    pub fn model_id(&self) -> Option<&str> {
        self.snapshot.payload.model_id.as_deref()
    }

    /// The passages that match best by words, at most `depth`, best first; equal ones in the order of their addresses.
    /// Scores are BM25 (Robertson and Walker, SIGIR 1994; k1 = 1.2, b = 0.75) under the statistics of the workspace.
    pub fn lexical(&self, mask: &Mask, query: &LexicalQuery, depth: usize) -> Result<Vec<Candidate>, IndexError> {
        if mask.is_empty() || depth == 0 {
            return Ok(Vec::new());
        }
        let Some(plan) = self.plan(mask, query)? else { return Ok(Vec::new()) };
        let statistics = self.statistics(mask);
        let share = allowed_share(mask, &statistics.stats);
        let best = match plan {
            Plan::Union(terms) => {
                Union::new(&self.snapshot, &statistics, terms, self.deadline)?.best(mask, share, depth)?
            }
            Plan::Tree(query) => {
                Tree::new(&self.snapshot, &statistics, &query, self.deadline)?.best(mask, share, depth)?
            }
        };
        Ok(best.into_sorted().map(|(segment, doc, score)| self.candidate(segment, doc, score)).collect())
    }

    /// The passages and titles nearest in meaning, at most `depth`, best first. Scores are cosines.
    pub fn semantic(&self, mask: &Mask, query: &QueryVector, depth: usize) -> Result<Vec<Candidate>, IndexError> {
        if mask.is_empty() || depth == 0 {
            return Ok(Vec::new());
        }
        self.deadline.check()?;
        let vectors = &self.snapshot.vectors;
        let documents: usize = self.snapshot.segments.iter().map(|segment| segment.pages.docs_len()).sum();
        let stats = self.stats(mask);
        let allowed: Vec<_> = (0..vectors.len()).map(|segment| self.allowed(mask, segment)).collect();
        let is_late = || self.deadline.has_passed();
        let found = if stats.passages as f64 * allowed_share(mask, &stats) < documents as f64 * LISTED_SHARE {
            search_listed(vectors, query, |segment| allowed[segment as usize].listed(), depth, &is_late)
        } else {
            let allows = |segment: u32, doc| allowed[segment as usize].allows(doc);
            nearest(vectors, query, allows, depth, &is_late)
        };
        let found = found.map_err(|error| match error {
            VectorSearchError::DeadlineExceeded => IndexError::DeadlinePassed,
            error @ VectorSearchError::Dimensions { .. } => IndexError::VectorSearch(error),
        })?;
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
        let Some(plan) = self.plan(mask, query)? else { return Ok(scores) };
        let statistics = self.statistics(mask);
        let scorer: Box<dyn ScoreDocs> = match plan {
            Plan::Union(terms) => Box::new(Union::new(&self.snapshot, &statistics, terms, self.deadline)?),
            Plan::Tree(query) => Box::new(Tree::new(&self.snapshot, &statistics, &query, self.deadline)?),
        };
        let mut order: Vec<usize> = (0..passages.len()).filter(|at| self.is_allowed(mask, passages[*at])).collect();
        order.sort_unstable_by_key(|at| passages[*at]);
        for group in order.chunk_by(|a, b| passages[*a].segment == passages[*b].segment) {
            let docs: Vec<DocId> = group.iter().map(|at| passages[*at].doc).collect();
            let found = scorer.scores_of(passages[group[0]].segment, &docs)?;
            for (at, score) in group.iter().zip(found) {
                scores[*at] = score;
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

    /// The passages of a page, in no order, its title not among them. Reads no stored document.
    pub fn page_passages(&self, mask: &Mask, page: PageOrdinal) -> Result<Vec<PassageAddress>, IndexError> {
        Ok(self.page_docs(mask, page, DocKind::Passage).collect())
    }

    /// The title of a page as a text of its own; `None` for one that says nothing. Reads no stored document.
    pub fn page_title(&self, mask: &Mask, page: PageOrdinal) -> Option<PassageAddress> {
        self.page_docs(mask, page, DocKind::Title).next()
    }

    /// Whether what was found is the title of a page, and none of its passages.
    pub fn is_title(&self, at: PassageAddress) -> bool {
        self.snapshot.segments[at.segment as usize].pages.kind_of(at.doc) == DocKind::Title
    }

    /// The record of a page as it was committed.
    pub fn page_record(&self, mask: &Mask, page: PageOrdinal) -> Result<Option<PageRecord>, IndexError> {
        let Some(at) = self.page_docs(mask, page, DocKind::Record).next() else { return Ok(None) };
        stored_record(&self.snapshot, self.fields, at.into(), "page record")
    }

    /// The text of a page, if it is allowed: much quicker than its record.
    pub fn page_text(&self, mask: &Mask, page: PageOrdinal) -> Result<Option<PageText>, IndexError> {
        let Some(at) = self.page_docs(mask, page, DocKind::Record).next() else { return Ok(None) };
        stored_record(&self.snapshot, self.fields, at.into(), "page record")
    }

    /// The pages with a passage that matches.
    pub fn matching_pages(&self, mask: &Mask, query: &LexicalQuery) -> Result<RoaringBitmap, IndexError> {
        let mut pages = RoaringBitmap::new();
        let Some(plan) = self.plan(mask, query)? else { return Ok(pages) };
        for (segment, reader) in (0..).zip(self.snapshot.engine.segment_readers()) {
            let allowed = self.allowed(mask, segment as usize);
            match &plan {
                Plan::Union(terms) => union::for_each(terms, segment, self.deadline, |doc| {
                    if allowed.allows(doc) && !reader.is_deleted(doc) {
                        pages.insert(allowed.page_of(doc).0);
                    }
                })?,
                Plan::Tree(query) => {
                    let tree = Tree::unscored(&self.snapshot, query, self.deadline)?;
                    tree.for_each(
                        segment,
                        None,
                        |doc| allowed.allows(doc),
                        |doc, _| {
                            pages.insert(allowed.page_of(doc).0);
                        },
                    )?;
                }
            }
        }
        Ok(pages)
    }

    /// The documents of a page that are of a kind, if it is allowed.
    fn page_docs(&self, mask: &Mask, page: PageOrdinal, kind: DocKind) -> impl Iterator<Item = PassageAddress> {
        let workspace = mask.workspace_number();
        let readers = self.snapshot.engine.segment_readers();
        let segments = mask.allows(page).then(|| (0..).zip(self.snapshot.segments.iter().zip(readers)));
        segments.into_iter().flatten().flat_map(move |(segment, (known, reader))| {
            let docs = known.pages.docs_of(workspace, page);
            let docs = docs.filter(move |doc| known.pages.kind_of(*doc) == kind && !reader.is_deleted(*doc));
            docs.map(move |doc| PassageAddress { segment, doc })
        })
    }

    fn candidate(&self, segment: u32, doc: DocId, score: f32) -> Candidate {
        let address = PassageAddress { segment, doc };
        Candidate { address, page: self.page_at(address), score }
    }

    fn page_at(&self, at: PassageAddress) -> PageOrdinal {
        self.snapshot.segments[at.segment as usize].pages.page_of(at.doc)
    }

    fn is_allowed(&self, mask: &Mask, at: PassageAddress) -> bool {
        let reader = self.snapshot.engine.segment_reader(at.segment);
        self.allowed(mask, at.segment as usize).allows(at.doc) && !reader.is_deleted(at.doc)
    }

    fn allowed<'a>(&'a self, mask: &'a Mask, segment: usize) -> Allowed<'a> {
        Allowed::new(&self.snapshot.segments[segment].pages, mask)
    }

    fn stats(&self, mask: &Mask) -> WorkspaceStats {
        self.catalog.numbered(mask.workspace_number()).map(|workspace| workspace.read().stats()).unwrap_or_default()
    }

    fn statistics(&self, mask: &Mask) -> Statistics<'_> {
        Statistics { engine: &self.snapshot.engine, fields: self.fields, stats: self.stats(mask) }
    }
}

/// Scores documents one by one.
trait ScoreDocs {
    /// The scores of ascending documents of a segment; `None` for those that do not match.
    fn scores_of(&self, segment: u32, docs: &[DocId]) -> Result<Vec<Option<f32>>, IndexError>;
}

/// About which share of the workspace's pages a mask allows.
fn allowed_share(mask: &Mask, stats: &WorkspaceStats) -> f64 {
    (mask.allowed_count() as f64 / stats.pages.max(1) as f64).min(1.0)
}
