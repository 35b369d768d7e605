//! Bodies as they come over HTTP.

use indexer::engine::Wait;
use indexer::error::IngestError;
use schemas::event::InvalidCode;
use schemas::ids::WorkspaceId;

use crate::site::Site;
use crate::source::{Source, ndjson, page};

#[test]
fn bad_events_are_listed_and_kept_and_cost_no_other() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    let mut other = Source::new("other", "eu");
    let good = [source.page("a", "Title", None), source.block("a", "a1", "text")];
    let foreign = other.page("x", "X", None);
    let body = format!("{}{{\"id\":\"e9\"}}\n{}\n{}", ndjson(&good[..1]), foreign.encode(), ndjson(&good[1..]));
    let mut body = body.into_bytes();
    body.extend(b"\xff\xfe");
    let outcome = engine.submit_bytes(Some(&source.workspace), &body, Wait::Durable).unwrap();
    assert_eq!((outcome.accepted, outcome.unchanged, outcome.conflicts), (2, 0, 0));
    let rejected: Vec<_> = outcome.rejected.iter().map(|r| (r.index, r.id.as_deref(), r.code)).collect();
    let foreign_id = Some(foreign.id.as_str());
    assert_eq!(
        rejected,
        [
            (1, Some("e9"), InvalidCode::Malformed),
            (2, foreign_id, InvalidCode::WrongWorkspace),
            (4, None, InvalidCode::Malformed)
        ]
    );
    let letters = site.dead_letters();
    assert_eq!(letters.len(), 3);
    assert_eq!(letters[1]["event"].as_str().unwrap(), foreign.encode());
    assert_eq!(letters[2]["event_base64"].as_str().unwrap(), "//4=");
    assert_eq!(engine.status().rejected_total, 3);
    assert!(engine.page_record(&WorkspaceId::new("other").unwrap(), &page("x")).unwrap().is_none());
    let again = engine.submit_bytes(None, ndjson(&good).as_bytes(), Wait::Searchable).unwrap();
    assert_eq!((again.accepted, again.unchanged), (0, 2));
    assert!(again.index_seq >= outcome.index_seq);
}

#[test]
fn concurrent_writes_are_counted() {
    let site = Site::new();
    let engine = site.open();
    let (mut eu, mut us) = (Source::new("acme", "eu"), Source::new("acme", "us"));
    let body = ndjson(&[eu.page("a", "European", None), us.page("a", "American", None)]);
    let outcome = engine.submit_bytes(None, body.as_bytes(), Wait::Durable).unwrap();
    assert_eq!((outcome.accepted, outcome.conflicts), (2, 1));
    assert_eq!(engine.status().conflicts_total, 1);
}

#[test]
fn too_large_a_batch_changes_nothing() {
    let site = Site::new();
    let engine = site.open();
    let body = "{}\n".repeat(10_001);
    assert!(matches!(engine.submit_bytes(None, body.as_bytes(), Wait::Durable), Err(IngestError::TooLarge(_))));
    assert!(site.dead_letters().is_empty());
}
