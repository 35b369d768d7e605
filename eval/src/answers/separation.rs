//! Whether a [`Support`] measures anything: reference answers against the sections that they were written from, and against
//! others.
//!
//! A sentence of a reference answer should be supported by the pages judged to answer its question, and not by pages drawn at
//! random, nor by the page that is most like the question and is not one of them. How well the two kinds of scores come apart is
//! the area under the ROC curve: the chance that a right pair scores above a wrong one. Half of the questions, by a hash of
//! their ids, are for choosing a threshold; rates are reported on the other half.
//!
//! Equal seeds give equal draws.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde::Serialize;

use crate::dataset::Dataset;
use query::answer::support::{Support, sentences};

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Separation {
    /// The scorer.
    pub support: String,
    /// Sentences of reference answers of all questions.
    pub sentences: usize,
    /// Mean score against the pages that answer the question.
    pub mean_gold: f64,
    /// Mean score against as many pages drawn at random.
    pub mean_random: f64,
    /// Mean score against the page most like the question that does not answer it.
    pub mean_nearest: f64,
    /// Area under the ROC curve, gold against random, on the reported half.
    pub auc_random: f64,
    /// The same, gold against nearest.
    pub auc_nearest: f64,
    /// The threshold that tells gold from random best on the half for tuning: the sum of both rates of right decisions.
    pub best_threshold: f64,
    /// The threshold in use.
    pub threshold: f64,
    /// Share of gold pairs that it accepts, on the reported half.
    pub accepted_gold: f64,
    /// Share of random pairs that it accepts.
    pub accepted_random: f64,
    /// Share of the nearest pairs that it accepts.
    pub accepted_nearest: f64,
}

/// Scores of one sentence.
#[derive(Clone, Copy, Debug)]
struct Scored {
    gold: f64,
    random: f64,
    nearest: f64,
}

/// Measures a scorer on a collection whose queries have reference answers.
pub fn measure(dataset: &Dataset, split: &str, support: &dyn Support, seed: u64) -> anyhow::Result<Separation> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    dataset.corpus.each(&mut |document| {
        texts.insert(document.id, format!("{}\n{}", document.title, document.text));
        Ok(())
    })?;
    let ids: Vec<&String> = texts.keys().collect();
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut tuning, mut reported) = (Vec::new(), Vec::new());
    for (query, judged) in dataset.split(split)?.queries() {
        let asked = &dataset.queries[query];
        let Some(answer) = &asked.answer else { continue };
        let gold: Vec<&String> = judged.iter().filter(|(_, grade)| **grade > 0).map(|(page, _)| page).collect();
        if gold.is_empty() || ids.len() <= 2 * gold.len() {
            continue;
        }
        let text_of =
            |id: &String| texts.get(id).map(String::as_str).with_context(|| format!("there is no document {id}"));
        let gold_texts = gold.iter().map(|id| text_of(id)).collect::<anyhow::Result<Vec<_>>>()?;
        let others: Vec<&&String> = ids.iter().filter(|id| !gold.contains(id)).collect();
        let drawn: Vec<&str> =
            others.choose_multiple(&mut random, gold.len()).map(|id| text_of(id)).collect::<anyhow::Result<_>>()?;
        let mut nearest = (f64::MIN, "");
        for id in &others {
            let text = text_of(id)?;
            let likeness = support.score(&[text], &asked.text)?;
            if likeness > nearest.0 {
                nearest = (likeness, text);
            }
        }
        let half = if blake3::hash(query.as_bytes()).as_bytes()[0] & 1 == 0 { &mut tuning } else { &mut reported };
        for sentence in sentences(answer) {
            half.push(Scored {
                gold: support.score(&gold_texts, sentence)?,
                random: support.score(&drawn, sentence)?,
                nearest: support.score(&[nearest.1], sentence)?,
            });
        }
    }
    ensure!(!tuning.is_empty() && !reported.is_empty(), "{} has too few reference answers", dataset.name);
    Ok(summary(&tuning, &reported, support))
}

