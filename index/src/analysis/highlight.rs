//! Which bytes of a text to mark for a query.
//!
//! Works on the text as shown; cutting snippets is for the caller.

use std::collections::HashSet;

use super::{Analyzer, Language, QueryWord, Tokens};

impl Analyzer {
    /// The byte ranges of `text`, a text in `language`, that match any of `words`: in order, not overlapping, ranges
    /// that overlap or touch joined. Leaves the tokens of the text in `tokens`.
    pub fn highlight_ranges(
        &self,
        text: &str,
        language: Language,
        words: &[QueryWord],
        tokens: &mut Tokens,
    ) -> Vec<(u32, u32)> {
        let wanted: HashSet<&str> = words
            .iter()
            .filter(|word| word.is_highlighted())
            .flat_map(|word| word.terms.iter().map(String::as_str))
            .collect();
        self.tokens(text, language, tokens);
        let matching = tokens.iter().filter(|token| wanted.contains(token.term));
        merge(matching.map(|token| (token.start, token.end)).collect())
    }
}

fn merge(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (start, end) in ranges {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}
