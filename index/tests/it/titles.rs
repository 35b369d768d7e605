//! Titles as texts of their own: found by meaning, under the mask, and kept apart from the passages of their pages.

use index::Passage;
use index::analysis::Language;
use index::passages::PassageWrite;
use index::vectors::{ModelTag, StoredVector};

use crate::content::{Content, MODEL, page, passages, query_vector, record, vector, words, workspace};

/// Writes a page with its title beside its passages.
fn put(content: &Content, id: &str, title: &str, texts: &[&str]) {
    let record = record(id, title, texts, 1);
    let head = content.head("acme", id, &record);
    let number = content.number("acme");
    let mut writes = passages(id, texts);
    let vector = StoredVector::encode(&vector(title), ModelTag::of(MODEL)).unwrap();
    writes.push(PassageWrite { passage: Passage::of_title(title, Language::English), vector: Some(vector) });
    content.writer.put_page(number, &head, &record, &writes).unwrap();
}

fn content() -> Content {
    let mut content = Content::new();
    put(&content, "lamps", "Lighthouse", &["the keeper lights the lantern", "the harbour closes at ten"]);
    put(&content, "bread", "Kitchen", &["sourdough takes twelve hours"]);
    content.commit();
    content
}

#[test]
fn a_title_is_found_by_meaning_and_is_no_passage() {
    let content = content();
    let (mask, searcher) = (content.mask("acme"), content.index.searcher());
    let found = searcher.semantic(&mask, &query_vector("Lighthouse"), 1).unwrap();
    assert!(searcher.is_title(found[0].address) && found[0].score > 0.99, "{found:?}");
    let ordinal = content.index.catalog().get(&workspace("acme")).unwrap().read().access.ordinal_of(&page("lamps"));
    let ordinal = ordinal.unwrap();
    assert_eq!(searcher.page_title(&mask, ordinal), Some(found[0].address));
    let passages = searcher.page_passages(&mask, ordinal).unwrap();
    assert_eq!(passages.len(), 2);
    assert!(!passages.contains(&found[0].address));
}

#[test]
fn a_title_adds_no_words_and_no_passage_to_the_statistics() {
    let content = content();
    let mut without = Content::new();
    without.put("acme", "lamps", "Lighthouse", &["the keeper lights the lantern", "the harbour closes at ten"]);
    without.put("acme", "bread", "Kitchen", &["sourdough takes twelve hours"]);
    without.commit();
    let found = |content: &Content| {
        let found = content.index.searcher().lexical(&content.mask("acme"), &words("lighthouse lantern"), 10).unwrap();
        found.into_iter().map(|found| (found.page, found.score.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(found(&content), found(&without));
    let stats = |content: &Content| content.index.catalog().get(&workspace("acme")).unwrap().read().stats();
    assert_eq!(stats(&content).passages, 3);
    assert_eq!((stats(&content).embeddable, stats(&content).vectors), (5, 5));
}

#[test]
fn a_title_is_kept_from_who_may_not_see_its_page() {
    let content = content();
    let mask = content.only("acme", &["bread"]);
    let searcher = content.index.searcher();
    let found = searcher.semantic(&mask, &query_vector("Lighthouse"), 10).unwrap();
    assert_eq!(content.named(&mask, found), ["bread"]);
    let hidden = content.index.catalog().get(&workspace("acme")).unwrap().read().access.ordinal_of(&page("lamps"));
    assert_eq!(searcher.page_title(&mask, hidden.unwrap()), None);
}

#[test]
fn titles_outlive_reopening() {
    let content = content().reopened();
    content.index.catalog().workspaces().iter().for_each(|known| known.write().access.publish());
    let (mask, searcher) = (content.mask("acme"), content.index.searcher());
    let found = searcher.semantic(&mask, &query_vector("Kitchen"), 1).unwrap();
    assert!(searcher.is_title(found[0].address));
}
