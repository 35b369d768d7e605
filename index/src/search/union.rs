//! The best documents of a union of terms under a mask.
//!
//! Terms stand in the order of the most they can add to a score, and every score is summed in that order, so that neither
//! the mask nor the way taken changes one. Two ways give the same:
//!
//! - *By documents*: the few that are allowed are listed, and each term is sought in them.
//! - *By postings*: MaxScore (Turtle and Flood, Information Processing and Management 31(6), 1995). Terms that together
//!   cannot reach the score of the worst document kept are sought only in documents that the other terms found, and
//!   blocks whose best score cannot reach it are passed over. The others are added up in windows of documents, so that
//!   only allowed documents are scored and the next are looked for above the score of allowed ones.

mod cursor;
mod scan;

use access::Mask;
use tantivy::query::Bm25Weight;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, SegmentOrdinal};

use super::ScoreDocs;
use super::allowed::Allowed;
use super::best::Best;
use super::deadline::{DOCS_UNCHECKED, Deadline};
use super::lookup::FoundTerm;
use super::statistics::Statistics;
use crate::error::IndexError;
use crate::open::Snapshot;
use cursor::Cursor;
use scan::Scan;

/// Postings in a block of the engine.
const BLOCK_DOCS: usize = 128;
/// Below this share of allowed documents the mask is asked before a posting is scored, else when its score is enough.
const MASK_FIRST_SHARE: f64 = 0.5;
// What steps take, measured by the bench `search`; only their ratios matter.
const LIST_RUN_NS: f64 = 1.0;
const SEEK_NS: f64 = 10.0;
const BLOCK_NS: f64 = 80.0;
const POSTING_NS: f64 = 2.5;

/// Terms of which any may match, with how they are scored.
pub(super) struct Union<'a> {
    snapshot: &'a Snapshot,
    terms: Vec<Weighted>,
    deadline: Deadline,
}

/// How the best documents of a segment are found; all give the same.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The terms are sought in the allowed documents.
    Documents,
    /// Postings are read, and the mask is asked before they are scored or when their score is enough.
    Postings { is_mask_first: bool },
}

struct Weighted {
    found: FoundTerm,
    bm25: Bm25Weight,
    rarity: f64,
    /// Whether the field counts how often a word stands in a document.
    is_counted: bool,
    /// The most it adds to a score.
    most: f32,
}

impl<'a> Union<'a> {
    pub(super) fn new(
        snapshot: &'a Snapshot,
        statistics: &Statistics<'_>,
        found: Vec<FoundTerm>,
        deadline: Deadline,
    ) -> Result<Self, IndexError> {
        let mut terms = Vec::with_capacity(found.len());
        for found in found {
            let bm25 = statistics.weight_of(&found)?;
            let is_counted = found.term.field() != statistics.fields.words;
            let most = if is_counted { bm25.max_score() } else { cursor::uncounted_score(&bm25) };
            let rarity = statistics.rarity_of(&found);
            terms.push(Weighted { found, bm25, rarity, is_counted, most });
        }
        terms.sort_by(|one, next| next.most.total_cmp(&one.most));
        Ok(Self { snapshot, terms, deadline })
    }

    /// The best documents that a mask allows, at most `depth`.
    pub(super) fn best(&self, mask: &Mask, allowed_share: f64, depth: usize) -> Result<Best, IndexError> {
        let mut best = Best::new(depth);
        for segment in self.largest_first() {
            let allowed = Allowed::new(&self.snapshot.segments[segment as usize].pages, mask);
            self.collect(segment, &allowed, self.cheapest(segment, &allowed, allowed_share), &mut best)?;
        }
        Ok(best)
    }

    /// Puts the best allowed documents of a segment among `best`.
    fn collect(
        &self,
        segment: SegmentOrdinal,
        allowed: &Allowed<'_>,
        way: Way,
        best: &mut Best,
    ) -> Result<(), IndexError> {
        let reader = self.snapshot.engine.segment_reader(segment);
        if let Way::Postings { is_mask_first } = way {
            let cursors = self.cursors(segment)?;
            return Scan::new(segment, reader, cursors, allowed, is_mask_first, self.deadline).collect(best);
        }
        let docs = allowed.listed();
        for (doc, score) in docs.iter().zip(self.sums_of(segment, &docs)?) {
            if score > 0.0 && score > best.threshold(segment) && !reader.is_deleted(*doc) {
                best.push(segment, *doc, score);
            }
        }
        Ok(())
    }

