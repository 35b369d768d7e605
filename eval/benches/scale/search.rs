//! Start, memory and searches: what a server that was just started does first, and does all day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::access::{Caller, Subject};
use anyhow::{Result, ensure};
use index::{Index, OpenMode};
use models::embed::Embedder;
use query::deadline::Deadline;
use query::engine::Engine;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use schemas::api::search::{Mode, SearchRequest};
use serde::{Deserialize, Serialize};

use crate::build::{Built, Shape, reader, workspace_of};
use crate::process::{Memory, forget_cached, load, processor_seconds};
use crate::{DIMENSIONS, Plan, SEED, ask, percentiles};

const QUERIES: usize = 500;
const CALLERS: [usize; 3] = [1, 2, 8];
const DEADLINE: Duration = Duration::from_secs(30);
/// How often a start is measured with files in the cache.
const WARM_STARTS: usize = 5;

/// How long a start took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Until the index was open.
    open_ms: f64,
    /// Until the write side was ready, too.
    ready_ms: f64,
    /// Until the first search was answered.
    answered_ms: f64,
    /// Processor time of all that.
    processor_ms: f64,
    pages: u64,
    passages: u64,
    /// Before the index was opened, and when the first search was answered.
    memory: [Memory; 2],
}

/// Opens an index as a server does, reads and writes, and asks it once.
pub(crate) fn start(plan: &Plan, shape: Shape) -> Result<Start> {
    let before = Memory::now()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let embedder = Embedder::fake(DIMENSIONS);
    let started = Instant::now();
    let index = Index::open(&plan.index_config(shape), OpenMode::ReadWrite)?;
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    let writer = open_indexer(plan, &index, &embedder)?;
    let engine = Engine::new(index.clone(), Some(embedder), query::config::Config::default())?;
    let ready_ms = started.elapsed().as_secs_f64() * 1e3;
    let caller = caller_of(plan, shape, 0)?;
    runtime.block_on(ask_one(&engine, &caller, Mode::Hybrid, "window message"))?;
    let answered_ms = started.elapsed().as_secs_f64() * 1e3;
    let processor_ms = processor_seconds()? * 1e3;
    let memory = [before, Memory::now()?];
    let (mut pages, mut passages) = (0, 0);
    for workspace in index.catalog().workspaces() {
        let stats = workspace.read().stats();
        pages += stats.pages;
        passages += stats.passages;
    }
    drop(writer);
    Ok(Start { open_ms, ready_ms, answered_ms, processor_ms, pages, passages, memory })
}

/// The write side over an index, as a server runs it.
pub(crate) fn open_indexer(plan: &Plan, index: &Index, embedder: &Embedder) -> Result<indexer::engine::Engine> {
    let config = indexer::config::Config { data_dir: plan.work_dir(), ..indexer::config::Config::default() };
    Ok(indexer::engine::Engine::open(index.clone(), Some(embedder.clone()), config)?)
}

pub(crate) fn print_start(plan: &Plan) -> Result<()> {
    println!("\nstart, in ms           open    ready   first search answered (goal < 2000)   processor");
    let cold = forget_cached(&plan.index_dir(Shape::One))?;
    let print = |name: &str, start: &Start| {
        let Start { open_ms, ready_ms, answered_ms, processor_ms, .. } = start;
        println!("{name:<18} {open_ms:>8.0} {ready_ms:>8.0} {answered_ms:>8.0} {processor_ms:>42.0}");
    };
    let first: Start = ask(plan, "start")?;
    print(if cold { "nothing cached" } else { "first" }, &first);
    let mut warm = (0..WARM_STARTS).map(|_| ask::<Start>(plan, "start")).collect::<Result<Vec<_>>>()?;
    warm.sort_by(|a, b| a.answered_ms.total_cmp(&b.answered_ms));
    print("files cached", &warm[WARM_STARTS / 2]);
    let [before, after] = warm[0].memory;
    let taken = after.anon.saturating_sub(before.anon);
    println!(
        "memory allocated by a start: {} MiB for {} pages and {} passages: {} bytes a page; load {}",
        taken >> 20,
        first.pages,
        first.passages,
        taken / first.pages.max(1),
        load()
    );
    Ok(())
}

/// What searches took, and the memory for them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Searches {
    opened: Memory,
    searched: Memory,
    rows: Vec<Row>,
}

/// What searches of one kind took.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    kind: String,
    callers: usize,
    /// p50, p95, p99.
    took_ms: [f64; 3],
    per_second: f64,
    /// Of each search.
    processor_ms: f64,
}

