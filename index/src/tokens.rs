//! Carries analysed tokens into tantivy.
//!
//! Text is analysed once, where a passage is written: so its token count is known for the statistics of the workspace,
//! and the engine's own thread has nothing to do but unpack. The packed form is the prefix of the workspace behind its
//! length, and then each term behind its step and its length: how many positions it stands after the term before it, and
//! its bytes. Steps and lengths are single bytes below 128, so that the whole is text.

use crate::analysis::MAX_TERM_BYTES;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Longest step between two terms that is kept.
const STEP_MAX: u32 = 9;

// Lengths are ASCII characters.
const _: () = assert!(MAX_TERM_BYTES < 128);

/// Packs the terms of one document and one field.
pub(crate) struct Packer {
    packed: String,
    prefix_bytes: usize,
    position: Option<u32>,
    tokens: u64,
}

impl Packer {
    /// Holds no terms. The prefix of a workspace is as short as a term; memory for `bytes` of terms is set aside.
    pub(crate) fn new(prefix: &str, bytes: usize) -> Self {
        debug_assert!(prefix.len() <= MAX_TERM_BYTES);
        let mut packed = String::with_capacity(1 + prefix.len() + bytes);
        packed.push(char::from(prefix.len() as u8));
        packed.push_str(prefix);
        Self { prefix_bytes: packed.len(), packed, position: None, tokens: 0 }
    }

    /// Adds a term; one that is empty or longer than terms are is left out. Positions do not fall; a later text goes on
    /// after [`Packer::gap`].
    pub(crate) fn push(&mut self, term: &str, position: u32) {
        if term.is_empty() || term.len() > MAX_TERM_BYTES {
            return;
        }
        let last = self.position.unwrap_or(position);
        let step = position.saturating_sub(last).min(STEP_MAX);
        self.position = Some(position.max(last));
        self.packed.push(char::from(step as u8));
        self.packed.push(char::from(term.len() as u8));
        self.packed.push_str(term);
        self.tokens += 1;
    }

    /// The position from which the next text counts, so that no phrase runs from one text into the next.
    pub(crate) fn gap(&self) -> u32 {
        self.position.map_or(0, |last| last + 2)
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The packed text; `None` when nothing was added.
    pub(crate) fn finish(self) -> Option<String> {
        (self.packed.len() > self.prefix_bytes).then_some(self.packed)
    }
}

/// Unpacks what [`Packer`] packed.
#[derive(Clone, Default)]
pub(crate) struct Unpacker {
    token: Token,
}

impl Tokenizer for Unpacker {
    type TokenStream<'a> = Unpacked<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Unpacked<'a> {
        self.token.reset();
        let (prefix, rest) = cut(text).unwrap_or(("", ""));
        self.token.text.push_str(prefix);
        self.token.position = 0;
        Unpacked { prefix_bytes: prefix.len(), rest, token: &mut self.token }
    }
}

/// The terms of one packed text.
pub(crate) struct Unpacked<'a> {
    prefix_bytes: usize,
    rest: &'a str,
    token: &'a mut Token,
}

impl TokenStream for Unpacked<'_> {
    fn advance(&mut self) -> bool {
        let Some(step) = self.rest.bytes().next() else { return false };
        let Some((term, rest)) = cut(&self.rest[1..]) else { return false };
        self.rest = rest;
        self.token.position += usize::from(step);
        self.token.text.truncate(self.prefix_bytes);
        self.token.text.push_str(term);
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// Splits off what stands behind its length.
fn cut(packed: &str) -> Option<(&str, &str)> {
    let length = usize::from(packed.bytes().next()?);
    packed[1..].split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_come_out_at_the_positions_they_went_in() {
        let mut packer = Packer::new("2a:", 0);
        let too_long = "x".repeat(MAX_TERM_BYTES + 1);
        for (term, position) in [("one", 0), ("uno", 0), ("zwei \u{1f}ß", 1), (&too_long, 2), ("", 3), ("five", 4)] {
            packer.push(term, position);
        }
        packer.push("far", 400);
        assert_eq!((packer.tokens(), packer.gap()), (5, 402));
        let packed = packer.finish().unwrap();
        let mut unpacker = Unpacker::default();
        let mut stream = unpacker.token_stream(&packed);
        let mut seen = Vec::new();
        while stream.advance() {
            seen.push((stream.token().text.clone(), stream.token().position));
        }
        let expected = [("2a:one", 0), ("2a:uno", 0), ("2a:zwei \u{1f}ß", 1), ("2a:five", 4), ("2a:far", 13)];
        assert_eq!(seen, expected.map(|(term, position)| (term.to_owned(), position)));
        assert!(Packer::new("2a:", 9).finish().is_none());
    }
}
