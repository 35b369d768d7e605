//! Cuts text into pieces: words, identifiers and their parts, n-grams of scripts without spaces, pictographs.
//!
//! Knows nothing of languages or stems, so that index and query time, in whatever language, see the same pieces at the
//! same positions. What is inside a run of letters, digits and joining punctuation is decided in `identifier`.
//!
//! Invariant: positions and starts never decrease; every piece has at least one byte of text and of term.

use std::ops::Range;

use super::identifier::SpanReader;
use super::normalize::{MappedChar, normalize_into};
use super::script::{Class, Script, class_of};
use super::{MAX_TERM_BYTES, TokenKind};

/// A piece of text that becomes one token under one language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) kind: TokenKind,
    /// Whether language decides what the term is; otherwise the folded text is the term.
    pub(super) stemmed: bool,
    /// Whether the pieces of a phrase query include this one; the others cover text that such pieces cover too.
    pub(super) in_phrase: bool,
    /// The script of its letters; `Other` where mixed.
    pub(super) script: Script,
    /// Byte of `text` where an apostrophe stood, or its length: Turkish puts endings behind it.
    pub(super) apostrophe: usize,
    /// NFKC, lower case, accents kept, at most [`MAX_TERM_BYTES`].
    pub(super) text: &'a str,
    /// Counts what a reader would call a word: an identifier with all its parts is one unit.
    pub(super) unit: u32,
    pub(super) position: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Where the next piece goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    pub(super) position: u32,
    pub(super) unit: u32,
}

/// The segmenter with the buffers it reuses from text to text.
#[derive(Debug, Default)]
pub(super) struct Segmenter {
    chars: Vec<MappedChar>,
    text: String,
    spans: SpanReader,
}

