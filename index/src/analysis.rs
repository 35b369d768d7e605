//! Text analysis for the lexical leg: from text to the terms it is found by, in many languages and scripts.
//!
//! Pure functions over `&str`: knows nothing of fields, documents or the index. Text is normalised (NFKC, lower case,
//! invisible characters dropped), cut into pieces by script, folded, and stemmed by language:
//!
//! ```text
//! text -> normalize -> segment (+ identifier) -> fold, stem -> tokens
//!                                           \-> surface words (folded, not stemmed)
//! ```
//!
//! - Words in Latin, Greek, Cyrillic, Arabic and other spaced scripts: one stem, or two where accents matter.
//! - Identifiers: the whole, its segments and its parts; see `identifier`.
//! - Han and kana: overlapping bigrams, single ideographs, katakana words. Hangul: bigrams, first syllable, whole.
//!   Thai, Lao, Khmer, Burmese: bigrams of letters with their marks. Pictographs: one by one.
//! - Stop words stay: BM25 weighs them down, and phrases need them. Words that only ask are weighed down in queries; see
//!   `question`.
//!
//! German and other compounds are not split in texts: those of a query are, by the words of the workspace; see `search::compounds`.
//!
//! Single ideographs double the tokens of Chinese (180 to 376 in a passage of XQuAD) and add half to those of Japanese. They
//! are what makes a query of one ideograph work, and they raise nDCG@10. What each ingredient is worth, and on what it was
//! chosen, is in `docs/analysis.md`.
//!
//! Invariant: segmentation does not depend on language, so positions agree between a text and any query, and
//! [`Analyzer::query_terms`] contains every term that [`Analyzer::tokens`] makes of the same word in any of its
//! languages. Byte ranges lie on character borders of the text that was given.

mod detect;
mod fold;
mod highlight;
mod identifier;
mod language;
mod normalize;
mod query;
mod question;
mod script;
mod segment;
mod stem;
#[cfg(test)]
mod tests;

pub use detect::detect_language;
pub use language::Language;
pub use query::{Form, QueryWord};

use fold::fold_into;
use segment::{Piece, Segmenter, truncate};
use stem::WordStemmer;

/// Number of the way in which text is analysed; another one finds other words, so it needs an index built anew.
pub const RELEASE: u32 = 1;

/// Longest term, in bytes; what is longer is cut at a character border.
pub const MAX_TERM_BYTES: usize = 100;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A word of a spaced script, a katakana word, or a Hangul word of three syllables or more.
    Word,
    /// A run of digits.
    Number,
    /// A hyphenated word, written together: `email` for `e-mail`.
    Compound,
    /// An identifier, or a part of one that has parts itself: `foo_bar.baz`, `foo_bar`.
    Identifier,
    /// Two characters side by side in a script without spaces, or in Hangul.
    Gram,
    /// One character of such a script.
    Character,
    /// A pictograph.
    Symbol,
}

impl TokenKind {
    /// Whether a reader sees it as a word, a number or an identifier.
    fn is_surface_word(self) -> bool {
        !matches!(self, Self::Gram | Self::Character | Self::Symbol)
    }
}

/// One token: a term, where it stands among the words, and the bytes of the text it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What is indexed: 1 to [`MAX_TERM_BYTES`] bytes.
    pub term: &'a str,
    /// Counted from 0 through the text; several tokens may share one, and none decreases.
    pub position: u32,
    /// First byte in the text.
    pub start: u32,
    /// End byte in the text, exclusive.
    pub end: u32,
    /// What it is.
    pub kind: TokenKind,
}

/// What one pass over a text says of a piece of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Analyzed<'a> {
    /// As [`Token::position`].
    pub(crate) position: u32,
    /// As [`Token::term`].
    pub(crate) term: &'a str,
    /// A second term at the same position; empty when there is none.
    pub(crate) variant: &'a str,
    /// The word as written; empty when it is none, or was handed over before.
    pub(crate) word: &'a str,
}

/// The tokens of one text, and the buffers and memory of stems behind them.
///
/// Keep one per thread and reuse it: after a while nothing is allocated per token. Holds at most about a megabyte
/// beside the tokens themselves.
#[derive(Debug, Default)]
pub struct Tokens {
    store: Store,
    segmenter: Segmenter,
    stemmer: WordStemmer,
}

#[derive(Debug, Default)]
struct Store {
    terms: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    term_start: u32,
    term_end: u32,
    position: u32,
    start: u32,
    end: u32,
    kind: TokenKind,
}

