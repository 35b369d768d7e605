//! Words that begin with what was typed, or differ from it by a typo, from the terms of the workspace.
//!
//! Terms are those of the whole workspace; of these, only such as stand in a passage that the caller may find take part.
//! A word itself is given to a caller only by [`Searcher::suggest_terms`], and only if a passage that the caller may
//! find holds it; its rank counts such passages alone.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use access::{Mask, WorkspaceNumber};
use levenshtein_automata::{DFA, Distance, LevenshteinAutomatonBuilder};
use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocSet as _, InvertedIndexReader, SegmentReader, TERMINATED, Term};
use tantivy_fst::Automaton;

use super::Searcher;
use super::allowed::Allowed;
use crate::analysis::{Analyzer, Tokens};
use crate::error::{Doing, IndexError};
use crate::fields::word_prefix;

/// Most terms that are looked at for one word, over all segments; of one segment at least and at most.
const TERMS_SEEN_MAX: usize = 16_000;
const TERMS_SEEN_OF_SEGMENT: (usize, usize) = (500, 2_000);
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
        let found = self.terms_in_range(field, mask.workspace_number(), word, self.terms_seen_max())?;
        self.best(
            mask,
            field,
            found.into_iter().map(|(text, places)| Expansion { distance: 0, text, places }).collect(),
        )
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
        let mut found: HashMap<String, (u8, Places)> = HashMap::new();
        for (segment, reader) in self.snapshot.engine.segment_readers().iter().enumerate() {
            let inverted = reader.inverted_index(field).doing("open the terms of a segment")?;
            let stream = inverted.terms().search(&like).into_stream();
            let mut stream = stream.map_err(tantivy::TantivyError::from).doing("read terms")?;
            let mut seen = 0;
            while seen < self.terms_seen_max() && stream.advance() {
                seen += 1;
                let Ok(text) = std::str::from_utf8(stream.key()) else { continue };
                let distance = like.distance(text);
                if distance > 0 {
                    let (_, places) = found.entry(text.to_owned()).or_insert((distance, Places::default()));
                    places.add(segment, stream.value());
                }
            }
        }
        let found = found.into_iter().map(|(text, (distance, places))| Expansion { distance, text, places });
        self.best(mask, field, found.collect())
    }

    fn terms_seen_max(&self) -> usize {
        let (least, most) = TERMS_SEEN_OF_SEGMENT;
        (TERMS_SEEN_MAX / self.snapshot.engine.segment_readers().len().max(1)).clamp(least, most)
    }

    /// The nearest, then most frequent, then first by the alphabet, of those that some allowed passage holds: what others
    /// may see must not crowd out what the caller may. A bounded number of terms is asked about.
    fn best(&self, mask: &Mask, field: Field, mut found: Vec<Expansion>) -> Result<Vec<Term>, IndexError> {
        if found.len() > TERMS_ASKED_MAX {
            found.select_nth_unstable_by(TERMS_ASKED_MAX, |a, b| a.order().cmp(&b.order()));
            found.truncate(TERMS_ASKED_MAX);
        }
        found.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        let asked = Asked::new(self, mask, field)?;
        let mut terms = Vec::new();
        for Expansion { text, places, .. } in &found {
            if asked.count(places, 1)? > 0 {
                terms.push(term(field, text));
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
        // By the alphabet: a choice by frequency would tell of passages that the caller cannot see. The first of all are
        // among the first of each segment.
        let found = self.terms_in_range(self.fields.words, workspace, &typed, SUGGESTIONS_ASKED_MAX)?;
        let mut words: Vec<(String, Places)> = found.into_iter().collect();
        words.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        words.truncate(SUGGESTIONS_ASKED_MAX);
        let asked = Asked::new(self, mask, self.fields.words)?;
        let mut counted = Vec::new();
        for (word, places) in words {
            let count = asked.count(&places, SUGGESTION_COUNT_MAX)?;
            if count > 0 {
                counted.push((Reverse(count), word[shown_from..].to_owned()));
            }
        }
        counted.sort_unstable();
        Ok(counted.into_iter().take(limit).map(|(_, word)| word).collect())
    }

    /// Terms of the workspace that begin with a word, at most `seen_max` of each segment, the first by the alphabet.
    fn terms_in_range(
        &self,
        field: Field,
        workspace: WorkspaceNumber,
        word: &str,
        seen_max: usize,
    ) -> Result<HashMap<String, Places>, IndexError> {
        let from = format!("{}{word}", word_prefix(workspace));
        let mut found: HashMap<String, Places> = HashMap::new();
        for (segment, reader) in self.snapshot.engine.segment_readers().iter().enumerate() {
            let inverted = reader.inverted_index(field).doing("open the terms of a segment")?;
            let stream = inverted.terms().range().ge(from.as_bytes()).into_stream();
            let mut stream = stream.map_err(tantivy::TantivyError::from).doing("read terms")?;
            let mut seen = 0;
            while seen < seen_max && stream.advance() && stream.key().starts_with(from.as_bytes()) {
                seen += 1;
                if let Ok(text) = std::str::from_utf8(stream.key()) {
                    found.entry(text.to_owned()).or_default().add(segment, stream.value());
                }
            }
        }
        Ok(found)
    }
}

/// A term that may stand for a word.
struct Expansion {
    distance: u8,
    text: String,
    places: Places,
}

impl Expansion {
    /// The nearest first, then the most frequent, then by the alphabet.
    fn order(&self) -> (u8, Reverse<u64>, &str) {
        (self.distance, Reverse(self.places.docs), &self.text)
    }
}

/// Where a term stands, so that it need not be looked up again.
#[derive(Default)]
struct Places {
    docs: u64,
    segments: Vec<(usize, TermInfo)>,
}

impl Places {
    fn add(&mut self, segment: usize, info: &TermInfo) {
        self.docs += u64::from(info.doc_freq);
        self.segments.push((segment, info.clone()));
    }
}

/// A field of all segments, to ask a mask about its terms.
struct Asked<'a>(Vec<(Arc<InvertedIndexReader>, &'a SegmentReader, Allowed<'a>)>);

impl<'a> Asked<'a> {
    fn new(searcher: &'a Searcher, mask: &'a Mask, field: Field) -> Result<Self, IndexError> {
        let readers = searcher.snapshot.engine.segment_readers().iter().enumerate();
        let opened = readers.map(|(segment, reader)| {
            let inverted = reader.inverted_index(field).doing("open the terms of a segment")?;
            Ok((inverted, reader, searcher.allowed(mask, segment)))
        });
        Ok(Self(opened.collect::<Result<_, IndexError>>()?))
    }

    /// Live documents of a term that are allowed, at most `limit`.
    fn count(&self, places: &Places, limit: u32) -> Result<u32, IndexError> {
        let mut count = 0;
        for (segment, info) in &places.segments {
            let (inverted, reader, allowed) = &self.0[*segment];
            let postings = inverted.read_postings_from_terminfo(info, IndexRecordOption::Basic);
            let mut postings = postings.map_err(tantivy::TantivyError::from).doing("look up a term")?;
            while postings.doc() != TERMINATED && count < limit {
                let doc = postings.doc();
                count += u32::from(allowed.allows(doc) && !reader.is_deleted(doc));
                postings.advance();
            }
        }
        Ok(count)
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
