//! The gist of texts: the sentences that say most of what all of them say, without a question.
//!
//! Pure, and the same for the same input. A term weighs by how many sentences share it, terms that nearly all share excepted: they
//! say nothing of one subject. A sentence is worth the mean weight of its terms, a little more where it opens its text; what a picked
//! sentence says counts less in those after it (SumBasic: Nenkova and Vanderwende, 2005).

use std::collections::{BTreeMap, BTreeSet};

use super::{Limits, Picked, REPEAT_MAX, Sentence, Source, WORDS_MIN, in_reading_order, repeats};

/// What is left of the weight of a term that was said.
const SAID_SHARE: f32 = 0.3;
/// Added to the count of a term, so that one that no other sentence has says little, but not nothing.
const UNSHARED: f32 = 0.2;
/// What the first sentence of a text is worth more; it halves with each further one.
const OPENING_GAIN: f32 = 0.3;
/// What is left of the worth of a sentence that asks, announces or has few words.
const WEAK_SHARE: f32 = 0.25;
/// Terms that are added to a sentence's own count, so that short sentences do not win by one good term.
const LENGTH_DAMPING: f32 = 4.0;

/// Picks the sentences that say most, in reading order: source after source as they were given.
///
/// Takes time in the number of sentences by that of picks. Sentences with few words, and such as ask or announce, come last.
pub fn gist(sources: &[Source], limits: Limits) -> Vec<Picked> {
    let mut weights = weights(sources);
    let places = sources.iter().enumerate();
    let mut left: Vec<(usize, usize)> =
        places.flat_map(|(source, text)| (0..text.sentences.len()).map(move |at| (source, at))).collect();
    let mut picked: Vec<Picked> = Vec::new();
    let mut words = 0;
    while picked.len() < limits.sentences_max {
        let sentence = |(source, at): (usize, usize)| &sources[source].sentences[at];
        let is_new = |candidate: &Sentence| {
            picked.iter().all(|of| repeats(candidate, sentence((of.source, of.sentence))) <= REPEAT_MAX)
        };
        let fits = |candidate: &Sentence| picked.is_empty() || words + candidate.words <= limits.words_max;
        let open = left.iter().enumerate().filter(|(_, place)| is_new(sentence(**place)) && fits(sentence(**place)));
        let scored = open.map(|(index, place)| (index, worth(sentence(*place), place.1, &weights)));
        // The first of equals, which comes first in reading order.
        let Some((index, worth)) = scored.reduce(|best, next| if next.1 > best.1 { next } else { best }) else { break };
        let (source, at) = left.remove(index);
        let taken = &sources[source].sentences[at];
        words += taken.words;
        for term in &taken.terms {
            weights.entry(term).and_modify(|weight| *weight *= SAID_SHARE);
        }
        picked.push(Picked { source, sentence: at, relevance: worth });
    }
    picked.sort_by_key(|of| of.source);
    in_reading_order(picked)
}

fn worth(sentence: &Sentence, at: usize, weights: &BTreeMap<&str, f32>) -> f32 {
    let all: f32 = sentence.terms.iter().filter_map(|term| weights.get(term.as_str())).sum();
    let mean = all / (sentence.terms.len() as f32 + LENGTH_DAMPING);
    let opening = 1.0 + OPENING_GAIN / 2.0_f32.powi(at.min(30) as i32);
    let weak = if sentence.is_weak || sentence.words < WORDS_MIN { WEAK_SHARE } else { 1.0 };
    mean * opening * weak
}

/// What each term weighs.
fn weights(sources: &[Source]) -> BTreeMap<&str, f32> {
    let sentences: Vec<&BTreeSet<String>> =
        sources.iter().flat_map(|source| &source.sentences).map(|sentence| &sentence.terms).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for terms in &sentences {
        for term in *terms {
            *counts.entry(term.as_str()).or_default() += 1;
        }
    }
    let of_title: BTreeSet<&str> = sources.iter().flat_map(|source| &source.context).map(String::as_str).collect();
    let all = sentences.len() as f32;
    let weight = |term: &str, count: usize| {
        let count = count as f32;
        let shared = (UNSHARED + count).ln() * ((all + 1.0) / count).ln();
        if of_title.contains(term) { 2.0 * shared } else { shared }
    };
    counts.into_iter().map(|(term, count)| (term, weight(term, count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(sentences: &[&str]) -> Source {
        let sentence = |text: &&str| Sentence {
            terms: text.split(' ').map(str::to_lowercase).collect(),
            words: text.split(' ').count(),
            is_weak: text.ends_with('?'),
            vector: None,
        };
        Source { sentences: sentences.iter().map(sentence).collect(), ..Source::default() }
    }

    fn picked(sources: &[Source], sentences_max: usize) -> Vec<(usize, usize)> {
        let limits = Limits { sentences_max, words_max: 100 };
        gist(sources, limits).iter().map(|of| (of.source, of.sentence)).collect()
    }

    #[test]
    fn what_sentences_share_is_the_gist_and_is_said_once() {
        let text = source(&[
            "the interlock closes the dome in rain",
            "lunch was late on monday again",
            "the interlock closes the dome in rain today",
            "the dome opens after rain by hand",
            "is the dome in the rain now ?",
        ]);
        assert_eq!(picked(std::slice::from_ref(&text), 1), [(0, 0)]);
        let two = picked(&[text], 2);
        assert!(!two.contains(&(0, 2)), "it says the same again: {two:?}");
        assert!(!two.contains(&(0, 4)), "it asks: {two:?}");
    }

    #[test]
    fn sources_come_in_their_order_and_limits_hold() {
        let sources =
            [source(&["alpha beta gamma delta"]), source(&["beta gamma delta epsilon", "zeta eta theta iota"])];
        let all = picked(&sources, 10);
        assert!(all.is_sorted(), "{all:?}");
        let limits = Limits { sentences_max: 10, words_max: 4 };
        assert_eq!(gist(&sources, limits).len(), 1);
        assert_eq!(gist(&[], limits), []);
    }
}