fn summary(tuning: &[Scored], reported: &[Scored], support: &dyn Support) -> Separation {
    let all = || tuning.iter().chain(reported);
    let mean = |of: &dyn Fn(&Scored) -> f64| all().map(of).sum::<f64>() / all().count() as f64;
    let column = |rows: &[Scored], of: &dyn Fn(&Scored) -> f64| -> Vec<f64> { rows.iter().map(of).collect() };
    let (gold, random) = (column(reported, &|row| row.gold), column(reported, &|row| row.random));
    let nearest = column(reported, &|row| row.nearest);
    let accepted = |scores: &[f64]| share_from(scores, support.threshold());
    Separation {
        support: support.name(),
        sentences: all().count(),
        mean_gold: mean(&|row| row.gold),
        mean_random: mean(&|row| row.random),
        mean_nearest: mean(&|row| row.nearest),
        auc_random: auc(&gold, &random),
        auc_nearest: auc(&gold, &nearest),
        best_threshold: best_threshold(&column(tuning, &|row| row.gold), &column(tuning, &|row| row.random)),
        threshold: support.threshold(),
        accepted_gold: accepted(&gold),
        accepted_random: accepted(&random),
        accepted_nearest: accepted(&nearest),
    }
}

fn share_from(scores: &[f64], threshold: f64) -> f64 {
    scores.iter().filter(|score| **score >= threshold).count() as f64 / scores.len().max(1) as f64
}

/// The chance that a right score is above a wrong one, ties counting half; a half without any.
///
/// Source: Mann and Whitney, 1947; Hanley and McNeil, Radiology 143, 1982.
pub fn auc(right: &[f64], wrong: &[f64]) -> f64 {
    if right.is_empty() || wrong.is_empty() {
        return 0.5;
    }
    let mut sorted = wrong.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let below = |score: &f64| {
        let lower = sorted.partition_point(|other| other < score);
        let upper = sorted.partition_point(|other| other <= score);
        (lower + upper) as f64 / 2.0
    };
    right.iter().map(below).sum::<f64>() / (right.len() * wrong.len()) as f64
}

/// The score at which the share of right ones from it, less that of wrong ones, is largest (Youden's J); of equal ones the
/// middle.
fn best_threshold(right: &[f64], wrong: &[f64]) -> f64 {
    let candidates: Vec<f64> = (0..=100).map(|at| f64::from(at) / 100.0).collect();
    let gain = |threshold: f64| share_from(right, threshold) - share_from(wrong, threshold);
    let best = candidates.iter().map(|at| gain(*at)).fold(f64::MIN, f64::max);
    let equal: Vec<f64> = candidates.into_iter().filter(|at| (gain(*at) - best).abs() < 1e-12).collect();
    equal[equal.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn areas_worked_out_by_hand() {
        let check = |right: &[f64], wrong: &[f64], expected: f64| {
            assert!((auc(right, wrong) - expected).abs() < 1e-12, "{right:?} {wrong:?}");
        };
        check(&[0.9, 0.8], &[0.1, 0.2], 1.0);
        check(&[0.1], &[0.9], 0.0);
        check(&[0.5], &[0.5], 0.5);
        // 3 of 4 pairs are in order.
        check(&[0.9, 0.4], &[0.5, 0.1], 0.75);
        check(&[], &[0.5], 0.5);
    }

    #[test]
    fn the_best_threshold_lies_between_what_it_divides() {
        assert!((best_threshold(&[0.8, 0.9], &[0.1, 0.3]) - 0.55).abs() < 0.051);
    }

    proptest! {
        #[test]
        fn exchanging_right_and_wrong_mirrors_the_area(
            right in prop::collection::vec(0.0..1.0f64, 1..30), wrong in prop::collection::vec(0.0..1.0f64, 1..30)
        ) {
            prop_assert!((auc(&right, &wrong) + auc(&wrong, &right) - 1.0).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&auc(&right, &wrong)));
        }
    }
}
