//! The built-in extractor: answers a question with sentences of its sources, or says that nothing answers.
//!
//! It writes no word of its own, calls no model and needs none: words come analysed and embeddings come made, both as data,
//! so that the same input gives the same answer. It knows no page and no access rule. Invariants: no sentence is picked
//! twice, none that says what another one said, and never more than [`Limits`] allow; sentences of one source stand
//! together, in their order there.
//!
//! ```text
//! relevance = cover_weight * cover + meaning_weight * cosine + source_weight * source
//! ```
//!
//! `cover` is the share of the question's words, by weight, that a sentence has; a word that only its title, its headings or
//! a sentence beside it has counts in part. Sentences are taken by relevance, less what they repeat of those taken
//! before (maximal marginal relevance: Carbonell and Goldstein, SIGIR 1998).

mod gist;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use gist::gist;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Its words.
    pub words: Vec<Word>,
    /// Its embedding, unit length; none where there is no model.
    pub vector: Option<Vec<f32>>,
}

/// A word of a question.
#[derive(Clone, Debug, Default)]
pub struct Word {
    /// The terms that stand for it in a text, any of which is a match.
    pub terms: Vec<String>,
    /// How much it counts: its rarity in the workspace by what it says in a question; not negative.
    pub weight: f32,
}

/// A text that may answer.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// How well it fits the question as a whole, 0 to 1.
    pub score: f32,
    /// The terms of its title and headings.
    pub context: BTreeSet<String>,
    /// Its sentences in reading order.
    pub sentences: Vec<Sentence>,
}

/// A sentence of a source.
#[derive(Clone, Debug, Default)]
pub struct Sentence {
    /// Its terms.
    pub terms: BTreeSet<String>,
    /// How many words it has.
    pub words: usize,
    /// Whether it asks, is cut off, or is otherwise no statement: taken only when nothing else fits.
    pub is_weak: bool,
    /// Its embedding, unit length, of the question's model.
    pub vector: Option<Vec<f32>>,
}

/// How much is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most sentences.
    pub sentences_max: usize,
    /// Most words of all of them; the first one is taken whatever its length.
    pub words_max: usize,
}

/// A sentence that was picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picked {
    /// Which source.
    pub source: usize,
    /// Which of its sentences.
    pub sentence: usize,
    /// Its relevance.
    pub relevance: f32,
}

/// What the extractor answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extract {
    /// In the order in which they are to be read; empty when nothing answers.
    pub picked: Vec<Picked>,
    /// How sure it is that the sources answer the question, 0 to 1; below [`CONFIDENCE_MIN`] nothing is picked.
    pub confidence: f32,
}

/// Below this, sources are taken not to answer. `docs/answers.md` says on what this and the weights were chosen.
pub const CONFIDENCE_MIN: f32 = 0.4;
/// What a word counts that the title or a heading has.
const CONTEXT_SHARE: f32 = 0.5;
/// What a word counts that a sentence beside has.
const BESIDE_SHARE: f32 = 0.3;
const COVER_WEIGHT: f32 = 0.5;
const MEANING_WEIGHT: f32 = 0.5;
const SOURCE_WEIGHT: f32 = 0.1;
/// What repeating a sentence that was taken costs, at the most.
const REPEAT_WEIGHT: f32 = 0.25;
/// Sentences of which more terms than this are those of one that was taken say nothing new.
const REPEAT_MAX: f32 = 0.8;
/// A further sentence is at least this relevant, as a share of the best.
const RELEVANT_SHARE: f32 = 0.7;
/// Sentences with fewer words say too little to stand alone.
const WORDS_MIN: usize = 4;
/// What is taken from weak and from short sentences.
const WEAK_COST: f32 = 0.25;

/// Picks the sentences that answer a question best.
///
/// Equal sentences go in the order of the sources. Takes time in the number of sentences, of words and of picks.
pub fn extract(question: &Question, sources: &[Source], limits: Limits) -> Extract {
    let mut left = ranked(question, sources);
    let confidence = confidence(question, sources);
    if confidence < CONFIDENCE_MIN || left.is_empty() {
        return Extract { picked: Vec::new(), confidence };
    }
    let mut picked: Vec<Picked> = Vec::new();
    let mut words = 0;
    let least = left.first().map_or(0.0, |best| best.relevance * RELEVANT_SHARE);
    while picked.len() < limits.sentences_max {
        let sentence_of = |of: &Picked| &sources[of.source].sentences[of.sentence];
        let worth = |candidate: &Picked| {
            let repeated = picked.iter().map(|taken| repeats(sentence_of(candidate), sentence_of(taken)));
            let repeated = repeated.fold(0.0, f32::max);
            (repeated <= REPEAT_MAX).then_some(candidate.relevance - REPEAT_WEIGHT * repeated * candidate.relevance)
        };
        let fits = |candidate: &Picked| picked.is_empty() || words + sentence_of(candidate).words <= limits.words_max;
        let open = left.iter().enumerate().filter(|(_, candidate)| candidate.relevance >= least && fits(candidate));
        let scored = open.filter_map(|(at, candidate)| Some((at, worth(candidate)?)));
        // The first of equals, which is the most relevant.
        let Some((at, _)) = scored.reduce(|best, next| if next.1 > best.1 { next } else { best }) else { break };
        let taken = left.remove(at);
        words += sentence_of(&taken).words;
        picked.push(taken);
    }
    Extract { picked: in_reading_order(picked), confidence }
}

