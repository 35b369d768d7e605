//! Words that begin with what was typed, or differ from it by a typo, from the terms of the workspace.
//!
//! Terms are those of the whole workspace; of these, only such as stand in a passage that the caller may find take part.
//! A word itself is given to a caller only by [`Searcher::suggest_terms`], and only if a passage that the caller may
//! find holds it; its rank counts such passages alone.

use std::cmp::Reverse;
use std::collections::HashMap;

use access::{Mask, WorkspaceNumber};
use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder};
use tantivy::Term;
use tantivy::schema::Field;
use tantivy_fst::Automaton;

use super::{Searcher, count_allowed};
use crate::analysis::{Analyzer, Tokens};
use crate::error::{Doing, IndexError};
use crate::fields::word_prefix;

/// Most terms of a segment that are looked at for one word.
const TERMS_SEEN_MAX: usize = 2_000;
/// Most terms of which the mask is asked for one word.
const TERMS_ASKED_MAX: usize = 512;
/// Most terms that stand for one word.
const TERMS_TAKEN_MAX: usize = 32;
/// Letters from which one and two typos are forgiven.
const ONE_TYPO_CHARS: usize = 5;
const TWO_TYPOS_CHARS: usize = 9;
/// Passages counted for one suggested word; more make it no better.
const SUGGESTION_COUNT_MAX: u32 = 64;
/// Postings that are counted for suggestions: this many words are asked of the mask.
const SUGGESTIONS_ASKED_MAX: usize = 256;

impl Searcher {
    /// Terms that begin with a word and stand in passages that the mask allows, the most frequent first.
    pub(super) fn terms_with_prefix(&self, mask: &Mask, field: Field, word: &str) -> Result<Vec<Term>, IndexError> {
        let found = self.terms_in_range(field, mask.workspace_number(), word)?;
        self.best(mask, field, found.into_iter().map(|(text, count)| (text, 0, count)))
    }

    /// Terms that differ from a word by as many typos as its length forgives and stand in passages that the mask allows,
    /// nearest and most frequent first.
    pub(super) fn terms_like(&self, mask: &Mask, field: Field, word: &str) -> Result<Vec<Term>, IndexError> {
        let typos = match word.chars().count() {
            0..ONE_TYPO_CHARS => return Ok(Vec::new()),
            ONE_TYPO_CHARS..TWO_TYPOS_CHARS => 1,
            _ => 2,
        };
        let like = Like::new(&word_prefix(mask.workspace_number()), word, typos);
        let mut found: HashMap<String, (u8, u64)> = HashMap::new();
        for reader in self.snapshot.engine.segment_readers() {
            let inverted = reader.inverted_index(field).doing("open the terms of a segment")?;
            let stream = inverted.terms().search(&like).into_stream();
            let mut stream = stream.map_err(tantivy::TantivyError::from).doing("read terms")?;
            let mut seen = 0;
            while seen < TERMS_SEEN_MAX && stream.advance() {
                seen += 1;
                let Ok(text) = std::str::from_utf8(stream.key()) else { continue };
                let distance = like.distance(text);
                if distance > 0 {
                    let entry = found.entry(text.to_owned()).or_insert((distance, 0));
                    entry.1 += u64::from(stream.value().doc_freq);
                }
            }
        }
        self.best(mask, field, found.into_iter().map(|(text, (distance, count))| (text, distance, count)))
    }

    /// The nearest, then most frequent, then first by the alphabet, of those that some allowed passage holds: what others
    /// may see must not crowd out what the caller may. A bounded number of terms is asked about.
    fn best(
        &self,
        mask: &Mask,
        field: Field,
        found: impl Iterator<Item = (String, u8, u64)>,
    ) -> Result<Vec<Term>, IndexError> {
        let mut found: Vec<_> = found.map(|(text, distance, count)| (distance, Reverse(count), text)).collect();
        found.sort_unstable();
        let mut terms = Vec::new();
        for (_, _, text) in found.into_iter().take(TERMS_ASKED_MAX) {
            let term = term(field, &text);
            let mut is_allowed = false;
            for (segment, reader) in self.snapshot.engine.segment_readers().iter().enumerate() {
                is_allowed = is_allowed || count_allowed(reader, &term, &self.allowed(mask, segment), 1)? > 0;
            }
            if is_allowed {
                terms.push(term);
            }
            if terms.len() == TERMS_TAKEN_MAX {
                break;
            }
        }
        Ok(terms)
    }

