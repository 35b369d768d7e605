//! `tessera eval`: how good search is, offline. Each subcommand is a file of its own.

mod answers;
mod gate;
mod interleaving;
mod judgments;
mod questions;
mod report;
mod run;
mod score;
mod typing;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use eval::dataset::{ANCHORS, Dataset};
use eval::progress::Step;
use indicatif::{ProgressBar, ProgressStyle};
use models::embed::Embedder;

use crate::config::{Config, Log};
use crate::parts;

/// What is to be done.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Measures configurations on collections, and writes a report.
    Run(Box<run::Arguments>),
    /// Scores a TREC run against TREC judgments.
    Score(score::ScoreArguments),
    /// Compares TREC runs query by query, the first being the baseline.
    Compare(score::CompareArguments),
    /// Fails where search became significantly worse than the baselines that are checked in.
    Gate(gate::Arguments),
    /// Writes the report of an evaluation that was kept as JSON.
    Report(report::Arguments),
    /// Scores answers: citations, support, abstention.
    Answers(answers::Arguments),
    /// Says which of two interleaved rankings people prefer.
    Interleaving(interleaving::Arguments),
    /// Makes judgments of clicks.
    Judgments(judgments::Arguments),
    /// Says which questions kept answers take for the same, and how often they are wrong.
    Questions(questions::Arguments),
    /// Types titles letter by letter, and says when their pages come up and how fast.
    Typing(typing::Arguments),
}

/// Does it.
pub(crate) fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "warn".to_owned(), json: config.log.json })?;
    match command {
        Command::Run(arguments) => run::run(config, &arguments),
        Command::Score(arguments) => score::score(&arguments),
        Command::Compare(arguments) => score::compare(&arguments),
        Command::Gate(arguments) => gate::run(config, &arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Answers(arguments) => answers::run(config, &arguments),
        Command::Interleaving(arguments) => interleaving::run(config, &arguments),
        Command::Judgments(arguments) => judgments::run(config, &arguments),
        Command::Questions(arguments) => questions::run(config, &arguments),
        Command::Typing(arguments) => typing::run(config, arguments),
    }
}

/// Starts the model of the configuration. Queries are not kept by it: an answer from a cache would be timed.
fn start_embedder(config: &Config) -> anyhow::Result<Embedder> {
    if !config.models.enabled {
        bail!("`models.enabled` is false: measure by words alone with --no-embed, or switch it on");
    }
    let settings = models::embed::Config { query_cache_len: 0, ..config.models.embed.clone() };
    Embedder::start(parts::with_absolute_paths(settings))
        .context("no embedding model: fetch it with `make models`, or measure by words alone with --no-embed")
}

/// How workspaces are built.
fn options(config: &Config, cache: &Path) -> eval::workspace::Options {
    eval::workspace::Options {
        cache: cache.to_owned(),
        embedder: None,
        indexer: config.indexer.clone(),
        without_titles: false,
        sections: false,
    }
}

/// The collections in folders.
fn collections(folders: &[PathBuf]) -> anyhow::Result<Vec<Dataset>> {
    let mut found = Vec::new();
    for folder in folders {
        found.extend(Dataset::find(folder)?);
    }
    Ok(found)
}

/// The split that is asked for; without a wish the one that is meant for tests.
fn split_of(dataset: &Dataset, wanted: Option<&str>) -> anyhow::Result<String> {
    let usual = ["test", ANCHORS].into_iter().find(|split| dataset.splits.contains_key(*split));
    let split = wanted.or(usual).or(dataset.splits.keys().next().map(String::as_str));
    let split = split.with_context(|| format!("{} has no judgments", dataset.name))?;
    dataset.split(split)?;
    Ok(split.to_owned())
}

/// A bar on standard error that shows one step after the other; where that is no terminal, nothing.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    fn show(&self, of: &str, step: Step<'_>) {
        if self.0.length() != step.total {
            let template = if step.total.is_some() {
                "{bar:40} {pos}/{len} {msg} [{elapsed}, {eta} left]"
            } else {
                "{spinner} {pos} {msg} [{elapsed}]"
            };
            self.0.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
            self.0.reset();
            if let Some(total) = step.total {
                self.0.set_length(total);
            } else {
                self.0.unset_length();
            }
        }
        self.0.set_position(step.done);
        let message = format!("{of}: {}", step.what);
        if self.0.message() != message {
            self.0.set_message(message);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
