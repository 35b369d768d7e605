//! `tessera reindex`: brings the index to the model and passage size of the configuration, or back to what it was.
//!
//! A new generation is built beside the one in use, compared with it and put in its place. Beside a running server the
//! server does the work and this command watches it; otherwise the command does it itself.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, bail};
use eval::generations::{Comparison, compare};
use index::older::Older;
use index::{Index, OpenMode};
use indexer::engine::Engine;
use indexer::engine::reindex::{Progress, Rebuild, ReindexError, wanted};
use indicatif::{ProgressBar, ProgressStyle};
use models::embed::{Embedder, Embedders};
use query::audit::act::{Kind, What};
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::config::{Config, Log};
use crate::control;
use crate::parts;

/// The pages that are asked for are the same each time.
const SEED: u64 = 7;

/// How to reindex.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are bools")]
pub(crate) struct Arguments {
    /// Go back to the generation that was in use before; edits made since are kept.
    #[arg(long)]
    rollback: bool,
    /// Build and compare, but go on with the generation in use. Run it again to switch.
    #[arg(long)]
    no_switch: bool,
    /// Build and switch whatever the comparison says, and although nothing differs.
    #[arg(long)]
    force: bool,
    /// Largest loss of MRR@10, on titles of pages, at which the new generation takes over.
    #[arg(long, default_value_t = 0.05, value_name = "LOSS")]
    loss_max: f64,
    /// Titles to ask both generations for.
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    questions: usize,
    /// Share of the time to work, 0.05 to 1; the rest is left to searches and edits.
    #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
    share: f32,
    /// Print each step as JSON.
    #[arg(long)]
    json: bool,
}

/// What is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    rollback: bool,
    switch: bool,
    force: bool,
    loss_max: f64,
    questions: usize,
    share: f32,
    passage_tokens: usize,
    model: Option<models::embed::Config>,
}

/// What is told while it goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Update {
    /// A generation is being built, or gone on with.
    Building {
        /// Its number.
        generation: u32,
    },
    /// How far it is.
    Copied(Progress),
    /// How it compares with the one in use.
    Compared(Comparison),
    /// It is in use.
    Switched {
        /// Its number.
        generation: u32,
        /// How long commits were held back for it, in milliseconds.
        held_ms: u64,
    },
    /// It is built and not in use.
    Kept {
        /// Its number.
        generation: u32,
        /// Why.
        reason: String,
    },
    /// It came to nothing.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The parts that reindexing works with.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) index: Index,
    pub(crate) indexer: Engine,
    pub(crate) embedders: Embedders,
    pub(crate) query: query::config::Config,
}

/// Asks the server that runs over the data folder; does it itself when there is none.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "warn".to_owned(), json: config.log.json })?;
    let request = Request {
        rollback: arguments.rollback,
        switch: !arguments.no_switch,
        force: arguments.force,
        loss_max: arguments.loss_max,
        questions: arguments.questions,
        share: arguments.share,
        passage_tokens: config.indexer.passage_tokens,
        model: config.models.enabled.then(|| parts::with_absolute_paths(config.models.embed.clone())),
    };
    let how = if arguments.rollback { "rollback" } else { "build" };
    audit::note(config, What::new(Kind::Reindexed).noting("how", how))?;
    let mut screen = Screen::new(arguments.json);
    if let Some(server) = control::connect(&config.data_dir)? {
        return server.reindex(&request, &mut |update| screen.show(update));
    }
    if let Some(records) = rebuild_older(config)? {
        writeln!(std::io::stderr(), "the index was of an older format: it is built anew from its {records} records")?;
        return Ok(());
    }
    let index = parts::open_index(config, OpenMode::ReadWrite)?;
    let embedder = parts::start_embedder(config, &index);
    let embedders = Embedders::from(embedder.clone());
    let indexer = parts::open_indexer(config, index.clone(), embedder)?;
    let site = Site { index, indexer, embedders, query: config.query.clone() };
    let done = perform(&site, &request, &mut |update| screen.show(&update));
    anyhow::ensure!(site.indexer.close(), "what was pending could not be committed");
    done
}

/// Replaces an index of an older format; `None` when it is of this one.
fn rebuild_older(config: &Config) -> anyhow::Result<Option<u64>> {
    let shard = parts::index_config(config);
    if !Older::is_in(&shard.dir)? {
        return Ok(None);
    }
    let embedder =
        config.models.enabled.then(|| Embedder::start(parts::with_absolute_paths(config.models.embed.clone())));
    let embedder = embedder.transpose().context("cannot load the model that passages are to be cut for")?;
    let bar = ProgressBar::new_spinner();
    let mut show = |records| bar.set_message(format!("{records} records"));
    let rebuilt =
        indexer::rebuild_older::rebuild_older(&shard, embedder.as_ref(), config.indexer.passage_tokens, &mut show);
    bar.finish_and_clear();
    rebuilt.context("cannot build the index anew; the older one is as it was")
}

