//! Metrics of a run against judgments, by query and in the mean.
//!
//! Values agree with trec_eval where it has the metric: the gain of a document is its grade, it is discounted by
//! log2(rank + 1), and documents without a judgment count as not relevant except where a metric says otherwise. A query
//! whose judgments hold nothing relevant scores 0 and counts. Queries of a run that nobody judged are passed over.

mod formula;
mod name;

use std::collections::BTreeMap;

pub use name::{Measure, Metric, MetricError};

use crate::qrels::Qrels;
use crate::runs::Run;
use formula::Ranking;

/// The value of one metric for each query.
pub type Scores = BTreeMap<String, f64>;

/// What becomes of judged queries for which a run holds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// They score 0: `trec_eval -c`. The only choice under which two runs can be compared.
    #[default]
    Zero,
    /// They are left out: trec_eval 9 without `-c`.
    LeftOut,
}

/// Scores a run. The answer has an entry for each metric asked for.
pub fn evaluate(qrels: &Qrels, run: &Run, metrics: &[Metric], missing: Missing) -> BTreeMap<Metric, Scores> {
    let mut scores: BTreeMap<Metric, Scores> = metrics.iter().map(|metric| (*metric, Scores::new())).collect();
    let grade_max = qrels.grade_max();
    for (query, judgments) in qrels.queries() {
        let found = run.of(query);
        if found.is_none() && missing == Missing::LeftOut {
            continue;
        }
        let ranking = Ranking::new(judgments, found.unwrap_or_default(), grade_max);
        for (metric, scores) in &mut scores {
            scores.insert(query.to_owned(), ranking.value(metric));
        }
    }
    scores
}

/// The mean over the queries; 0 over none.
pub fn mean(scores: &Scores) -> f64 {
    scores.values().fold(0.0, |sum, value| sum + value) / scores.len().max(1) as f64
}

#[cfg(test)]
mod tests;
