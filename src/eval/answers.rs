//! `tessera eval answers`: scores answers against judgments, the product's own among them, or checks what scores them.

mod product;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use eval::answers::overlap::{Overlap, overlap};
use eval::answers::separation::{self, Separation};
use eval::answers::{Scores, read, score};
use eval::dataset::Dataset;
use index::analysis::Language;
use models::embed::Embedder;
use query::answer::support::{ByMeaning, ByWords, Support};

use crate::config::Config;
use crate::parts;

/// Draws are the same each time.
const SEED: u64 = 1;

/// Which answers, and to which questions.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder of the collection with the questions and judgments.
    dataset: PathBuf,
    /// Answers, one JSON object a line; without it and without --ask, the scorer itself is checked on the reference answers.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Split of the judgments.
    #[arg(long, default_value = "test")]
    split: String,
    /// Compare by meaning, with the embedding model, rather than by words.
    #[arg(long)]
    semantic: bool,
    /// The score from which a sentence is supported [default: that of the scorer].
    #[arg(long, value_name = "SCORE")]
    threshold: Option<f64>,
    #[command(flatten)]
    product: product::Product,
    /// Print everything as JSON, each answer included.
    #[arg(long)]
    json: bool,
}

/// Scores.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let found = Dataset::find(&arguments.dataset)?;
    let [dataset] = &found[..] else {
        bail!("{} holds {} collections: name one", arguments.dataset.display(), found.len());
    };
    let support = support(config, dataset, arguments)?;
    let mut out = std::io::stdout().lock();
    let answers = match &arguments.answers {
        Some(path) => Some((read(path)?, dataset.split(&arguments.split)?.clone())),
        None if arguments.product.ask() => Some(arguments.product.produce(config, dataset, &arguments.split)?),
        None => None,
    };
    let Some((answers, judged)) = answers else {
        let separation = separation::measure(dataset, &arguments.split, &*support, SEED)?;
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&separation)?)?;
            return Ok(());
        }
        return print_separation(&mut out, &separation);
    };
    let (scores, each) = score(&answers, &judged, &*support)?;
    let references =
        dataset.queries.iter().filter_map(|(id, query)| Some((id.clone(), query.answer.clone()?))).collect();
    let overlap = overlap(&answers, &references);
    if arguments.json {
        let report = serde_json::json!({"scores": scores, "overlap": overlap, "answers": each});
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(());
    }
    print_scores(&mut out, &scores)?;
    overlap.map_or(Ok(()), |overlap| print_overlap(&mut out, &overlap))
}

fn support(config: &Config, dataset: &Dataset, arguments: &Arguments) -> anyhow::Result<Box<dyn Support>> {
    if arguments.semantic {
        let model = parts::with_absolute_paths(config.models.embed.clone());
        let embedder = Embedder::start(model).context("cannot start the embedding model")?;
        return Ok(Box::new(ByMeaning::new(embedder, arguments.threshold.unwrap_or(ByMeaning::THRESHOLD))));
    }
    let mut texts = Vec::new();
    dataset.corpus.each(&mut |document| {
        texts.push(format!("{}\n{}", document.title, document.text));
        Ok(())
    })?;
    let threshold = arguments.threshold.unwrap_or(ByWords::THRESHOLD);
    Ok(Box::new(ByWords::new(texts.iter().map(String::as_str), Language::English, threshold)))
}

fn print_scores(out: &mut impl Write, scores: &Scores) -> anyhow::Result<()> {
    let Scores { support, threshold, answers, missing, sentences, .. } = scores;
    writeln!(
        out,
        "{answers} answers, {missing} missing, {sentences} sentences; support by {support}, from {threshold}"
    )?;
    let abstention = &scores.abstention;
    for (name, value) in [
        ("gold precision", scores.gold_precision),
        ("gold recall", scores.gold_recall),
        ("citation recall", scores.citation_recall),
        ("citation precision", scores.citation_precision),
        ("supported", scores.supported),
        ("abstention precision", abstention.precision),
        ("abstention recall", abstention.recall),
        ("abstention F1", abstention.f1),
    ] {
        let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        writeln!(out, "{name:<22}{value:>7}")?;
    }
    let (abstained, unanswerable) = (abstention.abstained, abstention.unanswerable);
    writeln!(out, "{abstained} not found, {unanswerable} questions without an answer")?;
    Ok(())
}

fn print_overlap(out: &mut impl Write, overlap: &Overlap) -> anyhow::Result<()> {
    writeln!(out, "against {} reference answers, {:.1} words said", overlap.answers, overlap.words)?;
    for (name, value) in [
        ("token F1", overlap.token_f1),
        ("token precision", overlap.token_precision),
        ("token recall", overlap.token_recall),
        ("ROUGE-L", overlap.rouge_l),
    ] {
        writeln!(out, "{name:<22}{value:>7.3}")?;
    }
    Ok(())
}

fn print_separation(out: &mut impl Write, found: &Separation) -> anyhow::Result<()> {
    writeln!(out, "support by {}, {} sentences of reference answers", found.support, found.sentences)?;
    writeln!(out, "against             mean    AUC  accepted from {:.2}", found.threshold)?;
    writeln!(out, "gold pages        {:>6.3}      -  {:>8.3}", found.mean_gold, found.accepted_gold)?;
    writeln!(
        out,
        "random pages      {:>6.3}  {:.3}  {:>8.3}",
        found.mean_random, found.auc_random, found.accepted_random
    )?;
    writeln!(
        out,
        "nearest wrong one {:>6.3}  {:.3}  {:>8.3}",
        found.mean_nearest, found.auc_nearest, found.accepted_nearest
    )?;
    writeln!(out, "best threshold on the half for tuning: {:.2}", found.best_threshold)?;
    Ok(())
}