impl Segmenter {
    /// Hands the pieces of `text` to `sink`, in order of position and, within one, the longest first.
    pub(super) fn segment(&mut self, text: &str, sink: &mut impl FnMut(Piece<'_>)) {
        let bytes = text.as_bytes();
        let mut cursor = Cursor::default();
        let mut at = 0;
        while at < bytes.len() {
            if is_space(bytes[at]) {
                at += 1;
                continue;
            }
            let start = at;
            while at < bytes.len() && !is_space(bytes[at]) {
                at += 1;
            }
            if !self.plain_word(&bytes[start..at], start, &mut cursor, sink) {
                self.chunk(&text[start..at], start, &mut cursor, sink);
            }
        }
    }

    /// The fast path: a chunk that is one lower-case, capitalised or upper-case ASCII word or one number, with
    /// punctuation around it that joins nothing. Returns false, having done nothing, for any other chunk.
    fn plain_word(
        &mut self,
        chunk: &[u8],
        offset: usize,
        cursor: &mut Cursor,
        sink: &mut impl FnMut(Piece<'_>),
    ) -> bool {
        let Some(from) = chunk.iter().position(u8::is_ascii_alphanumeric) else { return chunk.is_ascii() };
        if !chunk[..from].iter().all(|b| matches!(b, b'"' | b'\'' | b'(' | b'[' | b'{' | b'<' | b'*' | b'`')) {
            return false;
        }
        let length = chunk[from..].iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(chunk.len() - from);
        let word = &chunk[from..from + length];
        if !chunk[from + length..].iter().all(|b| {
            matches!(b, b'"' | b'\'' | b')' | b']' | b'}' | b'.' | b',' | b';' | b'!' | b'?' | b':' | b'*' | b'`')
        }) {
            return false;
        }
        let is_number = word[0].is_ascii_digit();
        let is_plain = length <= MAX_TERM_BYTES
            && if is_number {
                word.iter().all(u8::is_ascii_digit)
            } else {
                word[1..].iter().all(u8::is_ascii_lowercase) || word.iter().all(u8::is_ascii_uppercase)
            };
        if !is_plain {
            return false;
        }
        self.text.clear();
        self.text.extend(word.iter().map(|b| b.to_ascii_lowercase() as char));
        sink(Piece {
            kind: if is_number { TokenKind::Number } else { TokenKind::Word },
            stemmed: !is_number,
            in_phrase: true,
            script: if is_number { Script::Other } else { Script::Latin },
            apostrophe: self.text.len(),
            text: &self.text,
            unit: cursor.unit,
            position: cursor.position,
            start: (offset + from) as u32,
            end: (offset + from + length) as u32,
        });
        cursor.unit += 1;
        cursor.position += 1;
        true
    }

    /// The general path over one chunk without ASCII white space.
    fn chunk(&mut self, chunk: &str, offset: usize, cursor: &mut Cursor, sink: &mut impl FnMut(Piece<'_>)) {
        normalize_into(chunk, offset, &mut self.chars);
        let mut at = 0;
        while at < self.chars.len() {
            at = match class_of(self.chars[at].c) {
                Class::Letter(_) | Class::Digit => self.spans.read(&self.chars, at, cursor, &mut self.text, sink),
                Class::Han | Class::Hiragana | Class::Katakana => self.ideographs(at, cursor, sink),
                Class::Hangul => self.hangul(at, cursor, sink),
                Class::Unspaced => self.unspaced(at, cursor, sink),
                Class::Pictograph => {
                    self.gram(TokenKind::Symbol, at..at + 1, true, *cursor, sink);
                    cursor.position += 1;
                    cursor.unit += 1;
                    at + 1
                }
                Class::Mark | Class::Break => at + 1,
            };
        }
    }

    /// Han and kana: overlapping bigrams; every ideograph by itself; kana by itself at either end of the run, where a
    /// phrase that goes on in another script needs it; katakana words whole. One position a character.
    fn ideographs(&mut self, from: usize, cursor: &mut Cursor, sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let is_kana_or_han = |class| matches!(class, Class::Han | Class::Hiragana | Class::Katakana | Class::Mark);
        let to = self.run_end(from, is_kana_or_han);
        let mut next = from;
        let mut word_until = from;
        let mut is_first = true;
        while next < to {
            let at = next;
            next = self.after_marks(at + 1, to);
            let class = class_of(self.chars[at].c);
            if class == Class::Katakana && at >= word_until {
                word_until = self.run_end(at, |class| matches!(class, Class::Katakana | Class::Mark)).min(to);
                self.katakana_word(at, word_until, *cursor, sink);
            }
            let is_last = next >= to;
            if !is_last {
                let end = self.after_marks(next + 1, to);
                self.gram(TokenKind::Gram, at..end, true, *cursor, sink);
            }
            if class == Class::Han || is_first || is_last {
                let alone = is_first && is_last;
                self.gram(TokenKind::Character, at..next, alone, *cursor, sink);
            }
            is_first = false;
            cursor.position += 1;
        }
        cursor.unit += 1;
        to
    }

    /// A katakana word of three characters or more, its final long vowel mark left out as many writers do.
    fn katakana_word(&mut self, from: usize, to: usize, cursor: Cursor, sink: &mut impl FnMut(Piece<'_>)) {
        let length = self.chars[from..to].iter().filter(|m| class_of(m.c) != Class::Mark).count();
        if length < 3 {
            return;
        }
        let ends_long = length > 3 && self.chars[to - 1].c == 'ー';
        self.copy(from..if ends_long { to - 1 } else { to });
        self.emit(TokenKind::Word, from..to, false, cursor, sink);
    }

    /// Hangul between spaces: overlapping bigrams, so that particles at the end do not hide the noun; the first
    /// syllable by itself, for nouns of one syllable; and the whole. One position a syllable.
    fn hangul(&mut self, from: usize, cursor: &mut Cursor, sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let to = self.run_end(from, |class| matches!(class, Class::Hangul | Class::Mark));
        let whole = self.after_marks(self.after_marks(from + 1, to) + 1, to) < to;
        if whole {
            self.copy(from..to);
            self.emit(TokenKind::Word, from..to, false, *cursor, sink);
        }
        self.bigrams(from, to, cursor, sink);
        to
    }

    /// Thai, Lao, Khmer, Burmese: overlapping bigrams of letters with their marks, and the first and last by itself.
    fn unspaced(&mut self, from: usize, cursor: &mut Cursor, sink: &mut impl FnMut(Piece<'_>)) -> usize {
        let to = self.run_end(from, |class| matches!(class, Class::Unspaced | Class::Mark));
        self.bigrams(from, to, cursor, sink);
        to
    }

    fn bigrams(&mut self, from: usize, to: usize, cursor: &mut Cursor, sink: &mut impl FnMut(Piece<'_>)) {
        let mut at = from;
        while at < to {
            let next = self.after_marks(at + 1, to);
            let is_first = at == from;
            let is_last = next >= to;
            if !is_last {
                let end = self.after_marks(next + 1, to);
                self.gram(TokenKind::Gram, at..end, true, *cursor, sink);
            }
            if is_first || is_last {
                self.gram(TokenKind::Character, at..next, is_first && is_last, *cursor, sink);
            }
            cursor.position += 1;
            at = next;
        }
        cursor.unit += 1;
    }

    fn run_end(&self, from: usize, belongs: impl Fn(Class) -> bool) -> usize {
        let rest = &self.chars[from..];
        from + rest.iter().position(|m| !belongs(class_of(m.c))).unwrap_or(rest.len())
    }

    /// The first index from `at` on that is not a mark, at most `to`.
    fn after_marks(&self, at: usize, to: usize) -> usize {
        let mut at = at.min(to);
        while at < to && class_of(self.chars[at].c) == Class::Mark {
            at += 1;
        }
        at
    }

    fn copy(&mut self, range: Range<usize>) {
        self.text.clear();
        self.text.extend(self.chars[range].iter().map(|m| m.c));
    }

    fn gram(
        &mut self,
        kind: TokenKind,
        range: Range<usize>,
        in_phrase: bool,
        cursor: Cursor,
        sink: &mut impl FnMut(Piece<'_>),
    ) {
        self.copy(range.clone());
        self.emit(kind, range, in_phrase, cursor, sink);
    }

    /// Hands over `self.text` as made of the characters of `range`.
    fn emit(
        &mut self,
        kind: TokenKind,
        range: Range<usize>,
        in_phrase: bool,
        cursor: Cursor,
        sink: &mut impl FnMut(Piece<'_>),
    ) {
        truncate(&mut self.text, MAX_TERM_BYTES);
        sink(Piece {
            kind,
            stemmed: false,
            in_phrase,
            script: Script::Other,
            apostrophe: self.text.len(),
            text: &self.text,
            unit: cursor.unit,
            position: cursor.position,
            start: self.chars[range.start].start,
            end: self.chars[range.end - 1].end,
        });
    }
}

/// Cuts `text` to at most `limit` bytes, on a character border.
pub(super) fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}
