//! Another model or passage size while the product goes on writing and people go on searching, and the way back.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use access::{Caller, Purpose, Subject};
use index::generation::Current;
use index::{Clause, ClauseKind, Field, Index, LexicalQuery, Occur};
use indexer::config::Config;
use indexer::engine::reindex::{Progress, ReindexError};
use indexer::engine::{Engine, Wait};
use indexer::error::OpenError;
use models::embed::Embedder;
use schemas::event::Event;
use schemas::grant::Role;

use crate::site::{DIMENSIONS, Site, settle};
use crate::source::{Source, user};

const OTHER_DIMENSIONS: usize = 48;
const OTHER_TOKENS: usize = 120;
const TEXT: &str = "The heliostat follows the sun and throws its light into the tower all day long. ";

/// Pages whose text is cut differently by another passage size.
fn pages(source: &mut Source, count: usize) -> Vec<Event> {
    let mut events = vec![source.member("ada", Role::Member), source.group("team", &["user:ada"])];
    for at in 0..count {
        let id = format!("p{at}");
        events.push(source.page(&id, &format!("Page {at}"), None));
        events.push(source.grant(&id, &["workspace:view"]));
        events.push(source.block(&id, &format!("{id}-text"), &format!("number{at} {}", TEXT.repeat(12))));
    }
    events
}

/// What an engine that was built with the other recipe from the start holds after these events.
fn digest_of_a_clean_run(source: &Source, events: &[Event], dimensions: usize, passage_tokens: usize) -> String {
    let site = Site::new();
    let index = index::Config { dir: site.dir.join("index"), dimensions, ..index::Config::default() };
    let index = Index::open(&index, index::OpenMode::ReadWrite).unwrap();
    let config = Config { passage_tokens, ..site.config.clone() };
    let engine = Engine::open(index, Some(Embedder::fake(dimensions)), config).unwrap();
    engine.submit(events, Wait::Searchable).unwrap();
    settle(&engine);
    engine.content_digest(&source.workspace).unwrap()
}

/// The pages with a word.
fn found(index: &Index, source: &Source, word: &str) -> BTreeSet<String> {
    let caller = Caller { workspace: source.workspace.clone(), subject: Subject::User(user("ada")) };
    let workspace = index.catalog().get(&source.workspace).unwrap();
    let mask = workspace.read().access.mask(&caller, Purpose::Discover);
    let clauses = vec![Clause { occur: Occur::Must, field: Field::All, kind: ClauseKind::Words(word.to_owned()) }];
    let query = LexicalQuery { clauses, last_word_is_prefix: false, fuzzy: false };
    let found = index.searcher().lexical(&mask, &query, 1_000).unwrap();
    let state = workspace.read();
    found.iter().map(|candidate| state.access.page_of(candidate.page).unwrap().to_string()).collect()
}

#[test]
fn another_model_takes_over_during_edits_and_searches_and_goes_back_without_losing_one() {
    let site = Site::new();
    let index = site.index();
    let engine = site.open_over(index.clone());
    let mut source = Source::new("acme", "eu");
    let mut all = pages(&mut source, 60);
    engine.submit(&all, Wait::Searchable).unwrap();
    settle(&engine);

    let is_done = AtomicBool::new(false);
    let searches = AtomicUsize::new(0);
    let (mut rebuild, mut edits) =
        (engine.rebuild(Some(Embedder::fake(OTHER_DIMENSIONS)), OTHER_TOKENS).unwrap(), Vec::new());
    assert!(matches!(engine.rebuild(None, 200), Err(ReindexError::AlreadyRunning)));
    std::thread::scope(|scope| {
        let searcher = || {
            while !is_done.load(Ordering::Acquire) {
                assert_eq!(found(&index, &source_named(), "heliostat").len(), 60, "no search misses a page");
                searches.fetch_add(1, Ordering::Relaxed);
            }
        };
        scope.spawn(searcher);
        let writer = scope.spawn(|| {
            let mut written = Vec::new();
            while !is_done.load(Ordering::Acquire) {
                let at = written.len() % 60;
                let id = format!("p{at}");
                let text = format!("edit{} {}", written.len(), TEXT.repeat(9));
                let event = source.block(&id, &format!("{id}-text"), &text);
                engine.submit(std::slice::from_ref(&event), Wait::Searchable).unwrap();
                written.push(event);
            }
            written
        });
        rebuild.follow(1.0, &mut |_| ControlFlow::Continue(())).unwrap();
        rebuild.switch().unwrap();
        is_done.store(true, Ordering::Release);
        edits.extend(writer.join().unwrap());
    });
    assert!(searches.load(Ordering::Relaxed) > 0 && !edits.is_empty());
    all.extend(edits);
    settle(&engine);
    assert_eq!(index.description().number, 2);
    let clean = digest_of_a_clean_run(&source, &all, OTHER_DIMENSIONS, OTHER_TOKENS);
    assert_eq!(engine.content_digest(&source.workspace).unwrap(), clean);

    // Edits after the switch are in both: the way back loses none.
    let more: Vec<Event> = (0..5).map(|at| source.block("p1", &format!("p1-{at}"), "afterwards")).collect();
    engine.submit(&more, Wait::Searchable).unwrap();
    all.extend(more);
    settle(&engine);
    assert!(matches!(engine.return_to_previous(None), Err(ReindexError::OtherModel { .. })));
    let back = engine.return_to_previous(Some(Embedder::fake(DIMENSIONS))).unwrap();
    back.switch().unwrap();
    settle(&engine);
    assert_eq!(index.description().number, 1);
    assert_eq!(found(&index, &source, "afterwards"), ["p1".to_owned()].into());
    let clean = digest_of_a_clean_run(&source, &all, DIMENSIONS, 200);
    assert_eq!(engine.content_digest(&source.workspace).unwrap(), clean);

    // And forth again, over a restart.
    assert!(engine.close());
    drop((engine, index));
    let engine = site.open();
    engine.return_to_previous(Some(Embedder::fake(OTHER_DIMENSIONS))).unwrap().switch().unwrap();
    settle(&engine);
    let clean = digest_of_a_clean_run(&source, &all, OTHER_DIMENSIONS, OTHER_TOKENS);
    assert_eq!(engine.content_digest(&source.workspace).unwrap(), clean);
    assert_eq!(Current::read(&site.dir.join("index")).unwrap().unwrap().generation, 2);
}

