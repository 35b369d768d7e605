//! One pass over a text says what the passes for tokens and for words as written say.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Analyzer, Language, Tokens};
use super::properties::{any_language, any_text};

/// The tokens of `text` as one pass hands them over, and its words as written, in order.
fn analyzed(text: &str, language: Language, memory: &mut Tokens) -> (Vec<(String, u32)>, Vec<String>) {
    let (mut tokens, mut words) = (Vec::new(), Vec::new());
    memory.analyze(text, language, &mut |found| {
        tokens.push((found.term.to_owned(), found.position));
        if !found.variant.is_empty() {
            tokens.push((found.variant.to_owned(), found.position));
        }
        if !found.word.is_empty() {
            words.push(found.word.to_owned());
        }
    });
    (tokens, words)
}

proptest! {
    #[test]
    fn one_pass_says_what_two_say(texts in prop::collection::vec((any_text(), any_language()), 1..4)) {
        let analyzer = Analyzer::new();
        // What was met in the documents before must not show.
        let mut memory = Tokens::new();
        for (text, language) in texts {
            memory.next_document();
            let (tokens, words) = analyzed(&text, language, &mut memory);
            let mut expected = Tokens::new();
            analyzer.tokens(&text, language, &mut expected);
            let expected_tokens: Vec<(String, u32)> =
                expected.iter().map(|token| (token.term.to_owned(), token.position)).collect();
            prop_assert_eq!(tokens, expected_tokens);
            analyzer.surface_words(&text, &mut expected);
            let expected_words: BTreeSet<&str> = expected.iter().map(|token| token.term).collect();
            prop_assert_eq!(words.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected_words);
        }
    }
}

#[test]
fn a_word_that_was_handed_over_is_new_again_in_the_next_document() {
    let mut memory = Tokens::new();
    assert_eq!(analyzed("Runs, runs; it runs", Language::English, &mut memory).1, ["runs", "it"]);
    assert!(analyzed("it runs", Language::English, &mut memory).1.is_empty());
    memory.next_document();
    assert_eq!(analyzed("it runs", Language::English, &mut memory).1, ["it", "runs"]);
}

#[test]
fn endings_behind_an_apostrophe_are_part_of_the_word_as_written_alone() {
    let (tokens, words) = analyzed("Ankara'da Ankara'dan Ankara", Language::Turkish, &mut Tokens::new());
    assert!(tokens.iter().all(|(term, _)| term == &tokens[0].0), "{tokens:?}");
    assert_eq!(words, ["ankarada", "ankaradan", "ankara"]);
}
