//! BM25 of whole pages: words of different passages speak for their page together.

use access::PageOrdinal;
use index::Bm25Shape;

use crate::content::{Content, page, words, workspace};

const SHAPE: Bm25Shape = Bm25Shape { k1: 1.2, b: 0.75 };

fn content() -> Content {
    let mut content = Content::new();
    content.put("acme", "apart", "One", &["the keeper lights the lamp", "the harbour is closed"]);
    content.put("acme", "single", "Two", &["the keeper lights the lamp", "sourdough bread takes time"]);
    content.put("acme", "none", "Three", &["nothing of the kind stands here"]);
    content.commit();
    content
}

fn ordinals(content: &Content, ids: &[&str]) -> Vec<PageOrdinal> {
    let known = content.index.catalog().get(&workspace("acme")).unwrap();
    let state = known.read();
    ids.iter().map(|id| state.access.ordinal_of(&page(id)).unwrap()).collect()
}

#[test]
fn words_in_different_passages_count_together() {
    let content = content();
    let pages = ordinals(&content, &["single", "apart", "none"]);
    let searcher = content.index.searcher();
    let scores = searcher.bm25_of_pages(&content.mask("acme"), &words("keeper harbour"), &pages, SHAPE).unwrap();
    assert!(scores[1] > scores[0] && scores[0] > 0.0, "{scores:?}");
    assert_eq!(scores[2].to_bits(), 0);
}

#[test]
fn a_page_that_is_not_allowed_scores_nothing() {
    let content = content();
    let pages = ordinals(&content, &["single", "apart"]);
    let mask = content.only("acme", &["single"]);
    let scores = content.index.searcher().bm25_of_pages(&mask, &words("keeper harbour"), &pages, SHAPE).unwrap();
    assert!(scores[0] > 0.0);
    assert_eq!(scores[1].to_bits(), 0);
}

#[test]
fn a_word_that_comes_again_counts_less_each_time_and_not_at_all_without_k1() {
    let mut content = Content::new();
    content.put("acme", "once", "One", &["lamp oil wick glass"]);
    content.put("acme", "twice", "Two", &["lamp oil lamp glass"]);
    content.commit();
    let pages = ordinals(&content, &["once", "twice"]);
    let score = |k1| {
        let shape = Bm25Shape { k1, b: 0.0 };
        content.index.searcher().bm25_of_pages(&content.mask("acme"), &words("lamp"), &pages, shape).unwrap()
    };
    let often = score(1.2);
    assert!(often[1] > often[0] && often[1] < 2.0 * often[0], "{often:?}");
    let only_whether = score(0.0);
    assert!((only_whether[0] - only_whether[1]).abs() < 1e-6, "{only_whether:?}");
}