/// The workspace alone is of interest to who searches.
fn source_named() -> Source {
    Source::new("acme", "eu")
}

#[test]
fn what_was_copied_before_a_stop_is_not_copied_again() {
    let mut site = Site::new();
    site.config.commit_events_max = 10;
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    let mut all = pages(&mut source, 100);
    engine.submit(&all, Wait::Searchable).unwrap();
    settle(&engine);
    let mut rebuild = engine.rebuild(Some(Embedder::fake(OTHER_DIMENSIONS)), OTHER_TOKENS).unwrap();
    let stopped = rebuild.follow(1.0, &mut |progress| {
        if progress.records > 50 {
            engine.close();
        }
        ControlFlow::Continue(())
    });
    assert!(matches!(stopped, Err(ReindexError::Stopped)), "{stopped:?}");
    drop((rebuild, engine));

    let engine = site.open();
    let edit = source.block("p3", "p3-text", "changed in between");
    engine.submit(std::slice::from_ref(&edit), Wait::Searchable).unwrap();
    all.push(edit);
    let mut rebuild = engine.rebuild(Some(Embedder::fake(OTHER_DIMENSIONS)), OTHER_TOKENS).unwrap();
    let mut seen = 0;
    let note = &mut |progress: Progress| {
        seen = progress.records;
        ControlFlow::Continue(())
    };
    rebuild.follow(1.0, note).unwrap();
    assert!(seen < 70, "{seen} records were copied the second time");
    rebuild.switch().unwrap();
    settle(&engine);
    let clean = digest_of_a_clean_run(&source, &all, OTHER_DIMENSIONS, OTHER_TOKENS);
    assert_eq!(engine.content_digest(&source.workspace).unwrap(), clean);
}

#[test]
fn another_model_is_refused_rather_than_mixed_in() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    engine.submit(&pages(&mut source, 1), Wait::Searchable).unwrap();
    assert!(engine.close());
    drop(engine);
    let opened = Engine::open(site.index(), Some(Embedder::fake(OTHER_DIMENSIONS)), site.config.clone());
    assert!(matches!(opened, Err(OpenError::OtherDimensions { .. })));
}

#[test]
fn an_erased_workspace_is_erased_in_the_generation_that_is_being_built() {
    let site = Site::new();
    let index = site.index();
    let engine = site.open_over(index.clone());
    let mut source = Source::new("acme", "eu");
    engine.submit(&pages(&mut source, 5), Wait::Searchable).unwrap();
    let mut rebuild = engine.rebuild(Some(Embedder::fake(OTHER_DIMENSIONS)), OTHER_TOKENS).unwrap();
    rebuild.follow(1.0, &mut |_| ControlFlow::Continue(())).unwrap();
    let erased = source.write(schemas::event::Change::WorkspaceErased);
    engine.submit(&[erased], Wait::Searchable).unwrap();
    rebuild.switch().unwrap();
    let workspace = index.catalog().get(&source.workspace).unwrap();
    assert!(workspace.read().erased);
    let left = index.writer().unwrap().written_since(0).unwrap();
    assert_eq!(left.len(), 1, "nothing but that it was erased: {left:?}");
}
