//! Taking a partition over: the next owner goes on from the last commit, and what a former one still does is seen by nobody.

use std::collections::BTreeMap;
use std::path::Path;

use index::epochs::Epoch;
use indexer::dead_letters::{DeadLetter, FILES, SentFor};
use indexer::engine::{Engine, Wait};
use schemas::event::Event;
use schemas::ids::WorkspaceId;

use crate::site::{Site, settle};
use crate::source::Source;

const PARTITION: &str = "topic-0";

fn open(epoch: &Epoch) -> Engine {
    Site::at(&epoch.dir()).open()
}

fn read(engine: &Engine, events: &[Event], offset: i64) {
    let offsets = BTreeMap::from([(PARTITION.to_owned(), offset)]);
    engine.submit_read_to(events, &offsets, Wait::Durable).unwrap();
}

fn digest(engine: &Engine) -> String {
    settle(engine);
    engine.content_digest(&WorkspaceId::new("w").unwrap()).unwrap()
}

fn epochs(root: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_a_frozen_owner_writes_after_it_was_superseded_is_seen_by_nobody() {
    let root = tempfile::tempdir().unwrap();
    let mut product = Source::new("w", "eu");
    let events: Vec<_> = (0..6).map(|n| product.block(&format!("p{n}"), &format!("b{n}"), "some text")).collect();

    let first = Epoch::claim(root.path(), &FILES).unwrap();
    let frozen = open(&first);
    read(&frozen, &events[..2], 2);
    keep(&frozen, b"not an event");
    settle(&frozen);
    assert!(!first.is_superseded().unwrap());

    // It is frozen here, as by SIGSTOP: it neither closes nor lets go of any lock.
    let second = Epoch::claim(root.path(), &FILES).unwrap();
    let owner = open(&second);
    assert_eq!(owner.committed_offsets()[PARTITION], 2, "the next owner begins where the commit ends");
    assert!(!second.remove_former().unwrap(), "the folder of a living process is left alone");

    // It wakes up, commits what it had read, and merges segments.
    read(&frozen, &events[2..4], 4);
    settle(&frozen);
    assert!(first.is_superseded().unwrap(), "it learns of it");
    assert_eq!(owner.committed_offsets()[PARTITION], 2);
    read(&owner, &events[2..], 6);
    keep(&owner, b"not an event either");

    let clean = Site::new();
    let engine = clean.open();
    read(&engine, &events, 6);
    assert_eq!(digest(&owner), digest(&engine));
    let letters = Site::at(&second.dir()).dead_letters();
    assert_eq!(letters.len(), 2, "dead letters go with the partition: {letters:?}");

    // Once it is closed, its folder goes, and what is linked stays whole.
    assert!(frozen.close());
    drop(frozen);
    first.remove_superseded().unwrap();
    second.remove_superseded().unwrap();
    assert_eq!(epochs(root.path()), ["epoch-000002"]);
    assert!(owner.close());
    drop(owner);
    let third = Epoch::claim(root.path(), &FILES).unwrap();
    assert!(third.remove_former().unwrap());
    assert_eq!(epochs(root.path()), ["epoch-000003"]);
    assert_eq!(digest(&open(&third)), digest(&engine));
    assert_eq!(Epoch::latest(root.path()).unwrap(), Some(third));
}

#[test]
fn a_claim_that_was_cut_short_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let first = Epoch::claim(root.path(), &FILES).unwrap();
    let engine = open(&first);
    read(&engine, &[Source::new("w", "eu").page("home", "Home", None)], 1);
    assert!(engine.close());
    drop(engine);
    // Another process died after it made the folder, and one in the middle of linking.
    std::fs::create_dir_all(root.path().join("epoch-000002")).unwrap();
    std::fs::create_dir_all(root.path().join("epoch-000003/index/g000001")).unwrap();
    assert!(first.is_superseded().unwrap());
    first.remove_superseded().unwrap();
    assert!(first.dir().exists(), "what nobody took over yet is kept");
    let fourth = Epoch::claim(root.path(), &FILES).unwrap();
    assert_eq!((fourth.number(), open(&fourth).committed_offsets()[PARTITION]), (4, 1));
    assert!(fourth.remove_former().unwrap());
    assert_eq!(epochs(root.path()), ["epoch-000004"]);
}

#[test]
fn claims_at_the_same_time_get_folders_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let claim = || Epoch::claim(root.path(), &FILES).unwrap().number();
    let mut numbers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_claim_beside_a_writer_that_goes_on_is_of_one_commit() {
    let root = tempfile::tempdir().unwrap();
    let first = Epoch::claim(root.path(), &FILES).unwrap();
    let writer = open(&first);
    let mut product = Source::new("w", "eu");
    let events: Vec<_> = (0..300).map(|n| product.block("home", &format!("b{n}"), "some text")).collect();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for (event, offset) in events.iter().zip(1..) {
                read(&writer, std::slice::from_ref(event), offset);
            }
        });
        while !writing.is_finished() {
            let claimed = Epoch::claim(root.path(), &FILES).unwrap();
            let engine = open(&claimed);
            let offset = engine.committed_offsets().get(PARTITION).copied().unwrap_or(0);
            // Each event up to the offset is there, whatever was merged and removed meanwhile.
            let again = engine.submit(&events[..offset as usize], Wait::Applied).unwrap();
            assert_eq!(again.unchanged, offset as u64);
            drop(engine);
            std::fs::remove_dir_all(claimed.dir()).unwrap();
        }
    });
}

fn keep(engine: &Engine, event: &[u8]) {
    let error = schemas::event::InvalidEvent::new(schemas::event::InvalidCode::Malformed, "", "is no event");
    engine.keep(&[DeadLetter { event, error: &error, origin: None, sent_for: SentFor::Nobody }]).unwrap();
}
