//! BM25 of whole pages, added up from the postings of their passages.
//!
//! A passage is what is found, but a page is what is shown: words that stand in different passages of one page speak for
//! it together. Nothing is stored for this: a term stands as often on a page as in its passages, and a page is as long as
//! they are. Only passages that the mask allows are read. Finds no pages; scores those that it is given.

use access::{Mask, PageOrdinal};
use tantivy::DocId;

use super::Searcher;
use super::deadline::DOCS_UNCHECKED;
use super::union::Union;
use super::words::Plan;
use super::{Clause, ClauseKind, LexicalQuery, Occur};
use crate::error::{Doing, IndexError};
use crate::pages::DocKind;

/// Most passages of one page that are read: what a longer page says further down adds nothing here.
const PAGE_PASSAGES_MAX: usize = 512;

/// The two constants of BM25 for whole pages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25Shape {
    /// How soon a word that comes again counts less, 0 and more: at 0 only whether it stands there counts.
    pub k1: f32,
    /// How much long pages are held back, 0 to 1.
    pub b: f32,
}

/// What was counted of one page.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Its indexed words.
    tokens: u64,
    /// Its score so far.
    score: f64,
}

/// A passage of one of the pages asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    segment: u32,
    doc: DocId,
    /// Place of its page among those asked for.
    page: usize,
}

impl Searcher {
    /// The BM25 score of each page as one text (Robertson and Walker, SIGIR 1994), 0 where no word fits or it is not
    /// allowed.
    ///
    /// Only the words of the query count, not its phrases and exclusions. How rare a word is comes from the passages of
    /// the workspace. Cost: a seek for each word and passage of these pages.
    pub fn bm25_of_pages(
        &self,
        mask: &Mask,
        query: &LexicalQuery,
        pages: &[PageOrdinal],
        shape: Bm25Shape,
    ) -> Result<Vec<f32>, IndexError> {
        let mut counted = vec![Counted::default(); pages.len()];
        let words = LexicalQuery { clauses: words_of(query), ..query.clone() };
        let Some(Plan::Union(terms)) = self.plan(mask, &words)? else { return Ok(vec![0.0; pages.len()]) };
        let statistics = self.statistics(mask);
        let (pages_len, tokens) = (statistics.stats.pages.max(1), statistics.stats.tokens);
        let mean_tokens = (tokens as f64 / pages_len as f64).max(1.0);
        let places = self.places(mask, pages);
        self.count_tokens(&places, &mut counted)?;
        let (k1, b) = (f64::from(shape.k1), f64::from(shape.b));
        let union = Union::new(&self.snapshot, &statistics, terms, self.deadline)?;
        let mut frequencies = vec![0_u64; pages.len()];
        for term in 0..union.terms_len() {
            frequencies.fill(0);
            for of_segment in places.chunk_by(|one, next| one.segment == next.segment) {
                let Some(mut cursor) = union.cursor(term, of_segment[0].segment)? else { continue };
                for some in of_segment.chunks(DOCS_UNCHECKED) {
                    self.deadline.check()?;
                    for place in some {
                        if cursor.seek(place.doc) == place.doc {
                            frequencies[place.page] += u64::from(cursor.frequency());
                        }
                    }
                }
            }
            let weight = union.rarity_of(term);
            for (of_page, frequency) in counted.iter_mut().zip(&frequencies).filter(|(_, frequency)| **frequency > 0) {
                let frequency = *frequency as f64;
                let length = 1.0 - b + b * of_page.tokens as f64 / mean_tokens;
                of_page.score += weight * frequency * (k1 + 1.0) / (frequency + k1 * length);
            }
        }
        Ok(counted.into_iter().map(|of_page| of_page.score as f32).collect())
    }

    /// The passages of the pages, in the order of the postings.
    fn places(&self, mask: &Mask, pages: &[PageOrdinal]) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::with_capacity(4 * pages.len());
        for (at, page) in pages.iter().enumerate() {
            let passages = self.page_docs(mask, *page, DocKind::Passage).take(PAGE_PASSAGES_MAX);
            places.extend(passages.map(|passage| Place { segment: passage.segment, doc: passage.doc, page: at }));
        }
        places.sort_unstable();
        places
    }

    /// Adds the lengths of the passages to those of their pages.
    fn count_tokens(&self, places: &[Place], counted: &mut [Counted]) -> Result<(), IndexError> {
        for of_segment in places.chunk_by(|one, next| one.segment == next.segment) {
            let reader = self.snapshot.engine.segment_reader(of_segment[0].segment);
            let norms = reader.fieldnorms_readers().get_field(self.fields.all);
            let Some(norms) = norms.doing("read the lengths of documents")? else { continue };
            for place in of_segment {
                counted[place.page].tokens += u64::from(norms.fieldnorm(place.doc));
            }
        }
        Ok(())
    }
}

/// The clauses that say what a page should hold, as words alone.
fn words_of(query: &LexicalQuery) -> Vec<Clause> {
    let wanted = query.clauses.iter().filter(|clause| clause.occur != Occur::MustNot);
    let words = wanted.map(|clause| {
        let (ClauseKind::Words(text) | ClauseKind::Phrase(text)) = &clause.kind;
        Clause { occur: Occur::Should, field: clause.field, kind: ClauseKind::Words(text.clone()) }
    });
    words.collect()
}
