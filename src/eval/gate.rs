//! `tessera eval gate`: search now against the baselines that are checked in.
//!
//! It fails where a metric dropped significantly. `--record` writes the baselines anew instead, after a change that was meant.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use eval::baselines;
use eval::configuration::Configuration;
use eval::dataset::Dataset;
use eval::gate::{Measurement, Outcome, Rule, Verdict, check};
use models::embed::Embedder;

use super::Bar;
use crate::config::Config;

/// What to check, or to record.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folders of collections to record for the first time; without any, all baselines there are are checked or recorded anew.
    #[arg(requires = "record")]
    folders: Vec<PathBuf>,
    /// Write baselines instead of checking them.
    #[arg(long)]
    record: bool,
    /// Configurations to record for new collections.
    #[arg(long = "configuration", value_name = "NAME", default_values = ["lexical", "hybrid"])]
    configurations: Vec<String>,
    /// Only the baselines whose collection begins so, as `scifact`; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Folder of the baselines.
    #[arg(long, value_name = "DIR", default_value = "eval/baselines")]
    baselines: PathBuf,
    /// Folder in which folders of collections lie; may be repeated.
    #[arg(long = "data", value_name = "DIR", default_values = ["samples", "../shared/data"])]
    roots: Vec<PathBuf>,
    /// Where workspaces and answers are kept from run to run.
    #[arg(long, value_name = "DIR", default_value = ".cache/eval")]
    cache: PathBuf,
    /// Print verdicts as JSON.
    #[arg(long)]
    json: bool,
}

/// One baseline to check or to record.
struct Task {
    path: PathBuf,
    dataset: Dataset,
    split: String,
    configuration: Configuration,
    baseline: Option<Measurement>,
}

/// Checks or records.
pub(super) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let tasks = tasks(config, arguments)?;
    let needs_model = tasks.iter().any(|task| task.configuration.needs_meaning());
    let embedder = if needs_model { started(config) } else { None };
    let mut dropped = Vec::new();
    for task in tasks {
        let name = format!("{}/{} by {}", task.dataset.name, task.split, task.configuration.name);
        if task.configuration.needs_meaning() && embedder.is_none() {
            say(&format!("SKIPPED: {name}: there is no embedding model"))?;
            continue;
        }
        let measured =
            measure(config, arguments, &task, embedder.as_ref()).with_context(|| format!("cannot measure {name}"))?;
        match task.baseline.as_ref().filter(|_| !arguments.record) {
            None => {
                measured.write(&task.path)?;
                say(&format!("{name}: recorded in {}", task.path.display()))?;
            }
            Some(baseline) => {
                let verdicts = check(baseline, &measured, &Rule::default())
                    .with_context(|| format!("cannot check {}", task.path.display()))?;
                tell(&name, &verdicts, arguments.json)?;
                if verdicts.iter().any(|verdict| verdict.outcome == Outcome::Dropped) {
                    dropped.push(name);
                }
            }
        }
    }
    ensure!(dropped.is_empty(), "search became significantly worse on {}", dropped.join("; "));
    Ok(())
}

fn started(config: &Config) -> Option<Embedder> {
    match super::start_embedder(config) {
        Ok(embedder) => Some(embedder),
        Err(error) => {
            eprintln!("{error:#}");
            None
        }
    }
}

fn tasks(config: &Config, arguments: &Arguments) -> anyhow::Result<Vec<Task>> {
    let mut tasks = Vec::new();
    for dataset in super::collections(&arguments.folders)? {
        let split = super::split_of(&dataset, None)?;
        for name in &arguments.configurations {
            let configuration = Configuration::named(name, &config.query)?;
            let file = baselines::file_name(&format!("{}-{split}", dataset.name), name);
            let path = arguments.baselines.join(file);
            let (dataset, split) = (dataset.clone(), split.clone());
            tasks.push(Task { path, dataset, split, configuration, baseline: None });
        }
    }
    if !arguments.folders.is_empty() {
        return Ok(tasks);
    }
    let is_wanted = |collection: &str| {
        arguments.only.is_empty() || arguments.only.iter().any(|only| collection.starts_with(only.as_str()))
    };
    for (path, baseline) in baselines::find(&arguments.baselines)? {
        if !is_wanted(&baseline.collection) {
            continue;
        }
        let configuration = Configuration::named(&baseline.configuration, &config.query)
            .with_context(|| format!("{} names no configuration", path.display()))?;
        let Some((dataset, split)) = baselines::collection_of(&baseline, &arguments.roots)? else {
            say(&format!("SKIPPED: {}: its folder is not there; name where it lies with --data", baseline.collection))?;
            continue;
        };
        tasks.push(Task { path, dataset, split, configuration, baseline: Some(baseline) });
    }
    Ok(tasks)
}

fn measure(
    config: &Config,
    arguments: &Arguments,
    task: &Task,
    embedder: Option<&Embedder>,
) -> anyhow::Result<Measurement> {
    let bar = Bar::new();
    let options = super::options(config, &arguments.cache);
    let watch = &mut |step: eval::progress::Step<'_>| bar.show(&task.dataset.name, step);
    baselines::measure(&task.dataset, &task.split, &task.configuration, embedder, &options, watch)
}

fn tell(name: &str, verdicts: &[Verdict], json: bool) -> anyhow::Result<()> {
    if json {
        return say(&serde_json::json!({ "gate": name, "verdicts": verdicts }).to_string());
    }
    for verdict in verdicts {
        let outcome = match verdict.outcome {
            Outcome::Held => "held",
            Outcome::Dropped => "DROPPED",
            Outcome::Improved => "improved; record it with --record",
        };
        say(&format!(
            "{name}: {} {:.4} -> {:.4} [{:+.4}, {:+.4}], p {:.4}: {outcome}",
            verdict.metric, verdict.baseline, verdict.now, verdict.interval.low, verdict.interval.high, verdict.p_holm
        ))?;
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