    /// The scores of ascending documents of a segment; zero for those that hold no term.
    fn sums_of(&self, segment: SegmentOrdinal, docs: &[DocId]) -> Result<Vec<f32>, IndexError> {
        let mut scores = vec![0.0; docs.len()];
        for mut cursor in self.cursors(segment)? {
            for (docs, scores) in docs.chunks(DOCS_UNCHECKED).zip(scores.chunks_mut(DOCS_UNCHECKED)) {
                self.deadline.check()?;
                for (doc, score) in docs.iter().zip(scores) {
                    if cursor.seek(*doc) == *doc {
                        *score += cursor.score();
                    }
                }
            }
        }
        Ok(scores)
    }

    /// How many terms there are.
    pub(super) fn terms_len(&self) -> usize {
        self.terms.len()
    }

    /// How much a match of a term counts for how rare it is, before how often it stands in a text.
    pub(super) fn rarity_of(&self, term: usize) -> f64 {
        self.terms[term].rarity
    }

    /// A term in a segment, before its first document; `None` where it does not stand.
    pub(super) fn cursor(&self, term: usize, segment: SegmentOrdinal) -> Result<Option<Cursor<'_>>, IndexError> {
        Cursor::open(&self.terms[term], segment, self.snapshot.engine.segment_reader(segment))
    }

    /// The terms that stand in a segment, each before its first document.
    fn cursors(&self, segment: SegmentOrdinal) -> Result<Vec<Cursor<'_>>, IndexError> {
        let reader = self.snapshot.engine.segment_reader(segment);
        let mut cursors = Vec::with_capacity(self.terms.len());
        for term in &self.terms {
            cursors.extend(Cursor::open(term, segment, reader)?);
        }
        Ok(cursors)
    }

    /// The larger a segment, the more good documents it has, and the more of the others can be left out.
    fn largest_first(&self) -> Vec<SegmentOrdinal> {
        let mut segments: Vec<SegmentOrdinal> = (0..self.snapshot.segments.len() as u32).collect();
        segments.sort_by_key(|segment| std::cmp::Reverse(self.snapshot.segments[*segment as usize].pages.docs_len()));
        segments
    }

    /// The way that is likely to cost least.
    fn cheapest(&self, segment: SegmentOrdinal, allowed: &Allowed<'_>, allowed_share: f64) -> Way {
        let listed = allowed.docs_len() * allowed_share;
        let (mut by_documents, mut by_postings) = (allowed.runs_len() as f64 * LIST_RUN_NS, 0.0);
        for term in &self.terms {
            let doc_freq = f64::from(term.found.doc_freq_in(segment));
            by_documents += listed * SEEK_NS + (doc_freq / BLOCK_DOCS as f64).min(listed) * BLOCK_NS;
            by_postings += doc_freq * POSTING_NS;
        }
        if by_documents < by_postings {
            return Way::Documents;
        }
        Way::Postings { is_mask_first: allowed_share < MASK_FIRST_SHARE }
    }
}

impl ScoreDocs for Union<'_> {
    fn scores_of(&self, segment: SegmentOrdinal, docs: &[DocId]) -> Result<Vec<Option<f32>>, IndexError> {
        let scores = self.sums_of(segment, docs)?.into_iter();
        Ok(scores.map(|score| (score > 0.0).then_some(score)).collect())
    }
}

/// Calls `each` with the documents of a segment that hold a term, in no order, some more than once.
pub(super) fn for_each(
    terms: &[FoundTerm],
    segment: SegmentOrdinal,
    deadline: Deadline,
    mut each: impl FnMut(DocId),
) -> Result<(), IndexError> {
    for term in terms {
        let Some(mut postings) = term.postings(segment, IndexRecordOption::Basic)? else { continue };
        let mut unchecked = 0;
        while !postings.docs().is_empty() {
            postings.docs().iter().for_each(|doc| each(*doc));
            unchecked += postings.docs().len();
            if unchecked >= DOCS_UNCHECKED {
                deadline.check()?;
                unchecked = 0;
            }
            postings.advance();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
