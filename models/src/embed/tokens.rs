//! Counting tokens, for cutting passages and for bounding batches.
//!
//! Counting only: nothing here gives out token ids. A counter is cheap to clone and may be used from any thread while the
//! model itself is busy. Invariant: a count never depends on the model's length limit or on padding.

use std::sync::Arc;

use tokenizers::Tokenizer;

/// Counts the tokens of a text as a model would see them, without the special ones that frame it.
///
/// Cloning is cheap and the clones share the vocabulary.
#[derive(Clone)]
pub struct TokenCounter(Rule);

#[derive(Clone)]
enum Rule {
    Tokenizer(Arc<Tokenizer>),
    Estimate,
}

/// Letters of one word that [`TokenCounter::estimate`] takes for one token.
const LETTERS_PER_TOKEN: usize = 5;

impl TokenCounter {
    /// A counter that needs no model: one token for each five letters of a word, each ideograph, kana or Hangul syllable and
    /// each sign. Within about a third of what a BERT vocabulary gives for prose in the languages it covers.
    pub fn estimate() -> Self {
        Self(Rule::Estimate)
    }

    /// A counter by the tokenizer in `json`, the content of a `tokenizer.json`, with its truncation and padding taken away.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, tokenizers::Error> {
        let mut tokenizer = Tokenizer::from_bytes(json)?;
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        Ok(Self(Rule::Tokenizer(Arc::new(tokenizer))))
    }

    /// Tokens in `text`, special tokens not counted. Takes time in proportion to the text, a few microseconds for a sentence.
    pub fn count(&self, text: &str) -> usize {
        match &self.0 {
            // A tokenizer that cannot encode a text (none of the BERT family does this) still bounds the batch it is in.
            Rule::Tokenizer(tokenizer) => {
                tokenizer.encode_fast(text, false).map_or_else(|_| estimate(text), |encoding| encoding.len())
            }
            Rule::Estimate => estimate(text),
        }
    }
}

fn estimate(text: &str) -> usize {
    let mut tokens = 0;
    let mut letters = 0_usize;
    for character in text.chars() {
        if character.is_alphanumeric() && !is_cjk(character) {
            letters += 1;
            continue;
        }
        tokens += letters.div_ceil(LETTERS_PER_TOKEN) + usize::from(!character.is_whitespace());
        letters = 0;
    }
    tokens + letters.div_ceil(LETTERS_PER_TOKEN)
}

/// Whether a character belongs to a script written without spaces in which one character is about one token.
pub(super) fn is_cjk(character: char) -> bool {
    matches!(u32::from(character), 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x323af)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimate_counts_words_signs_and_ideographs() {
        #[track_caller]
        fn check(text: &str, expected: usize) {
            assert_eq!(TokenCounter::estimate().count(text), expected);
        }
        check("", 0);
        check("  \n", 0);
        check("one two", 2);
        check("internationalisation", 4);
        check("e.g.", 4);
        check("東京都", 3);
        check("in 東京, today", 5);
    }
}
