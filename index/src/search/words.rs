//! Turns a lexical query into one of the engine's, with the terms of the workspace.
//!
//! A word is the union of the terms it can have in the languages of the workspace; unions of plain terms keep the
//! engine's block-max pruning. Terms that occur nowhere are left out.

use access::{Mask, WorkspaceNumber};
use tantivy::Term;
use tantivy::query::{BooleanQuery, BoostQuery, Occur as EngineOccur, PhraseQuery, Query, TermQuery};
use tantivy::schema::IndexRecordOption;

use super::{Clause, ClauseKind, Field, LexicalQuery, Occur, Searcher};
use crate::analysis::{Analyzer, QueryWord};
use crate::error::{Doing, IndexError};
use crate::fields::Fields;

/// Share of a word's weight that a forgiven typo or a completed word keeps.
const EXPANDED_WEIGHT: f32 = 0.5;
/// Fewest letters of a word that is being typed, before other words are taken to begin with it.
const PREFIX_CHARS_MIN: usize = 2;

type Part = (EngineOccur, Box<dyn Query>);

impl Searcher {
    /// The query for the engine; `None` when it can match nothing.
    pub(super) fn build(&self, mask: &Mask, query: &LexicalQuery) -> Result<Option<Box<dyn Query>>, IndexError> {
        let Some(workspace) = self.catalog.numbered(mask.workspace_number()) else { return Ok(None) };
        let languages = workspace.read().languages();
        let mut parts: Vec<Part> = Vec::new();
        let last = query.clauses.len().saturating_sub(1);
        for (at, clause) in query.clauses.iter().enumerate() {
            let (ClauseKind::Words(text) | ClauseKind::Phrase(text)) = &clause.kind;
            let words = Analyzer::new().query_terms(text, &languages);
            let is_typed = query.last_word_is_prefix && at == last;
            let units = match clause.kind {
                ClauseKind::Words(_) => self.units(mask, clause, &words, is_typed, query.fuzzy)?,
                ClauseKind::Phrase(_) => vec![self.phrase(workspace.number, clause.field, &words)],
            };
            match clause.occur {
                Occur::Should => {
                    parts.extend(units.into_iter().flatten().map(|part| (EngineOccur::Should, part)));
                }
                Occur::Must if units.is_empty() => {}
                Occur::Must => {
                    for unit in units {
                        if unit.is_empty() {
                            return Ok(None);
                        }
                        parts.push((EngineOccur::Must, union(unit)));
                    }
                }
                Occur::MustNot if units.is_empty() || units.iter().any(Vec::is_empty) => {}
                Occur::MustNot => {
                    let all = units.into_iter().map(|unit| (EngineOccur::Must, union(unit))).collect();
                    parts.push((EngineOccur::MustNot, Box::new(BooleanQuery::new(all))));
                }
            }
        }
        let can_match = parts.iter().any(|(occur, _)| *occur != EngineOccur::MustNot);
        Ok(can_match.then(|| Box::new(BooleanQuery::new(parts)) as Box<dyn Query>))
    }

    /// For each word of the reader's the queries of which one must match.
    fn units(
        &self,
        mask: &Mask,
        clause: &Clause,
        words: &[QueryWord],
        is_typed: bool,
        fuzzy: bool,
    ) -> Result<Vec<Vec<Box<dyn Query>>>, IndexError> {
        let (field, workspace) = (self.field(clause.field), mask.workspace_number());
        let typed_unit = words.iter().map(|word| word.unit).max().filter(|_| is_typed);
        let mut units: Vec<Vec<Box<dyn Query>>> = Vec::new();
        let mut unit_number = None;
        for word in words {
            if unit_number != Some(word.unit) {
                units.push(Vec::new());
                unit_number = Some(word.unit);
            }
            let unit = units.last_mut().expect("one was just pushed");
            for text in &word.terms {
                self.add_term(unit, Fields::word_term(field, workspace, text), word.weight())?;
            }
            // The words as written have a field of their own; titles hold them beside the stems.
            let written = if clause.field == Field::Title { field } else { self.fields.words };
            let weight = word.weight() * EXPANDED_WEIGHT;
            if typed_unit == Some(word.unit) && word.surface.chars().count() >= PREFIX_CHARS_MIN {
                for term in self.terms_with_prefix(mask, written, &word.surface)? {
                    self.add_term(unit, term, weight)?;
                }
            } else if fuzzy && word.is_expandable() {
                for term in self.terms_like(mask, written, &word.surface)? {
                    self.add_term(unit, term, weight)?;
                }
            }
        }
        Ok(units)
    }

    fn phrase(&self, workspace: WorkspaceNumber, field: Field, words: &[QueryWord]) -> Vec<Box<dyn Query>> {
        let field = self.field(field);
        let words: Vec<&QueryWord> = words.iter().filter(|word| word.in_phrase).collect();
        let most = words.iter().map(|word| word.terms.len()).max().unwrap_or(0);
        let mut phrases: Vec<Box<dyn Query>> = Vec::new();
        // The terms of a word stand in the order of the languages: the n-th of each make the phrase in the n-th.
        for nth in 0..most {
            let term =
                |word: &QueryWord| Fields::word_term(field, workspace, &word.terms[nth.min(word.terms.len() - 1)]);
            let placed: Vec<(usize, Term)> = words.iter().map(|word| (word.position as usize, term(word))).collect();
            let first = placed.iter().map(|(at, _)| *at).min().unwrap_or(0);
            let mut placed: Vec<(usize, Term)> = placed.into_iter().map(|(at, term)| (at - first, term)).collect();
            placed.dedup_by_key(|(at, _)| *at);
            phrases.push(match placed.len() {
                1 => Box::new(TermQuery::new(placed.remove(0).1, IndexRecordOption::WithFreqs)),
                _ => Box::new(PhraseQuery::new_with_offset(placed)),
            });
        }
        phrases
    }

    fn add_term(&self, unit: &mut Vec<Box<dyn Query>>, term: Term, weight: f32) -> Result<(), IndexError> {
        if self.snapshot.engine.doc_freq(&term).doing("look up a term")? == 0 {
            return Ok(());
        }
        let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
        unit.push(match weight {
            1.0 => Box::new(query),
            weight => Box::new(BoostQuery::new(Box::new(query), weight)),
        });
        Ok(())
    }

    fn field(&self, field: Field) -> tantivy::schema::Field {
        match field {
            Field::All => self.fields.all,
            Field::Title => self.fields.title,
        }
    }
}

fn union(mut queries: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    if queries.len() == 1 {
        return queries.remove(0);
    }
    Box::new(BooleanQuery::union(queries))
}
