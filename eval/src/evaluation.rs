//! What an evaluation found, as it is written to `evaluation.json` and read by reports.
//!
//! Values only: nothing is asked, measured or drawn here. Every score is kept by query, so that whoever reads the file can
//! compare, group and draw as they like; hits are kept for some queries alone, which bounds the file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use schemas::api::search::{ScoreDetails, Snippet};
use serde::{Deserialize, Serialize};

use crate::compare::Comparison;
use crate::configuration::Configuration;
use crate::metrics::{Metric, Scores};
use crate::workspace::{IndexFacts, write_whole};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// One evaluation: several configurations on several collections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// When it was made.
    pub made_at: jiff::Timestamp,
    /// The release that was evaluated.
    pub release: String,
    /// Where it ran.
    pub machine: String,
    /// The embedding model; absent where only words were searched, or a server was asked.
    pub model_id: Option<String>,
    /// The server that was asked; absent where everything ran in this process.
    pub server: Option<String>,
    /// What was found, by collection and split.
    pub collections: Vec<CollectionResult>,
}

/// What was found on one split of one collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CollectionResult {
    /// The collection.
    pub name: String,
    /// The split, or the part of it.
    pub split: String,
    /// The person who asked.
    pub asked_as: String,
    /// Hits that were asked for.
    pub depth: u32,
    /// What is known of the index; absent where a server was asked.
    pub index: Option<IndexFacts>,
    /// The texts of the queries, by id.
    pub queries: BTreeMap<String, String>,
    /// Judgments.
    pub judgments: usize,
    /// The metrics, that which matters most first.
    pub metrics: Vec<Metric>,
    /// The systems, the baseline first.
    pub systems: Vec<SystemResult>,
    /// The systems after the first against it, by metric, in their order.
    pub comparisons: Vec<MetricComparison>,
    /// What each persona is answered by the first system.
    pub personas: Vec<PersonaResult>,
    /// The relevant documents, with their grades, of the queries whose hits are kept.
    pub relevant: BTreeMap<String, BTreeMap<String, i32>>,
}

/// What one configuration answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemResult {
    /// The configuration.
    pub configuration: Configuration,
    /// The value of each query by each metric.
    pub scores: BTreeMap<Metric, Scores>,
    /// How long answers took; absent where that was not measured.
    pub latency: Option<Latency>,
    /// The first hits of the queries that are worth a look.
    pub hits: BTreeMap<String, Vec<JudgedHit>>,
}

/// How long requests took, one after the other, each asked once after some others had warmed up what there is to warm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 95 of 100 took no longer, in milliseconds.
    pub p95_ms: f64,
    /// 99 of 100 took no longer, in milliseconds.
    pub p99_ms: f64,
    /// How many were timed.
    pub requests: usize,
}

/// Systems against the first one by one metric, with Holm's correction over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricComparison {
    /// What is compared.
    pub metric: Metric,
    /// The systems, in their order.
    pub systems: Vec<Comparison>,
}

/// A hit, with what the judgments say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgedHit {
    /// The document, as judgments name it.
    pub document: String,
    /// The title of the page.
    pub title: String,
    /// The headings that the passage stands under.
    pub headings: Vec<String>,
    /// The excerpt.
    pub snippet: Snippet,
    /// Its score, comparable within one answer.
    pub score: f32,
    /// How that came about.
    pub score_details: Option<ScoreDetails>,
    /// Its grade; absent where nobody judged it.
    pub grade: Option<i32>,
}

/// What one persona is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonaResult {
    /// What the persona is called.
    pub persona: String,
    /// Documents of the collection that the persona may find.
    pub documents: usize,
    /// Queries of which the persona may see something relevant.
    pub queries: usize,
    /// Judgments of documents that the persona may see.
    pub judgments: usize,
    /// The mean of each metric over these queries against these judgments.
    pub means: BTreeMap<Metric, f64>,
    /// The same of what the first persona is answered, without what this one may not see: what search would be if filtering
    /// cost nothing.
    pub means_unfiltered: BTreeMap<Metric, f64>,
    /// Relevant documents that the persona may see, that are found for the first persona and lost for this one. Goal: 0.
    pub recall_lost: usize,
    /// Hits that the persona may not see, by an oracle that shares no code with the search. Goal: 0.
    pub leaks: usize,
    /// The first of these, as query and page.
    pub leaked: Vec<(String, String)>,
}

impl Evaluation {
    /// Reads one.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {file}"))?.len();
        ensure!(size <= FILE_BYTES_MAX, "{file} is larger than {FILE_BYTES_MAX} bytes");
        let text = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
        serde_json::from_slice(&text).with_context(|| format!("{file} is no evaluation"))
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_whole(path, &serde_json::to_vec(self).context("cannot put an evaluation into JSON")?)
    }

    /// Leaks of all personas.
    pub fn leaks(&self) -> usize {
        self.collections.iter().flat_map(|collection| &collection.personas).map(|persona| persona.leaks).sum()
    }
}

impl CollectionResult {
    /// The collection and its split in one word: `scifact/test`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.name, self.split)
    }
}

/// The processor and its cores.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", name.trim_start_matches([' ', '\t', ':']), std::env::consts::ARCH)
}
