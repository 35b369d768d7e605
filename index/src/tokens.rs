//! Carries analysed tokens into tantivy.
//!
//! Text is analysed once, where a passage is written: so its token count is known for the statistics of the workspace,
//! and the engine's own thread has nothing to do but unpack. The packed form is the prefix of the workspace and then the
//! terms, each ended by [`END`]; a term begins with [`SAME`] when it stands at the position of the term before it, and
//! with a [`SKIP`] for each position left out. Terms hold no control characters.

use crate::analysis::Tokens;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

const END: char = '\u{1f}';
const SAME: char = '\u{1e}';
const SKIP: char = '\u{1d}';

/// Longest gap between two terms that is kept.
const SKIPS_MAX: u32 = 8;

/// Packs the terms of one document and one field.
pub(crate) struct Packer {
    packed: String,
    prefix_bytes: usize,
    position: Option<u32>,
    tokens: u64,
}

impl Packer {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { packed: format!("{prefix}{END}"), prefix_bytes: prefix.len() + 1, position: None, tokens: 0 }
    }

    /// Adds a term. Positions do not fall; a later text goes on after [`Packer::gap`].
    pub(crate) fn push(&mut self, term: &str, position: u32) {
        if term.is_empty() || term.chars().any(char::is_control) {
            return;
        }
        match self.position {
            Some(last) if position <= last => self.packed.push(SAME),
            Some(last) => (0..(position - last - 1).min(SKIPS_MAX)).for_each(|_| self.packed.push(SKIP)),
            None => {}
        }
        self.position = Some(self.position.map_or(position, |last| last.max(position)));
        self.packed.push_str(term);
        self.packed.push(END);
        self.tokens += 1;
    }

    /// Adds all tokens of the next text.
    pub(crate) fn push_all(&mut self, tokens: &Tokens) {
        let gap = self.gap();
        tokens.iter().for_each(|token| self.push(token.term, gap + token.position));
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
        let (prefix, rest) = text.split_once(END).unwrap_or(("", ""));
        Unpacked { prefix, rest, started: false, token: &mut self.token }
    }
}

/// The terms of one packed text.
pub(crate) struct Unpacked<'a> {
    prefix: &'a str,
    rest: &'a str,
    started: bool,
    token: &'a mut Token,
}

impl TokenStream for Unpacked<'_> {
    fn advance(&mut self) -> bool {
        let Some((packed, rest)) = self.rest.split_once(END) else { return false };
        self.rest = rest;
        let (step, term) = if let Some(term) = packed.strip_prefix(SAME) {
            (0, term)
        } else {
            let term = packed.trim_start_matches(SKIP);
            (1 + packed.len() - term.len(), term)
        };
        self.token.position = if self.started { self.token.position + step } else { 0 };
        self.started = true;
        self.token.text.clear();
        self.token.text.push_str(self.prefix);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_come_out_at_the_positions_they_went_in() {
        let mut packer = Packer::new("2a:");
        for (term, position) in [("one", 0), ("uno", 0), ("two", 1), ("bad\u{1f}term", 2), ("five", 4)] {
            packer.push(term, position);
        }
        assert_eq!((packer.tokens(), packer.gap()), (4, 6));
        let packed = packer.finish().unwrap();
        let mut unpacker = Unpacker::default();
        let mut stream = unpacker.token_stream(&packed);
        let mut seen = Vec::new();
        while stream.advance() {
            seen.push((stream.token().text.clone(), stream.token().position));
        }
        let expected = [("2a:one", 0), ("2a:uno", 0), ("2a:two", 1), ("2a:five", 4)];
        assert_eq!(seen, expected.map(|(term, position)| (term.to_owned(), position)));
        assert!(Packer::new("2a:").finish().is_none());
    }
}