/// Every sentence by its relevance, the most relevant first.
///
/// Where only some sentences can be embedded, those at the head of what words alone say are worth it most.
pub fn ranked(question: &Question, sources: &[Source]) -> Vec<Picked> {
    let total: f32 = question.words.iter().map(|word| word.weight).sum();
    let mut found = Vec::new();
    for (source, text) in sources.iter().enumerate() {
        for (at, sentence) in text.sentences.iter().enumerate() {
            let cover = cover(question, text, at) / total.max(f32::MIN_POSITIVE);
            let meaning = cosine(question.vector.as_deref(), sentence.vector.as_deref());
            // Without a model, words say it all.
            let of_words = if question.vector.is_some() { COVER_WEIGHT } else { COVER_WEIGHT + MEANING_WEIGHT };
            let mut relevance = of_words * cover + MEANING_WEIGHT * meaning.unwrap_or(0.0) + SOURCE_WEIGHT * text.score;
            if sentence.is_weak || sentence.words < WORDS_MIN {
                relevance *= 1.0 - WEAK_COST;
            }
            found.push(Picked { source, sentence: at, relevance });
        }
    }
    found.sort_by(|a, b| b.relevance.total_cmp(&a.relevance));
    found
}

/// The weight of the question's words that a sentence has, itself or by what stands around it.
fn cover(question: &Question, source: &Source, at: usize) -> f32 {
    let sentence = &source.sentences[at];
    let before = at.checked_sub(1).and_then(|at| source.sentences.get(at));
    let beside = [before, source.sentences.get(at + 1)];
    let has = |terms: &BTreeSet<String>, word: &Word| word.terms.iter().any(|term| terms.contains(term));
    let counted = question.words.iter().map(|word| {
        let share = if has(&sentence.terms, word) {
            1.0
        } else if has(&source.context, word) {
            CONTEXT_SHARE
        } else if beside.iter().flatten().any(|beside| has(&beside.terms, word)) {
            BESIDE_SHARE
        } else {
            0.0
        };
        share * word.weight
    });
    counted.sum()
}

/// How sure it is that the sources answer: the mean of what words say, of a sentence and of a source as a whole, and of the best
/// cosine where there is a model.
fn confidence(question: &Question, sources: &[Source]) -> f32 {
    let total: f32 = question.words.iter().map(|word| word.weight).sum();
    let held = |has: &dyn Fn(&String) -> bool| -> f32 {
        let words = question.words.iter().filter(|word| word.terms.iter().any(has));
        words.map(|word| word.weight).sum::<f32>() / total.max(f32::MIN_POSITIVE)
    };
    let (mut of_source, mut of_sentence, mut of_meaning) = (0.0_f32, 0.0_f32, None::<f32>);
    for source in sources {
        of_source = of_source.max(held(&|term| {
            source.context.contains(term) || source.sentences.iter().any(|sentence| sentence.terms.contains(term))
        }));
        for sentence in &source.sentences {
            of_sentence = of_sentence.max(held(&|term| sentence.terms.contains(term)));
            let cosine = cosine(question.vector.as_deref(), sentence.vector.as_deref());
            of_meaning = of_meaning.into_iter().chain(cosine).reduce(f32::max);
        }
    }
    let of_words = f32::midpoint(of_source, of_sentence);
    of_meaning.map_or(of_words, |of_meaning| f32::midpoint(of_words, of_meaning))
}

/// How much of a sentence another one says, 0 to 1.
fn repeats(sentence: &Sentence, other: &Sentence) -> f32 {
    let shared = sentence.terms.intersection(&other.terms).count();
    let fewer = sentence.terms.len().min(other.terms.len());
    if fewer == 0 { 1.0 } else { shared as f32 / fewer as f32 }
}

fn cosine(one: Option<&[f32]>, other: Option<&[f32]>) -> Option<f32> {
    let (one, other) = one.zip(other)?;
    Some(one.iter().zip(other).map(|(one, other)| one * other).sum())
}

/// Sources in the order of their best sentence, the sentences of each as they stand there.
fn in_reading_order(picked: Vec<Picked>) -> Vec<Picked> {
    let mut order: Vec<usize> = Vec::new();
    for taken in &picked {
        if !order.contains(&taken.source) {
            order.push(taken.source);
        }
    }
    let place = |source: usize| order.iter().position(|known| *known == source);
    let mut sorted = picked;
    sorted.sort_by_key(|taken| (place(taken.source), taken.sentence));
    sorted
}
