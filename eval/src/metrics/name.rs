//! Names of metrics, as in `ir_measures`: `nDCG@10`, `P(rel=2)@5`, `Rprec`.
//!
//! Invariant: a [`Metric`] prints as the name that reads back as itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::qrels::GRADE_MAX;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Normalised discounted cumulative gain: Järvelin and Kekäläinen, TOIS 2002.
    Ndcg,
    /// Share of the relevant documents that are found.
    Recall,
    /// Share of the ranks that hold a relevant document; ranks beyond the end of a ranking count.
    Precision,
    /// Mean over all relevant documents of the precision at their rank, 0 for those not found.
    AveragePrecision,
    /// 1 / rank of the first relevant document.
    ReciprocalRank,
    /// Precision at the rank that equals the number of relevant documents.
    RPrecision,
    /// Share of the judged documents that are not relevant and stand below the relevant ones: Buckley and Voorhees,
    /// SIGIR 2004.
    BinaryPreference,
    /// 1 where there is a relevant document, else 0.
    Success,
    /// Share of the ranks that hold a judged document: of grade 0 or more.
    Judged,
    /// Expected reciprocal rank under the cascade model: Chapelle et al., CIKM 2009. A grade g satisfies with probability
    /// (2^g - 1) / 2^m, where m is the highest grade of all the judgments.
    ExpectedReciprocalRank,
}

/// Whether a measure looks at the first k ranks only.
#[derive(Clone, Copy, PartialEq)]
enum Cutoff {
    Needed,
    Possible,
    None,
}

/// Name, whether there may be a cut-off, and whether relevance is a threshold.
const MEASURES: [(Measure, &str, Cutoff, bool); 10] = [
    (Measure::Ndcg, "nDCG", Cutoff::Possible, false),
    (Measure::Recall, "R", Cutoff::Needed, true),
    (Measure::Precision, "P", Cutoff::Needed, true),
    (Measure::AveragePrecision, "AP", Cutoff::Possible, true),
    (Measure::ReciprocalRank, "RR", Cutoff::Possible, true),
    (Measure::RPrecision, "Rprec", Cutoff::None, true),
    (Measure::BinaryPreference, "Bpref", Cutoff::None, true),
    (Measure::Success, "Success", Cutoff::Needed, true),
    (Measure::Judged, "Judged", Cutoff::Needed, false),
    (Measure::ExpectedReciprocalRank, "ERR", Cutoff::Possible, false),
];

/// Other names that are read.
const ALIASES: [(&str, &str); 7] = [
    ("NDCG", "nDCG"),
    ("Recall", "R"),
    ("Precision", "P"),
    ("MAP", "AP"),
    ("MRR", "RR"),
    ("RPrec", "Rprec"),
    ("BPref", "Bpref"),
];

/// A measure with its cut-off, made by reading its name. Serialised as that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metric {
    measure: Measure,
    cutoff: Option<u32>,
    relevant_from: i32,
}

/// A name that is no metric.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no metric: {reason}")]
pub struct MetricError {
    name: String,
    reason: &'static str,
}

impl Metric {
    /// What is measured.
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// The last rank that counts, from 1; without one all ranks do.
    pub fn cutoff(&self) -> Option<u32> {
        self.cutoff
    }

    /// The lowest grade that counts as relevant, from 1.
    pub fn relevant_from(&self) -> i32 {
        self.relevant_from
    }
}

impl FromStr for Metric {
    type Err = MetricError;

    fn from_str(name: &str) -> Result<Self, MetricError> {
        let wrong = |reason| MetricError { name: name.to_owned(), reason };
        let (rest, cutoff) = match name.split_once('@') {
            None => (name, None),
            Some((rest, cutoff)) => {
                let cutoff = cutoff.parse().ok().filter(|cutoff| *cutoff > 0);
                (rest, Some(cutoff.ok_or_else(|| wrong("its cut-off is no whole number from 1"))?))
            }
        };
        let (rest, relevant_from) = match rest.strip_suffix(')').and_then(|rest| rest.split_once("(rel=")) {
            None => (rest, None),
            Some((rest, grade)) => {
                let grade = grade.parse().ok().filter(|grade| (1..=GRADE_MAX).contains(grade));
                (rest, Some(grade.ok_or_else(|| wrong("its lowest relevant grade is no whole number from 1 to 100"))?))
            }
        };
        let rest = ALIASES.iter().find(|(alias, _)| *alias == rest).map_or(rest, |(_, name)| name);
        let (measure, _, takes_cutoff, takes_grade) =
            MEASURES.into_iter().find(|(_, name, ..)| *name == rest).ok_or_else(|| wrong("there is none so called"))?;
        match (takes_cutoff, cutoff) {
            (Cutoff::Needed, None) => return Err(wrong("it needs a cut-off, such as @10")),
            (Cutoff::None, Some(_)) => return Err(wrong("it takes no cut-off")),
            _ => {}
        }
        if relevant_from.is_some() && !takes_grade {
            return Err(wrong("it takes no lowest relevant grade"));
        }
        Ok(Self { measure, cutoff, relevant_from: relevant_from.unwrap_or(1) })
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = MEASURES.iter().find(|(measure, ..)| *measure == self.measure);
        f.write_str(named.expect("the table names every measure").1)?;
        if self.relevant_from != 1 {
            write!(f, "(rel={})", self.relevant_from)?;
        }
        self.cutoff.map_or(Ok(()), |cutoff| write!(f, "@{cutoff}"))
    }
}

impl TryFrom<String> for Metric {
    type Error = MetricError;

    fn try_from(name: String) -> Result<Self, MetricError> {
        name.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_print() {
        for name in [
            "nDCG",
            "nDCG@10",
            "R@100",
            "P@10",
            "P(rel=2)@5",
            "AP",
            "AP@100",
            "AP(rel=3)",
            "RR",
            "RR@10",
            "Rprec",
            "Rprec(rel=2)",
            "Bpref",
            "Success@5",
            "Judged@10",
            "ERR",
            "ERR@20",
        ] {
            assert_eq!(name.parse::<Metric>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn other_names_read_as_the_same_metric() {
        for (alias, name) in [("NDCG@10", "nDCG@10"), ("MAP", "AP"), ("MRR@10", "RR@10"), ("Recall(rel=1)@5", "R@5")] {
            assert_eq!(alias.parse::<Metric>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn names_of_nothing_are_refused() {
        for name in [
            "",
            "@10",
            "ndcg@10",
            "nDCG@0",
            "nDCG@-1",
            "nDCG@10@10",
            "P",
            "R",
            "Success",
            "Judged",
            "Rprec@10",
            "Bpref@5",
            "nDCG(rel=2)@10",
            "P(rel=0)@5",
            "P(rel=2@5",
            "P(rel=2)",
            "P@5(rel=2)",
        ] {
            assert!(name.parse::<Metric>().is_err(), "{name}");
        }
    }
}
