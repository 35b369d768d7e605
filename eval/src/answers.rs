//! Answers, scored: whether they cite what they should, whether what they cite supports what they say, and whether they say
//! so when there is no answer.
//!
//! Nothing is generated or retrieved here. Taken is one JSON object a line, in the shape of DESIGN's answers: sentences in their
//! order, each with the citations that it rests on, and the citations with block, version, text range and the cited text.
//!
//! ```json
//! {"query_id": "q1", "not_found": false,
//!  "sentences": [{"text": "Flash reads hold the bus.", "citations": [0, 1]}],
//!  "citations": [{"page": "runbook", "block": "b7", "version": 12, "range": [0, 41], "text": "The bus is held by flash reads."}]}
//! ```
//!
//! Fields that are not named here are passed over. An answer that was not found has no sentences that count. The measures, each a
//! mean over answers unless it says otherwise:
//!
//! | Measure | Of one answer |
//! |---|---|
//! | gold precision | share of the pages cited that answer the query, over answered questions that have an answer |
//! | gold recall | share of the pages that answer the query that are cited, over questions that have an answer |
//! | citation recall | share of the sentences that all of their citations together support |
//! | citation precision | share of the citations that are needed: their sentence is supported, and they support it alone, or it is not supported without them |
//! | supported | citation recall with all sentences in one pot, so that long answers count for more |
//! | abstention | precision, recall and F1 of "not found" as the answer to questions that have none |
//!
//! Source: citation recall and precision are those of Gao, Yen, Yu and Chen, "Enabling large language models to generate text
//! with citations" (ALCE), EMNLP 2023, section 3.2, with a [`Support`] in the place of their entailment model.

pub mod overlap;
pub mod produce;
pub mod separation;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::lines;
use crate::qrels::Qrels;
use query::answer::support::Support;

/// Longest line of a file of answers in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Most answers in a file.
const ANSWERS_MAX: usize = 1_000_000;

/// An answer to one query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The query.
    pub query_id: String,
    /// Whether it says that nothing was found.
    #[serde(default)]
    pub not_found: bool,
    /// What it says, in order.
    #[serde(default)]
    pub sentences: Vec<Sentence>,
    /// What it rests on.
    #[serde(default)]
    pub citations: Vec<Citation>,
}

/// A sentence of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// What it says.
    pub text: String,
    /// Places in the list of citations.
    #[serde(default)]
    pub citations: Vec<usize>,
}

/// A place in a page that an answer rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// The page, as judgments name it.
    pub page: String,
    /// The block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<String>,
    /// The version of the block that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<serde_json::Value>,
    /// First character and end of the cited text in the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[u32; 2]>,
    /// The cited text.
    pub text: String,
}

/// Reads answers, one a line; no query is answered twice.
pub fn read(path: &Path) -> anyhow::Result<Vec<Answer>> {
    let (mut answers, mut known) = (Vec::new(), BTreeSet::new());
    lines::each(path, ANSWER_BYTES_MAX, &mut |line| {
        ensure!(answers.len() < ANSWERS_MAX, "there are more than {ANSWERS_MAX} answers");
        let answer: Answer = serde_json::from_str(line)?;
        ensure!(known.insert(answer.query_id.clone()), "the query {} is answered twice", answer.query_id);
        let cited = answer.sentences.iter().flat_map(|sentence| &sentence.citations);
        let missing = cited.copied().find(|at| *at >= answer.citations.len());
        ensure!(
            missing.is_none(),
            "a sentence cites {}, and there are {} citations",
            missing.unwrap_or(0),
            answer.citations.len()
        );
        answers.push(answer);
        Ok(())
    })?;
    Ok(answers)
}

/// What one answer is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AnswerScores {
    /// The query.
    pub query_id: String,
    /// Whether the question has an answer by the judgments.
    pub has_answer: bool,
    /// Whether the answer says that nothing was found.
    pub not_found: bool,
    /// `None` where nothing was answered, or there is nothing to find.
    pub gold_precision: Option<f64>,
    /// `None` where there is nothing to find.
    pub gold_recall: Option<f64>,
    /// `None` where nothing was said.
    pub citation_recall: Option<f64>,
    /// `None` where nothing was said.
    pub citation_precision: Option<f64>,
    /// Whether each sentence is supported by what it cites.
    pub supported: Vec<bool>,
}

/// What all answers are worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// What says whether a text supports a sentence.
    pub support: String,
    /// The score from which it does.
    pub threshold: f64,
    /// Answers that were scored.
    pub answers: usize,
    /// Questions that have an answer and got none at all, which count as an answer that cites nothing.
    pub missing: usize,
    /// See the table above; `None` without an answer to take it of, as below.
    pub gold_precision: Option<f64>,
    /// As above.
    pub gold_recall: Option<f64>,
    /// As above.
    pub citation_recall: Option<f64>,
    /// As above.
    pub citation_precision: Option<f64>,
    /// Share of all sentences that what they cite supports.
    pub supported: Option<f64>,
    /// Sentences that were judged.
    pub sentences: usize,
    /// Whether answers are withheld where there is none.
    pub abstention: Abstention,
}

/// How "not found" fits the questions that have no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Abstention {
    /// Questions that have no answer, of those answered.
    pub unanswerable: usize,
    /// Answers that say that nothing was found.
    pub abstained: usize,
    /// Both.
    pub right: usize,
    /// Share of the abstentions that are right; `None` without any.
    pub precision: Option<f64>,
    /// Share of the questions without an answer that were left unanswered; `None` without any.
    pub recall: Option<f64>,
    /// Harmonic mean of the two; 0 where one of them is.
    pub f1: Option<f64>,
}

