//! Whether a difference between two systems is more than chance: paired tests on per-query differences.
//!
//! Pure numbers; which systems and queries they belong to is known to [`crate::compare`]. Nothing is assumed of the
//! distribution of the differences. Equal seeds give equal results.

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// How much work goes into a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Sign assignments that a randomisation test draws, from 1. All are gone through where there are no more than that.
    pub permutations: u32,
    /// Samples of a bootstrap, from 1.
    pub resamples: u32,
    /// Share of the samples that an interval holds, between 0 and 1.
    pub confidence: f64,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { permutations: 100_000, resamples: 10_000, confidence: 0.95, seed: 1 }
    }
}

/// The chance of a mean at least as far from 0, in either direction, if both systems were alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PValue {
    /// Above 0, at most 1.
    pub value: f64,
    /// Whether all sign assignments were gone through, rather than some drawn.
    pub is_exact: bool,
}

/// The range in which a mean lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// Fisher's paired randomisation test, two-sided. Without a difference other than 0 the answer is 1.
///
/// If the systems were alike, each difference could as well have the other sign. A drawn sample counts the observed
/// assignment too, so that the value is never 0. Cost: permutations times differences.
///
/// Source: Fisher, The Design of Experiments, 1935; Smucker, Allan and Carterette, CIKM 2007.
pub fn randomisation_test(deltas: &[f64], effort: &Effort) -> PValue {
    let deltas: Vec<f64> = deltas.iter().copied().filter(|delta| *delta != 0.0).collect();
    // Sums of the same numbers in another order differ by rounding; such sums are equal.
    let slack = 1e-9 * deltas.iter().map(|delta| delta.abs()).sum::<f64>();
    let observed = deltas.iter().sum::<f64>().abs() - slack;
    let is_as_far = |signs: &mut dyn FnMut() -> u64| {
        let sum_of = |(deltas, signs): (&[f64], u64)| -> f64 {
            let signed = |(at, delta): (usize, &f64)| if signs >> at & 1 == 1 { -delta } else { *delta };
            deltas.iter().enumerate().map(signed).sum()
        };
        deltas.chunks(64).map(|chunk| sum_of((chunk, signs()))).sum::<f64>().abs() >= observed
    };
    let all = u32::try_from(deltas.len()).ok().and_then(|bits| 1_u64.checked_shl(bits));
    if let Some(all) = all.filter(|all| *all <= u64::from(effort.permutations)) {
        let count = (0..all).filter(|signs| is_as_far(&mut || *signs)).count();
        return PValue { value: count as f64 / all as f64, is_exact: true };
    }
    let mut random = SmallRng::seed_from_u64(effort.seed);
    let count = (0..effort.permutations).filter(|_| is_as_far(&mut || random.next_u64())).count();
    PValue { value: (count + 1) as f64 / (f64::from(effort.permutations) + 1.0), is_exact: false }
}

/// The percentile bootstrap interval of the mean difference; 0 to 0 without any.
///
/// Cost: resamples times differences. Source: Efron, 1979; Sakai, SIGIR 2006.
pub fn bootstrap_interval(deltas: &[f64], effort: &Effort) -> Interval {
    if deltas.is_empty() {
        return Interval { low: 0.0, high: 0.0 };
    }
    let mut random = SmallRng::seed_from_u64(effort.seed);
    let mut mean = |_| {
        let drawn = (0..deltas.len()).map(|_| deltas[random.random_range(0..deltas.len())]);
        drawn.sum::<f64>() / deltas.len() as f64
    };
    let mut means: Vec<f64> = (0..effort.resamples.max(1)).map(&mut mean).collect();
    means.sort_unstable_by(f64::total_cmp);
    let outside = (((1.0 - effort.confidence) / 2.0 * means.len() as f64) as usize).min((means.len() - 1) / 2);
    Interval { low: means[outside], high: means[means.len() - 1 - outside] }
}

/// The sign test, two-sided: how likely so uneven a split is when each side is as likely as the other. Ties are left out.
///
/// Exact: the sum of a binomial tail, doubled. Cost: the smaller of the two counts.
///
/// Source: Conover, Practical Nonparametric Statistics, 1971.
pub fn sign_test(one: u64, other: u64) -> PValue {
    let (fewer, all) = (one.min(other), one + other);
    // Terms are carried as logarithms: a single one may be too small for a number.
    let mut log_term = -(all as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for at in 0..fewer {
        log_term += ((all - at) as f64).ln() - ((at + 1) as f64).ln();
        tail += log_term.exp();
    }
    PValue { value: (2.0 * tail).min(1.0), is_exact: true }
}

/// P-values of several tests, adjusted so that all of them together err as seldom as one: Holm's step-down.
///
/// In the order given. Source: Holm, Scandinavian Journal of Statistics, 1979.
pub fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|one, other| values[*one].total_cmp(&values[*other]));
    let (mut adjusted, mut largest) = (vec![0.0; values.len()], 0.0_f64);
    for (before, at) in order.into_iter().enumerate() {
        largest = largest.max(values[at] * (values.len() - before) as f64).min(1.0);
        adjusted[at] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests;
