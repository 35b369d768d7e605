//! What is acknowledged is kept, what is turned down is kept with its reason, and too much is turned away.

use std::collections::BTreeMap;

use indexer::engine::Wait;
use indexer::error::IngestError;
use schemas::event::Change;
use schemas::grant::Role;
use schemas::ids::GroupId;

use crate::site::{Site, settle};
use crate::source::{Source, page, user};

#[test]
fn what_was_acknowledged_outlives_a_drop_without_close() {
    let site = Site::new();
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    let events = [
        source.page("a", "Title", None),
        source.block("a", "a1", "text of a"),
        source.group("team", &["user:ada"]),
        source.member("ada", Role::Member),
    ];
    let submitted = engine.submit(&events, Wait::Durable).unwrap();
    assert_eq!((submitted.accepted, submitted.unchanged), (4, 0));
    settle(&engine);
    let digest = engine.content_digest(&source.workspace).unwrap();
    drop(engine);

    let engine = site.open();
    assert_eq!(engine.content_digest(&source.workspace).unwrap(), digest);
    let record = engine.page_record(&source.workspace, &page("a")).unwrap().unwrap();
    assert_eq!(record.title.value().unwrap(), "Title");
    assert_eq!(record.blocks_in_order(&page("a"))[0].1.plain_text(), "text of a");
    let group = engine.group_record(&source.workspace, &GroupId::new("team").unwrap()).unwrap().unwrap();
    assert_eq!(group.members.value().unwrap().as_ref().unwrap().len(), 1);
    let member = engine.member_record(&source.workspace, &user("ada")).unwrap().unwrap();
    assert_eq!(member.role.value(), Some(&Role::Member));
    assert_eq!(engine.pages(&source.workspace), [page("a")]);
    assert!(engine.status().index_seq >= submitted.index_seq);
    let again = engine.submit(&events, Wait::Durable).unwrap();
    assert_eq!((again.accepted, again.unchanged), (0, 4));
}

#[test]
fn offsets_are_committed_with_their_events_and_alone() {
    let site = Site::new();
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    let events = [source.page("a", "Title", None)];
    let at = |offset: i64| BTreeMap::from([("events-0".to_owned(), offset)]);
    engine.submit_read_to(&events, &at(1), Wait::Durable).unwrap();
    assert_eq!(engine.committed_offsets(), at(1));
    engine.submit_read_to(&events, &at(2), Wait::Applied).unwrap();
    assert!(engine.close());
    drop(engine);
    assert_eq!(site.open().committed_offsets(), at(2));
}

#[test]
fn pending_records_are_read_before_they_are_committed() {
    let mut site = Site::new();
    site.config.commit_interval_ms = 10_000;
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    let submitted = engine.submit(&[source.page("a", "Title", None)], Wait::Applied).unwrap();
    assert_eq!(engine.status().index_seq, 0);
    assert_eq!(submitted.index_seq, 1);
    let record = engine.page_record(&source.workspace, &page("a")).unwrap().unwrap();
    assert_eq!(record.title.value().unwrap(), "Title");
    assert!(engine.close());
    assert_eq!(engine.status().index_seq, 1);
    assert!(matches!(engine.submit(&[source.page("b", "B", None)], Wait::Applied), Err(IngestError::Stopped)));
}

#[test]
fn a_full_queue_turns_away_and_loses_nothing() {
    let mut site = Site::new();
    site.config.commit_interval_ms = 10_000;
    site.config.commit_events_max = 1_000_000;
    site.config.pending_events_max = 10_000;
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    let mut batch: Vec<_> = (0..9_998).map(|n| source.block("a", "block", &format!("{n}"))).collect();
    batch.push(source.page("a", "A", None));
    assert_eq!(engine.submit(&batch, Wait::Applied).unwrap().accepted, 9_999);
    // What changes nothing takes no room.
    assert_eq!(engine.submit(&batch[..1], Wait::Applied).unwrap().unchanged, 1);
    let two = [source.block("a", "block", "newer"), source.block("a", "block", "newest")];
    let error = engine.submit(&two, Wait::Applied).unwrap_err();
    assert!(matches!(error, IngestError::Overloaded { retry_after } if retry_after.as_millis() > 0), "{error}");
    let status = engine.status();
    assert_eq!((status.pending_events, status.overloaded_total), (9_999, 1));
    engine.submit(&two[1..], Wait::Applied).unwrap();
    assert!(engine.close());
    assert_eq!(engine.status().pending_events, 0);
    let record = engine.page_record(&source.workspace, &page("a")).unwrap().unwrap();
    assert_eq!(record.blocks_in_order(&page("a"))[0].1.plain_text(), "newest");
}

