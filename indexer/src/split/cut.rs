//! Cutting one long text: at sentences, then words, then characters. Concatenating the parts gives the text back.

use unicode_segmentation::UnicodeSegmentation;

use super::Rules;

/// The sentences of a text; one that weighs more than `max_tokens` is cut further. Sentence marks of all scripts count,
/// those written without a space after them included.
pub(super) fn sentences<'t>(text: &'t str, max_tokens: usize, rules: &Rules<'_>) -> Vec<&'t str> {
    let mut parts = Vec::new();
    for sentence in text.split_sentence_bounds() {
        if rules.weigh(sentence) <= max_tokens {
            parts.push(sentence);
        } else {
            words(sentence, max_tokens, rules, &mut parts);
        }
    }
    parts
}

/// Runs of words, each as long as fits.
fn words<'t>(text: &'t str, max_tokens: usize, rules: &Rules<'_>, parts: &mut Vec<&'t str>) {
    let mut start = 0;
    let mut tokens = 0;
    let mut chars = 0;
    for (at, word) in text.split_word_bound_indices() {
        let word_tokens = rules.weigh(word);
        let word_chars = word.chars().count();
        // Counted together as well: a run of short words must not be longer than its weight allows.
        let fits =
            tokens + word_tokens <= max_tokens && (chars + word_chars) / super::CHARS_PER_TOKEN_MAX <= max_tokens;
        if !fits && at > start {
            parts.push(&text[start..at]);
            (start, tokens, chars) = (at, 0, 0);
        }
        if word_tokens > max_tokens {
            characters(word, max_tokens, rules, parts);
            start = at + word.len();
        } else {
            tokens += word_tokens;
            chars += word_chars;
        }
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
}

/// Runs of characters, each as long as fits; a single character that does not fit stands alone.
fn characters<'t>(text: &'t str, max_tokens: usize, rules: &Rules<'_>, parts: &mut Vec<&'t str>) {
    let mut rest = text;
    while !rest.is_empty() {
        let mut take_chars = max_tokens.max(1);
        let end = loop {
            let end = rest.char_indices().nth(take_chars).map_or(rest.len(), |(end, _)| end);
            if take_chars == 1 || rules.weigh(&rest[..end]) <= max_tokens {
                break end;
            }
            take_chars /= 2;
        };
        parts.push(&rest[..end]);
        rest = &rest[end..];
    }
}

/// The start of a heading that weighs at most `max_tokens`, for the path above a passage.
pub(super) fn head<'t>(text: &'t str, max_tokens: usize, rules: &Rules<'_>) -> &'t str {
    if rules.weigh(text) <= max_tokens {
        return text;
    }
    sentences(text, max_tokens, rules).first().map_or("", |part| part.trim())
}
