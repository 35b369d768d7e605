//! The gate: a measurement against the one that is checked in as baseline.
//!
//! Values are kept for each query, so that a drop can be told from chance. What is measured is not known here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::compare::compare;
use crate::metrics::{Metric, Scores};
use crate::statistics::{Effort, Interval, holm};

/// Largest file in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Values are kept in steps of one in so many.
const STEPS: f64 = 1e6;

/// What one configuration scores on one collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// The collection and its split, such as `scifact/test`.
    pub collection: String,
    /// The name of the configuration.
    pub configuration: String,
    /// The value of each query by each metric, to six digits.
    metrics: BTreeMap<Metric, Scores>,
}

/// What counts as a drop: both conditions must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The chance to call a drop what is none, over all metrics of a measurement together: p-values after Holm's
    /// correction must not be above.
    pub alpha: f64,
    /// The least loss of a mean, as a difference. Smaller ones pass, however certain they are.
    pub drop_min: f64,
    /// The work that goes into the tests.
    pub effort: Effort,
}

impl Default for Rule {
    fn default() -> Self {
        Self { alpha: 0.05, drop_min: 0.005, effort: Effort::default() }
    }
}

/// What became of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No certain change that is large enough to matter.
    Held,
    /// Certainly worse: the gate fails.
    Dropped,
    /// Certainly better: the baseline can be raised.
    Improved,
}

/// One metric, then and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// What is measured.
    pub metric: Metric,
    /// The mean of the baseline.
    pub baseline: f64,
    /// The mean now.
    pub now: f64,
    /// The bootstrap interval of the difference.
    pub interval: Interval,
    /// The p-value of the difference, after Holm's correction over the metrics.
    pub p_holm: f64,
    /// What follows.
    pub outcome: Outcome,
}

impl Measurement {
    /// Rounds the values to what a file keeps, so that a measurement equals itself after being written and read.
    pub fn new(collection: &str, configuration: &str, mut metrics: BTreeMap<Metric, Scores>) -> Self {
        for value in metrics.values_mut().flat_map(BTreeMap::values_mut) {
            *value = (*value * STEPS).round() / STEPS;
        }
        Self { collection: collection.to_owned(), configuration: configuration.to_owned(), metrics }
    }

    /// The value of each query by each metric.
    pub fn metrics(&self) -> &BTreeMap<Metric, Scores> {
        &self.metrics
    }