#[test]
fn a_revocation_is_taken_in_when_an_import_is_turned_away() {
    let mut site = Site::new();
    site.config.commit_interval_ms = 10_000;
    site.config.commit_events_max = 1_000_000;
    site.config.pending_events_max = 10_000;
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    let mut import =
        |blocks: usize| -> Vec<_> { (0..blocks).map(|n| source.block("a", "block", &format!("{n}"))).collect() };
    let (first, more) = (import(8_000), import(800));
    assert_eq!(engine.submit(&first, Wait::Applied).unwrap().accepted, 8_000);
    assert!(matches!(engine.submit(&more, Wait::Applied).unwrap_err(), IngestError::Overloaded { .. }));
    let revocation = [source.page("a", "A", None)];
    assert_eq!(engine.submit(&revocation, Wait::Applied).unwrap().accepted, 1);
    assert!(engine.close());
}

#[test]
fn dropping_without_close_does_not_wait_for_the_commit() {
    let mut site = Site::new();
    site.config.commit_interval_ms = 10_000;
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    engine.submit(&[source.page("a", "Title", None)], Wait::Applied).unwrap();
    drop(engine);
    assert!(site.open().pages(&source.workspace).is_empty(), "what was not committed is lost, as in a crash");
}

#[test]
fn an_erased_workspace_stays_erased() {
    let site = Site::new();
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    let late = source.block("a", "a2", "late");
    engine.submit(&[source.page("a", "Title", None), source.block("a", "a1", "x")], Wait::Searchable).unwrap();
    let erased = source.write(Change::WorkspaceErased);
    assert_eq!(engine.submit(&[erased.clone(), late.clone()], Wait::Searchable).unwrap().unchanged, 1);
    assert!(engine.page_record(&source.workspace, &page("a")).unwrap().is_none());
    assert!(engine.close());
    drop(engine);
    let engine = site.open();
    assert_eq!(engine.submit(&[late, erased], Wait::Searchable).unwrap().unchanged, 2);
    assert!(engine.pages(&source.workspace).is_empty());
    assert!(engine.page_record(&source.workspace, &page("a")).unwrap().is_none());
}

/// The crash test found this: a workspace was erased while a commit that held changes of it was being written. Its pages had
/// lost their numbers, so the commit left them out, and said with its offsets that it held them; the erasure was in the next
/// one. A crash between the two lost what had been acknowledged.
#[test]
fn a_workspace_erased_during_a_commit_is_in_it_or_erased_by_it() {
    let site = Site::new();
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    let batch: Vec<_> = (0..800).map(|page| source.page(&format!("page{page}"), "Title", None)).collect();
    let before = engine.submit_read_to(&batch, &BTreeMap::from([("events".to_owned(), 1)]), Wait::Applied).unwrap();
    // The commit has begun once what comes now would be in the one after it.
    while engine.submit(&[], Wait::Applied).unwrap().index_seq == before.index_seq
        && engine.committed_offsets().is_empty()
    {}
    engine.submit(&[source.write(Change::WorkspaceErased)], Wait::Applied).unwrap();
    while engine.committed_offsets().is_empty() {}
    drop(engine);

    let engine = site.open();
    assert_eq!(engine.committed_offsets().len(), 1);
    assert_eq!(engine.submit(&batch, Wait::Applied).unwrap().accepted, 0, "the offsets say that these are known");
}
