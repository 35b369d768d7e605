//! Measures the whole at a million passages: start, memory, disk, search, commits under edits, and changes of access.
//!
//! Corpus: the pages of docs-win32 four times over, under other ids and with one word in eight spelt otherwise in each copy;
//! vectors are noise of 384 numbers. Two indexes hold the same passages: one workspace with a tree of pages, and 10,000
//! workspaces of some twenty pages each. They are built once and kept. Queries are link texts of the corpus; embedding them
//! is left to a fake model, so that its time is next to nothing. Every part runs in a process of its own, so that
//! memory is that of the part; files are mapped, and what of them is in memory is told apart from what was allocated.
//!
//! `cargo bench -p eval --bench scale -- [--copies 4] [--pages N] [--workspaces 10000] [--dir FOLDER] [--corpus FOLDER]
//! [--only PART] [--seconds 60]`, the parts being `build`, `start`, `search`, `edits`, `access`, `reindex`, `stream` and `load`; `--pages` cuts the
//! corpus for a quick run. `stream` takes a Kafka, which `scripts/bench-stream.sh` starts, and the one workspace alone; `--seconds` says
//! how long its surge lasts. `load` takes a server: `--only load --server target/release/tessera`, and embeds queries by the real
//! model, so that its index says it was built by that one.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]
#![expect(clippy::disallowed_methods, reason = "edits, searches and looks are paced by the clock")]
#![expect(clippy::print_stderr, reason = "building takes minutes and says how far it is")]

mod access;
mod build;
mod corpus;
mod edits;
mod load;
mod neighbour;
mod process;
mod reindex;
mod search;
mod stream;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use build::{Built, Shape, ensure_built};
use models::embed::Embedder;

const SEED: u64 = 11;
const DIMENSIONS: usize = 384;
/// What this bench itself is given to name the part that a process runs.
const PART: &str = "--part";
/// And to say what its vectors are of.
const MODEL_ID: &str = "--model-id";

/// What is to be measured, and on what.
#[derive(Clone, Debug)]
struct Plan {
    copies: usize,
    pages: usize,
    workspaces: usize,
    dir: PathBuf,
    corpus: PathBuf,
    /// How long the surge of a stream lasts.
    seconds: u64,
    only: Option<String>,
    part: Option<String>,
    /// The binary that `load` asks.
    server: Option<PathBuf>,
    /// The model that the vectors are said to be of.
    model_id: String,
}

