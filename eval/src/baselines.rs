//! The baselines that are checked in: which there are, what each asks to be measured again, and how that is measured.
//!
//! A baseline is a [`Measurement`], which names its collection, split and configuration, so the name of its file means nothing.
//! Measurements by words alone are made on an index without vectors, on any machine alike: with a model, passages are cut by
//! its tokens.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use models::embed::Embedder;

use crate::configuration::Configuration;
use crate::dataset::Dataset;
use crate::evaluate::{Plan, Site, evaluate};
use crate::gate::Measurement;
use crate::metrics::Metric;
use crate::progress::Watch;
use crate::statistics::Effort;
use crate::workspace::{Built, Options};

/// Lies beside them and is none.
const INSTRUCTIONS: &str = "instructions.json";
/// Most queries of a baseline, spread evenly; it keeps files small enough to be checked in.
const QUERIES_MAX: usize = 1_000;
/// What is kept.
const METRICS: [&str; 2] = ["nDCG@10", "R@100"];
/// Hits that are asked for.
const DEPTH: u32 = 100;

/// The baselines in a folder, by file.
pub fn find(folder: &Path) -> anyhow::Result<Vec<(PathBuf, Measurement)>> {
    let failed = || format!("cannot list {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let is_baseline = path.extension().is_some_and(|extension| extension == "json");
        if is_baseline && path.file_name().is_some_and(|name| name != INSTRUCTIONS) {
            let measurement = Measurement::read(&path)?;
            found.push((path, measurement));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// The collection and the split that a baseline is of; `None` where no folder in `roots` holds the collection.
pub fn collection_of(measurement: &Measurement, roots: &[PathBuf]) -> anyhow::Result<Option<(Dataset, String)>> {
    let id = &measurement.collection;
    let Some((name, split)) = id.rsplit_once('/') else { bail!("{id} names no collection and split") };
    let top = name.split('/').next().unwrap_or(name);
    let Some(folder) = roots.iter().map(|root| root.join(top)).find(|folder| folder.is_dir()) else {
        return Ok(None);
    };
    let found = Dataset::find(&folder)?.into_iter().find(|dataset| dataset.name == name);
    let dataset = found.with_context(|| format!("{} holds no collection {name}", folder.display()))?;
    Ok(Some((dataset, split.to_owned())))
}

/// The name of a new baseline's file.
pub fn file_name(collection: &str, configuration: &str) -> String {
    let plain = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("{}.{}.json", plain(collection), plain(configuration))
}

/// Measures one split of a collection by one configuration.
///
/// Fails where the configuration searches by meaning and there is no `embedder`.
pub fn measure(
    dataset: &Dataset,
    split: &str,
    configuration: &Configuration,
    embedder: Option<&Embedder>,
    options: &Options,
    watch: Watch<'_>,
) -> anyhow::Result<Measurement> {
    let embedder = embedder.filter(|_| configuration.needs_meaning());
    ensure!(embedder.is_some() || !configuration.needs_meaning(), "{} needs a model", configuration.name);
    let options = Options { embedder: embedder.cloned(), ..options.clone() };
    let built = Built::open(dataset, &options, watch)?;
    let metrics: Result<Vec<Metric>, _> = METRICS.iter().map(|name| name.parse()).collect();
    let plan = Plan {
        configurations: vec![configuration.clone()],
        metrics: metrics?,
        depth: DEPTH,
        queries_max: Some(QUERIES_MAX),
        personas: false,
        latency: false,
        shown_max: 0,
        effort: Effort::default(),
    };
    let found = evaluate(dataset, split, &plan, &mut Site::Here(&built), watch)?;
    let result = found.results.into_iter().next().context("nothing was measured")?;
    let scores = result.systems.into_iter().next().context("nothing was measured")?.scores;
    Ok(Measurement::new(&format!("{}/{split}", dataset.name), &configuration.name, scores))
}
