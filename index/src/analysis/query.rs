//! The words of a query and, for each, the terms under which a text may hold it.
//!
//! Does not build queries: which words are required, how far typos go and how scores add up is for the caller.

use super::fold::fold_into;
use super::language::Language;
use super::script::{Class, Script, class_of};
use super::segment::{Piece, Segmenter, truncate};
use super::stem::WordStemmer;
use super::{Analyzer, MAX_TERM_BYTES, TokenKind};

/// A word, or part of one, of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryWord {
    /// The terms that an indexed word may have for it, any of which is a match; no term twice, never empty.
    pub terms: Vec<String>,
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
    /// First byte in the query.
    pub start: u32,
    /// End byte in the query, exclusive.
    pub end: u32,
}

impl QueryWord {
    /// How much a match of this word should count beside others, to multiply its BM25 score with; 0.3 to 1.
    ///
    /// A run of n ideographs gives n - 1 bigrams and n single ones that say the same thing, where a spaced script gives
    /// one word. Chosen on the even queries of JaQuAD (BM25, k1 = 1.2, b = 0.75, title and text joined, best term of a
    /// word counts); nDCG@10 on the odd ones went from .9258 with equal weights to .9312, on XQuAD zh from .9684 to
    /// .9705, on XQuAD th from .9652 to .9666. With bigrams alone: .917 and .966 on JaQuAD and XQuAD zh.
    pub fn weight(&self) -> f32 {
        let is_all = |class| self.surface.chars().all(|c| class_of(c) == class);
        match self.kind {
            // Hiragana are endings and particles more often than words.
            TokenKind::Gram if is_all(Class::Hiragana) => 0.3,
            TokenKind::Gram => 0.6,
            TokenKind::Character if self.in_phrase => 1.0,
            TokenKind::Character if is_all(Class::Han) => 0.6,
            TokenKind::Character => 0.3,
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
        let mut words = Vec::new();
        let mut stemmer = WordStemmer::default();
        Segmenter::default().segment(text, &mut |piece: Piece<'_>| {
            let mut surface = String::new();
            fold_into(piece.text, &mut surface);
            truncate(&mut surface, MAX_TERM_BYTES);
            let mut terms = Vec::new();
            if piece.stemmed {
                add_stems(&mut stemmer, &piece, languages, &mut terms);
                add(&mut terms, surface.clone());
            } else {
                terms.push(surface.clone());
                if piece.kind == TokenKind::Identifier && piece.script != Script::Other {
                    add_stems(&mut stemmer, &piece, languages, &mut terms);
                }
            }
            words.push(QueryWord {
                terms,
                surface,
                kind: piece.kind,
                position: piece.position,
                unit: piece.unit,
                in_phrase: piece.in_phrase,
                start: piece.start,
                end: piece.end,
            });
        });
        words
    }
}

fn add_stems(stemmer: &mut WordStemmer, piece: &Piece<'_>, languages: &[Language], terms: &mut Vec<String>) {
    for language in languages {
        let stems = stemmer.terms_once(*language, piece.script, piece.text, piece.apostrophe);
        add(terms, stems.primary);
        if !stems.variant.is_empty() {
            add(terms, stems.variant);
        }
    }
}

fn add(terms: &mut Vec<String>, term: String) {
    if !terms.contains(&term) {
        terms.push(term);
    }
}
