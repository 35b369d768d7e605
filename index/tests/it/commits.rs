//! One commit: nothing before it is seen, and all of it stays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use index::{CommitPayload, Config, Index, IndexError, OpenMode, PurgeExtent};

use crate::content::{Content, MODEL, page, query_vector, words, workspace};

#[test]
fn what_is_not_committed_is_not_seen_and_is_lost_when_the_index_is_closed() {
    let mut content = Content::new();
    content.put("acme", "a", "", &["harbour one"]);
    content.commit();
    content.put("acme", "b", "", &["harbour two"]);
    content.put("acme", "a", "", &["lantern"]);
    content.index.reload().unwrap();
    assert_eq!(content.found(&words("harbour")), ["a"]);
    let mut content = content.reopened();
    assert_eq!(content.found(&words("harbour")), ["a"]);
    assert!(content.index.catalog().get(&workspace("acme")).unwrap().read().head_of(&page("b")).is_none());
    content.put("acme", "b", "", &["harbour two"]);
    content.commit();
    assert_eq!(content.found(&words("harbour")), ["a", "b"]);
}

#[test]
fn an_index_opens_while_another_merges_it() {
    let mut content = Content::new();
    content.put("acme", "a", "", &["harbour"]);
    content.commit();
    let (config, over) = (content.config.clone(), AtomicBool::new(false));
    let opened = thread::scope(|scope| {
        let opening = scope.spawn(|| {
            let mut opened = 0;
            while !over.load(Ordering::Relaxed) {
                Index::open(&config, OpenMode::ReadOnly).unwrap();
                opened += 1;
            }
            opened
        });
        for _ in 0..30 {
            content.put("acme", "a", "", &["harbour"]);
            content.commit();
            content.writer.purge(PurgeExtent::Deleted, &|| true).unwrap();
        }
        over.store(true, Ordering::Relaxed);
        opening.join().unwrap()
    });
    assert!(opened > 0);
}

#[test]
fn a_searcher_goes_on_with_what_it_was_opened_on() {
    let mut content = Content::new();
    content.put("acme", "a", "", &["harbour one"]);
    content.commit();
    let (old, mask) = (content.index.searcher(), content.mask("acme"));
    content.put("acme", "a", "", &["lantern"]);
    content.commit();
    assert_eq!(old.lexical(&mask, &words("harbour"), 10).unwrap().len(), 1);
    assert!(content.found(&words("harbour")).is_empty());
}

#[test]
fn the_payload_of_the_last_commit_survives() {
    let content = Content::new();
    let payload = CommitPayload {
        index_seq: 41,
        offsets: [("events-0".to_owned(), 17), ("events-1".to_owned(), i64::MAX)].into(),
        model_id: Some(MODEL.to_owned()),
        follows: None,
    };
    assert_eq!(content.index.payload(), CommitPayload::default());
    content.writer.commit(&payload).unwrap();
    assert_eq!(content.index.payload(), CommitPayload::default(), "it is taken in with the reload");
    content.index.reload().unwrap();
    assert_eq!(content.index.payload(), payload);
    assert_eq!(content.reopened().index.payload(), payload);
}

#[test]
fn an_index_opened_again_has_the_same_pages_counts_and_results() {
    let mut content = Content::new();
    for at in 0..40 {
        let (first, second) = (format!("harbour {at}"), format!("lantern {}", at % 7));
        content.put("acme", &format!("p{at}"), &format!("Page {at}"), &[&first, &second]);
        if at % 9 == 0 {
            content.commit();
        }
    }
    content.commit();
    let told = |content: &Content| {
        let known = content.index.catalog().get(&workspace("acme")).unwrap();
        let state = known.read();
        let heads: Vec<_> = state.heads().cloned().collect();
        let (stats, languages) = (state.stats(), state.languages());
        drop(state);
        let (mask, searcher) = (content.mask("acme"), content.index.searcher());
        let lexical = searcher.lexical(&mask, &words("harbour 7 lantern"), 100).unwrap();
        let semantic = searcher.semantic(&mask, &query_vector("lantern"), 10).unwrap();
        (heads, stats, languages, lexical, semantic)
    };
    let before = told(&content);
    assert_eq!((before.0.len(), before.1.passages, before.3.len()), (40, 80, 80));
    // Segments may be merged at any time, so addresses may change, but never what they name.
    let content = content.reopened();
    let after = told(&content);
    assert_eq!((&before.0, before.1, &before.2), (&after.0, after.1, &after.2));
    let scores = |found: &[index::Candidate]| {
        let mut scores: Vec<_> = found.iter().map(|found| (found.page, found.score.to_bits())).collect();
        scores.sort_unstable();
        scores
    };
    assert_eq!(scores(&before.3), scores(&after.3));
    let best = |found: &[index::Candidate]| found.iter().map(|found| found.score.to_bits()).collect::<Vec<_>>();
    assert_eq!(best(&before.4), best(&after.4));
}

#[test]
fn a_second_writer_is_told_that_the_index_is_locked() {
    let content = Content::new();
    let second = Index::open(&content.config, OpenMode::ReadWrite).unwrap();
    assert!(matches!(second.writer(), Err(IndexError::Locked(_))));
    drop(second);
    let reader = Index::open(&content.config, OpenMode::ReadOnly);
    assert!(matches!(reader.unwrap().writer(), Err(IndexError::Locked(_))));
    assert!(content.index.writer().is_ok(), "the same index gives its writer again");
}

#[test]
fn a_folder_without_an_index_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { dir: dir.path().join("none"), ..Config::default() };
    assert!(matches!(Index::open(&config, OpenMode::ReadOnly), Err(IndexError::Absent(_))));
}
