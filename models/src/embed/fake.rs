//! A model without weights, for tests: the vector of a text is made from hashes of its words.
//!
//! Deterministic on every machine and instant. Texts that share words are near each other, so that ranking can be tested; it
//! understands nothing, and is never chosen by configuration.

use super::model::Model;
use super::tokens::is_cjk;
use super::{Cause, ModelId};

/// Makes vectors of `dimensions` numbers from the words of a text.
pub(super) struct FakeModel {
    pub(super) dimensions: usize,
}

impl FakeModel {
    pub(super) fn id(&self) -> ModelId {
        let dimensions = (self.dimensions as u64).to_le_bytes();
        ModelId::from_parts([("fake", b"hash of words, revision 1".as_slice()), ("dimensions", &dimensions)])
    }
}

impl Model for FakeModel {
    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, Cause> {
        Ok(texts.iter().map(|text| vector(text, self.dimensions)).collect())
    }
}

/// Sum of one pseudo-random vector for each word, order and letter case disregarded, scaled to unit length.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0; dimensions];
    let mut any = false;
    for word in words(text) {
        add_word(&mut sum, &word);
        any = true;
    }
    if !any || sum.iter().all(|value| *value == 0.0) {
        add_word(&mut sum, "");
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter().map(|value| value / length).collect()
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() && !is_cjk(character) {
            word.push(character);
            continue;
        }
        words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        words.extend(is_cjk(character).then(|| character.to_string()));
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Adds the vector of one word: numbers in (-1, 1) from a hash of the word, never all zero.
fn add_word(sum: &mut [f32], word: &str) {
    let mut bytes = vec![0; 2 * sum.len()];
    blake3::Hasher::new().update(word.as_bytes()).finalize_xof().fill(&mut bytes);
    for (value, pair) in sum.iter_mut().zip(bytes.chunks_exact(2)) {
        // Odd numerators only: no number is zero.
        *value += f32::from(i16::from_le_bytes([pair[0], pair[1]]) | 1) / 32_768.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_share_words_are_nearer_than_texts_that_do_not() {
        let cosine = |a: &str, b: &str| -> f32 { vector(a, 64).iter().zip(vector(b, 64)).map(|(a, b)| a * b).sum() };
        assert!(cosine("Holiday policy", "policy: HOLIDAY") > 0.999);
        assert!(cosine("holiday policy", "the holiday calendar") > cosine("holiday policy", "release notes") + 0.2);
        assert!(cosine("東京の天気", "東京") > 0.4);
    }

    #[test]
    fn text_without_words_still_has_a_vector() {
        for text in ["", "  ", "!?"] {
            assert!((vector(text, 8).iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}
