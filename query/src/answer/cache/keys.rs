//! What kept answers are known by: a question as it is compared with others, and the sources that an answer was made of.
//!
//! Pure. No text of a question is kept, but its words as hashes.

use std::collections::BTreeSet;
use std::sync::Arc;

use models::extract::Word;
use schemas::api::answers::{AnswerRequest, AnswerSource};
use schemas::ids::PageId;

use crate::answer::answering::Sampling;
use crate::answer::defuse::visible;

/// The share of what a question says, by the rarity of its words, that a near one says too: all of it, but for rounding. With less, a long
/// question is taken for one in which a word was exchanged for its opposite; `docs/answers.md` has the figures.
pub const NEAR_COVER: f32 = 0.999;
/// Words that turn around what is asked, or ask for something else, in the languages that are asked in most.
const TURNING: [&str; 44] = [
    "not", "no", "never", "without", "except", "before", "after", "who", "whom", "whose", "when", "where", "why",
    "how", "what", "which", "nicht", "kein", "keine", "ohne", "wer", "wann", "wo", "warum", "wie", "was", "welche",
    "pas", "jamais", "sans", "qui", "quand", "pourquoi", "comment", "quoi", "sin", "nunca", "quién", "cuándo", "dónde",
    "cómo", "qué", "cuál", "cuánto",
];

/// How near two questions are, in each of what is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearness {
    /// Whether they are the same but for case, spacing and closing marks.
    pub same: bool,
    /// The cosine of their embeddings; 0 where one has none.
    pub cosine: f32,
    /// The share of what each says, by the rarity of its words, that the other says too: the lesser of the two.
    pub cover: f32,
    /// Whether their numbers and the words that turn or ask are the same.
    pub same_marks: bool,
    /// Whether the words that both have stand in the same order.
    pub same_order: bool,
}

impl Nearness {
    /// Whether the two are taken for one question.
    pub fn is_within(&self, near_cosine: f32, near_cover: f32) -> bool {
        near_cosine < 1.0
            && self.same_marks
            && self.same_order
            && self.cosine >= near_cosine
            && self.cover >= near_cover
    }
}

/// A question as kept answers compare it, for measuring how well they tell which are the same.
#[derive(Clone, Debug)]
pub struct Compared(pub(in crate::answer) QuestionKey);

impl Compared {
    /// How near another question is.
    pub fn nearness(&self, other: &Self) -> Nearness {
        self.0.nearness(&other.0)
    }
}

/// A question as it is compared.
#[derive(Clone, Debug)]
pub(crate) struct QuestionKey {
    /// Of all that forms the answer but for the question.
    form: blake3::Hash,
    /// Of the question in lower case, without what stands around it.
    question: blake3::Hash,
    /// Of numbers, names with digits and words that turn the meaning around.
    marked: BTreeSet<[u8; 32]>,
    /// Its words in their order, as stems, each with how rare it is in the workspace.
    words: Vec<(blake3::Hash, f32)>,
    /// Its embedding, unit length.
    vector: Option<Arc<[f32]>>,
}

impl QuestionKey {
    /// Of a request; `words` are those of its question, `vector` is its embedding.
    pub(crate) fn new(request: &AnswerRequest, sampling: Sampling, words: &[Word], vector: Option<Arc<[f32]>>) -> Self {
        let AnswerRequest { question, messages, style, length, instructions, .. } = request;
        let form =
            serde_json::json!([messages, style, length, instructions, sampling.tokens_max, sampling.temperature]);
        let question = visible(question).to_lowercase();
        let plain: Vec<&str> = question.split_whitespace().collect();
        let bare = plain.join(" ");
        let bare = bare.trim_matches(|c: char| !c.is_alphanumeric() && !"\"'“”+#".contains(c));
        let is_marked = |word: &&str| word.contains(|c: char| c.is_numeric()) || TURNING.contains(word);
        let trimmed = plain.iter().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        Self {
            form: blake3::hash(form.to_string().as_bytes()),
            question: blake3::hash(bare.as_bytes()),
            marked: trimmed.filter(is_marked).map(|word| *blake3::hash(word.as_bytes()).as_bytes()).collect(),
            words: words.iter().map(|word| (blake3::hash(word.terms.join(" ").as_bytes()), word.weight)).collect(),
            vector,
        }
    }

    /// Whether everything but the question is the same.
    pub(super) fn has_form_of(&self, other: &Self) -> bool {
        self.form == other.form
    }

    /// Whether another question is the same.
    pub(super) fn asks_same(&self, other: &Self) -> bool {
        self.question == other.question
    }

    /// Whether another question asks nearly the same.
    pub(super) fn is_near(&self, other: &Self, near_cosine: f32) -> bool {
        self.nearness(other).is_within(near_cosine, NEAR_COVER)
    }

    /// How near another question is, in each of what is compared.
    pub(super) fn nearness(&self, other: &Self) -> Nearness {
        let vectors = self.vector.as_ref().zip(other.vector.as_ref()).filter(|(one, other)| one.len() == other.len());
        let cosine = vectors.map(|(one, other)| one.iter().zip(other.iter()).map(|(one, other)| one * other).sum());
        let words_of = |one: &Self, other| one.shared(other).map(|(word, _)| *word).collect::<Vec<_>>();
        Nearness {
            same: self.asks_same(other),
            cosine: cosine.unwrap_or(0.0),
            cover: self.covered_by(other).min(other.covered_by(self)),
            same_marks: self.marked == other.marked,
            same_order: words_of(self, other) == words_of(other, self),
        }
    }

    /// The words that another question has too.
    fn shared<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a (blake3::Hash, f32)> {
        self.words.iter().filter(move |(word, _)| other.words.iter().any(|(known, _)| known == word))
    }

    /// The share of what it says, by the rarity of its words, that another question says too, 0 to 1.
    fn covered_by(&self, other: &Self) -> f32 {
        let all: f32 = self.words.iter().map(|(_, weight)| weight).sum();
        let shared: f32 = self.shared(other).map(|(_, weight)| weight).sum();
        if all > 0.0 { shared / all } else { 0.0 }
    }

    /// Bytes that it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        let vector = self.vector.as_ref().map_or(0, |vector| size_of_val::<[f32]>(vector));
        vector + self.words.len() * size_of::<(blake3::Hash, f32)>() + self.marked.len() * 64
    }
}

/// What a source was when an answer was made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceKey {
    pub(super) page: PageId,
    content: blake3::Hash,
}

impl SourceKey {
    /// Of a source that was let out.
    pub(crate) fn of(source: &AnswerSource) -> Self {
        // What the model is shown, and the versions of it.
        let shown = serde_json::json!([source.page.title, source.page.edited_at, source.headings, source.blocks]);
        Self::new(source.page.id.clone(), shown.to_string().as_bytes())
    }

    pub(super) fn new(page: PageId, content: &[u8]) -> Self {
        Self { page, content: blake3::hash(content) }
    }
}
