//! `tessera eval score` and `tessera eval compare`: runs and judgments of any system, in the formats of TREC.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use eval::metrics::{Metric, Missing, Scores, evaluate, mean};
use eval::qrels::Qrels;
use eval::runs::Run;
use eval::statistics::Effort;

/// What to score.
#[derive(clap::Args)]
pub(crate) struct ScoreArguments {
    /// Judgments: TREC qrels, or a BEIR table ending in .tsv.
    qrels: PathBuf,
    /// Run in the format of TREC.
    run: PathBuf,
    /// Metric, as `nDCG@10`; may be repeated.
    #[arg(long = "metric", value_name = "METRIC", default_values = ["nDCG@10", "R@100", "AP", "RR"])]
    metrics: Vec<Metric>,
    /// Leave out judged queries for which the run holds nothing, as trec_eval does without -c.
    #[arg(long)]
    leave_out_missing: bool,
    /// Print the value of each query too.
    #[arg(long, short = 'q')]
    queries: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What to compare.
#[derive(clap::Args)]
pub(crate) struct CompareArguments {
    /// Runs in the format of TREC, the baseline first.
    #[arg(required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Judgments: TREC qrels, or a BEIR table ending in .tsv.
    #[arg(long)]
    qrels: PathBuf,
    /// Metric to compare by.
    #[arg(long, default_value = "nDCG@10")]
    metric: Metric,
    /// Queries that lose most to list, each with both rankings.
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    regressions: usize,
    /// Print JSON, with the values of all queries.
    #[arg(long)]
    json: bool,
}

/// Documents of a ranking that are listed.
const LISTED: usize = 5;

/// Scores.
pub(super) fn score(arguments: &ScoreArguments) -> anyhow::Result<()> {
    let (qrels, run) = (read_qrels(&arguments.qrels)?, Run::read(&arguments.run)?);
    let missing = if arguments.leave_out_missing { Missing::LeftOut } else { Missing::Zero };
    let scores = evaluate(&qrels, &run, &arguments.metrics, missing);
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let means: BTreeMap<Metric, f64> = scores.iter().map(|(metric, scores)| (*metric, mean(scores))).collect();
        let told =
            serde_json::json!({ "run": run.name(), "means": means, "queries": arguments.queries.then_some(&scores) });
        writeln!(out, "{told}")?;
        return Ok(());
    }
    // In the order in which they were asked for.
    for metric in &arguments.metrics {
        if arguments.queries {
            scores[metric].iter().try_for_each(|(query, value)| writeln!(out, "{metric}\t{query}\t{value:.4}"))?;
        }
        writeln!(out, "{metric}\tall\t{:.4}", mean(&scores[metric]))?;
    }
    Ok(())
}

/// Compares.
pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<()> {
    let qrels = read_qrels(&arguments.qrels)?;
    let runs: anyhow::Result<Vec<Run>> = arguments.runs.iter().map(|path| Run::read(path)).collect();
    let runs = runs?;
    let of_run = |run: &Run| -> Scores {
        evaluate(&qrels, run, &[arguments.metric], Missing::Zero).into_values().next().unwrap_or_default()
    };
    let scores: Vec<Scores> = runs.iter().map(of_run).collect();
    let others: Vec<(&str, &Scores)> = runs.iter().zip(&scores).skip(1).map(|(run, of)| (run.name(), of)).collect();
    let compared = eval::compare::compare(&scores[0], &others, &Effort::default())?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let told = serde_json::json!({ "metric": arguments.metric, "baseline": runs[0].name(), "systems": compared });
        writeln!(out, "{told}")?;
        return Ok(());
    }
    writeln!(out, "{} of {}: {:.4}", arguments.metric, runs[0].name(), mean(&scores[0]))?;
    for (comparison, run) in compared.iter().zip(&runs[1..]) {
        writeln!(
            out,
            "{}: {:.4}, {:+.4} [{:+.4}, {:+.4}], p {:.4}, {:.4} after Holm; {} better, {} worse of {}",
            comparison.system,
            comparison.system_mean,
            comparison.difference(),
            comparison.interval.low,
            comparison.interval.high,
            comparison.p.value,
            comparison.p_holm,
            comparison.wins,
            comparison.losses,
            comparison.deltas.len()
        )?;
        for delta in comparison.regressions(arguments.regressions) {
            writeln!(out, "  {}: {:.4} -> {:.4}", delta.query, delta.baseline, delta.system)?;
            writeln!(out, "    before: {}", listed(&runs[0], &delta.query, &qrels))?;
            writeln!(out, "    after:  {}", listed(run, &delta.query, &qrels))?;
        }
    }
    Ok(())
}

/// The first documents of a ranking, relevant ones with their grade.
fn listed(run: &Run, query: &str, qrels: &Qrels) -> String {
    let grade = |document: &str| qrels.of(query).and_then(|judged| judged.get(document)).copied();
    let named = run.of(query).unwrap_or_default().iter().take(LISTED).map(|ranked| match grade(&ranked.document) {
        Some(grade) if grade > 0 => format!("{} (+{grade})", ranked.document),
        _ => ranked.document.clone(),
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { "nothing".to_owned() } else { named.join(", ") }
}

fn read_qrels(path: &Path) -> anyhow::Result<Qrels> {
    let is_table = path.extension().is_some_and(|extension| extension == "tsv");
    let read = if is_table { Qrels::read_beir(path) } else { Qrels::read_trec(path) };
    read.context("cannot use the judgments")
}
