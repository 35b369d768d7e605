//! Measures whole searches, from the request to the response, with one caller and with several at once.
//!
//! Corpus: a sample of the pages of docs-win32, imported as `tessera import` does it into one workspace of one member, who
//! may see it all. Vectors come from the fake model of 384 numbers: searching by meaning costs what it costs with real ones,
//! embedding the query does not. What that costs with the real model is measured by itself, when its files are there.
//! Queries: link texts of the same corpus, each asked once a caller; suggestions are asked for the first letters of them.
//! Callers ask one query after the other, on one runtime, without HTTP in between.
//!
//! `cargo bench -p eval --bench hybrid -- --pages 12000 --corpus FOLDER`; both are optional.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Caller, Subject};
use anyhow::{Context, Result, ensure};
use index::{Index, OpenMode};
use indexer::engine::ImportTarget;
use indexer::import::input::{self, Line, Lines};
use indexer::import::{Options, Source};
use models::embed::Embedder;
use query::deadline::Deadline;
use query::engine::Engine;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::{SliceRandom, index::sample};
use schemas::api::search::{Mode, SearchRequest};
use schemas::grant::Role;
use schemas::ids::{UserId, WorkspaceId};
use serde::Deserialize;

const SEED: u64 = 11;
const DIMENSIONS: usize = 384;
const PAGES: usize = 12_000;
const QUERIES: usize = 500;
const CALLERS: [usize; 3] = [1, 2, 8];
const SUGGESTED_CHARS: usize = 4;
const SUGGESTIONS: u32 = 8;
const LINE_BYTES_MAX: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_hours(1);
const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages_len = PAGES;
    let mut folder = root.join("../shared/data/docs-win32");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pages" => pages_len = arguments.next().context("--pages takes a number")?.parse()?,
            "--corpus" => folder = PathBuf::from(arguments.next().context("--corpus takes a folder")?),
            _ => {}
        }
    }
    println!("machine: {}", machine());
    embed_queries(&root, &folder)?;
    if !folder.join("pages.jsonl.zst").is_file() {
        println!("SKIPPED: {} is not there; name the folder of docs-win32 with --corpus", folder.display());
        return Ok(());
    }
    println!(
        "corpus: docs-win32, {pages_len} pages drawn with seed {SEED}; the model of passages and queries is a fake"
    );
    let dir = tempfile::tempdir()?;
    let pages = dir.path().join("pages.jsonl");
    draw_pages(&folder.join("pages.jsonl.zst"), pages_len, &pages)?;
    let embedder = Embedder::fake(DIMENSIONS);
    let index = import(dir.path(), &pages, &embedder)?;
    let engine = Engine::new(index, Some(embedder), query::config::Config::default())?;
    let runtime = tokio::runtime::Runtime::new()?;
    let queries: Arc<[String]> = draw_queries(&folder)?.into();

    let header = ["", "callers", "p50 ms", "p95 ms", "p99 ms", "searches/s"];
    println!("{:>12} {:>8} {:>9} {:>9} {:>9} {:>11}", header[0], header[1], header[2], header[3], header[4], header[5]);
    for (name, kind) in
        [("hybrid", Kind::Search(Mode::Hybrid)), ("by words", Kind::Search(Mode::Lexical)), ("suggest", Kind::Suggest)]
    {
        // Once to warm up.
        runtime.block_on(ask_all(&engine, kind, &queries, 1))?;
        for callers in CALLERS {
            let started = Instant::now();
            let times = runtime.block_on(ask_all(&engine, kind, &queries, callers))?;
            let per_second = times.len() as f64 / started.elapsed().as_secs_f64();
            println!("{name:>12} {callers:>8} {} {per_second:>11.0}", percentiles(times));
        }
    }
    Ok(())
}

/// What is asked.
#[derive(Clone, Copy)]
enum Kind {
    Search(Mode),
    Suggest,
}

