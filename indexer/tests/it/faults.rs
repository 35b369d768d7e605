//! A disk that fails for a while, and processes that are killed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use indexer::engine::Wait;
use indexer::error::IngestError;
use rand::prelude::*;
use rand::rngs::SmallRng;
use schemas::event::Event;

use crate::convergence::history;
use crate::site::{PATIENCE, Site, settle};
use crate::source::{Source, page};

#[test]
fn a_commit_that_fails_is_tried_again_and_loses_nothing() {
    let mut site = Site::new();
    site.config.wait_ms_max = 300;
    let mut source = Source::new("acme", "eu");
    let engine = site.open();
    engine.submit(&[source.page("a", "A", None), source.block("a", "a1", "before")], Wait::Searchable).unwrap();
    settle(&engine);

    // A folder where the index keeps the list of its files: no file can be added until it is gone.
    let (list, aside) = (site.dir.join("index/g000001/.managed.json"), site.dir.join("aside"));
    std::fs::rename(&list, &aside).unwrap();
    std::fs::create_dir(&list).unwrap();
    let during = [source.page("b", "B", None), source.block("b", "b1", "during"), source.block("a", "a1", "changed")];
    let error = engine.submit(&during, Wait::Durable).unwrap_err();
    assert!(matches!(error, IngestError::Failing { .. }) && engine.failure().is_some(), "{error}");
    let status = engine.status();
    assert!(status.accepting && status.commit_failures_total > 0 && status.pending_events == 3, "{status:?}");
    let pending = engine.page_record(&source.workspace, &page("b")).unwrap().unwrap();
    assert_eq!(pending.title.value().unwrap(), "B", "reads go on");
    assert_eq!(engine.submit(&during, Wait::Applied).unwrap().unchanged, 3);

    std::fs::remove_dir(&list).unwrap();
    std::fs::rename(&aside, &list).unwrap();
    assert!(engine.wait_idle(PATIENCE) && engine.failure().is_none());
    settle(&engine);
    let digest = engine.content_digest(&source.workspace).unwrap();
    drop(engine);
    let engine = site.open();
    assert_eq!(engine.content_digest(&source.workspace).unwrap(), digest);
    let clean_site = Site::new();
    let clean = clean_site.open();
    let mut source = Source::new("acme", "eu");
    let mut events = vec![source.page("a", "A", None), source.block("a", "a1", "before")];
    events.extend([source.page("b", "B", None), source.block("b", "b1", "during"), source.block("a", "a1", "changed")]);
    clean.submit(&events, Wait::Searchable).unwrap();
    settle(&clean);
    assert_eq!(clean.content_digest(&source.workspace).unwrap(), digest);
}

/// Names the folder that a child process works in.
const CHILD_DIR: &str = "INDEXER_TEST_CHILD_DIR";
/// The seed of the history that it submits.
const CHILD_SEED: &str = "INDEXER_TEST_CHILD_SEED";
const HISTORY_LEN: usize = 400;

fn batches(seed: u64) -> Vec<Vec<Event>> {
    history(&mut SmallRng::seed_from_u64(seed), HISTORY_LEN).chunks(9).map(<[Event]>::to_vec).collect()
}

/// Not a test by itself: the process that [`what_was_acknowledged_survives_kill_in_a_loop`] kills. Submits the whole history
/// again and again and says which batches are acknowledged.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test harness leaves no other way to give a child its task")]
fn child() {
    let (Ok(dir), Ok(seed)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_SEED)) else { return };
    let site = Site::at(Path::new(&dir));
    let engine = site.open();
    let mut out = std::io::stderr();
    for (number, batch) in batches(seed.parse().unwrap()).iter().enumerate().cycle() {
        engine.submit(batch, Wait::Durable).unwrap();
        writeln!(out, "acknowledged {number}").unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_kill_in_a_loop() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let batches = batches(seed);
    let site = Site::new();
    for _ in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::child", "--nocapture"])
            .env(CHILD_DIR, &site.dir)
            .env(CHILD_SEED, seed.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kill_after = rng.random_range(1..30);
        let acknowledged: Vec<usize> = (0..kill_after)
            .map(|_| lines.next().expect("the child goes on until it is killed").unwrap())
            .filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok())
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();

        let engine = site.open();
        for number in acknowledged {
            let again = engine.submit(&batches[number], Wait::Applied).unwrap();
            assert_eq!((again.accepted, again.unchanged), (0, batches[number].len() as u64), "seed {seed}");
        }
    }
    let engine = site.open();
    let clean_site = Site::new();
    let clean = clean_site.open();
    for batch in &batches {
        engine.submit(batch, Wait::Applied).unwrap();
        clean.submit(batch, Wait::Applied).unwrap();
    }
    settle(&engine);
    settle(&clean);
    let workspace = &batches[0][0].workspace;
    assert_eq!(engine.content_digest(workspace).unwrap(), clean.content_digest(workspace).unwrap(), "seed {seed}");
}
