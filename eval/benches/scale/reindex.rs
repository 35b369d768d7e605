//! Reindexing beside edits and searches: how long it takes, what it needs, and what others notice of it.
//!
//! On the first 12,000 pages of the corpus, once: another passage size, then another model, then back to what was before. All
//! the while edits come at a steady rate and one caller searches. A search that fails or lacks a retriever ends the bench, as
//! does an edit that is not found after a switch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use index::{Index, OpenMode};
use indexer::engine::Engine;
use indexer::engine::reindex::Rebuild;
use models::embed::{Embedder, Embedders};
use schemas::event::Event;
use serde::{Deserialize, Serialize};

use crate::build::{Shape, ensure_built, workspace_of};
use crate::edits::{PATIENCE, check, draw, search_beside, send};
use crate::process::{Memory, link_tree, load, processor_seconds};
use crate::search::open_indexer;
use crate::{DIMENSIONS, Plan, ask, percentiles};

const PAGES: usize = 12_000;
const EDITS_PER_SECOND: u32 = 50;
/// Edits that are ready to be sent: more than are sent.
const EDITS: usize = 40_000;
/// How long edits and searches are watched without a reindex.
const CALM: Duration = Duration::from_secs(20);
/// The share of the time that the reindex works: the default of the command.
const SHARE: f32 = 0.5;
/// The other passage size, and the length of the vectors of the other model.
const PASSAGE_TOKENS: usize = 120;
const OTHER_DIMENSIONS: usize = 256;

/// What was seen of one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    name: String,
    seconds: f64,
    passages: u64,
    /// How long commits were held back at the switch.
    held_ms: f64,
    searches: usize,
    /// p50, p95, p99.
    search_ms: [f64; 3],
    edits: usize,
    /// Of what is allocated: at the most, and before the first step.
    allocated: [u64; 2],
    cores: f64,
}

pub(crate) fn print(plan: &Plan) -> Result<()> {
    let steps: Vec<Step> = ask(plan, "reindex")?;
    println!(
        "\nreindex of {PAGES} pages beside {EDITS_PER_SECOND} edits a second and a caller, working half of the time; load {}",
        load()
    );
    println!(
        "{:<28} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>7} {:>14} {:>6}",
        "", "seconds", "passages", "held ms", "p50", "p95", "p99", "edits", "allocated MiB", "cores"
    );
    for step in &steps {
        let Step { name, seconds, passages, held_ms, search_ms: [p50, p95, p99], edits, allocated, cores, .. } = step;
        println!(
            "{name:<28} {seconds:>8.1} {passages:>9} {held_ms:>8.1} {p50:>8.2} {p95:>8.2} {p99:>8.2} {edits:>7} {:>14} {cores:>6.2}",
            format!("{} ({:+})", allocated[0] >> 20, (allocated[0] as i64 - allocated[1] as i64) >> 20)
        );
    }
    let searches: usize = steps.iter().map(|step| step.searches).sum();
    println!("{searches} searches, none failed; 50 edits of each step were searched for after its switch and found");
    Ok(())
}

pub(crate) fn run(plan: &Plan) -> Result<Vec<Step>> {
    let plan = Plan { copies: 1, pages: plan.pages.min(PAGES), ..plan.clone() };
    ensure_built(&plan, Shape::One)?;
    let dir = plan.work_dir();
    link_tree(&plan.index_dir(Shape::One), &dir.join("index"))?;
    let config = index::Config { dir: dir.join("index"), ..plan.index_config(Shape::One) };
    let index = Index::open(&config, OpenMode::ReadWrite)?;
    let (first, other) = (Embedder::fake(DIMENSIONS), Embedder::fake(OTHER_DIMENSIONS));
    let engine = open_indexer(&plan, &index, &first)?;
    let embedders = Embedders::from(Some(first.clone()));
    embedders.add(&other);
    let mut bench = Bench {
        reader: query::engine::Engine::new(index, embedders, query::config::Config::default())?,
        runtime: tokio::runtime::Runtime::new()?,
        edits: draw(&engine, &workspace_of(Shape::One, 0)?, EDITS)?,
        sent: 0,
        before: Memory::now()?.anon,
        plan,
        engine,
    };
    let calm = bench.step("nothing beside", |_, over| {
        let waited = Instant::now();
        while waited.elapsed() < CALM {
            std::thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::Relaxed);
        Ok((0, Duration::ZERO))
    })?;
    let shorter = bench.step("passages of 120 tokens", |engine, over| {
        build(engine.rebuild(Some(first.clone()), PASSAGE_TOKENS)?, over)
    })?;
    let remodelled = bench
        .step("another model", |engine, over| build(engine.rebuild(Some(other.clone()), PASSAGE_TOKENS)?, over))?;
    let back = bench
        .step("back to the former", |engine, over| build(engine.return_to_previous(Some(first.clone()))?, over))?;
    ensure!(bench.engine.close(), "the last commit failed");
    Ok(vec![calm, shorter, remodelled, back])
}

/// Follows and switches, then tells that it is over; gives the passages written, and how long commits were held back.
fn build(mut rebuild: Rebuild, over: &AtomicBool) -> Result<(u64, Duration)> {
    let mut passages = 0;
    rebuild.follow(SHARE, &mut |progress| {
        passages = progress.passages;
        std::ops::ControlFlow::Continue(())
    })?;
    let held = rebuild.switch()?;
    over.store(true, Ordering::Relaxed);
    Ok((passages, held))
}

struct Bench {
    plan: Plan,
    engine: Engine,
    reader: query::engine::Engine,
    runtime: tokio::runtime::Runtime,
    edits: Vec<Event>,
    sent: usize,
    before: u64,
}

impl Bench {
    /// Edits and searches until `work` is over.
    fn step(
        &mut self,
        name: &str,
        work: impl FnOnce(&Engine, &AtomicBool) -> Result<(u64, Duration)> + Send,
    ) -> Result<Step> {
        let Self { plan, engine, reader, runtime, edits, sent, before } = self;
        let (started, processor) = (Instant::now(), processor_seconds()?);
        let over = AtomicBool::new(false);
        let (worked, took, sent_now, searched, most) = std::thread::scope(|scope| -> Result<_> {
            let searched = scope.spawn(|| search_beside(plan, runtime, reader, &over));
            let most = scope.spawn(|| most_allocated(&over));
            let worked = scope.spawn(|| {
                let worked = work(engine, &over);
                // When it fails, too: nobody may wait for it.
                over.store(true, Ordering::Relaxed);
                (worked, started.elapsed())
            });
            let sent_now = send(engine, &edits[*sent..], EDITS_PER_SECOND, &over)?.len();
            let ended = "a thread that measures does not panic";
            let (worked, took) = worked.join().expect(ended);
            Ok((worked?, took, sent_now, searched.join().expect(ended)?, most.join().expect(ended)?))
        })?;
        let cores = (processor_seconds()? - processor) / started.elapsed().as_secs_f64();
        *sent += sent_now;
        ensure!(*sent < edits.len(), "more edits are needed");
        ensure!(engine.wait_idle(PATIENCE), "the last edits were not committed");
        check(plan, runtime, reader, *sent).with_context(|| format!("after the step {name}"))?;
        Ok(Step {
            name: name.to_owned(),
            seconds: took.as_secs_f64(),
            passages: worked.0,
            held_ms: worked.1.as_secs_f64() * 1e3,
            searches: searched.len(),
            search_ms: percentiles(searched),
            edits: sent_now,
            allocated: [most, *before],
            cores,
        })
    }
}

fn most_allocated(over: &AtomicBool) -> Result<u64> {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(Memory::now()?.anon);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}