impl Tokens {
    /// Empty, without memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands over, in one pass, what [`Analyzer::tokens`] and [`Analyzer::surface_words`] say of `text`: piece after piece, by
    /// position.
    ///
    /// A word as written is handed over when it is first met after [`Self::next_document`], and later perhaps again. No
    /// tokens are kept.
    pub(crate) fn analyze(&mut self, text: &str, language: Language, sink: &mut impl FnMut(Analyzed<'_>)) {
        self.store.clear();
        let Self { store: Store { terms: folded, .. }, segmenter, stemmer } = self;
        segmenter.segment(text, &mut |piece: Piece<'_>| {
            let position = piece.position;
            folded.clear();
            if piece.stemmed {
                let (stems, is_new) = stemmer.terms_and_news(language, piece.script, piece.text, piece.apostrophe);
                if is_new {
                    fold_term(piece.text, folded);
                }
                sink(Analyzed { position, term: &stems.primary, variant: &stems.variant, word: folded });
            } else {
                fold_term(piece.text, folded);
                let word = if piece.kind.is_surface_word() { folded.as_str() } else { "" };
                sink(Analyzed { position, term: folded, variant: "", word });
            }
        });
    }

    /// Words as written that were handed over before are new again; see [`Self::analyze`].
    pub(crate) fn next_document(&mut self) {
        self.stemmer.next_document();
    }

    /// The tokens in order: neither position nor start byte decreases, except that a whole precedes its parts.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Token<'_>> {
        self.store.entries.iter().map(|entry| Token {
            term: &self.store.terms[entry.term_start as usize..entry.term_end as usize],
            position: entry.position,
            start: entry.start,
            end: entry.end,
            kind: entry.kind,
        })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.store.entries.len()
    }

    /// Whether the text had nothing to find.
    pub fn is_empty(&self) -> bool {
        self.store.entries.is_empty()
    }
}

/// Appends the folded form of `text`, at most [`MAX_TERM_BYTES`] of it.
fn fold_term(text: &str, out: &mut String) {
    let from = out.len();
    fold_into(text, out);
    truncate(out, from + MAX_TERM_BYTES);
}

impl Store {
    fn clear(&mut self) {
        self.terms.clear();
        self.entries.clear();
    }

    fn push(&mut self, piece: &Piece<'_>, term: &str) {
        let from = self.terms.len();
        self.terms.push_str(term);
        self.end_term(piece, from);
    }

    fn push_folded(&mut self, piece: &Piece<'_>) {
        let from = self.terms.len();
        fold_term(piece.text, &mut self.terms);
        self.end_term(piece, from);
    }

    fn end_term(&mut self, piece: &Piece<'_>, from: usize) {
        self.entries.push(Entry {
            term_start: from as u32,
            term_end: self.terms.len() as u32,
            position: piece.position,
            start: piece.start,
            end: piece.end,
            kind: piece.kind,
        });
    }
}

/// Turns text into tokens and queries into the terms to look for.
///
/// Without state: make one wherever it is needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Analyzer;

impl Analyzer {
    /// The analyser; the same everywhere in an index.
    pub fn new() -> Self {
        Self
    }

    /// Replaces what `out` holds by the tokens of `text`, a text in `language` of less than 4 GiB.
    ///
    /// Time and memory grow with the length of the text: at most five tokens a character, about one a word in English
    /// prose, and for Chinese two a character.
    pub fn tokens(&self, text: &str, language: Language, out: &mut Tokens) {
        let Tokens { store, segmenter, stemmer } = out;
        store.clear();
        segmenter.segment(text, &mut |piece: Piece<'_>| {
            if !piece.stemmed {
                store.push_folded(&piece);
                return;
            }
            let terms = stemmer.terms(language, piece.script, piece.text, piece.apostrophe);
            store.push(&piece, &terms.primary);
            if !terms.variant.is_empty() {
                store.push(&piece, &terms.variant);
            }
        });
    }

    /// Replaces what `out` holds by the words of `text` as a reader sees them: lower case, folded, not stemmed.
    ///
    /// For term suggestions, prefixes while typing and the correction of typos. Words, compounds, numbers and
    /// identifiers with their parts; of the scripts without spaces katakana words only.
    pub fn surface_words(&self, text: &str, out: &mut Tokens) {
        let Tokens { store, segmenter, .. } = out;
        store.clear();
        segmenter.segment(text, &mut |piece: Piece<'_>| {
            if piece.kind.is_surface_word() {
                store.push_folded(&piece);
            }
        });
    }
}
