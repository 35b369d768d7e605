//! Turns a lexical query into terms of the workspace and, where it asks for more than any of some terms, into a query of
//! the engine.
//!
//! A word is the union of the terms it can have in the languages of the workspace, as rare as the most frequent of them.
//! Terms that occur nowhere are left out.

use access::{Mask, PageOrdinal, WorkspaceNumber};
use tantivy::Term;
use tantivy::query::{BooleanQuery, BoostQuery, Occur as EngineOccur, PhraseQuery, Query, TermQuery};
use tantivy::schema::IndexRecordOption;

use super::lookup::{FoundTerm, Lookup};
use super::statistics::rarity;
use super::{Clause, ClauseKind, Field, LexicalQuery, Occur, Searcher};
use crate::analysis::{Analyzer, Form, QueryWord};
use crate::error::IndexError;
use crate::fields::Fields;

/// Share of a word's weight that a forgiven typo or a completed word keeps.
const EXPANDED_WEIGHT: f32 = 0.5;
/// Fewest letters of a word that is being typed, before other words are taken to begin with it.
const PREFIX_CHARS_MIN: usize = 2;

/// What to look for.
pub(super) enum Plan {
    /// Any of these terms.
    Union(Vec<FoundTerm>),
    /// Something else.
    Tree(TreeQuery),
}

/// What documents must match, and what they must not. Exclusions are kept apart: the engine cannot seek a phrase in them.
pub(super) struct TreeQuery {
    pub(super) wanted: Box<dyn Query>,
    pub(super) excluded: Vec<Box<dyn Query>>,
}

impl Plan {
    /// The same as queries of the engine.
    #[cfg(test)]
    pub(super) fn into_tree(self) -> TreeQuery {
        match self {
            Self::Union(terms) => {
                TreeQuery { wanted: union(terms.into_iter().map(Part::Term).collect()), excluded: Vec::new() }
            }
            Self::Tree(query) => query,
        }
    }
}

/// What a word of the reader's may be found as.
enum Part {
    Term(FoundTerm),
    Phrase(Box<dyn Query>),
}

impl Part {
    fn into_query(self) -> Box<dyn Query> {
        match self {
            Self::Phrase(query) => query,
            Self::Term(FoundTerm { term, boost, .. }) => {
                let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
                match boost {
                    1.0 => Box::new(query),
                    boost => Box::new(BoostQuery::new(Box::new(query), boost)),
                }
            }
        }
    }
}

impl Searcher {
    /// What to look for; `None` when it can match nothing.
    pub(super) fn plan(&self, mask: &Mask, query: &LexicalQuery) -> Result<Option<Plan>, IndexError> {
        self.deadline.check()?;
        let Some(workspace) = self.catalog.numbered(mask.workspace_number()) else { return Ok(None) };
        let languages = workspace.read().languages();
        let mut lookup = Lookup::new(&self.snapshot.engine);
        let mut any: Vec<Part> = Vec::new();
        let mut required: Vec<Box<dyn Query>> = Vec::new();
        let mut excluded: Vec<Box<dyn Query>> = Vec::new();
        let last = query.clauses.len().saturating_sub(1);
        for (at, clause) in query.clauses.iter().enumerate() {
            let (ClauseKind::Words(text) | ClauseKind::Phrase(text)) = &clause.kind;
            let words = Analyzer::new().query_terms(text, &languages);
            let is_typed = query.last_word_is_prefix && at == last;
            let units = match clause.kind {
                ClauseKind::Words(_) => {
                    let typed_unit = typed_unit(&words, is_typed);
                    // What must be there, or must not, is the word itself.
                    let words = match (clause.occur, clause.field) {
                        (Occur::Should, Field::All) => {
                            self.with_parts_of_compounds(&mut lookup, mask, &workspace, words, typed_unit)?
                        }
                        _ => words,
                    };
                    self.units(&mut lookup, mask, clause, &words, typed_unit, query.fuzzy)?
                }
                ClauseKind::Phrase(_) => vec![self.phrase(&mut lookup, workspace.number, clause.field, &words)?],
            };
            match clause.occur {
                Occur::Should => any.extend(units.into_iter().flatten()),
                Occur::Must if units.is_empty() => {}
                Occur::Must => {
                    for unit in units {
                        if unit.is_empty() {
                            return Ok(None);
                        }
                        required.push(union(unit));
                    }
                }
                Occur::MustNot if units.is_empty() || units.iter().any(Vec::is_empty) => {}
                Occur::MustNot => {
                    excluded.push(Box::new(BooleanQuery::intersection(units.into_iter().map(union).collect())));
                }
            }
        }
        if any.is_empty() && required.is_empty() {
            return Ok(None);
        }
        let is_union = required.is_empty() && excluded.is_empty();
        if is_union && any.iter().all(|part| matches!(part, Part::Term(_))) {
            let terms = any.into_iter().filter_map(|part| match part {
                Part::Term(found) => Some(found),
                Part::Phrase(_) => None,
            });
            return Ok(Some(Plan::Union(terms.collect())));
        }
        let required = required.into_iter().map(|query| (EngineOccur::Must, query));
        let any = any.into_iter().map(|part| (EngineOccur::Should, part.into_query()));
        let wanted = Box::new(BooleanQuery::new(required.chain(any).collect()));
        Ok(Some(Plan::Tree(TreeQuery { wanted, excluded })))
    }

