//! Support: how far a cited text bears out a sentence, as a score and the threshold from which it does.
//!
//! Two scorers, neither of which calls a language model. They tell a sentence that says what the text says from one that is about
//! something else; a text that says the opposite in the same words escapes both. How well they do is measured in `eval`, not
//! asserted, and told in docs/feedback.md.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};

use index::analysis::{Language, Tokens};
use models::embed::{EmbedError, Embedder};

use super::source::sentence_ranges;
use crate::engine::sources::terms;

/// Says how far texts support a sentence.
pub trait Support {
    /// What it is called in reports.
    fn name(&self) -> String;

    /// The score from which a sentence is supported.
    fn threshold(&self) -> f64;

    /// How far the texts together support the sentence, 0 to 1.
    fn score(&self, texts: &[&str], sentence: &str) -> Result<f64, EmbedError>;
}

/// By words: the share of what a sentence says that the texts say too, rare words counting more than common ones.
///
/// ```text
/// score = sum of weights of the sentence's words that the texts hold / sum of weights of the sentence's words
/// weight = ln(1 + (texts + 1) / (texts with the word + 0.5))
/// ```
///
/// Words are compared by their stems. A number, or an identifier with a digit, that the texts do not hold halves the score: it
/// is what invented facts are made of. A sentence without words is supported by everything.
#[derive(Debug)]
pub struct ByWords {
    threshold: f64,
    language: Language,
    texts: f64,
    texts_with: HashMap<String, u32>,
    /// Texts come again for each sentence and citation.
    known: RefCell<HashMap<blake3::Hash, BTreeSet<String>>>,
}

/// Texts of which the words are remembered.
const KNOWN_MAX: usize = 4_096;

impl ByWords {
    /// The threshold that is used unless another one is asked for.
    ///
    /// Chosen on that half of the questions of helpdocs-rag that `eval::answers::separation` sets aside for it, where 0.56 was best;
    /// what it does on the other half is in docs/feedback.md.
    pub const THRESHOLD: f64 = 0.55;

    /// With word counts from some texts, those that answers are made of at best; without any, all words count alike.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>, language: Language, threshold: f64) -> Self {
        let mut by_words =
            Self { threshold, language, texts: 0.0, texts_with: HashMap::new(), known: RefCell::new(HashMap::new()) };
        for text in texts {
            by_words.texts += 1.0;
            for word in by_words.words(text) {
                *by_words.texts_with.entry(word).or_default() += 1;
            }
        }
        by_words
    }

    fn words(&self, text: &str) -> BTreeSet<String> {
        terms(text, self.language, &mut Tokens::new())
    }

    fn weight(&self, word: &str) -> f64 {
        let with = f64::from(self.texts_with.get(word).copied().unwrap_or(0));
        (1.0 + (self.texts + 1.0) / (with + 0.5)).ln()
    }
}

impl Support for ByWords {
    fn name(&self) -> String {
        "words".to_owned()
    }

    fn threshold(&self) -> f64 {
        self.threshold
    }

    fn score(&self, texts: &[&str], sentence: &str) -> Result<f64, EmbedError> {
        let mut known = self.known.borrow_mut();
        if known.len() > KNOWN_MAX {
            known.clear();
        }
        for text in texts {
            known.entry(blake3::hash(text.as_bytes())).or_insert_with(|| self.words(text));
        }
        let sources: Vec<&BTreeSet<String>> =
            texts.iter().filter_map(|text| known.get(&blake3::hash(text.as_bytes()))).collect();
        let (mut held, mut all, mut lacks_number) = (0.0, 0.0, false);
        // In one order, so that equal inputs give equal sums.
        for word in self.words(sentence) {
            let weight = self.weight(&word);
            all += weight;
            if sources.iter().any(|source| source.contains(&word)) {
                held += weight;
            } else {
                lacks_number |= word.chars().any(|letter| letter.is_ascii_digit());
            }
        }
        if all == 0.0 {
            return Ok(1.0);
        }
        Ok(held / all * if lacks_number { 0.5 } else { 1.0 })
    }
}

/// By meaning: the largest cosine between the sentence and any one or two sentences of the texts, 0 where it is below.
///
/// Each text is embedded once.
pub struct ByMeaning {
    threshold: f64,
    embedder: Embedder,
    known: RefCell<HashMap<blake3::Hash, Vec<f32>>>,
}

impl ByMeaning {
    /// The threshold that is used unless another one is asked for; chosen as [`ByWords::THRESHOLD`], for all-MiniLM-L6-v2.
    pub const THRESHOLD: f64 = 0.6;

    /// With a model.
    pub fn new(embedder: Embedder, threshold: f64) -> Self {
        Self { threshold, embedder, known: RefCell::new(HashMap::new()) }
    }

    fn embed(&self, texts: &[String]) -> Result<(), EmbedError> {
        let mut known = self.known.borrow_mut();
        let mut seen = HashSet::new();
        let is_new = |text: &&String| {
            let hash = blake3::hash(text.as_bytes());
            !known.contains_key(&hash) && seen.insert(hash)
        };
        let new: Vec<String> = texts.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let vectors = self.embedder.embed_passages(new.clone())?;
        known.extend(new.iter().map(|text| blake3::hash(text.as_bytes())).zip(vectors));
        Ok(())
    }