    /// Words that begin with `prefix` and stand in passages that the caller may find, at most `limit`: those in most such
    /// passages first, counted up to a bound, then in the order of the alphabet.
    pub fn suggest_terms(&self, mask: &Mask, prefix: &str, limit: usize) -> Result<Vec<String>, IndexError> {
        let mut tokens = Tokens::new();
        Analyzer::new().surface_words(prefix, &mut tokens);
        let Some(typed) = tokens.iter().next().map(|token| token.term.to_owned()) else { return Ok(Vec::new()) };
        if mask.is_empty() || tokens.len() > 1 {
            return Ok(Vec::new());
        }
        let workspace = mask.workspace_number();
        let shown_from = word_prefix(workspace).len();
        let mut words: Vec<String> = self.terms_in_range(self.fields.words, workspace, &typed)?.into_keys().collect();
        // By the alphabet: a choice by frequency would tell of passages that the caller cannot see.
        words.sort_unstable();
        words.truncate(SUGGESTIONS_ASKED_MAX);
        let mut counted = Vec::new();
        for word in words {
            let word_term = term(self.fields.words, &word);
            let mut count = 0;
            for (segment, reader) in self.snapshot.engine.segment_readers().iter().enumerate() {
                let left = SUGGESTION_COUNT_MAX - count;
                count += count_allowed(reader, &word_term, &self.allowed(mask, segment), left)?;
            }
            if count > 0 {
                counted.push((Reverse(count), word[shown_from..].to_owned()));
            }
        }
        counted.sort_unstable();
        Ok(counted.into_iter().take(limit).map(|(_, word)| word).collect())
    }

    /// Terms of the workspace that begin with a word, with the number of their documents.
    fn terms_in_range(
        &self,
        field: Field,
        workspace: WorkspaceNumber,
        word: &str,
    ) -> Result<HashMap<String, u64>, IndexError> {
        let from = format!("{}{word}", word_prefix(workspace));
        let mut found: HashMap<String, u64> = HashMap::new();
        for reader in self.snapshot.engine.segment_readers() {
            let inverted = reader.inverted_index(field).doing("open the terms of a segment")?;
            let stream = inverted.terms().range().ge(from.as_bytes()).into_stream();
            let mut stream = stream.map_err(tantivy::TantivyError::from).doing("read terms")?;
            let mut seen = 0;
            while seen < TERMS_SEEN_MAX && stream.advance() && stream.key().starts_with(from.as_bytes()) {
                seen += 1;
                if let Ok(text) = std::str::from_utf8(stream.key()) {
                    *found.entry(text.to_owned()).or_insert(0) += u64::from(stream.value().doc_freq);
                }
            }
        }
        Ok(found)
    }
}

fn term(field: Field, text: &str) -> Term {
    // The text carries the prefix of its workspace already.
    Term::from_field_text(field, text)
}

/// Accepts the words of one workspace that are like a word.
struct Like {
    prefix: Vec<u8>,
    dfa: DFA,
}

#[derive(Clone, Copy)]
enum State {
    /// So many bytes of the prefix are read.
    Prefix(usize),
    Word(u32),
    Dead,
}

impl Like {
    fn new(prefix: &str, word: &str, typos: u8) -> Self {
        let dfa = LevenshteinAutomatonBuilder::new(typos, true).build_dfa(word);
        Self { prefix: prefix.as_bytes().to_vec(), dfa }
    }

    /// How many typos a term of the workspace has; zero for the word itself.
    fn distance(&self, text: &str) -> u8 {
        match self.dfa.eval(&text.as_bytes()[self.prefix.len()..]) {
            Distance::Exact(distance) | Distance::AtLeast(distance) => distance,
        }
    }
}

impl Automaton for &Like {
    type State = State;

    fn start(&self) -> State {
        State::Prefix(0)
    }

    fn is_match(&self, state: &State) -> bool {
        matches!(state, State::Word(word) if matches!(self.dfa.distance(*word), Distance::Exact(_)))
    }

    fn can_match(&self, state: &State) -> bool {
        !matches!(state, State::Dead)
    }

    fn accept(&self, state: &State, byte: u8) -> State {
        match *state {
            State::Prefix(read) if self.prefix[read] != byte => State::Dead,
            State::Prefix(read) if read + 1 == self.prefix.len() => State::Word(self.dfa.initial_state()),
            State::Prefix(read) => State::Prefix(read + 1),
            State::Word(word) => match self.dfa.transition(word, byte) {
                levenshtein_automata::SINK_STATE => State::Dead,
                next => State::Word(next),
            },
            State::Dead => State::Dead,
        }
    }
}
