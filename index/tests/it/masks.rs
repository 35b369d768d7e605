//! The mask narrows every function of a searcher.

use index::LexicalQuery;

use crate::content::{Content, page, query_vector, words};

const TEXTS: [(&str, &str); 4] = [
    ("a", "harbour alphaword"),
    ("b", "harbour betaword harbour"),
    ("c", "harbour gammaword"),
    ("d", "deltaword alone"),
];

fn content() -> Content {
    let mut content = Content::new();
    for (id, text) in TEXTS {
        content.put("acme", id, "Shared title", &[text]);
    }
    content.commit();
    content
}

#[test]
fn every_subset_of_pages_is_all_that_is_found_by_words_and_by_meaning() {
    let content = content();
    let searcher = content.index.searcher();
    for bits in 0..1_u32 << TEXTS.len() {
        let allowed: Vec<&str> = (0..TEXTS.len()).filter(|at| bits >> at & 1 == 1).map(|at| TEXTS[at].0).collect();
        let mask = content.only("acme", &allowed);
        let with_word: Vec<&str> = allowed.iter().copied().filter(|id| *id != "d").collect();
        let mut found = content.found_under(&mask, &words("harbour"));
        found.sort();
        assert_eq!(found, with_word);
        let near = searcher.semantic(&mask, &query_vector("harbour"), 10).unwrap();
        let mut near = content.named(&mask, near);
        near.sort();
        assert_eq!(near, allowed);
    }
}

#[test]
fn the_best_permitted_one_is_found_whatever_stands_above_it() {
    let mut content = Content::new();
    for at in 0..300 {
        content.put("acme", &format!("p{at}"), "", &["harbour harbour harbour"]);
    }
    content.put("acme", "mine", "", &["one harbour among many other words that make it rank lower"]);
    content.commit();
    let mask = content.only("acme", &["mine"]);
    let searcher = content.index.searcher();
    assert_eq!(content.named(&mask, searcher.lexical(&mask, &words("harbour"), 1).unwrap()), ["mine"]);
    assert_eq!(content.named(&mask, searcher.semantic(&mask, &query_vector("harbour"), 1).unwrap()), ["mine"]);
}

#[test]
fn addresses_scores_passages_and_records_of_other_pages_are_not_given() {
    let content = content();
    let (all, searcher) = (content.mask("acme"), content.index.searcher());
    let none = content.only("acme", &["d"]);
    let query = words("harbour");
    let known = content.index.catalog().get(&crate::content::workspace("acme")).unwrap();
    for found in searcher.lexical(&all, &query, 10).unwrap() {
        let at = [found.address];
        assert!(searcher.bm25_of(&all, &query, &at).unwrap()[0].is_some());
        assert_eq!(searcher.bm25_of(&none, &query, &at).unwrap(), [None]);
        assert!(searcher.cosine_of(&all, &query_vector("x"), &at).unwrap()[0].is_some());
        assert_eq!(searcher.cosine_of(&none, &query_vector("x"), &at).unwrap(), [None]);
        assert!(searcher.passage(&all, at[0]).unwrap().is_some());
        assert!(searcher.passage(&none, at[0]).unwrap().is_none());
        assert!(searcher.vector_of(&all, at[0]).unwrap().is_some());
        assert!(searcher.vector_of(&none, at[0]).unwrap().is_none());
        assert_eq!(searcher.page_passages(&all, found.page).unwrap(), at);
        assert!(searcher.page_passages(&none, found.page).unwrap().is_empty());
        assert!(searcher.page_record(&all, found.page).unwrap().is_some());
        assert!(searcher.page_record(&none, found.page).unwrap().is_none());
    }
    let ordinal = known.read().access.ordinal_of(&page("d")).unwrap();
    assert_eq!(searcher.page_record(&none, ordinal).unwrap().unwrap().title.value().unwrap(), "Shared title");
}

#[test]
fn suggested_words_and_forgiven_typos_come_from_permitted_passages() {
    let content = content();
    let searcher = content.index.searcher();
    let mask = content.only("acme", &["a", "d"]);
    assert_eq!(searcher.suggest_terms(&content.mask("acme"), "beta", 5).unwrap(), ["betaword"]);
    assert!(searcher.suggest_terms(&mask, "beta", 5).unwrap().is_empty());
    assert_eq!(searcher.suggest_terms(&mask, "al", 5).unwrap(), ["alone", "alphaword"]);
    let typed = LexicalQuery { last_word_is_prefix: true, fuzzy: true, ..words("betawurd betaw") };
    assert!(content.found_under(&mask, &typed).is_empty());
}

#[test]
fn words_that_others_may_see_do_not_crowd_out_those_that_complete_what_was_typed() {
    let mut content = Content::new();
    for at in 0..100 {
        content.put("acme", &format!("p{at}"), "", &[&format!("har{at:03} har{at:03}x")]);
        content.put("acme", &format!("q{at}"), "", &[&format!("har{at:03} har{at:03}x")]);
    }
    content.put("acme", "mine", "", &["harvest"]);
    content.commit();
    let mask = content.only("acme", &["mine"]);
    let typed = LexicalQuery { last_word_is_prefix: true, ..words("har") };
    assert_eq!(content.found_under(&mask, &typed), ["mine"]);
}
