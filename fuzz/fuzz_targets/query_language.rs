//! The query language, and what marks its words: the first line is the query, the rest a text in which it is found.
//!
//! Printing a query and reading it again gives the same query; tokens, marks and highlights lie in their text, in order,
//! on borders of characters.

#![no_main]

use fuzz::check_ranges;
use index::analysis::{Analyzer, Language, Tokens, detect_language};
use libfuzzer_sys::fuzz_target;
use query::mark::{Leniency, marks};
use query::parse::{PARTS_MAX, ParsedQuery};
use query::rescore::QueryWords;
use query::snippet::excerpt;

const SNIPPET_CHARS_MAX: usize = 60;

fuzz_target!(|input: &str| {
    let (query, text) = input.split_once('\n').unwrap_or((input, ""));
    let parsed = ParsedQuery::parse(query);
    assert!(parsed.parts.len() <= PARTS_MAX);
    assert_eq!(ParsedQuery::parse(&parsed.to_string()), parsed, "printed as {parsed}");
    assert_eq!(parsed.has_words(), !parsed.lexical(true, true).clauses.is_empty());
    let conditions = parsed.page_conditions();
    assert!(conditions.iter().all(|condition| condition.query.clauses.len() == 1));

    let language = detect_language(text, Language::default());
    let mut tokens = Tokens::new();
    Analyzer::new().tokens(text, language, &mut tokens);
    for token in tokens.iter() {
        check_ranges(text, [(token.start, token.end)]);
    }
    let wanted = parsed.wanted_text();
    for leniency in [Leniency::default(), Leniency { prefix: true, typos: true }] {
        let marks = marks(text, language, &mut QueryWords::new(&wanted), leniency, &mut tokens);
        check_ranges(text, marks.iter().copied());
        let snippet = excerpt(text, &marks, SNIPPET_CHARS_MAX).snippet;
        assert!(snippet.text.chars().count() <= SNIPPET_CHARS_MAX + 2, "the excerpt is too long");
        let units: Vec<u16> = snippet.text.encode_utf16().collect();
        let mut end_before = 0;
        for [start, end] in snippet.highlights {
            assert!(start >= end_before && start < end);
            String::from_utf16(&units[start as usize..end as usize]).expect("no character is cut in two");
            end_before = end;
        }
    }
});
