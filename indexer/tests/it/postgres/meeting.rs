//! Tables and a stream of the same changes, read beside each other while a product goes on writing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indexer::engine::Wait;
use indexer::postgres::Follower;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use schemas::event::Event;

use super::product::{Edit, Product};
use super::{Database, Session, assert_same_content};
use crate::site::{PATIENCE, Site};

const EDITS_BEFORE: usize = 600;
const EDITS_MEANWHILE: usize = 600;

/// Writes edits by two sessions. Of some pairs, the transaction that began first is over last.
fn write_on(database: &Database, product: &mut Product, edits: usize, mut written: impl FnMut(&Edit)) {
    let (session, other) = (database.session(), database.session());
    for pair in 0..edits / 2 {
        let (first, second) = (product.edit(), product.edit());
        if pair % 3 == 0 && !first.shares_rows_with(&second) {
            first.begin(&session);
            second.run(&other);
            session.run("COMMIT");
        } else {
            first.run(&session);
            second.run(&session);
        }
        written(&first);
        written(&second);
    }
}

#[test]
fn tables_beside_a_stream_end_in_a_clean_import_of_the_final_state() {
    let Some(database) = Database::new("meeting") else { return };
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut product = Product::new(seed);
    let mut random = SmallRng::seed_from_u64(seed);
    write_on(&database, &mut product, EDITS_BEFORE, |_| {});

    let site = Site::new();
    let engine = site.open_with(None);
    let is_written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A part of the stream comes by requests, in batches that are out of order and told twice.
            let mut batch: Vec<Event> = Vec::new();
            write_on(&database, &mut product, EDITS_MEANWHILE, |edit| {
                batch.extend(edit.events.iter().cloned());
                if batch.len() >= 20 {
                    batch.extend_from_within(..10);
                    batch.shuffle(&mut random);
                    let kept = batch.split_off(random.random_range(0..batch.len()));
                    engine.submit(&batch, Wait::Applied).unwrap();
                    batch = kept;
                }
            });
            is_written.store(true, Ordering::Release);
        });
        while !is_written.load(Ordering::Acquire) {
            database.tables(&engine);
            database.outbox(&engine);
        }
    });
    let last = database.outbox(&engine);
    assert_eq!((last.held_back, last.taken.rejected), (0, 0), "{last:?}");
    assert!(engine.wait_idle(PATIENCE));

    let clean_site = Site::new();
    let clean = clean_site.open_with(None);
    let report = database.tables(&clean);
    assert_eq!((report.taken.rejected, report.taken.unchanged), (0, 0), "{report:?}");
    assert!(report.rows["pages"] > 20 && report.rows["blocks"] > 100, "{report:?}");
    assert!(clean.wait_idle(PATIENCE));
    assert_same_content(&engine, &clean);

    // The stream alone, from its start, says the same.
    let stream_site = Site::new();
    let stream = stream_site.open_with(None);
    let read = database.outbox(&stream);
    assert!(read.rows as usize >= EDITS_BEFORE + EDITS_MEANWHILE && read.taken.unchanged == 0, "{read:?}");
    assert!(stream.wait_idle(PATIENCE));
    assert_same_content(&stream, &clean);

    // And each again changes nothing.
    assert_eq!(database.tables(&clean).taken.accepted, 0);
    assert_eq!(database.outbox(&engine).rows, 0);
}

#[test]
fn an_outbox_goes_on_where_the_last_commit_ends() {
    let Some(database) = Database::new("cut_short") else { return };
    let mut product = Product::new(7);
    let site = Site::new();
    let mut committed = 0;
    for round in 0..6 {
        write_on(&database, &mut product, 60, |_| {});
        let engine = site.open_with(None);
        let read = database.try_outbox(&engine).unwrap();
        assert_eq!(read.taken.rejected, 0);
        assert!(read.rows >= 60, "{read:?}");
        let was_closed = round % 2 == 1;
        if was_closed {
            assert_eq!(read.taken.unchanged, 0, "nothing is read twice that was committed");
        }
        // In odd rounds it ends as in a crash: what was not committed, with its place, is read again.
        if round % 2 == 0 {
            assert!(engine.close());
            assert_eq!(engine.committed_offsets().len(), 2);
            committed += 1;
        }
    }
    assert_eq!(committed, 3);
    let (engine, clean_site) = (site.open_with(None), Site::new());
    let clean = clean_site.open_with(None);
    database.outbox(&engine);
    database.tables(&clean);
    assert!(engine.wait_idle(PATIENCE) && clean.wait_idle(PATIENCE));
    assert_same_content(&engine, &clean);
}

#[test]
fn a_follower_keeps_up_over_connections_that_are_cut_and_ends_when_told() {
    let Some(database) = Database::new("following") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let mut follower = Follower::start(&database.config, &database.secrets, engine.clone()).unwrap();
    let mut product = Product::new(3);
    let session: Session = database.session();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND usename LIKE 'tessera_reader%'";
    for round in 0..3 {
        write_on(&database, &mut product, 100, |_| {});
        if round < 2 {
            session.run(cut);
        }
    }
    let clean_site = Site::new();
    let clean = clean_site.open_with(None);
    database.outbox(&clean);
    let last = database.outbox(&clean).position.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let is_there = |value: &i64| *value == last.id;
    while !engine.committed_offsets().values().any(is_there) {
        assert!(Instant::now() < deadline, "{:?}", engine.committed_offsets());
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    follower.stop();
    assert!(engine.wait_idle(PATIENCE) && clean.wait_idle(PATIENCE));
    assert_same_content(&engine, &clean);
}
