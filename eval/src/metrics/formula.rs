//! The formulas, for one query.
//!
//! Ranks count from 1. Every value lies in 0 to 1.

use crate::metrics::{Measure, Metric};
use crate::qrels::Judgments;
use crate::runs::Ranked;

/// A ranking as its judgments see it.
pub(super) struct Ranking<'a> {
    /// The grade at each rank; `None` where nobody judged.
    grades: Vec<Option<i32>>,
    judgments: &'a Judgments,
    /// The highest grade of the collection.
    grade_max: i32,
}

impl<'a> Ranking<'a> {
    /// Looks up what is known of the documents found, best first.
    pub(super) fn new(judgments: &'a Judgments, found: &[Ranked], grade_max: i32) -> Self {
        let grades = found.iter().map(|ranked| judgments.get(&ranked.document).copied()).collect();
        Self { grades, judgments, grade_max }
    }

    pub(super) fn value(&self, metric: &Metric) -> f64 {
        let cutoff = metric.cutoff().map_or(usize::MAX, |cutoff| cutoff as usize);
        let first = &self.grades[..self.grades.len().min(cutoff)];
        let relevant_from = metric.relevant_from();
        let is_relevant = |grade: &Option<i32>| grade.is_some_and(|grade| grade >= relevant_from);
        let relevant_found = || first.iter().filter(|grade| is_relevant(grade)).count() as f64;
        let relevant_count = self.judgments.values().filter(|grade| **grade >= relevant_from).count();
        match metric.measure() {
            Measure::Ndcg => ratio(discounted_gain(first), self.ideal_gain(cutoff)),
            Measure::Recall => ratio(relevant_found(), relevant_count as f64),
            Measure::Precision => relevant_found() / cutoff as f64,
            Measure::Success => f64::from(u8::from(first.iter().any(is_relevant))),
            Measure::Judged => first.iter().flatten().filter(|grade| **grade >= 0).count() as f64 / cutoff as f64,
            Measure::ReciprocalRank => first.iter().position(is_relevant).map_or(0.0, |at| 1.0 / (at + 1) as f64),
            Measure::RPrecision => {
                let first = self.grades.iter().take(relevant_count);
                ratio(first.filter(|grade| is_relevant(grade)).count() as f64, relevant_count as f64)
            }
            Measure::AveragePrecision => {
                let ranks = first.iter().enumerate().filter(|(_, grade)| is_relevant(grade)).map(|(at, _)| at + 1);
                let precisions = ranks.zip(1..).map(|(rank, relevant)| f64::from(relevant) / rank as f64);
                ratio(precisions.sum(), relevant_count as f64)
            }
            Measure::BinaryPreference => self.binary_preference(relevant_from, relevant_count),
            Measure::ExpectedReciprocalRank => self.expected_reciprocal_rank(first),
        }
    }

    /// The gain of the best possible ranking.
    fn ideal_gain(&self, cutoff: usize) -> f64 {
        let mut grades: Vec<Option<i32>> = self.judgments.values().copied().map(Some).collect();
        grades.sort_unstable_by(|one, other| other.cmp(one));
        grades.truncate(cutoff);
        discounted_gain(&grades)
    }

    /// Of as many judged documents that are not relevant as there are relevant ones, the share that each relevant
    /// document found stands above. Documents without a judgment do not count at all.
    fn binary_preference(&self, relevant_from: i32, relevant_count: usize) -> f64 {
        let is_other = |grade: &i32| (0..relevant_from).contains(grade);
        let others_count = self.judgments.values().filter(|grade| is_other(grade)).count().min(relevant_count);
        let (mut others, mut sum) = (0_usize, 0.0);
        for grade in self.grades.iter().flatten() {
            if is_other(grade) {
                others += 1;
            } else if *grade >= relevant_from {
                sum += 1.0 - ratio(others.min(relevant_count) as f64, others_count as f64);
            }
        }
        ratio(sum, relevant_count as f64)
    }

    /// The sum over the ranks of 1 / rank, times the chance that somebody reads so far and is satisfied there.
    fn expected_reciprocal_rank(&self, first: &[Option<i32>]) -> f64 {
        let (mut reads_on, mut sum) = (1.0, 0.0);
        for (at, grade) in first.iter().enumerate() {
            let grade = grade.unwrap_or(0).max(0);
            let satisfies = (f64::from(grade).exp2() - 1.0) / f64::from(self.grade_max).exp2();
            sum += reads_on * satisfies / (at + 1) as f64;
            reads_on *= 1.0 - satisfies;
        }
        sum
    }
}

fn discounted_gain(grades: &[Option<i32>]) -> f64 {
    let gains = grades.iter().map(|grade| f64::from(grade.unwrap_or(0).max(0)));
    gains.enumerate().map(|(at, gain)| gain / ((at + 2) as f64).log2()).sum()
}

/// A share of nothing is 0. Added is 0, because the sum of no floats is -0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole + 0.0 } else { 0.0 }
}
