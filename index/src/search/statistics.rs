//! Word statistics of one workspace.

use tantivy::Term;
use tantivy::query::{Bm25StatisticsProvider, Bm25Weight};
use tantivy::schema::Field;

use super::lookup::FoundTerm;
use crate::catalog::WorkspaceStats;
use crate::error::{Doing, IndexError};
use crate::fields::Fields;

/// What BM25 needs to know of a workspace.
pub(super) struct Statistics<'a> {
    pub(super) engine: &'a tantivy::Searcher,
    pub(super) fields: Fields,
    pub(super) stats: WorkspaceStats,
}

impl Statistics<'_> {
    /// How a match of a term is scored.
    pub(super) fn weight_of(&self, found: &FoundTerm) -> Result<Bm25Weight, IndexError> {
        let documents = self.documents();
        let tokens = self.total_num_tokens(found.term.field()).doing("count tokens")?;
        let mean_tokens = tokens as f32 / documents as f32;
        let doc_freq = found.doc_freq.min(documents);
        Ok(Bm25Weight::for_one_term_without_explain(doc_freq, documents, mean_tokens).boost_by(found.boost))
    }

    /// How much a match of a term counts before how often it stands in a text: its [`rarity`] times its boost.
    pub(super) fn rarity_of(&self, found: &FoundTerm) -> f64 {
        rarity(found.doc_freq, self.documents()) * f64::from(found.boost)
    }

    fn documents(&self) -> u64 {
        self.stats.passages.max(1)
    }
}

/// How rare a term is among documents, more than 0: the inverse document frequency of BM25 in the form that the engine
/// takes. Deleted documents count among those that hold it until they are merged away.
pub(super) fn rarity(doc_freq: u64, documents: u64) -> f64 {
    let documents = documents.max(1) as f64;
    let doc_freq = (doc_freq as f64).min(documents);
    (1.0 + (documents - doc_freq + 0.5) / (doc_freq + 0.5)).ln()
}

impl Bm25StatisticsProvider for Statistics<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        if field == self.fields.all {
            return Ok(self.stats.tokens);
        }
        // Other fields keep no counts by workspace: their mean length over the whole index stands for it.
        let tokens = self.engine.total_num_tokens(field)? as f64;
        let documents = self.engine.num_docs().max(1) as f64;
        Ok((tokens / documents * self.stats.passages as f64) as u64)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.documents())
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        // Deleted documents count until they are merged away, so the frequency may exceed the number of documents.
        Ok(self.engine.doc_freq(term)?.min(self.documents()))
    }
}
