//! Words, phrases, conditions, beginnings and typos.

use index::{Clause, ClauseKind, Field, LexicalQuery, Occur};

use crate::content::{Content, clause, phrase, words};

fn content() -> Content {
    let mut content = Content::new();
    content.put("acme", "tides", "Tide tables", &["The harbour master publishes the tides.", "Low water is at noon."]);
    content.put("acme", "lamps", "Lighthouse", &["The keeper lights the lantern before the harbour closes."]);
    content.put("acme", "bread", "Kitchen", &["Sourdough bread needs twelve hours."]);
    content.commit();
    content
}

#[test]
fn any_word_finds_and_more_words_rank_higher() {
    let content = content();
    let found = content.found_under(&content.mask("acme"), &words("harbour lantern"));
    assert_eq!(found, ["lamps", "tides"]);
    assert_eq!(content.found(&words("harbours lanterns")), ["lamps", "tides"], "in other forms too");
    assert!(content.found(&words("submarine")).is_empty());
}

#[test]
fn a_title_is_found_with_the_text_and_alone() {
    let content = content();
    assert_eq!(content.found(&words("kitchen")), ["bread"]);
    let title = |text: &str| Clause { field: Field::Title, ..clause(Occur::Must, text) };
    let query = |text| LexicalQuery { clauses: vec![title(text)], ..LexicalQuery::default() };
    assert_eq!(content.found(&query("lighthouse")), ["lamps"]);
    assert!(content.found(&query("keeper")).is_empty());
}

#[test]
fn a_phrase_needs_its_words_side_by_side_and_in_order() {
    let content = content();
    assert_eq!(content.found(&phrase("harbour master")), ["tides"]);
    assert!(content.found(&phrase("master harbour")).is_empty());
    assert!(content.found(&phrase("harbour publishes")).is_empty());
    assert!(content.found(&phrase("tables the harbour")).is_empty(), "no phrase runs from the title into the text");
}

#[test]
fn what_must_stand_and_what_must_not_is_heeded() {
    let content = content();
    let query = |clauses| LexicalQuery { clauses, ..LexicalQuery::default() };
    let both = query(vec![clause(Occur::Must, "harbour"), clause(Occur::Must, "lantern")]);
    assert_eq!(content.found(&both), ["lamps"]);
    let without = query(vec![clause(Occur::Should, "harbour"), clause(Occur::MustNot, "lantern")]);
    assert_eq!(content.found(&without), ["tides"]);
    let unknown = query(vec![clause(Occur::Should, "harbour"), clause(Occur::Must, "submarine")]);
    assert!(content.found(&unknown).is_empty());
    let no_one = query(vec![clause(Occur::Should, "harbour"), clause(Occur::MustNot, "submarine")]);
    assert_eq!(content.found(&no_one), ["lamps", "tides"]);
}

#[test]
fn the_last_word_may_be_unfinished() {
    let content = content();
    let typed = |text: &str| LexicalQuery { last_word_is_prefix: true, ..words(text) };
    assert_eq!(content.found(&typed("lant")), ["lamps"]);
    assert_eq!(content.found(&typed("bread har")), ["bread", "lamps", "tides"]);
    assert!(content.found(&words("lant")).is_empty());
}

#[test]
fn typos_are_forgiven_by_the_length_of_the_word_and_only_when_asked() {
    let content = content();
    let fuzzy = |text: &str| LexicalQuery { fuzzy: true, ..words(text) };
    assert_eq!(content.found(&fuzzy("harbuor")), ["lamps", "tides"]);
    assert_eq!(content.found(&fuzzy("sourdoguhh")), ["bread"]);
    assert!(content.found(&words("harbuor")).is_empty());
    assert!(content.found(&fuzzy("nxon")).is_empty(), "short words are taken as they are");
    assert!(content.found(&fuzzy("hxrbuxr")).is_empty(), "two typos in seven letters are too many");
}

#[test]
fn typos_are_forgiven_in_unknown_words_alone() {
    let mut content = content();
    content.put("acme", "garden", "Arbour", &["Roses climb here."]);
    content.commit();
    let fuzzy = LexicalQuery { fuzzy: true, ..words("harbour sourdoguhh") };
    assert_eq!(content.found(&fuzzy), ["bread", "lamps", "tides"]);
}

#[test]
fn a_word_is_no_rarer_in_a_language_of_few_passages() {
    let mut content = Content::new();
    for number in 0..12 {
        let text = "The harbours are closed when the wind is from the north.";
        content.put("acme", &format!("english{number}"), "", &[text]);
    }
    content.put("acme", "twice", "", &["The harbours are closed when the harbours are full."]);
    let polish = "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw: harbours.";
    content.put("acme", "polish", "", &[polish]);
    content.commit();
    let found = content.found_under(&content.mask("acme"), &words("harbours"));
    assert_eq!(found.len(), 14);
    let (mask, searcher) = (content.mask("acme"), content.index.searcher());
    let best = searcher.lexical(&mask, &words("harbours"), 1).unwrap()[0];
    let (_, passage) = searcher.passage(&mask, best.address).unwrap().unwrap();
    assert!(passage.text.contains("full"), "{}", passage.text);
}

#[test]
fn a_missing_leg_can_be_scored_afterwards() {
    let content = content();
    let (mask, searcher, query) = (content.mask("acme"), content.index.searcher(), words("harbour"));
    let found = searcher.lexical(&mask, &query, 10).unwrap();
    let addresses: Vec<_> = found.iter().rev().map(|found| found.address).collect();
    let scores = searcher.bm25_of(&mask, &query, &addresses).unwrap();
    let expected: Vec<_> = found.iter().rev().map(|found| Some(found.score)).collect();
    assert_eq!(scores, expected);
    let kind = ClauseKind::Words("bread".to_owned());
    let other = LexicalQuery { clauses: vec![Clause { kind, ..clause(Occur::Should, "") }], ..query };
    assert_eq!(searcher.bm25_of(&mask, &other, &addresses).unwrap(), vec![None; addresses.len()]);
}
