//! Scores a collection under several configurations of the ranking, each query asked once a configuration.
//!
//! `cargo run --release -p eval --example ranking -- DATA_FOLDER WORKSPACE USER QUERIES.json VARIANTS.json [OUT.json]`
//!
//! The workspace is one that `tessera import` made. `QUERIES.json` holds `{"queries": {id: text}, "qrels": {id: {page id: grade}}}`,
//! `VARIANTS.json` a list of `{"name": .., "mode": "hybrid", "config": {..}}` with keys of `[query]` that differ from their
//! defaults; the first is what the others are compared with. Prints nDCG@10 over pages, the p-value of a paired randomisation
//! test against the first, and how long a search takes; `OUT.json` gets the values of each query.

#![expect(clippy::print_stdout, reason = "an example prints its findings")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use access::{Caller, Subject};
use anyhow::{Context, Result, ensure};
use index::{Index, OpenMode};
use models::embed::Embedder;
use query::deadline::Deadline;
use query::engine::Engine;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::api::search::{Mode, SearchRequest};
use schemas::ids::{UserId, WorkspaceId};
use serde::Deserialize;

const SEED: u64 = 7;
const PERMUTATIONS: usize = 10_000;
const CUTOFF: usize = 10;

#[derive(Deserialize)]
struct Collection {
    queries: BTreeMap<String, String>,
    qrels: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
struct Variant {
    name: String,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    config: query::config::Config,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |name: &'static str| arguments.next().context(name);
    let (data, workspace) = (PathBuf::from(next("DATA_FOLDER")?), WorkspaceId::new(next("WORKSPACE")?)?);
    let caller = Caller { workspace, subject: Subject::User(UserId::new(next("USER")?)?) };
    let collection: Collection = serde_json::from_slice(&std::fs::read(next("QUERIES.json")?)?)?;
    let variants: Vec<Variant> = serde_json::from_slice(&std::fs::read(next("VARIANTS.json")?)?)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let defaults = models::embed::Config::default();
    let (library, model_dir) = (root.join(&defaults.library), root.join(&defaults.model_dir));
    let embedder = Embedder::start(models::embed::Config { library, model_dir, ..defaults })?;
    let settings = index::Config { dir: data.join("index"), ..index::Config::default() };
    let index = Index::open(&settings, OpenMode::ReadOnly)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut found: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for variant in &variants {
        let engine = Engine::new(index.clone(), Some(embedder.clone()), variant.config.clone())?;
        let mut values = Vec::new();
        let mut times = Vec::new();
        for (id, text) in &collection.queries {
            // Twice: the first time embeds the query, which is not measured here.
            for is_measured in [false, true] {
                let request = SearchRequest {
                    query: text.clone(),
                    mode: variant.mode,
                    limit: CUTOFF as u32,
                    ..SearchRequest::default()
                };
                let started = Instant::now();
                let searched = engine.search(&caller, request, Deadline::after(Duration::from_secs(30)));
                let response = runtime.block_on(searched)?;
                ensure!(response.degraded.is_empty(), "a retriever was left out");
                if is_measured {
                    times.push(started.elapsed());
                    let judged = &collection.qrels[id];
                    let gains = response.results.iter().map(|hit| judged.get(hit.page.id.as_str()).copied());
                    values.push(ndcg(gains.map(Option::unwrap_or_default), judged.values().copied()));
                }
            }
        }
        times.sort_unstable();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        let first = found.get(variants[0].name.as_str());
        let p_value = first.map_or(1.0, |first| randomisation(first, &values));
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!("{:28} {mean:.4} p {p_value:.4} p50 {:.2} ms p95 {:.2} ms", variant.name, at(50), at(95));
        found.insert(&variant.name, values);
    }
    if let Some(out) = arguments.next() {
        std::fs::write(out, serde_json::to_vec(&found)?)?;
    }
    Ok(())
}

/// nDCG at [`CUTOFF`] with linear gains, as trec_eval has it.
fn ndcg(found: impl Iterator<Item = f64>, judged: impl Iterator<Item = f64>) -> f64 {
    let mut ideal: Vec<f64> = judged.collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let sum = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
        gains.take(CUTOFF).zip(2..).map(|(gain, place)| gain / f64::from(place).log2()).sum()
    };
    let best = sum(&mut ideal.into_iter());
    if best > 0.0 { sum(&mut { found }) / best } else { 0.0 }
}

/// Two-sided paired randomisation test of the difference of means.
fn randomisation(one: &[f64], other: &[f64]) -> f64 {
    let differences: Vec<f64> = one.iter().zip(other).map(|(one, other)| other - one).collect();
    let seen = differences.iter().sum::<f64>().abs();
    let mut rng = SmallRng::seed_from_u64(SEED);
    let mut extreme = 1;
    for _ in 0..PERMUTATIONS {
        let drawn: f64 = differences.iter().map(|value| if rng.random_bool(0.5) { *value } else { -value }).sum();
        extreme += usize::from(drawn.abs() >= seen - 1e-12);
    }
    f64::from(extreme as u32) / (PERMUTATIONS + 1) as f64
}