/// Asks all queries for each caller, from another one on for each. Nothing may be left out of an answer.
async fn ask_all(engine: &Engine, kind: Kind, queries: &Arc<[String]>, callers: usize) -> Result<Vec<Duration>> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..callers {
        let (engine, queries, caller) = (engine.clone(), Arc::clone(queries), caller()?);
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(queries.len());
            for at in 0..queries.len() {
                let query = &queries[(at + number * queries.len() / callers) % queries.len()];
                let started = Instant::now();
                ask(&engine, kind, &caller, query).await?;
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

async fn ask(engine: &Engine, kind: Kind, caller: &Caller, query: &str) -> Result<()> {
    let deadline = Deadline::after(DEADLINE);
    match kind {
        Kind::Search(mode) => {
            let request = SearchRequest { query: query.to_owned(), mode, ..SearchRequest::default() };
            let response = engine.search(caller, request, deadline).await?;
            ensure!(response.degraded.is_empty(), "a retriever was left out: {:?}", response.degraded);
            black_box(response);
        }
        Kind::Suggest => {
            let typed: String = query.chars().take(SUGGESTED_CHARS).collect();
            black_box(engine.suggest(caller, &typed, SUGGESTIONS, deadline).await?);
        }
    }
    Ok(())
}

fn caller() -> Result<Caller> {
    Ok(Caller { workspace: workspace()?, subject: Subject::User(user()?) })
}

fn workspace() -> Result<WorkspaceId> {
    Ok(WorkspaceId::new("docs")?)
}

fn user() -> Result<UserId> {
    Ok(UserId::new("ada")?)
}

/// Writes a sample of a pages file to another.
fn draw_pages(from: &Path, pages_len: usize, to: &Path) -> Result<()> {
    let mut lines = Vec::new();
    let mut reader = Lines::new(input::open(from)?, LINE_BYTES_MAX);
    while let Some(line) = reader.next_line()? {
        if let Line::Text(line) = line {
            lines.push(line.to_vec());
        }
    }
    let mut drawn = sample(&mut SmallRng::seed_from_u64(SEED), lines.len(), pages_len.min(lines.len())).into_vec();
    drawn.sort_unstable();
    let mut file = std::io::BufWriter::new(std::fs::File::create(to)?);
    for at in drawn {
        file.write_all(&lines[at])?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}

#[derive(Deserialize)]
struct QueryLine {
    text: String,
}

fn draw_queries(folder: &Path) -> Result<Vec<String>> {
    let lines = std::fs::read_to_string(folder.join("anchor-queries/queries.jsonl"))?;
    let parsed = lines.lines().map(|line| Ok(serde_json::from_str::<QueryLine>(line)?.text));
    let mut queries = parsed.collect::<Result<Vec<_>>>()?;
    queries.shuffle(&mut SmallRng::seed_from_u64(SEED));
    queries.truncate(QUERIES);
    Ok(queries)
}

fn import(dir: &Path, pages: &Path, embedder: &Embedder) -> Result<Index> {
    let config = index::Config { dir: dir.join("index"), dimensions: DIMENSIONS, ..index::Config::default() };
    let index = Index::open(&config, OpenMode::ReadWrite)?;
    let config = indexer::config::Config { data_dir: dir.to_owned(), ..indexer::config::Config::default() };
    let engine = indexer::engine::Engine::open(index.clone(), Some(embedder.clone()), config)?;
    let mut options = Options::new(workspace()?, jiff::Timestamp::now());
    options.members = vec![(user()?, Role::Member)];
    let mut target = ImportTarget::new(engine.clone(), workspace()?);
    let started = Instant::now();
    let report = indexer::import::run(&Source::Pages(pages.to_owned()), &options, &mut target, &mut |_| {})?;
    ensure!(engine.wait_idle(PATIENCE), "the last commit did not come");
    let text = started.elapsed();
    ensure!(engine.wait_embedded(PATIENCE), "the last vectors did not come");
    let all = started.elapsed();
    let stats = engine.workspace_status(&workspace()?).context("the workspace was just imported")?.stats;
    println!(
        "{} pages, {} passages; by words after {:.1} s, by meaning after {:.1} s",
        report.pages_seen,
        stats.passages,
        text.as_secs_f64(),
        all.as_secs_f64()
    );
    ensure!(engine.close(), "what was imported last could not be committed");
    index.reload()?;
    Ok(index)
}

/// Embeds queries with the real model, one after the other.
fn embed_queries(root: &Path, folder: &Path) -> Result<()> {
    let defaults = models::embed::Config::default();
    let (library, model_dir) = (root.join(&defaults.library), root.join(&defaults.model_dir));
    if !library.is_file() || !model_dir.is_dir() || !folder.is_dir() {
        println!("SKIPPED: embedding a query; its model or the corpus is not there");
        return Ok(());
    }
    let embedder = Embedder::start(models::embed::Config { library, model_dir, ..defaults })?;
    let queries = draw_queries(folder)?;
    let mut times = Vec::new();
    for query in &queries {
        let started = Instant::now();
        black_box(embedder.embed_query(query, Instant::now() + DEADLINE)?);
        times.push(started.elapsed());
    }
    println!("embedding a query with {}, p50, p95, p99 in ms: {}", embedder.model_id(), percentiles(times));
    Ok(())
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    format!("{:>9.2} {:>9.2} {:>9.2}", at(50), at(95), at(99))
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", name.trim_start_matches([' ', '\t', ':']), std::env::consts::ARCH)
}