    /// For each word of the reader's what it may be found as.
    fn units(
        &self,
        lookup: &mut Lookup<'_>,
        mask: &Mask,
        clause: &Clause,
        words: &[QueryWord],
        typed_unit: Option<u32>,
        fuzzy: bool,
    ) -> Result<Vec<Vec<Part>>, IndexError> {
        let (field, workspace) = (self.field(clause.field), mask.workspace_number());
        let passages = self.stats(mask).passages;
        let mut units: Vec<Vec<Part>> = Vec::new();
        let mut unit_number = None;
        for word in words {
            if unit_number != Some(word.unit) {
                units.push(Vec::new());
                unit_number = Some(word.unit);
            }
            let unit = units.last_mut().expect("one was just pushed");
            let (mut is_known, mut found) = (false, Vec::new());
            for (text, form) in word.terms.iter().zip(&word.forms) {
                let term = Fields::word_term(field, workspace, text);
                let Some(term) = lookup.find(term, word.weight() * form.share())? else { continue };
                is_known = is_known || (fuzzy && self.is_in_allowed(mask, &term)?);
                found.push((term, *form));
            }
            unit.extend(as_one_word(found, passages).map(Part::Term));
            // The words as written have a field of their own; titles hold them beside the stems.
            let written = if clause.field == Field::Title { field } else { self.fields.words };
            let weight = word.weight() * EXPANDED_WEIGHT;
            if typed_unit == Some(word.unit) && word.surface.chars().count() >= PREFIX_CHARS_MIN {
                for term in self.terms_with_prefix(mask, written, &word.surface)? {
                    unit.extend(lookup.find(term, weight)?.map(Part::Term));
                }
            } else if fuzzy && !is_known && word.is_expandable() {
                for term in self.terms_like(mask, written, &word.surface)? {
                    unit.extend(lookup.find(term, weight)?.map(Part::Term));
                }
            }
        }
        Ok(units)
    }

    /// How rare each word of a query is among the passages of the workspace, more than 0: as the most frequent of its terms.
    pub fn rarities(&self, mask: &Mask, words: &[QueryWord]) -> Result<Vec<f32>, IndexError> {
        let (workspace, passages) = (mask.workspace_number(), self.stats(mask).passages);
        let mut lookup = Lookup::new(&self.snapshot.engine);
        let mut rarity_of = |word: &QueryWord| {
            let mut doc_freq = 0;
            for text in &word.terms {
                let found = lookup.find(Fields::word_term(self.fields.all, workspace, text), 1.0)?;
                doc_freq = doc_freq.max(found.map_or(0, |found| found.doc_freq));
            }
            Ok(rarity(doc_freq, passages) as f32)
        };
        words.iter().map(&mut rarity_of).collect()
    }