/// Builds, compares and switches. `tell` fails when nobody listens any more: then the work ends, and the next call goes on.
pub(crate) fn perform(
    site: &Site,
    request: &Request,
    tell: &mut dyn FnMut(Update) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rebuild = begin(site, request)?;
    let generation = rebuild.generation();
    tell(Update::Building { generation })?;
    let mut told = Ok(());
    let followed = rebuild.follow(request.share, &mut |progress| {
        told = tell(Update::Copied(progress));
        if told.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    told?;
    followed?;
    let next = site.index.read_generation(generation)?;
    let comparison = compare(&site.index, &next, &site.embedders, &site.query, request.questions, SEED)?;
    drop(next);
    tell(Update::Compared(comparison))?;
    let loss = comparison.mrr_at_10_former - comparison.mrr_at_10_next;
    if !request.switch {
        return tell(Update::Kept { generation, reason: "--no-switch: run it again to switch".to_owned() });
    }
    if loss > request.loss_max && !request.force && !request.rollback {
        let reason =
            format!("it loses {loss:.3} of MRR@10, more than {}; see --loss-max and --force", request.loss_max);
        return tell(Update::Kept { generation, reason });
    }
    let held = rebuild.switch()?;
    site.embedders.keep_only(site.index.description().recipe.and_then(|recipe| recipe.model_id).as_deref());
    tell(Update::Switched { generation, held_ms: held.as_millis() as u64 })
}

fn begin(site: &Site, request: &Request) -> anyhow::Result<Rebuild> {
    if request.rollback {
        return match site.indexer.return_to_previous(site.embedders.get(None)) {
            Err(ReindexError::OtherModel { .. }) => {
                let previous = site.index.previous_recipe()?.context("no former generation is kept")?;
                let model =
                    serde_json::from_value(previous.model).context("it does not say how its model is loaded")?;
                let embedder = Embedder::start(model).context("cannot load the model of the former generation")?;
                site.embedders.add(&embedder);
                Ok(site.indexer.return_to_previous(Some(embedder))?)
            }
            begun => Ok(begun?),
        };
    }
    let stored = site.index.description().recipe.unwrap_or_default();
    let embedder = match &request.model {
        None => None,
        Some(model) => {
            let known: Option<models::embed::Config> = serde_json::from_value(stored.model.clone()).ok();
            let is_same = known.is_some_and(|known| model.for_model_of(&known) == *model);
            let loaded = site.embedders.get(stored.model_id.as_deref()).filter(|_| is_same);
            match loaded {
                Some(loaded) => Some(loaded),
                None => Some(Embedder::start(model.clone()).context("cannot load the embedding model")?),
            }
        }
    };
    if stored.admits(&wanted(request.passage_tokens, embedder.as_ref())) && !request.force {
        bail!(
            "the index is what the configuration asks for; change `indexer.passage_tokens` or `models.embed`, or --force"
        );
    }
    if let Some(embedder) = &embedder {
        site.embedders.add(embedder);
    }
    Ok(site.indexer.rebuild(embedder, request.passage_tokens)?)
}

/// Shows what is told, as a progress bar or as JSON.
struct Screen {
    json: bool,
    bar: ProgressBar,
    began: Instant,
}

impl Screen {
    fn new(json: bool) -> Self {
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} records, {msg}, {elapsed} (about {eta} left)");
        bar.set_style(style.expect("the template is a constant"));
        Self { json, bar, began: Instant::now() }
    }

    fn show(&mut self, update: &Update) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(update)?)?;
            return failed(update);
        }
        match update {
            Update::Building { generation } => writeln!(out, "building generation {generation}")?,
            Update::Copied(progress) => {
                self.bar.set_length(progress.records_total);
                self.bar.set_position(progress.records);
                self.bar.set_message(format!("{} passages, {} embedded", progress.passages, progress.embedded));
            }
            Update::Compared(compared) => {
                self.bar.finish_and_clear();
                writeln!(
                    out,
                    "{} titles asked: overlap@10 {:.3}; MRR@10 {:.3} -> {:.3}; success@10 {:.3} -> {:.3}",
                    compared.questions,
                    compared.overlap_at_10,
                    compared.mrr_at_10_former,
                    compared.mrr_at_10_next,
                    compared.success_at_10_former,
                    compared.success_at_10_next
                )?;
            }
            Update::Switched { generation, held_ms } => writeln!(
                out,
                "generation {generation} is in use after {:.1} s; commits waited for {held_ms} ms; go back with --rollback",
                self.began.elapsed().as_secs_f64()
            )?,
            Update::Kept { generation, reason } => writeln!(out, "generation {generation} is not in use: {reason}")?,
            Update::Failed { .. } => {}
        }
        failed(update)
    }
}

fn failed(update: &Update) -> anyhow::Result<()> {
    match update {
        Update::Failed { reason } => bail!("{reason}"),
        _ => Ok(()),
    }
}
