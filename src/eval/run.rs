//! `tessera eval run`: configurations on collections, in this process or against a server.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use eval::configuration::Configuration;
use eval::dataset::{Corpus, Dataset};
use eval::drive::Server;
use eval::evaluate::{Found, Plan, Site, evaluate};
use eval::evaluation::{CollectionResult, Evaluation, machine};
use eval::metrics::{Metric, mean};
use eval::statistics::Effort;
use eval::workspace::{Built, Names, Options};
use models::embed::Embedder;
use schemas::ids::{UserId, WorkspaceId};

use super::Bar;
use crate::config::Config;

/// Holds the service key or token for a server.
const TOKEN: &str = "TESSERA_EVAL_TOKEN";

/// What to measure, and on what.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are bools")]
pub(crate) struct Arguments {
    /// Folders of collections: BEIR, pages with link texts, or a folder of Markdown with its queries beside it.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Split to ask [default: test, or else anchors].
    #[arg(long)]
    split: Option<String>,
    /// Configuration to measure: lexical, semantic, hybrid, rrf, one of these with `typos:` before it, or a TOML file; may be
    /// repeated, and the first is the baseline [default: hybrid, lexical, semantic].
    #[arg(long = "configuration", value_name = "NAME|FILE")]
    configurations: Vec<String>,
    /// Metric, as `nDCG@10`, `R@100`, `P(rel=2)@5`; may be repeated, and the first matters most.
    #[arg(long = "metric", value_name = "METRIC", default_values = ["nDCG@10", "R@100", "RR@10"])]
    metrics: Vec<Metric>,
    /// Hits asked of each query.
    #[arg(long, default_value_t = 100)]
    depth: u32,
    /// Most queries of each collection, spread evenly.
    #[arg(long = "queries", value_name = "COUNT")]
    queries_max: Option<usize>,
    /// Ask as each persona too: what is lost to filtering, and whether anything leaks.
    #[arg(long)]
    personas: bool,
    /// Index words alone, without a model.
    #[arg(long)]
    no_embed: bool,
    /// Leave titles out of plain documents.
    #[arg(long)]
    without_titles: bool,
    /// Make documents of one address sections of one page, and rank sections.
    #[arg(long)]
    passages: bool,
    /// Do not time requests.
    #[arg(long)]
    no_latency: bool,
    /// Ask this server instead, at its base address; documents are found there as `tessera import` makes them.
    #[arg(long, value_name = "URL", requires_all = ["workspace", "user"])]
    server: Option<String>,
    /// Workspace on the server.
    #[arg(long)]
    workspace: Option<WorkspaceId>,
    /// Person who asks the server.
    #[arg(long = "as", value_name = "USER")]
    user: Option<UserId>,
    /// Where workspaces and answers are kept from run to run.
    #[arg(long, value_name = "DIR", default_value = ".cache/eval")]
    cache: PathBuf,
    /// Where the report goes [default: `report` in the folder of --cache].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the evaluation as JSON.
    #[arg(long)]
    json: bool,
}

/// Measures, writes the report, prints the scores.
pub(super) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let named = match (&arguments.configurations[..], arguments.no_embed) {
        ([], true) => vec!["lexical".to_owned()],
        ([], false) => ["hybrid", "lexical", "semantic"].map(str::to_owned).to_vec(),
        (named, _) => named.to_vec(),
    };
    let configurations: anyhow::Result<Vec<Configuration>> =
        named.iter().map(|name| Configuration::named(name, &config.query)).collect();
    let plan = Plan {
        configurations: configurations?,
        metrics: arguments.metrics.clone(),
        depth: arguments.depth,
        queries_max: arguments.queries_max,
        personas: arguments.personas,
        latency: !arguments.no_latency,
        shown_max: 60,
        effort: Effort::default(),
    };
    let datasets = super::collections(&arguments.folders)?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.cache.join("report"));
    let runs = out.join("runs");
    std::fs::create_dir_all(&runs).with_context(|| format!("cannot make {}", runs.display()))?;
    let is_without_model = arguments.no_embed || arguments.server.is_some();
    let embedder = if is_without_model { None } else { Some(super::start_embedder(config)?) };
    let mut evaluation = Evaluation {
        made_at: jiff::Timestamp::now(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(),
        model_id: embedder.as_ref().map(|embedder| embedder.model_id().to_string()),
        server: arguments.server.clone(),
        collections: Vec::new(),
    };
    for dataset in &datasets {
        let split = super::split_of(dataset, arguments.split.as_deref())?;
        let found = measure(config, arguments, dataset, &split, &plan, embedder.as_ref())
            .with_context(|| format!("cannot evaluate {}", dataset.name))?;
        write_runs(&runs, dataset, &split, &found)?;
        evaluation.collections.extend(found.results);
    }
    evaluation.write(&out.join("evaluation.json"))?;
    eval::report::write(&evaluation, &out)?;
    let mut stdout = std::io::stdout().lock();
    if arguments.json {
        writeln!(stdout, "{}", serde_json::to_string(&evaluation)?)?;
    } else {
        evaluation.collections.iter().try_for_each(|collection| print(&mut stdout, collection))?;
        writeln!(stdout, "report: {}", out.join("report.html").display())?;
    }
    let leaks = evaluation.leaks();
    ensure!(leaks == 0, "{leaks} hits were shown to personas who may not see them");
    Ok(())
}

