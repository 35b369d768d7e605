//! How much of a reference answer an answer says: token F1 and ROUGE-L.
//!
//! Words are lower case, without punctuation and without English articles; ideographs, kana and Hangul syllables are words by
//! themselves. An answer that was not found says nothing: 0.
//!
//! Sources: token F1 as Rajpurkar, Zhang, Lopyrev and Liang, "SQuAD", EMNLP 2016; ROUGE-L as Lin, "ROUGE", 2004, with recall and
//! precision weighed alike and the texts taken whole.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation as _;

use super::Answer;

/// Means over the questions that have a reference answer and got an answer of any kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Overlap {
    /// Answers that were compared.
    pub answers: usize,
    /// Share of shared words, precision and recall weighed alike, 0 to 1.
    pub token_f1: f64,
    /// Of the words of the reference, those said.
    pub token_recall: f64,
    /// Of the words said, those of the reference.
    pub token_precision: f64,
    /// The longest sequence of words that both have in common, likewise weighed, 0 to 1.
    pub rouge_l: f64,
    /// Mean number of words said.
    pub words: f64,
}

/// Compares answers with reference answers, by query. `None` where there is nothing to compare.
pub fn overlap(answers: &[Answer], references: &BTreeMap<String, String>) -> Option<Overlap> {
    let mut sum = Overlap::default();
    for answer in answers {
        let Some(reference) = references.get(&answer.query_id) else { continue };
        let said: Vec<&str> =
            if answer.not_found { Vec::new() } else { answer.sentences.iter().map(|of| of.text.as_str()).collect() };
        let (said, reference) = (words(&said.join(" ")), words(reference));
        let shared = shared(&said, &reference);
        sum.answers += 1;
        sum.token_precision += share(shared, said.len());
        sum.token_recall += share(shared, reference.len());
        sum.token_f1 += f1(shared, said.len(), reference.len());
        sum.rouge_l += f1(longest_common(&said, &reference), said.len(), reference.len());
        sum.words += said.len() as f64;
    }
    let count = sum.answers as f64;
    (sum.answers > 0).then(|| Overlap {
        answers: sum.answers,
        token_f1: sum.token_f1 / count,
        token_recall: sum.token_recall / count,
        token_precision: sum.token_precision / count,
        rouge_l: sum.rouge_l / count,
        words: sum.words / count,
    })
}

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.unicode_words().filter(|word| !["a", "an", "the"].contains(word));
    words.map(str::to_owned).collect()
}

fn shared(said: &[String], reference: &[String]) -> usize {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in reference {
        *left.entry(word).or_default() += 1;
    }
    let take = |word: &&String| match left.get_mut(word.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    said.iter().filter(take).count()
}

fn longest_common(said: &[String], reference: &[String]) -> usize {
    let mut before = vec![0_usize; reference.len() + 1];
    for word in said {
        let mut now = vec![0; reference.len() + 1];
        for (at, other) in reference.iter().enumerate() {
            now[at + 1] = if word == other { before[at] + 1 } else { now[at].max(before[at + 1]) };
        }
        before = now;
    }
    before.last().copied().unwrap_or(0)
}

fn share(some: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { some as f64 / of as f64 }
}

/// Harmonic mean of precision and recall.
fn f1(shared: usize, said: usize, reference: usize) -> f64 {
    share(2 * shared, said + reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::Sentence;

    #[track_caller]
    fn check(said: &str, reference: &str, token_f1: f64, rouge_l: f64) {
        let sentences = vec![Sentence { text: said.to_owned(), citations: Vec::new() }];
        let answer = Answer { query_id: "q".to_owned(), sentences, ..Answer::default() };
        let found = overlap(&[answer], &BTreeMap::from([("q".to_owned(), reference.to_owned())])).unwrap();
        assert!((found.token_f1 - token_f1).abs() < 1e-9, "{said}: {}", found.token_f1);
        assert!((found.rouge_l - rouge_l).abs() < 1e-9, "{said}: {}", found.rouge_l);
    }

    #[test]
    fn overlaps_worked_out_by_hand() {
        check("The domes close.", "domes close", 1.0, 1.0);
        // Two of three and two of four words; in order one.
        check("close the domes now", "domes close at dusk", 4.0 / 7.0, 2.0 / 7.0);
        check("dusk dusk", "dusk", 2.0 / 3.0, 2.0 / 3.0);
        check("", "domes", 0.0, 0.0);
        assert_eq!(overlap(&[], &BTreeMap::new()), None);
    }

    #[test]
    fn an_answer_that_was_not_found_says_nothing() {
        let sentences = vec![Sentence { text: "domes".to_owned(), citations: Vec::new() }];
        let answer = Answer { query_id: "q".to_owned(), not_found: true, sentences, ..Answer::default() };
        let found = overlap(&[answer], &BTreeMap::from([("q".to_owned(), "domes".to_owned())])).unwrap();
        assert_eq!((found.answers, found.words), (1, 0.0));
    }
}
