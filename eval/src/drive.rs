//! Drives the real thing: asks an engine in this process, or a running server over HTTP, and takes down what it answers.
//!
//! The engine is the one that is served. Queries go to it as people type them, so what the query language makes of a colon or
//! a quotation mark is part of what is measured. Nothing is scored here.

mod server;

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use access::Caller;
use anyhow::{Context, ensure};
use query::deadline::Deadline;
use query::engine::Engine;
use schemas::api::search::{LIMIT_MAX, SearchRequest, SearchResponse};
use serde::{Deserialize, Serialize};

pub use server::Server;

use crate::configuration::Configuration;
use crate::evaluation::{JudgedHit, Latency};
use crate::progress::{Step, Watch};
use crate::runs::Run;
use crate::workspace::{Built, Names};

/// Hits whose excerpts are kept.
pub const HITS_KEPT: usize = 10;
/// Far more than a search takes, so that nothing is left out of an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Requests that are timed.
const TIMED_MAX: usize = 200;
/// Requests before the first timed one.
const WARM_UP: usize = 20;
/// Hits that a timed request asks for: a screen of them.
const TIMED_LIMIT: u32 = 10;

/// Whoever answers searches: an engine, a server, a test.
pub trait Searches {
    /// Answers one request.
    fn search(&mut self, request: SearchRequest) -> anyhow::Result<SearchResponse>;
}

/// An engine in this process.
pub struct InProcess {
    engine: Engine,
    caller: Caller,
    /// Whether documents are sections of pages, so that passages are asked for.
    passages: bool,
    runtime: tokio::runtime::Runtime,
}

impl InProcess {
    /// Asks a workspace by one configuration as one person.
    pub fn new(built: &Built, configuration: &Configuration, caller: Caller) -> anyhow::Result<Self> {
        let lacks_model = configuration.needs_meaning() && built.embedder.is_none();
        ensure!(!lacks_model, "{} searches by meaning, and there is no model", configuration.name);
        let engine = Engine::new(built.index.clone(), built.embedder.clone(), configuration.query.clone())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        Ok(Self { engine, caller, passages: built.names.are_sections(), runtime })
    }
}

impl Searches for InProcess {
    fn search(&mut self, request: SearchRequest) -> anyhow::Result<SearchResponse> {
        let Self { engine, caller, runtime, passages } = self;
        let deadline = Deadline::after(PATIENCE);
        if *passages {
            return Ok(runtime.block_on(engine.search_passages(caller, request, deadline))?);
        }
        Ok(runtime.block_on(engine.search(caller, request, deadline))?)
    }
}

/// What was answered to one query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Documents, best first, none twice.
    pub documents: Vec<String>,
    /// Pages of all hits.
    pub pages: Vec<String>,
    /// The first hits, without grades.
    pub hits: Vec<JudgedHit>,
}

/// What was answered to all queries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// By query.
    pub queries: BTreeMap<String, Asked>,
    /// How long it took; absent where that was not measured.
    pub latency: Option<Latency>,
}

impl Answers {
    /// The rankings as a run of this name.
    pub fn run(&self, name: &str) -> anyhow::Result<Run> {
        let mut run = Run::new(name);
        for (query, asked) in &self.queries {
            run.insert_in_order(query, asked.documents.clone())?;
        }
        Ok(run)
    }
}

/// Asks all queries, by id, for `depth` hits each.
pub fn ask_all(
    searches: &mut dyn Searches,
    configuration: &Configuration,
    queries: &BTreeMap<String, String>,
    names: &Names,
    depth: u32,
    watch: Watch<'_>,
) -> anyhow::Result<Answers> {
    let mut answers = Answers::default();
    for (at, (id, text)) in queries.iter().enumerate() {
        watch(Step { what: &configuration.name, done: at as u64, total: Some(queries.len() as u64) });
        let text = configuration.text(id, text);
        let asked = ask(searches, configuration, &text, names, depth);
        answers.queries.insert(id.clone(), asked.with_context(|| format!("cannot ask the query {id}"))?);
    }
    Ok(answers)
}

fn ask(
    searches: &mut dyn Searches,
    configuration: &Configuration,
    text: &str,
    names: &Names,
    depth: u32,
) -> anyhow::Result<Asked> {
    let (mut asked, mut known, mut cursor) = (Asked::default(), HashSet::new(), None);
    while asked.pages.len() < depth as usize {
        let limit = (depth - asked.pages.len() as u32).min(LIMIT_MAX);
        let response = searches.search(SearchRequest { cursor, ..configuration.request(text, limit) })?;
        ensure!(response.degraded.is_empty(), "a retriever was left out: {:?}", response.degraded);
        for hit in response.results {
            let document = names.of_hit(&hit);
            asked.pages.push(hit.page.id.to_string());
            if !known.insert(document.clone()) {
                continue;
            }
            if asked.hits.len() < HITS_KEPT {
                asked.hits.push(JudgedHit {
                    document: document.clone(),
                    title: hit.page.title,
                    headings: hit.headings,
                    snippet: hit.snippet,
                    score: hit.score,
                    score_details: hit.score_details,
                    grade: None,
                });
            }
            asked.documents.push(document);
        }
        cursor = response.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(asked)
}

/// Times requests for one screen of hits each, one after the other, over queries spread evenly.
pub fn time(
    searches: &mut dyn Searches,
    configuration: &Configuration,
    queries: &BTreeMap<String, String>,
) -> anyhow::Result<Latency> {
    let step = queries.len().div_ceil(TIMED_MAX).max(1);
    let texts: Vec<String> = queries.iter().step_by(step).map(|(id, text)| configuration.text(id, text)).collect();
    let request = |text: &String| SearchRequest { score_details: false, ..configuration.request(text, TIMED_LIMIT) };
    for text in texts.iter().rev().take(WARM_UP) {
        searches.search(request(text))?;
    }
    let mut took = Vec::with_capacity(texts.len());
    for text in &texts {
        let started = Instant::now();
        searches.search(request(text))?;
        took.push(started.elapsed());
    }
    Ok(latency(took))
}

fn latency(mut took: Vec<Duration>) -> Latency {
    took.sort_unstable();
    let at = |percent: usize| match took.len() {
        0 => 0.0,
        len => took[(len * percent).div_ceil(100).clamp(1, len) - 1].as_secs_f64() * 1e3,
    };
    Latency { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), requests: took.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let of = |count: u64| latency((1..=count).rev().map(Duration::from_millis).collect());
        assert_eq!(of(100), Latency { p50_ms: 50.0, p95_ms: 95.0, p99_ms: 99.0, requests: 100 });
        assert_eq!(of(1), Latency { p50_ms: 1.0, p95_ms: 1.0, p99_ms: 1.0, requests: 1 });
        assert_eq!(of(0), Latency::default());
    }
}