fn measure(
    config: &Config,
    arguments: &Arguments,
    dataset: &Dataset,
    split: &str,
    plan: &Plan,
    embedder: Option<&Embedder>,
) -> anyhow::Result<Found> {
    let bar = Bar::new();
    let watch = &mut |step: eval::progress::Step<'_>| bar.show(&dataset.name, step);
    if let (Some(url), Some(workspace), Some(user)) = (&arguments.server, &arguments.workspace, &arguments.user) {
        ensure!(!arguments.personas, "personas are asked in this process alone, where their access is known");
        ensure!(!arguments.passages, "sections are known in this process alone");
        let mut server = Server::new(url, workspace.clone(), user.clone(), token())?;
        let (names, base) = (Names::of(dataset)?, Box::new(config.query.clone()));
        let mut site = Site::There { server: &mut server, names, base, asked_as: user.to_string() };
        return evaluate(dataset, split, plan, &mut site, watch);
    }
    ensure!(dataset.corpus != Corpus::Elsewhere, "{} has no documents: ask a server with --server", dataset.name);
    let options = Options {
        embedder: embedder.cloned(),
        without_titles: arguments.without_titles,
        sections: arguments.passages,
        ..super::options(config, &arguments.cache)
    };
    let built = Built::open(dataset, &options, watch)?;
    evaluate(dataset, split, plan, &mut Site::Here(&built), watch)
}

#[expect(clippy::disallowed_methods, reason = "a secret comes from the environment alone")]
fn token() -> Option<String> {
    std::env::var(TOKEN).ok().filter(|token| !token.is_empty())
}

/// Writes the runs, and the judgments in the same format, so that other tools can check ours.
fn write_runs(folder: &Path, dataset: &Dataset, split: &str, found: &Found) -> anyhow::Result<()> {
    let name = format!("{}-{split}", dataset.name.replace('/', "-"));
    let write = |file: String, write: &dyn Fn(&mut dyn Write) -> std::io::Result<()>| -> anyhow::Result<()> {
        let path = folder.join(file);
        let failed = || format!("cannot write {}", path.display());
        let mut out = BufWriter::new(std::fs::File::create(&path).with_context(failed)?);
        write(&mut out).and_then(|()| out.flush()).with_context(failed)
    };
    for run in &found.runs {
        write(format!("{name}.{}.run", run.name().replace([':', '/'], "-")), &|out| run.write(out))?;
    }
    let asked = &found.results[0].queries;
    let qrels = dataset.split(split)?.only(&|query| asked.contains_key(query));
    write(format!("{name}.qrels"), &|out| qrels.write_trec(out))
}

fn print(out: &mut impl Write, collection: &CollectionResult) -> anyhow::Result<()> {
    let Some(first) = collection.systems.first() else { return Ok(()) };
    writeln!(out, "{}: {} queries, {} judgments", collection.id(), collection.queries.len(), collection.judgments)?;
    write!(out, "  {:24}", "")?;
    collection.metrics.iter().try_for_each(|metric| write!(out, " {:>9}", metric.to_string()))?;
    writeln!(out, " {:>8} {:>8}", "p50 ms", "p95 ms")?;
    for system in &collection.systems {
        write!(out, "  {:24}", system.configuration.name)?;
        collection.metrics.iter().try_for_each(|metric| write!(out, " {:>9.4}", mean(&system.scores[metric])))?;
        match system.latency {
            Some(latency) => writeln!(out, " {:>8.1} {:>8.1}", latency.p50_ms, latency.p95_ms)?,
            None => writeln!(out)?,
        }
    }
    for comparison in collection.comparisons.iter().take(1).flat_map(|of_metric| &of_metric.systems) {
        writeln!(
            out,
            "  {} against {}: {:+.4} [{:+.4}, {:+.4}], p {:.4} after Holm; {} better, {} worse",
            comparison.system,
            first.configuration.name,
            comparison.difference(),
            comparison.interval.low,
            comparison.interval.high,
            comparison.p_holm,
            comparison.wins,
            comparison.losses
        )?;
    }
    for persona in &collection.personas {
        let metric = collection.metrics.first();
        let mean =
            |means: &BTreeMap<Metric, f64>| metric.and_then(|metric| means.get(metric)).copied().unwrap_or_default();
        writeln!(
            out,
            "  as {:21} {:>9.4} (unfiltered {:.4}) on {} queries; {} documents, {} lost to filtering, {} leaks",
            persona.persona,
            mean(&persona.means),
            mean(&persona.means_unfiltered),
            persona.queries,
            persona.documents,
            persona.recall_lost,
            persona.leaks
        )?;
    }
    Ok(())
}
