//! Systems against a baseline, query by query.
//!
//! Compared are values of one metric. Both sides must hold the same queries: a system that answers fewer would be measured
//! on others.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::metrics::{Scores, mean};
use crate::statistics::{Effort, Interval, PValue, bootstrap_interval, holm, randomisation_test};

/// One query on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    /// Its id.
    pub query: String,
    /// What the baseline scores.
    pub baseline: f64,
    /// What the system scores.
    pub system: f64,
}

impl Delta {
    /// What the system gains, below 0 what it loses.
    pub fn value(&self) -> f64 {
        self.system - self.baseline
    }
}

/// A system against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the system is called.
    pub system: String,
    /// The mean of the baseline.
    pub baseline_mean: f64,
    /// The mean of the system.
    pub system_mean: f64,
    /// The bootstrap interval of the mean difference.
    pub interval: Interval,
    /// The randomisation test of the mean difference.
    pub p: PValue,
    /// The value of `p`, adjusted for all systems that were compared at once.
    pub p_holm: f64,
    /// Queries on which the system is better.
    pub wins: usize,
    /// Queries on which it is worse.
    pub losses: usize,
    /// All queries, the largest loss first; equal ones by id.
    pub deltas: Vec<Delta>,
}

impl Comparison {
    /// The mean difference: what the system gains.
    pub fn difference(&self) -> f64 {
        self.system_mean - self.baseline_mean
    }

    /// The queries that lose most, at most `limit`, the worst first.
    pub fn regressions(&self, limit: usize) -> &[Delta] {
        &self.deltas[..self.losses.min(limit)]
    }
}

/// Compares systems with a baseline, in the order given. Fails where a system and the baseline hold different queries, or
/// none.
pub fn compare(baseline: &Scores, systems: &[(&str, &Scores)], effort: &Effort) -> anyhow::Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for (name, scores) in systems {
        let mut deltas = paired(baseline, name, scores)?;
        let values: Vec<f64> = deltas.iter().map(Delta::value).collect();
        deltas.sort_by(|one, other| one.value().total_cmp(&other.value()).then_with(|| one.query.cmp(&other.query)));
        comparisons.push(Comparison {
            system: (*name).to_owned(),
            baseline_mean: mean(baseline),
            system_mean: mean(scores),
            interval: bootstrap_interval(&values, effort),
            p: randomisation_test(&values, effort),
            p_holm: 1.0,
            wins: values.iter().filter(|value| **value > 0.0).count(),
            losses: values.iter().filter(|value| **value < 0.0).count(),
            deltas,
        });
    }
    let adjusted = holm(&comparisons.iter().map(|comparison| comparison.p.value).collect::<Vec<_>>());
    for (comparison, p_holm) in comparisons.iter_mut().zip(adjusted) {
        comparison.p_holm = p_holm;
    }
    Ok(comparisons)
}

/// The queries of both sides, by id.
fn paired(baseline: &Scores, name: &str, scores: &Scores) -> anyhow::Result<Vec<Delta>> {
    ensure!(!baseline.is_empty(), "there is no query to compare {name} on");
    let lone = scores.keys().find(|query| !baseline.contains_key(*query));
    ensure!(lone.is_none(), "the baseline has no query {}, which {name} has", lone.map_or("", String::as_str));
    let pair = |(query, baseline): (&String, &f64)| match scores.get(query) {
        Some(system) => Ok(Delta { query: query.clone(), baseline: *baseline, system: *system }),
        None => anyhow::bail!("{name} has no query {query}, which the baseline has"),
    };
    baseline.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(values: &[f64]) -> Scores {
        values.iter().enumerate().map(|(at, value)| (format!("q{at}"), *value)).collect()
    }

    #[test]
    fn losses_come_first_and_are_counted() {
        let baseline = scores(&[0.5, 0.5, 0.5, 0.5]);
        let worse = scores(&[0.5, 0.25, 1.0, 0.0]);
        let compared = compare(&baseline, &[("worse", &worse), ("equal", &baseline)], &Effort::default()).unwrap();
        let worst: Vec<&str> = compared[0].regressions(9).iter().map(|delta| delta.query.as_str()).collect();
        assert_eq!(worst, ["q3", "q1"]);
        assert_eq!(compared[0].regressions(1).len(), 1);
        assert_eq!((compared[0].wins, compared[0].losses), (1, 2));
        assert!((compared[0].difference() + 0.0625).abs() < 1e-12);
        assert_eq!((compared[1].regressions(9), compared[1].p.value.to_string()), (&[][..], "1".to_owned()));
    }

    #[test]
    fn p_values_are_adjusted_for_the_systems_compared_at_once() {
        let baseline = scores(&[0.0; 8]);
        let better = scores(&[0.5; 8]);
        let compared = compare(&baseline, &[("one", &better), ("two", &better)], &Effort::default()).unwrap();
        for comparison in compared {
            assert!((comparison.p.value - 2.0 / 256.0).abs() < 1e-12);
            assert!((comparison.p_holm - 4.0 / 256.0).abs() < 1e-12);
        }
    }

    #[test]
    fn different_queries_are_not_compared() {
        let check = |baseline: &[f64], system: &[f64], expected: &str| {
            let error = compare(&scores(baseline), &[("s", &scores(system))], &Effort::default()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        };
        check(&[0.5, 0.5], &[0.5], "s has no query q1, which the baseline has");
        check(&[0.5], &[0.5, 0.5], "the baseline has no query q1, which s has");
        check(&[], &[], "there is no query to compare s on");
    }
}