    /// The cosines between a sentence and texts, each taken whole; 0 where one is below.
    fn cosines(&self, mut texts: Vec<String>, sentence: &str) -> Result<Vec<f64>, EmbedError> {
        texts.push(sentence.trim().to_owned());
        self.embed(&texts)?;
        let known = self.known.borrow();
        let vector = |text: &String| known.get(&blake3::hash(text.as_bytes()));
        let Some((claim, texts)) = texts.split_last().and_then(|(last, rest)| Some((vector(last)?, rest))) else {
            return Ok(Vec::new());
        };
        let cosine = |other: &Vec<f32>| claim.iter().zip(other).map(|(one, other)| f64::from(one * other)).sum::<f64>();
        Ok(texts.iter().map(|text| vector(text).map_or(0.0, cosine).clamp(0.0, 1.0)).collect())
    }

    /// Which of some texts, each taken whole, is nearest to a sentence, and how near that is; the first of equals.
    pub(super) fn nearest(&self, texts: &[&str], sentence: &str) -> Result<Option<(usize, f64)>, EmbedError> {
        let cosines = self.cosines(texts.iter().map(|text| text.trim().to_owned()).collect(), sentence)?;
        Ok(cosines.into_iter().enumerate().rev().max_by(|(_, one), (_, other)| one.total_cmp(other)))
    }
}

impl Support for ByMeaning {
    fn name(&self) -> String {
        format!("meaning, by {}", self.embedder.model_id().as_str())
    }

    fn threshold(&self) -> f64 {
        self.threshold
    }

    fn score(&self, texts: &[&str], sentence: &str) -> Result<f64, EmbedError> {
        let windows = texts.iter().flat_map(|text| windows(text)).collect();
        Ok(self.cosines(windows, sentence)?.into_iter().fold(0.0, f64::max))
    }
}

/// The sentences of a text, in order, without white space around them.
pub fn sentences(text: &str) -> Vec<&str> {
    sentence_ranges(text).into_iter().map(|range| &text[range]).collect()
}

/// Each sentence alone and each two that stand side by side.
pub(super) fn windows(text: &str) -> Vec<String> {
    let sentences = sentences(text);
    let pairs = sentences.windows(2).map(|pair| pair.join(" "));
    sentences.iter().map(|sentence| (*sentence).to_owned()).chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_words(texts: &[&str], sentence: &str) -> f64 {
        ByWords::new([], Language::English, ByWords::THRESHOLD).score(texts, sentence).unwrap()
    }

    #[test]
    fn what_a_text_says_is_supported_whatever_the_ending_of_its_words() {
        let text = "The domes are closed by the interlock when humidity exceeds 90 percent.";
        let check = |sentence: &str, expected: f64| {
            let score = by_words(&[text], sentence);
            assert!((score - expected).abs() < 1e-9, "{sentence}: {score}");
        };
        check("Interlocks closed the dome", 1.0);
        check("penguins dance", 0.0);
        // Two of four words, and the number is invented.
        check("humidity exceeds 75 elephants", 0.25);
        check("humidity exceeds 90", 1.0);
        check("", 1.0);
        assert!((by_words(&["one dome"], "one dome closed") - 2.0 / 3.0).abs() < 1e-9);
        assert!((by_words(&["one dome", "closed"], "one dome closed") - 1.0).abs() < 1e-9, "texts add up");
    }

    #[test]
    fn rare_words_count_for_more() {
        let texts = ["the red dome", "the blue dome", "the green dome", "the interlock"];
        let weighed = ByWords::new(texts, Language::English, 0.5);
        let (rare, common) = (weighed.score(&["interlock"], "the interlock"), weighed.score(&["the"], "the interlock"));
        let (rare, common) = (rare.unwrap(), common.unwrap());
        assert!(rare > 0.5 && common < 0.5 && (rare + common - 1.0).abs() < 1e-9, "{rare} {common}");
    }

    #[test]
    fn a_text_is_cut_into_sentences_at_marks_and_lines() {
        assert_eq!(sentences("One is done. Is two?  \n- three\n\n***\n"), ["One is done.", "Is two?", "- three"]);
        assert_eq!(windows("A b. C d."), ["A b.", "C d.", "A b. C d."]);
    }

    #[test]
    fn meaning_takes_the_best_place_of_a_text() {
        let by_meaning = ByMeaning::new(Embedder::fake(64), 0.6);
        let text = "The archive is cold. Domes close by an interlock. Lunch is at noon.";
        let (same, other) = ("Domes close by an interlock.", "Penguins swim fast.");
        assert!(by_meaning.score(&[text], same).unwrap() > 0.99);
        assert!(by_meaning.score(&[text], other).unwrap() < 0.6);
        assert!(by_meaning.score(&[""], same).unwrap().abs() < 1e-9);
        let nearest = |texts: &[&str]| by_meaning.nearest(texts, same).unwrap();
        assert_eq!(nearest(&["Lunch is at noon.", " Domes close by an interlock. ", same]).map(|(at, _)| at), Some(1));
        assert_eq!(nearest(&[]), None);
    }
}