    /// Whether some passage that the mask allows holds a term.
    fn is_in_allowed(&self, mask: &Mask, term: &FoundTerm) -> Result<bool, IndexError> {
        self.is_on_page(mask, term, usize::MAX, |_| true)
    }

    /// Whether some passage that the mask allows holds a term, of a page that is wanted. The first `asked_max` that it allows are asked;
    /// others do not count, so that what is hidden changes nothing.
    pub(super) fn is_on_page(
        &self,
        mask: &Mask,
        term: &FoundTerm,
        asked_max: usize,
        is_wanted: impl Fn(PageOrdinal) -> bool,
    ) -> Result<bool, IndexError> {
        let mut asked = 0;
        for (segment, reader) in (0..).zip(self.snapshot.engine.segment_readers()) {
            let Some(mut postings) = term.postings(segment, IndexRecordOption::Basic)? else { continue };
            let allowed = self.allowed(mask, segment as usize);
            while !postings.docs().is_empty() {
                for doc in postings.docs().iter().filter(|doc| allowed.allows(**doc) && !reader.is_deleted(**doc)) {
                    if is_wanted(allowed.page_of(*doc)) {
                        return Ok(true);
                    }
                    asked += 1;
                    if asked == asked_max {
                        return Ok(false);
                    }
                }
                postings.advance();
            }
        }
        Ok(false)
    }

    fn phrase(
        &self,
        lookup: &mut Lookup<'_>,
        workspace: WorkspaceNumber,
        field: Field,
        words: &[QueryWord],
    ) -> Result<Vec<Part>, IndexError> {
        let field = self.field(field);
        let words: Vec<&QueryWord> = words.iter().filter(|word| word.in_phrase).collect();
        let most = words.iter().map(|word| word.terms.len()).max().unwrap_or(0);
        let mut phrases = Vec::new();
        // The terms of a word stand in the order of the languages: the n-th of each make the phrase in the n-th.
        for nth in 0..most {
            let term =
                |word: &QueryWord| Fields::word_term(field, workspace, &word.terms[nth.min(word.terms.len() - 1)]);
            let placed: Vec<(usize, Term)> = words.iter().map(|word| (word.position as usize, term(word))).collect();
            let first = placed.iter().map(|(at, _)| *at).min().unwrap_or(0);
            let mut placed: Vec<(usize, Term)> = placed.into_iter().map(|(at, term)| (at - first, term)).collect();
            placed.dedup_by_key(|(at, _)| *at);
            match placed.len() {
                1 => phrases.extend(lookup.find(placed.remove(0).1, 1.0)?.map(Part::Term)),
                _ => phrases.push(Part::Phrase(Box::new(PhraseQuery::new_with_offset(placed)))),
            }
        }
        Ok(phrases)
    }

    fn field(&self, field: Field) -> tantivy::schema::Field {
        match field {
            Field::All => self.fields.all,
            Field::Title => self.fields.title,
        }
    }
}

/// The unit of the last word, where that is being typed.
pub(super) fn typed_unit(words: &[QueryWord], is_typed: bool) -> Option<u32> {
    words.iter().map(|word| word.unit).max().filter(|_| is_typed)
}

/// The terms of a word, each as rare as the word is: as the most frequent of them. By itself the stem that a word has in
/// a language of few passages, or the word as it stands in a few identifiers, would seem rare, and those passages the best.
fn as_one_word(found: Vec<(FoundTerm, Form)>, documents: u64) -> impl Iterator<Item = FoundTerm> {
    let doc_freq = found.iter().map(|(found, _)| found.doc_freq).max().unwrap_or(0);
    found.into_iter().map(move |(mut found, form)| {
        if form != Form::Accented && found.doc_freq < doc_freq {
            found.boost *= (rarity(doc_freq, documents) / rarity(found.doc_freq, documents)) as f32;
        }
        found
    })
}

fn union(parts: Vec<Part>) -> Box<dyn Query> {
    let mut queries: Vec<Box<dyn Query>> = parts.into_iter().map(Part::into_query).collect();
    if queries.len() == 1 {
        return queries.remove(0);
    }
    Box::new(BooleanQuery::union(queries))
}