/// Searches with one caller and with several, 2,000 times before memory is looked at.
pub(crate) fn run(plan: &Plan, shape: Shape) -> Result<Searches> {
    let runtime = tokio::runtime::Runtime::new()?;
    let embedder = Embedder::fake(DIMENSIONS);
    let index = Index::open(&plan.index_config(shape), OpenMode::ReadWrite)?;
    let _writer = open_indexer(plan, &index, &embedder)?;
    let engine = Engine::new(index, Some(embedder), query::config::Config::default())?;
    let queries: Arc<[String]> = queries(plan)?.into();
    let opened = Memory::now()?;
    let callers: Arc<[Caller]> = (0..QUERIES).map(|at| caller_of(plan, shape, at)).collect::<Result<_>>()?;
    // Twice to warm up: with the first rows it makes 2,000.
    for _ in 0..2 {
        runtime.block_on(ask_all(&engine, Mode::Hybrid, &queries, &callers, 1))?;
    }
    let mut rows = Vec::new();
    let mut searched = opened;
    for (name, mode) in [("hybrid", Mode::Hybrid), ("by words", Mode::Lexical), ("by meaning", Mode::Semantic)] {
        for side_by_side in CALLERS {
            let (started, processor) = (Instant::now(), processor_seconds()?);
            let times = runtime.block_on(ask_all(&engine, mode, &queries, &callers, side_by_side))?;
            let searches = times.len() as f64;
            rows.push(Row {
                kind: name.to_owned(),
                callers: side_by_side,
                took_ms: percentiles(times),
                per_second: searches / started.elapsed().as_secs_f64(),
                processor_ms: (processor_seconds()? - processor) * 1e3 / searches,
            });
            if (mode, side_by_side) == (Mode::Hybrid, 2) {
                searched = Memory::now()?;
            }
        }
    }
    Ok(Searches { opened, searched, rows })
}

pub(crate) fn print_searches(plan: &Plan, sizes: &[Built]) -> Result<()> {
    let mut memory = Vec::new();
    for (shape, built) in [Shape::One, Shape::Many].into_iter().zip(sizes) {
        let found: Searches = ask(plan, &format!("search-{}", shape.name()))?;
        println!("\nsearches, {}: in ms, on {} passages; load {}", shape.name(), built.passages, load());
        let header = ["", "callers", "p50", "p95", "p99", "processor", "searches/s"];
        println!(
            "{:>12} {:>8} {:>8} {:>8} {:>8} {:>10} {:>11}",
            header[0], header[1], header[2], header[3], header[4], header[5], header[6]
        );
        for Row { kind, callers, took_ms: [p50, p95, p99], per_second, processor_ms } in &found.rows {
            println!(
                "{kind:>12} {callers:>8} {p50:>8.2} {p95:>8.2} {p99:>8.2} {processor_ms:>10.2} {per_second:>11.0}"
            );
        }
        memory.push((shape, found));
    }
    println!("\nmemory, in MiB                allocated    mapped     total     peak (goal < 1229 in total)");
    for (shape, found) in &memory {
        for (moment, at) in [("opened", found.opened), ("after 2,000 searches", found.searched)] {
            let mib = |bytes: u64| bytes >> 20;
            println!(
                "{:<6}{moment:<24} {:>8} {:>9} {:>9} {:>8}",
                shape.name(),
                mib(at.anon),
                mib(at.file),
                mib(at.total()),
                mib(at.peak)
            );
        }
    }
    if let [(_, one), (_, many)] = memory.as_slice() {
        println!(
            "{} workspaces to one, after 2,000 searches: {:.2} times the allocated, {:.2} times the total (goal 1.1)",
            plan.workspaces,
            many.searched.anon as f64 / one.searched.anon as f64,
            many.searched.total() as f64 / one.searched.total() as f64
        );
    }
    Ok(())
}

/// Asks all queries for each of the callers side by side, each beginning with another one. Nothing may be left out.
async fn ask_all(
    engine: &Engine,
    mode: Mode,
    queries: &Arc<[String]>,
    callers: &Arc<[Caller]>,
    side_by_side: usize,
) -> Result<Vec<Duration>> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..side_by_side {
        let (engine, queries, callers) = (engine.clone(), Arc::clone(queries), Arc::clone(callers));
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(queries.len());
            for at in 0..queries.len() {
                let at = (at + number * queries.len() / side_by_side) % queries.len();
                let started = Instant::now();
                ask_one(&engine, &callers[at], mode, &queries[at]).await?;
                times.push(started.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(of_caller) = tasks.join_next().await {
        times.extend(of_caller??);
    }
    Ok(times)
}

/// Asks once; the number of pages found.
pub(crate) async fn ask_one(engine: &Engine, caller: &Caller, mode: Mode, query: &str) -> Result<usize> {
    let request = SearchRequest { query: query.to_owned(), mode, ..SearchRequest::default() };
    let response = engine.search(caller, request, Deadline::after(DEADLINE)).await?;
    ensure!(response.degraded.is_empty(), "a retriever was left out: {:?}", response.degraded);
    Ok(response.results.len())
}

/// Who asks the query at a place: of many workspaces, in one after the other.
pub(crate) fn caller_of(plan: &Plan, shape: Shape, at: usize) -> Result<Caller> {
    let number = if shape == Shape::One { 0 } else { at * plan.workspaces / QUERIES % plan.workspaces };
    Ok(Caller { workspace: workspace_of(shape, number)?, subject: Subject::User(reader()?) })
}

#[derive(Deserialize)]
struct QueryLine {
    text: String,
}

/// Link texts of the corpus.
pub(crate) fn queries(plan: &Plan) -> Result<Vec<String>> {
    let lines = std::fs::read_to_string(plan.corpus.join("anchor-queries/queries.jsonl"))?;
    let parsed = lines.lines().map(|line| Ok(serde_json::from_str::<QueryLine>(line)?.text));
    let mut queries = parsed.collect::<Result<Vec<_>>>()?;
    queries.shuffle(&mut SmallRng::seed_from_u64(SEED));
    queries.truncate(QUERIES);
    Ok(queries)
}
