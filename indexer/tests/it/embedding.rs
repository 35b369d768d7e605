//! Text first, vectors after; and no text is embedded twice.

use indexer::engine::{Engine, Wait};
use schemas::event::{Change, Event};

use crate::site::{Site, settle};
use crate::source::{Source, page};

fn some_pages(source: &mut Source, pages: usize, blocks: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..pages {
        let id = format!("page{number}");
        events.push(source.page(&id, &format!("Page {number}"), None));
        for block in 0..blocks {
            let text = format!("telescope {number} mirror {block} calibration");
            events.push(source.block(&id, &format!("block{number}-{block}"), &text));
        }
    }
    events
}

#[track_caller]
fn embeds_nothing(engine: &Engine, events: &[Event]) {
    let before = engine.status();
    let submitted = engine.submit(events, Wait::Searchable).unwrap();
    settle(engine);
    let after = engine.status();
    assert!(submitted.rejected.is_empty());
    assert_eq!(after.embedded_passages_total, before.embedded_passages_total, "passages were embedded again");
    assert_eq!(after.semantic_pending, 0);
}

/// Also writes no passage.
#[track_caller]
fn leaves_passages_alone(engine: &Engine, events: &[Event]) {
    let before = engine.status().passages_written_total;
    embeds_nothing(engine, events);
    assert_eq!(engine.status().passages_written_total, before, "passages were written again");
}

#[test]
fn nothing_unchanged_is_embedded_again() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    let events = some_pages(&mut source, 4, 10);
    engine.submit(&events, Wait::Searchable).unwrap();
    settle(&engine);
    let embedded = engine.status().embedded_passages_total;
    assert!(embedded >= 4);
    let stats = engine.workspace_status(&source.workspace).unwrap().stats;
    assert_eq!((stats.vectors, stats.embeddable), (embedded, embedded));

    leaves_passages_alone(&engine, &events);
    leaves_passages_alone(&engine, &[source.page("page1", "Page 1", Some("page0"))]);
    leaves_passages_alone(&engine, &[source.grant("page1", &["workspace:view"])]);
    let rename = [source.page("page2", "Renamed", None)];
    engine.submit(&rename, Wait::Searchable).unwrap();
    settle(&engine);
    assert_eq!(engine.status().embedded_passages_total, embedded + 1, "a rename embeds the title and no passage");
    embeds_nothing(&engine, &[source.page("page3", "Renamed", None)]);

    engine.submit(&[source.block("page3", "block3-4", "something else now")], Wait::Searchable).unwrap();
    settle(&engine);
    assert_eq!(engine.status().embedded_passages_total, embedded + 2, "an edit embeds what it changed");
}

#[test]
fn a_text_that_another_page_has_is_not_embedded_again() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    let first = [source.page("a", "A", None), source.block("a", "a1", "the same text")];
    engine.submit(&first, Wait::Searchable).unwrap();
    settle(&engine);
    embeds_nothing(&engine, &[source.page("b", "B", None), source.block("b", "b1", "the same text")]);
    // A block that moves takes its text along; the page it leaves has none to embed.
    embeds_nothing(&engine, &[source.page("c", "C", None), source.block("c", "a1", "the same text")]);
    // Another workspace has nothing of it.
    let mut other = Source::new("other", "eu");
    engine.submit(&[other.page("a", "A", None), other.block("a", "a1", "the same text")], Wait::Searchable).unwrap();
    settle(&engine);
    assert_eq!(engine.status().embedded_passages_total, 2);
}

#[test]
fn an_import_is_searchable_by_text_before_it_is_embedded() {
    let site = Site::new();
    // Without a model, nothing ever gets a vector: the text is searchable all the same.
    let engine = site.open_with(None);
    let mut source = Source::new("acme", "eu");
    let events = some_pages(&mut source, 40, 20);
    engine.submit(&events, Wait::Searchable).unwrap();
    let status = engine.status();
    assert!(status.semantic_pending >= 40 && status.embedded_passages_total == 0, "{status:?}");
    assert!(engine.close());
    drop(engine);

    // The model comes with the next start, and takes up what was left.
    let engine = site.open();
    settle(&engine);
    let status = engine.status();
    assert_eq!((status.semantic_pending, status.embed_queue_pages), (0, 0));
    assert!(status.embedded_passages_total >= 40);
    assert!(engine.close());
    drop(engine);
    let engine = site.open();
    settle(&engine);
    assert_eq!(engine.status().embedded_passages_total, 0, "vectors outlive a restart");
}

#[test]
fn a_page_with_more_passages_than_one_commit_of_vectors_is_embedded_whole_and_once() {
    let mut site = Site::new();
    site.config.embed_commit_passages = 8;
    site.config.embed_batch_passages = 3;
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    let mut events = vec![source.page("long", "Long", None)];
    for block in 0..60 {
        let text = format!("paragraph {block} ").repeat(60);
        events.push(source.block("long", &format!("b{block:02}"), &text));
    }
    engine.submit(&events, Wait::Searchable).unwrap();
    settle(&engine);
    let stats = engine.workspace_status(&source.workspace).unwrap().stats;
    assert!(stats.embeddable >= 30, "{stats:?}");
    assert_eq!(stats.vectors, stats.embeddable);
    assert_eq!(engine.status().embedded_passages_total, stats.embeddable);
}

#[test]
fn an_erased_or_deleted_page_leaves_no_vector_pending() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    let mut events = some_pages(&mut source, 3, 3);
    events.push(source.write(Change::PageDeleted { page: page("page1") }));
    engine.submit(&events, Wait::Searchable).unwrap();
    settle(&engine);
    assert_eq!(engine.workspace_status(&source.workspace).unwrap().stats.pages, 2);
    engine.submit(&[source.write(Change::WorkspaceErased)], Wait::Searchable).unwrap();
    settle(&engine);
    let status = engine.workspace_status(&source.workspace).unwrap();
    assert!(status.erased && status.stats.passages == 0 && status.semantic_pending == 0);
}
