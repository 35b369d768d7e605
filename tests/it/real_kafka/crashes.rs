//! Indexers that are killed while a broker is killed, stopped, frozen and cut off, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use indexer::engine::{Engine, Wait};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::ids::{BlockId, PageId, RegionId};
use schemas::page::{PagePatch, Parent};
use schemas::version::{Timestamp, VectorClock, Version};

use super::broker::Broker;
use super::{PATIENCE, SESSION_MS, Stream, WORKSPACES, open, workspace};

/// How often indexers are killed, and what is drawn.
const ROUNDS: &str = "STREAM_CRASH_ROUNDS";
const SEED: &str = "SEED";
/// Events of a round.
const EVENTS: usize = 400;

/// Two regions of a product, each with what it has seen of each block and page. They know of each other at times alone, so
/// that many of their edits are concurrent.
pub(super) struct Product {
    random: SmallRng,
    seen: [BTreeMap<String, VectorClock>; 2],
    written: u64,
}

impl Product {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), seen: Default::default(), written: 0 }
    }

    /// A time in which anything may be going on.
    fn pause(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(0..2 * SESSION_MS))
    }

    pub(super) fn edit(&mut self) -> Event {
        let region = RegionId::new(["eu", "us"][self.random.random_range(0..2)]).unwrap();
        let at = usize::from(region.as_str() == "us");
        self.written += 1;
        let page = PageId::new(format!("p{}", self.random.random_range(0..20))).unwrap();
        let block = format!("b{}", self.random.random_range(0..200));
        let content = Some(BlockContent::text(BlockType::Paragraph, format!("edit {} of a text", self.written)));
        let patch = BlockPatch { page: page.clone(), parent: None, position: block.clone(), content };
        let (entity, change) = match self.random.random_range(0..10) {
            0 => {
                let title = Some(format!("Title {}", self.written));
                let patch = PagePatch { title, parent: Some(Parent::Workspace), ..PagePatch::default() };
                (format!("page {page}"), Change::PageUpserted { page, patch: Box::new(patch) })
            }
            1 => (block.clone(), Change::BlockDeleted { block: BlockId::new(block).unwrap(), page }),
            _ => (block.clone(), Change::BlockUpserted { block: BlockId::new(block).unwrap(), patch }),
        };
        if self.random.random_bool(0.3) {
            let other = self.seen[1 - at].get(&entity).cloned().unwrap_or_default();
            self.seen[at].entry(entity.clone()).or_default().join(&other);
        }
        let clock = self.seen[at].entry(entity).or_default();
        *clock.0.entry(region.clone()).or_insert(0) += 1;
        let timestamp = Timestamp { wall_ms: self.written, logical: 0 };
        let version = Version { clock: clock.clone(), timestamp, region };
        let workspace = workspace(WORKSPACES[self.random.random_range(0..WORKSPACES.len())]);
        let id = self.written.to_string();
        Event { id, source: "/test".to_owned(), workspace, time: None, version, change }
    }
}

#[test]
fn indexers_that_are_killed_again_and_again_end_in_a_clean_run() {
    let Some(mut stream) = Stream::new("crashes") else { return };
    let rounds = std::env::var_os(ROUNDS).and_then(|rounds| rounds.to_str()?.parse().ok()).unwrap_or(8);
    let seed = std::env::var_os(SEED).and_then(|seed| seed.to_str()?.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let broker = Broker::of_script();
    if let Some(broker) = &broker {
        stream.indexers_come_through = broker.address();
    }
    eprintln!("seed {seed}, {rounds} rounds; SEED={seed} draws the same again");
    let mut product = Product::new(seed);
    let clean_dir = tempfile::tempdir().unwrap();
    let clean = open(clean_dir.path());
    let mut messages = 0;
    let mut survivor = stream.indexer();
    for round in 0..rounds {
        let events: Vec<_> = (0..EVENTS).map(|_| product.edit()).collect();
        clean.submit(&events, Wait::Applied).unwrap();
        let victim = stream.indexer();
        let producing = stream.start_producing(round, &events);
        // While events come, and often while partitions move: batches and commits are cut off anywhere.
        std::thread::park_timeout(product.pause());
        match (round % 6, &broker) {
            (2, _) => {
                // Both die, so that everything is opened anew.
                survivor.kill();
                victim.kill();
                survivor = stream.indexer();
            }
            (3, Some(broker)) => {
                broker.restart(if product.random.random() { "kill" } else { "stop" });
                victim.stop_whenever(&stream);
            }
            (4, Some(broker)) => {
                broker.cut();
                std::thread::park_timeout(product.pause());
                victim.kill();
                broker.mend();
            }
            (5, Some(broker)) => {
                broker.freeze();
                std::thread::park_timeout(product.pause());
                broker.thaw();
                // The one that was there before goes, and the newer one goes on.
                std::mem::replace(&mut survivor, victim).kill();
            }
            _ => victim.kill(),
        }
        messages += producing.finish();
        stream.wait_committed(messages, &mut [&mut survivor]);
        survivor.stop_whenever(&stream);
        assert!(clean.wait_idle(PATIENCE));
        compare(&stream, &clean);
        eprintln!("after round {round}: {messages} messages, as in a clean run");
        survivor = stream.indexer();
    }
}

/// Holds what the shards have against what a clean run has.
#[track_caller]
fn compare(stream: &Stream, clean: &Engine) {
    let engines = stream.engines();
    for name in WORKSPACES {
        let id = workspace(name);
        let holding = engines.iter().find(|engine| engine.workspace_status(&id).is_some());
        let engine = holding.unwrap_or_else(|| panic!("{name} is in no shard"));
        assert_eq!(engine.workspace_status(&id).unwrap().stats, clean.workspace_status(&id).unwrap().stats);
        assert_eq!(engine.content_digest(&id).unwrap(), clean.content_digest(&id).unwrap(), "{name}");
    }
    for engine in engines {
        assert!(engine.close());
    }
}