impl Plan {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/docs-win32");
        let dir = build::default_dir();
        let mut plan = Self {
            copies: 4,
            pages: usize::MAX,
            workspaces: 10_000,
            dir,
            corpus,
            seconds: 60,
            only: None,
            part: None,
            server: None,
            model_id: Embedder::fake(DIMENSIONS).model_id().as_str().to_owned(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} takes a value"));
            match argument.as_str() {
                "--copies" => plan.copies = value()?.parse()?,
                "--pages" => plan.pages = value()?.parse()?,
                "--workspaces" => plan.workspaces = value()?.parse()?,
                "--dir" => plan.dir = PathBuf::from(value()?),
                "--corpus" => plan.corpus = PathBuf::from(value()?),
                "--seconds" => plan.seconds = value()?.parse()?,
                "--only" => plan.only = Some(value()?),
                "--server" => {
                    let server = PathBuf::from(value()?).canonicalize();
                    plan.server = Some(server.context("--server names no file")?);
                }
                MODEL_ID => plan.model_id = value()?,
                PART => plan.part = Some(value()?),
                _ => {}
            }
        }
        ensure!((1..=20).contains(&plan.copies), "--copies must be 1 to 20");
        ensure!(plan.workspaces >= plan.copies, "--workspaces must be at least --copies");
        Ok(plan)
    }

    fn dir_of(&self, shape: Shape) -> PathBuf {
        let pages = if self.pages == usize::MAX { "all".to_owned() } else { self.pages.to_string() };
        let asked = if self.only.as_deref() == Some("load") { "-asked" } else { "" };
        self.dir.join(format!("{}-{pages}-{}{asked}", shape.name(), self.copies))
    }

    fn index_dir(&self, shape: Shape) -> PathBuf {
        self.dir_of(shape).join("index")
    }

    /// A folder for files that change, linked to those that do not.
    fn work_dir(&self) -> PathBuf {
        self.dir.join("work")
    }

    fn corpus_file(&self) -> PathBuf {
        self.corpus.join("pages.jsonl.zst")
    }

    fn index_config(&self, shape: Shape) -> index::Config {
        index::Config { dir: self.index_dir(shape), dimensions: DIMENSIONS, ..index::Config::default() }
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() -> Result<()> {
    let mut plan = Plan::read(std::env::args().skip(1))?;
    if let Some(part) = &plan.part {
        return run_part(&plan, part);
    }
    println!("machine: {}, load {}", machine(), process::load());
    if !plan.corpus_file().is_file() {
        println!("SKIPPED: {} is not there; name the folder of docs-win32 with --corpus", plan.corpus_file().display());
        return Ok(());
    }
    if plan.only.as_deref() == Some("load") {
        let Some(model_id) = load::model_id()? else {
            println!("SKIPPED: the embedding model is not there; `make models` fetches it");
            return Ok(());
        };
        plan.model_id = model_id;
    }
    let mut sizes = Vec::new();
    // Streams are measured on the one workspace, and so are callers over HTTP.
    let shapes: &[Shape] = match plan.only.as_deref() {
        Some("stream" | "load") => &[Shape::One],
        _ => &[Shape::One, Shape::Many],
    };
    for &shape in shapes {
        let built: Built = ask(&plan, &format!("build-{}", shape.name()))?;
        let disk = process::bytes_in(&plan.index_dir(shape))?;
        println!(
            "{}: {} passages of {} bytes on {} pages in {}; {} bytes on disk a passage; written in {:.0} s",
            shape.name(),
            built.passages,
            built.text_bytes / built.passages.max(1),
            built.pages,
            if shape == Shape::One { "one workspace".to_owned() } else { format!("{} workspaces", plan.workspaces) },
            disk / built.passages.max(1),
            built.seconds,
        );
        sizes.push(built);
    }
    if plan.wants("start") {
        search::print_start(&plan)?;
    }
    if plan.wants("search") {
        search::print_searches(&plan, &sizes)?;
    }
    if plan.wants("edits") {
        edits::print(&plan)?;
    }
    if plan.wants("access") {
        access::print(&plan)?;
    }
    if plan.wants("reindex") {
        reindex::print(&plan)?;
    }
    if plan.wants("stream") {
        stream::print(&plan)?;
    }
    if let (Some("load"), Some(server)) = (plan.only.as_deref(), &plan.server) {
        load::print(&plan, server)?;
    }
    println!("load at the end {}", process::load());
    Ok(())
}

fn run_part(plan: &Plan, part: &str) -> Result<()> {
    let found = match part {
        "build-one" => serde_json::to_string(&ensure_built(plan, Shape::One)?)?,
        "build-many" => serde_json::to_string(&ensure_built(plan, Shape::Many)?)?,
        "start" => serde_json::to_string(&search::start(plan, Shape::One)?)?,
        "search-one" => serde_json::to_string(&search::run(plan, Shape::One)?)?,
        "search-many" => serde_json::to_string(&search::run(plan, Shape::Many)?)?,
        "edits" => serde_json::to_string(&edits::run(plan)?)?,
        "reindex" => serde_json::to_string(&reindex::run(plan)?)?,
        "surge" => serde_json::to_string(&stream::run(plan)?)?,
        "neighbour" => serde_json::to_string(&neighbour::run(plan)?)?,
        "access" => serde_json::to_string(&access::run(plan)?)?,
        _ => anyhow::bail!("there is no part {part}"),
    };
    println!("{found}");
    Ok(())
}

/// Runs a part in a process of its own and reads what it found.
fn ask<T: DeserializeOwned>(plan: &Plan, part: &str) -> Result<T> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--copies", &plan.copies.to_string(), "--workspaces", &plan.workspaces.to_string()]);
    if plan.pages != usize::MAX {
        command.args(["--pages", &plan.pages.to_string()]);
    }
    command.args(["--seconds", &plan.seconds.to_string(), MODEL_ID, &plan.model_id]);
    if let Some(only) = &plan.only {
        command.args(["--only", only]);
    }
    command.arg("--dir").arg(&plan.dir).arg("--corpus").arg(&plan.corpus).args([PART, part]);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{part} failed");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{part} told nothing that can be read"))
}

/// Milliseconds of the given percentiles.
fn percentiles(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    let at =
        |percent: usize| times.get(times.len().saturating_sub(1) * percent / 100).map_or(0.0, Duration::as_secs_f64);
    [50, 95, 99].map(|percent| at(percent) * 1e3)
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", name.trim_start_matches([' ', '\t', ':']))
}
