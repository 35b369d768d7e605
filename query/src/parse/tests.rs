//! The query language by example, and that reading never fails and is stable.

use proptest::prelude::*;

use super::*;

/// Parts as text: kind, a dash if excluded, and the value.
fn parts(query: &str) -> Vec<String> {
    let show = |part: &Part| {
        let dash = if part.excluded { "-" } else { "" };
        match &part.kind {
            PartKind::Word(word) => format!("{dash}word {word}"),
            PartKind::Phrase(phrase) => format!("{dash}phrase {phrase}"),
            PartKind::Title { text, phrase } => format!("{dash}title{} {text}", if *phrase { " phrase" } else { "" }),
            PartKind::Filter(filter) => format!("{dash}filter {filter}"),
        }
    };
    ParsedQuery::parse(query).parts.iter().map(show).collect()
}

#[track_caller]
fn check<const N: usize>(query: &str, expected: [&str; N]) {
    assert_eq!(parts(query), expected, "{query}");
    let printed = ParsedQuery::parse(query).to_string();
    assert_eq!(parts(&printed), expected, "{query} was printed as {printed}");
}

#[test]
fn words_phrases_and_exclusions_are_told_apart() {
    check("deploy the service", ["word deploy", "word the", "word service"]);
    check("\"blue green\" deploy", ["phrase blue green", "word deploy"]);
    check("deploy -staging -\"dry run\"", ["word deploy", "-word staging", "-phrase dry run"]);
    check("  spaces\tand\u{0}controls  ", ["word spaces", "word and", "word controls"]);
    check("", []);
}

#[test]
fn filters_take_bare_and_quoted_values() {
    check("tag:urgent tag:\"to do\"", ["filter tag:urgent", "filter tag:\"to do\""]);
    check("TYPE:Database in:eng author:ada", ["filter type:database", "filter in:eng", "filter author:ada"]);
    check("after:2026-03-01 -before:2026-04-01", ["filter after:2026-03-01", "-filter before:2026-04-01"]);
    check("title:budget title:\"q3 plan\"", ["title budget", "title phrase q3 plan"]);
}

#[test]
fn what_is_no_filter_is_words() {
    check("https://example.com/a?b=c", ["word https://example.com/a?b=c"]);
    check("std::vec title::x in::y", ["word std::vec", "word title::x", "word in::y"]);
    check(
        "type:string before:lunch after:2026-13-01",
        ["word type:string", "word before:lunch", "word after:2026-13-01"],
    );
    check("author: in:", ["word author:", "word in:"]);
    check("note:\"two words\"", ["word note:", "phrase two words"]);
    check("type:\"no kind\"", ["word type:", "phrase no kind"]);
}

#[test]
fn dashes_exclude_only_before_a_word() {
    check("e-mail well-known", ["word e-mail", "word well-known"]);
    check("--flag - -", ["word --flag", "word -", "word -"]);
    check("a -b", ["word a", "-word b"]);
}

#[test]
fn quotes_that_are_open_empty_or_typographic_do_no_harm() {
    check("\"still typing", ["phrase still typing"]);
    check("\"\" a \"  \"", ["word a"]);
    check("tag:\"\" b", ["word tag:", "word b"]);
    check("\u{201c}smart quotes\u{201d} \u{201e}und deutsche\u{201c}", ["phrase smart quotes", "phrase und deutsche"]);
    check("5\" disk", ["word 5\"", "word disk"]);
}

#[test]
fn only_wanted_words_go_to_the_embedding() {
    let query = ParsedQuery::parse("how to \"roll back\" title:deploy -staging tag:ops");
    assert_eq!(query.wanted_text(), "how to roll back deploy");
    assert!(query.has_words());
    assert!(!ParsedQuery::parse("tag:ops -staging").has_words());
}

#[test]
fn phrases_titles_and_exclusions_narrow_the_pages_and_words_do_not() {
    let query = ParsedQuery::parse("deploy \"roll back\" -staging title:runbook tag:ops");
    let conditions: Vec<bool> = query.page_conditions().iter().map(|condition| condition.excluded).collect();
    assert_eq!(conditions, [false, true, false]);
    assert!(ParsedQuery::parse("deploy \"!\" -?").page_conditions().is_empty(), "nothing to look for");
}

#[test]
fn the_last_word_is_a_prefix_only_where_it_is_being_typed() {
    assert!(ParsedQuery::parse("blue gre").lexical(true, false).last_word_is_prefix);
    assert!(!ParsedQuery::parse("blue gre").lexical(false, false).last_word_is_prefix);
    assert!(!ParsedQuery::parse("blue \"gre").lexical(true, false).last_word_is_prefix);
    assert!(!ParsedQuery::parse("gre tag:x").lexical(true, false).last_word_is_prefix);
    assert!(!ParsedQuery::parse("blue -gre").lexical(true, false).last_word_is_prefix);
}

#[test]
fn a_query_without_end_has_an_end() {
    assert_eq!(ParsedQuery::parse(&"a ".repeat(10_000)).parts.len(), PARTS_MAX);
}

proptest! {
    #[test]
    fn any_text_is_read_and_reading_what_was_printed_changes_nothing(text in any::<String>()) {
        let query = ParsedQuery::parse(&text);
        prop_assert_eq!(ParsedQuery::parse(&query.to_string()), query);
    }

    #[test]
    fn text_made_of_operators_is_read_and_printed_alike(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "-", "\"", "\u{201c}", ":", "::", " ", "title", "type", "in", "tag", "before", "page", "2026-03-01", "a", "b c", "\u{0}",
            ]),
            0..24,
        )
    ) {
        let query = ParsedQuery::parse(&pieces.concat());
        prop_assert_eq!(ParsedQuery::parse(&query.to_string()), query);
    }
}