    /// Reads a baseline, a file of at most 64 MiB.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("cannot read {file}"))?.len();
        ensure!(size <= FILE_BYTES_MAX, "{file} is larger than {FILE_BYTES_MAX} bytes");
        let text = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
        serde_json::from_slice(&text).with_context(|| format!("{file} is no measurement"))
    }

    /// Writes a baseline, one query a line, so that a change of it can be reviewed.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).context("cannot put a measurement into JSON")?;
        text.push(b'\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Judges each metric of the baseline; the gate passes where none dropped.
///
/// A drop can be certain only where enough queries change: of six or more that all lose, p is at most 2 / 2^6. Fails where
/// the two are of different collections, configurations or queries, or a metric is missing now.
pub fn check(baseline: &Measurement, now: &Measurement, rule: &Rule) -> anyhow::Result<Vec<Verdict>> {
    for (of_baseline, of_now) in
        [(&baseline.collection, &now.collection), (&baseline.configuration, &now.configuration)]
    {
        ensure!(of_baseline == of_now, "the baseline is of {of_baseline}, the measurement of {of_now}");
    }
    let mut compared = Vec::new();
    for (metric, scores) in &baseline.metrics {
        let Some(measured) = now.metrics.get(metric) else { bail!("{metric} was not measured") };
        let name = metric.to_string();
        compared.extend(compare(scores, &[(&name, measured)], &rule.effort)?.into_iter().map(|of| (*metric, of)));
    }
    let adjusted = holm(&compared.iter().map(|(_, comparison)| comparison.p.value).collect::<Vec<_>>());
    let mut verdicts = Vec::new();
    for ((metric, comparison), p_holm) in compared.into_iter().zip(adjusted) {
        let difference = comparison.difference();
        let is_certain = p_holm <= rule.alpha;
        let outcome = match difference {
            loss if is_certain && loss <= -rule.drop_min => Outcome::Dropped,
            gain if is_certain && gain >= rule.drop_min => Outcome::Improved,
            _ => Outcome::Held,
        };
        let (baseline, now) = (comparison.baseline_mean, comparison.system_mean);
        verdicts.push(Verdict { metric, baseline, now, interval: comparison.interval, p_holm, outcome });
    }
    Ok(verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    fn measured(metrics: &[(&str, &dyn Fn(usize) -> f64)]) -> Measurement {
        let scores = |value: &dyn Fn(usize) -> f64| (0..50).map(|at| (format!("q{at}"), value(at))).collect();
        let metrics = metrics.iter().map(|(name, value)| (name.parse().unwrap(), scores(*value)));
        Measurement::new("sample/test", "default", metrics.collect())
    }

    #[track_caller]
    fn outcome(now: &dyn Fn(usize) -> f64, expected: Outcome) {
        let baseline = measured(&[("nDCG@10", &|at| at as f64 / 50.0)]);
        let verdicts = check(&baseline, &measured(&[("nDCG@10", now)]), &Rule::default()).unwrap();
        assert_eq!(verdicts[0].outcome, expected, "{verdicts:?}");
    }

    #[test]
    fn only_drops_that_are_certain_and_large_enough_fail() {
        outcome(&|at| at as f64 / 50.0, Outcome::Held);
        outcome(&|at| at as f64 / 50.0 - 0.02, Outcome::Dropped);
        outcome(&|at| at as f64 / 50.0 + 0.02, Outcome::Improved);
        // Certain, but too small to matter.
        outcome(&|at| at as f64 / 50.0 - 0.004, Outcome::Held);
        // Large in the mean, but of four queries alone.
        outcome(&|at| if at < 4 { at as f64 / 50.0 - 0.5 } else { at as f64 / 50.0 }, Outcome::Held);
    }

    #[test]
    fn of_alike_measurements_few_fail() {
        let mut random = SmallRng::seed_from_u64(7);
        let rule =
            Rule { effort: Effort { permutations: 1000, resamples: 10, ..Effort::default() }, ..Rule::default() };
        let fails = (0..200).filter(|_| {
            let noise: Vec<f64> = (0..100).map(|_| random.random_range(0.0..1.0)).collect();
            let baseline = measured(&[("nDCG@10", &|at| noise[at]), ("R@100", &|at| noise[99 - at])]);
            let now = measured(&[("nDCG@10", &|at| noise[50 + at]), ("R@100", &|at| noise[49 - at])]);
            let verdicts = check(&baseline, &now, &rule).unwrap();
            verdicts.iter().any(|verdict| verdict.outcome == Outcome::Dropped)
        });
        // Half of alpha falls to drops: 5 of 200 are expected, and 13 are four standard deviations.
        let fails = fails.count();
        assert!(fails <= 13, "{fails}");
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        let baseline = measured(&[("nDCG@10", &|_| 0.5), ("R@100", &|_| 0.5)]);
        let error = |now: &Measurement| check(&baseline, now, &Rule::default()).unwrap_err().to_string();
        assert_eq!(error(&measured(&[("nDCG@10", &|_| 0.5)])), "R@100 was not measured");
        let other = Measurement { configuration: "lexical".to_owned(), ..baseline.clone() };
        assert_eq!(error(&other), "the baseline is of default, the measurement of lexical");
    }

    #[test]
    fn a_baseline_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        let measurement = measured(&[("nDCG@10", &|at| 1.0 / (at + 1) as f64), ("P(rel=2)@5", &|_| 1.0 / 3.0)]);
        measurement.write(&path).unwrap();
        assert_eq!(Measurement::read(&path).unwrap(), measurement);
        std::fs::write(&path, "{\"collection\": \"c\"}").unwrap();
        assert!(format!("{:#}", Measurement::read(&path).unwrap_err()).contains("baseline.json is no measurement"));
    }
}