/// Scores answers against judgments: a question has an answer where a page with a grade from 1 is judged.
///
/// Returns the means and the answers one by one, in the order given.
pub fn score(answers: &[Answer], qrels: &Qrels, support: &dyn Support) -> anyhow::Result<(Scores, Vec<AnswerScores>)> {
    let mut scored = Vec::with_capacity(answers.len());
    for answer in answers {
        let of = || format!("cannot score the answer to {}", answer.query_id);
        scored.push(score_one(answer, &gold(qrels, &answer.query_id), support).with_context(of)?);
    }
    let answered: BTreeSet<&str> = answers.iter().map(|answer| answer.query_id.as_str()).collect();
    let asked = qrels.queries().filter(|(query, _)| !gold(qrels, query).is_empty());
    let missing = asked.filter(|(query, _)| !answered.contains(query)).count();
    let mean = |of: &dyn Fn(&AnswerScores) -> Option<f64>| mean(scored.iter().filter_map(of));
    let sentences = scored.iter().flat_map(|scores| &scores.supported);
    let recall_of_answered: Vec<f64> = scored.iter().filter_map(|scores| scores.gold_recall).collect();
    let scores = Scores {
        support: support.name(),
        threshold: support.threshold(),
        answers: answers.len(),
        missing,
        gold_precision: mean(&|scores| scores.gold_precision),
        gold_recall: self::mean(recall_of_answered.into_iter().chain(std::iter::repeat_n(0.0, missing))),
        citation_recall: mean(&|scores| scores.citation_recall),
        citation_precision: mean(&|scores| scores.citation_precision),
        supported: self::mean(sentences.clone().map(|supported| f64::from(u8::from(*supported)))),
        sentences: sentences.count(),
        abstention: abstention(&scored),
    };
    Ok((scores, scored))
}

/// The pages that answer a query.
fn gold<'a>(qrels: &'a Qrels, query: &str) -> BTreeSet<&'a str> {
    let judged = qrels.of(query).into_iter().flatten();
    judged.filter(|(_, grade)| **grade > 0).map(|(page, _)| page.as_str()).collect()
}

fn score_one(answer: &Answer, gold: &BTreeSet<&str>, support: &dyn Support) -> anyhow::Result<AnswerScores> {
    let sentences = if answer.not_found { &[] } else { &answer.sentences[..] };
    let used: BTreeSet<usize> = sentences.iter().flat_map(|sentence| sentence.citations.iter().copied()).collect();
    let cited: BTreeSet<&str> = used.iter().map(|at| answer.citations[*at].page.as_str()).collect();
    let hits = cited.intersection(gold).count();
    let has_answer = !gold.is_empty();
    let (mut supported, mut uses, mut needed) = (Vec::with_capacity(sentences.len()), 0, 0);
    for sentence in sentences {
        let judged = judge(sentence, &answer.citations, support)?;
        supported.push(judged.is_supported);
        uses += judged.citations;
        needed += judged.needed;
    }
    let says_something = !sentences.is_empty();
    Ok(AnswerScores {
        query_id: answer.query_id.clone(),
        has_answer,
        not_found: answer.not_found,
        gold_precision: (has_answer && !answer.not_found).then(|| share(hits, cited.len())),
        gold_recall: has_answer.then(|| share(hits, gold.len())),
        citation_recall: says_something.then(|| share(supported.iter().filter(|of| **of).count(), supported.len())),
        citation_precision: says_something.then(|| share(needed, uses)),
        supported,
    })
}

/// What is found out about one sentence.
struct Judged {
    is_supported: bool,
    citations: usize,
    needed: usize,
}

fn judge(sentence: &Sentence, citations: &[Citation], support: &dyn Support) -> anyhow::Result<Judged> {
    let cited: BTreeSet<usize> = sentence.citations.iter().copied().collect();
    let texts = |without: Option<usize>| -> Vec<&str> {
        cited.iter().filter(|at| Some(**at) != without).map(|at| citations[*at].text.as_str()).collect()
    };
    let supports = |texts: &[&str]| -> anyhow::Result<bool> {
        Ok(!texts.is_empty() && support.score(texts, &sentence.text)? >= support.threshold())
    };
    let is_supported = supports(&texts(None))?;
    let mut needed = 0;
    for &at in &cited {
        let is_needed = is_supported && (supports(&[&citations[at].text])? || !supports(&texts(Some(at)))?);
        needed += usize::from(is_needed);
    }
    Ok(Judged { is_supported, citations: cited.len(), needed })
}

fn abstention(scored: &[AnswerScores]) -> Abstention {
    let count = |of: &dyn Fn(&&AnswerScores) -> bool| scored.iter().filter(of).count();
    let unanswerable = count(&|scores| !scores.has_answer);
    let abstained = count(&|scores| scores.not_found);
    let right = count(&|scores| scores.not_found && !scores.has_answer);
    let precision = (abstained > 0).then(|| share(right, abstained));
    let recall = (unanswerable > 0).then(|| share(right, unanswerable));
    let f1 = precision.zip(recall).map(|(precision, recall)| {
        let sum = precision + recall;
        if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 }
    });
    Abstention { unanswerable, abstained, right, precision, recall, f1 }
}

/// A share; 0 of nothing, as a citation that is not there supports nothing.
fn share(some: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { some as f64 / of as f64 }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests;
