//! Marking: which bytes of a text fit the words of a query, for excerpts.
//!
//! Pure. Beside the words themselves it marks what the search took for them: words that begin like the one being typed,
//! and, where typos were forgiven, words that are like one of the query.

use index::analysis::{Analyzer, Language, TokenKind, Tokens};

use crate::rescore::QueryWords;

/// Letters from which one and two typos are forgiven, as in the search by words.
const ONE_TYPO_CHARS: usize = 5;
const TWO_TYPOS_CHARS: usize = 9;
/// Fewest letters of a word that is being typed, before others are taken to begin with it.
const PREFIX_CHARS_MIN: usize = 2;

/// What the search took words for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leniency {
    /// The last word stands for all that begin with it.
    pub prefix: bool,
    /// Typos are forgiven.
    pub typos: bool,
}

/// The byte ranges of `text`, a text in `language`, that fit the query: ascending, not overlapping.
pub fn marks(
    text: &str,
    language: Language,
    words: &mut QueryWords<'_>,
    leniency: Leniency,
    tokens: &mut Tokens,
) -> Vec<(u32, u32)> {
    let words = words.of(language);
    let mut marks = Analyzer::new().highlight_ranges(text, language, words, tokens);
    if leniency == Leniency::default() {
        return marks;
    }
    let last_unit = words.iter().map(|word| word.unit).max();
    let typed: Vec<&str> = words
        .iter()
        .filter(|word| leniency.prefix && Some(word.unit) == last_unit && word.is_expandable())
        .map(|word| word.surface.as_str())
        .filter(|surface| surface.chars().count() >= PREFIX_CHARS_MIN)
        .collect();
    let misspelt: Vec<(Vec<char>, usize)> = words
        .iter()
        .filter(|word| leniency.typos && word.is_expandable())
        .map(|word| word.surface.chars().collect::<Vec<char>>())
        .filter_map(|surface| typos_forgiven(surface.len()).map(|typos| (surface, typos)))
        .collect();
    Analyzer::new().surface_words(text, tokens);
    let fitting = tokens.iter().filter(|token| {
        let is_word = matches!(token.kind, TokenKind::Word | TokenKind::Compound);
        is_word
            && (typed.iter().any(|typed| token.term.starts_with(typed))
                || misspelt.iter().any(|(word, typos)| is_like(word, token.term, *typos)))
    });
    marks.extend(fitting.map(|token| (token.start, token.end)));
    joined(marks)
}

fn typos_forgiven(chars: usize) -> Option<usize> {
    match chars {
        0..ONE_TYPO_CHARS => None,
        ONE_TYPO_CHARS..TWO_TYPOS_CHARS => Some(1),
        _ => Some(2),
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn joined(mut marks: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    marks.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(marks.len());
    for (start, end) in marks {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// Whether two words differ by at most so many letters added, dropped, changed, or swapped with their neighbour.
fn is_like(word: &[char], other: &str, typos_max: usize) -> bool {
    let other: Vec<char> = other.chars().collect();
    if word.len().abs_diff(other.len()) > typos_max {
        return false;
    }
    // The rows of the table for two letters before, one before, and this one.
    let mut rows = [vec![0; other.len() + 1], (0..=other.len()).collect::<Vec<usize>>(), vec![0; other.len() + 1]];
    for (at, letter) in word.iter().enumerate() {
        rows[2][0] = at + 1;
        for (place, candidate) in other.iter().enumerate() {
            let changed = rows[1][place] + usize::from(letter != candidate);
            let mut typos = changed.min(rows[1][place + 1] + 1).min(rows[2][place] + 1);
            if at > 0 && place > 0 && word[at - 1] == *candidate && *letter == other[place - 1] {
                typos = typos.min(rows[0][place - 1] + 1);
            }
            rows[2][place + 1] = typos;
        }
        rows.rotate_left(1);
    }
    rows[1][other.len()] <= typos_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, text: &str, leniency: Leniency, expected: &[&str]) {
        let mut words = QueryWords::new(query);
        let found = marks(text, Language::English, &mut words, leniency, &mut Tokens::new());
        let found: Vec<_> = found.iter().map(|(start, end)| &text[*start as usize..*end as usize]).collect();
        assert_eq!(found, expected, "{query:?} in {text:?}");
    }

    const EXACT: Leniency = Leniency { prefix: false, typos: false };
    const TYPING: Leniency = Leniency { prefix: true, typos: false };
    const FORGIVING: Leniency = Leniency { prefix: false, typos: true };

    #[test]
    fn words_are_marked_by_their_stem() {
        check("deploying mirrors", "We deploy one mirror.", EXACT, &["deploy", "mirror"]);
        check("telesc", "The telescope", EXACT, &[]);
    }

    #[test]
    fn while_typing_words_that_begin_alike_are_marked() {
        check(
            "big telesc",
            "The telescope and the telescopes are big; tel is not.",
            TYPING,
            &["telescope", "telescopes", "big"],
        );
        check("t", "The telescope", TYPING, &[]);
    }

    #[test]
    fn forgiven_typos_are_marked_and_other_words_are_not() {
        check("telescoqe", "The telescope and the periscope", FORGIVING, &["telescope"]);
        check("telsecope", "The telescope", FORGIVING, &["telescope"]);
        check("miror", "One mirror, two minors", FORGIVING, &["mirror"]);
        check("dome", "The home", FORGIVING, &[]);
    }

    #[test]
    fn likeness_counts_letters_added_dropped_changed_and_swapped() {
        let like = |a: &str, b: &str, typos| is_like(&a.chars().collect::<Vec<_>>(), b, typos);
        assert!(like("abcde", "abcde", 0) && like("abcde", "abde", 1) && like("abde", "abcde", 1));
        assert!(like("abcde", "abxde", 1) && like("abcde", "bacde", 1) && like("", "", 0));
        assert!(!like("abcde", "baced", 1) && like("abcde", "baced", 2));
    }
}
