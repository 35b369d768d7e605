//! Answers of the product, asked here and now.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use eval::answers::Answer;
use eval::answers::produce::produce;
use eval::dataset::Dataset;
use eval::progress::Step;
use eval::qrels::Qrels;
use eval::workspace::{Built, Options};
use schemas::api::answers::Length;

use super::super::Bar;
use crate::config::Config;

/// How the product is asked.
#[derive(clap::Args)]
pub(crate) struct Product {
    /// Ask the product, as `tessera eval run` builds it, instead of reading answers.
    #[arg(long, conflicts_with = "answers")]
    ask: bool,
    /// Ask questions of this collection, too, whose answers are not in the first one; may be repeated.
    #[arg(long, value_name = "FOLDER", requires = "ask")]
    without_answer: Vec<PathBuf>,
    /// How many of each of those, spread evenly.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    without_answer_max: usize,
    /// Most questions of the collection itself, spread evenly.
    #[arg(long = "queries", value_name = "COUNT")]
    queries_max: Option<usize>,
    /// How long answers are: short, medium, long.
    #[arg(long, default_value = "medium")]
    length: String,
    /// Index words alone, without a model.
    #[arg(long)]
    no_embed: bool,
    /// Leave titles out of plain documents.
    #[arg(long)]
    without_titles: bool,
    /// Where the answers go, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where workspaces are kept from run to run.
    #[arg(long, value_name = "DIR", default_value = ".cache/eval")]
    cache: PathBuf,
}

impl Product {
    /// Whether the product is to be asked.
    pub(crate) fn ask(&self) -> bool {
        self.ask
    }

    /// Asks the judged questions of a collection, and those of others. Returns the judgments of those that were asked, too.
    pub(crate) fn produce(
        &self,
        config: &Config,
        dataset: &Dataset,
        split: &str,
    ) -> anyhow::Result<(Vec<Answer>, Qrels)> {
        let judged = dataset.split(split)?;
        let of_dataset = |id: &&String| judged.of(id).is_some();
        let own: Vec<(String, String)> = dataset
            .queries
            .iter()
            .filter(|(id, _)| of_dataset(id))
            .map(|(id, query)| (id.clone(), query.text.clone()))
            .collect();
        let mut questions: BTreeMap<String, String> = spread(own, self.queries_max.unwrap_or(usize::MAX)).collect();
        for folder in &self.without_answer {
            let found = Dataset::find(folder)?;
            let [other] = &found[..] else { bail!("{} holds {} collections: name one", folder.display(), found.len()) };
            ensure!(other.name != dataset.name, "{} has answers to its own questions", dataset.name);
            let named = other.queries.iter().map(|(id, query)| (format!("{}:{id}", other.name), query.text.clone()));
            questions.extend(spread(named.collect(), self.without_answer_max));
        }
        let length: Length =
            serde_json::from_value(self.length.clone().into()).context("--length is short, medium or long")?;
        let bar = Bar::new();
        let watch = &mut |step: Step<'_>| bar.show(&dataset.name, step);
        let embedder = if self.no_embed { None } else { Some(super::super::start_embedder(config)?) };
        let options =
            Options { embedder, without_titles: self.without_titles, ..super::super::options(config, &self.cache) };
        let built = Built::open(dataset, &options, watch)?;
        let answers = produce(&built, &config.query, &questions, length, watch)?;
        if let Some(out) = &self.out {
            let lines: Result<Vec<String>, _> = answers.iter().map(serde_json::to_string).collect();
            std::fs::write(out, lines?.join("\n") + "\n").with_context(|| format!("cannot write {}", out.display()))?;
        }
        Ok((answers, judged.only(&|query| questions.contains_key(query))))
    }
}

/// At most so many, spread evenly.
fn spread<T>(all: Vec<T>, max: usize) -> impl Iterator<Item = T> {
    let (len, count) = (all.len(), all.len().min(max));
    let is_taken = move |at: usize| at * count / len != (at + 1) * count / len;
    all.into_iter().enumerate().filter(move |(at, _)| is_taken(*at)).map(|(_, one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_taken_as_there_may_be_whatever_there_are() {
        for (len, max, expected) in [(225, 50, 50), (1_190, 50, 50), (49, 50, 49), (50, 50, 50), (7, usize::MAX, 7)] {
            let taken: Vec<usize> = spread((0..len).collect(), max).collect();
            assert_eq!(taken.len(), expected, "{max} of {len}");
            assert!(taken.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
