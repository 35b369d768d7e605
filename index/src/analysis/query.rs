//! The words of a query and, for each, the terms under which a text may hold it.
//!
//! Does not build queries: which words are required, how far typos go and how scores add up is for the caller.

use std::collections::HashSet;

use super::fold::fold_into;
use super::language::Language;
use super::question::question_ranges;
use super::script::{Class, Script, class_of};
use super::segment::{Piece, Segmenter, truncate};
use super::stem::WordStemmer;
use super::{Analyzer, MAX_TERM_BYTES, TokenKind};

/// Share of its weight that a word keeps with which a question is asked.
const QUESTION_WEIGHT: f32 = 0.25;

/// Share of its weight that a part of an identifier keeps: the whole says the same more exactly.
const PART_WEIGHT: f32 = 0.5;

/// How a term stands for a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// No other term of the word stands in the same place of a text.
    Only,
    /// The stem without accents; a text that has the word with its accents holds [`Self::Accented`], too.
    Folded,
    /// The stem with accents. Where accents are most of the difference between words it is much the rarer.
    Accented,
}

impl Form {
    /// The share of the word's weight that a match of the term has: two terms in one place share one.
    pub fn share(self) -> f32 {
        if self == Self::Only { 1.0 } else { 0.5 }
    }
}

/// A word, or part of one, of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryWord {
    /// The terms that an indexed word may have for it, any of which is a match; no term twice, never empty.
    pub terms: Vec<String>,
    /// For each term how it stands for the word.
    pub forms: Vec<Form>,
    /// The word in lower case and folded, not stemmed: what typos and prefixes are expanded from.
    pub surface: String,
    /// What it is.
    pub kind: TokenKind,
    /// Counted from 0 through the query, as in a text: a phrase is its words at their distances.
    pub position: u32,
    /// The word of the reader's that it belongs to, counted from 0: an identifier and its parts are one, a run of
    /// ideographs and its grams are one. At least one word of each unit should match, whatever else is asked.
    pub unit: u32,
    /// Whether it takes part in phrases. Those that do cover the query; the others cover the same text again.
    pub in_phrase: bool,
    /// Whether it is a part of an identifier or of a hyphenated word, which are words of the query themselves.
    pub is_part: bool,
    /// Whether it is, or overlaps, what a question is asked with: `who`, `how many`, `何`.
    pub is_question: bool,
    /// First byte in the query.
    pub start: u32,
    /// End byte in the query, exclusive.
    pub end: u32,
}

impl QueryWord {
    /// How much a match of this word should count beside others, to multiply its BM25 score with; above 0, at most 1.
    ///
    /// A run of n ideographs gives n - 1 bigrams and n single ones that say the same thing, where a spaced script gives
    /// one word. Grams with hiragana are endings and particles more often than words. Question words say nothing of what
    /// is asked about. Parts of an identifier say again what the whole says. How the numbers were found is in `docs/analysis.md`.
    pub fn weight(&self) -> f32 {
        let of_question = if self.is_question { QUESTION_WEIGHT } else { 1.0 };
        let of_part = if self.is_part { PART_WEIGHT } else { 1.0 };
        of_question * of_part * self.weight_of_kind()
    }

    fn weight_of_kind(&self) -> f32 {
        let has = |class| self.surface.chars().any(|c| class_of(c) == class);
        match self.kind {
            TokenKind::Gram if has(Class::Hiragana) => 0.2,
            TokenKind::Gram if has(Class::Hangul) => 0.6,
            TokenKind::Gram => 0.4,
            TokenKind::Character if self.in_phrase => 1.0,
            TokenKind::Character if has(Class::Hangul) => 0.3,
            TokenKind::Character if has(Class::Han) => 0.25,
            TokenKind::Character => 0.1,
            // Its grams are searched as well.
            TokenKind::Word if has(Class::Katakana) => 0.7,
            _ => 1.0,
        }
    }

    /// Whether a match of this word is worth marking in a snippet: not that of a single character of a longer run.
    pub fn is_highlighted(&self) -> bool {
        self.in_phrase || self.kind != TokenKind::Character
    }

    /// Whether typos in it may be forgiven and it may be the beginning of a longer word: letters of a spaced script.
    pub fn is_expandable(&self) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Compound)
    }
}

impl Analyzer {
    /// The words of the query `text`, with the terms that each has in any of `languages`.
    ///
    /// `languages` are those in which the texts that are searched were analysed, best first; terms are in that order,
    /// with the folded word itself last, because identifiers (`YouTube`) are indexed that way. With no languages words
    /// are taken as [`Language::Other`].
    pub fn query_terms(&self, text: &str, languages: &[Language]) -> Vec<QueryWord> {
        let mut words: Vec<QueryWord> = Vec::new();
        let mut stemmer = WordStemmer::default();
        let asked_with = question_ranges(text, languages);
        Segmenter::default().segment(text, &mut |piece: Piece<'_>| {
            let mut surface = String::new();
            fold_into(piece.text, &mut surface);
            truncate(&mut surface, MAX_TERM_BYTES);
            let (mut terms, mut forms) = (Vec::new(), Vec::new());
            if piece.stemmed {
                add_stems(&mut stemmer, &piece, languages, &mut terms, &mut forms);
                if !terms.contains(&surface) {
                    add(&mut terms, &mut forms, surface.clone(), Form::Only);
                }
            } else {
                add(&mut terms, &mut forms, surface.clone(), Form::Only);
                if piece.kind == TokenKind::Identifier && piece.script != Script::Other {
                    add_stems(&mut stemmer, &piece, languages, &mut terms, &mut forms);
                }
            }
            let is_question =
                asked_with.iter().any(|range| range.start < piece.end as usize && (piece.start as usize) < range.end);
            words.push(QueryWord {
                terms,
                forms,
                surface,
                kind: piece.kind,
                position: piece.position,
                unit: piece.unit,
                in_phrase: piece.in_phrase,
                is_part: false,
                is_question,
                start: piece.start,
                end: piece.end,
            });
        });
        let is_whole =
            |word: &QueryWord| !word.in_phrase && matches!(word.kind, TokenKind::Identifier | TokenKind::Compound);
        let wholes: HashSet<u32> = words.iter().filter(|word| is_whole(word)).map(|word| word.unit).collect();
        for word in words.iter_mut().filter(|word| word.in_phrase) {
            word.is_part = wholes.contains(&word.unit);
        }
        words
    }
}

fn add_stems(
    stemmer: &mut WordStemmer,
    piece: &Piece<'_>,
    languages: &[Language],
    terms: &mut Vec<String>,
    forms: &mut Vec<Form>,
) {
    for language in languages {
        let stems = stemmer.terms_once(*language, piece.script, piece.text, piece.apostrophe);
        if stems.variant.is_empty() {
            add(terms, forms, stems.primary, Form::Only);
        } else {
            add(terms, forms, stems.primary, Form::Folded);
            add(terms, forms, stems.variant, Form::Accented);
        }
    }
}

fn add(terms: &mut Vec<String>, forms: &mut Vec<Form>, term: String, form: Form) {
    match terms.iter().position(|known| *known == term) {
        Some(at) if form == Form::Only => forms[at] = form,
        Some(_) => {}
        None => {
            terms.push(term);
            forms.push(form);
        }
    }
}
