//! Answers without a language model: the sources made ready for the extractor, and the embeddings it may have.
//!
//! Who asks it waits for the embedding model, so it runs on a blocking thread.

use std::collections::BTreeSet;
use std::time::Instant;

use index::analysis::{Language, Tokens};
use models::embed::{EmbedError, Embedder};
use models::extract::{self, Extract, Limits, Picked, Question, Sentence, Source, Word};
use schemas::api::answers::Length;
use schemas::block::BlockType;

use super::source::{Span, sentence_ranges};
use super::writing::Readable;
use crate::engine::sources::terms;

/// What the extractor picks from, and where it stands.
pub(crate) struct Prepared {
    sources: Vec<Source>,
    spans: Vec<Vec<Span>>,
    texts: Vec<Vec<String>>,
}

impl Prepared {
    /// Cuts the sources into sentences; `titles` are those of their pages.
    pub(crate) fn new(readable: &[Readable], titles: &[String]) -> Self {
        let mut tokens = Tokens::new();
        let mut prepared = Self { sources: Vec::new(), spans: Vec::new(), texts: Vec::new() };
        for (source, title) in readable.iter().zip(titles) {
            let text = &source.text;
            let language = text.blocks.first().map_or(Language::English, |block| block.language);
            let mut context: BTreeSet<String> = terms(title, language, &mut tokens);
            context.extend(terms(&text.headings.join(" "), language, &mut tokens));
            let (mut sentences, mut spans, mut texts) = (Vec::new(), Vec::new(), Vec::new());
            for span in text.sentences() {
                let (block, said) = (&text.blocks[span.block], text.text(&span));
                sentences.push(Sentence {
                    terms: terms(said, block.language, &mut tokens),
                    words: words(said),
                    is_weak: is_weak(&block.kind, said),
                    vector: None,
                });
                texts.push(said.to_owned());
                spans.push(span);
            }
            prepared.sources.push(Source { score: text.score, context, sentences });
            prepared.spans.push(spans);
            prepared.texts.push(texts);
        }
        prepared
    }

    /// A given text, which is no page.
    pub(crate) fn of_text(text: &str, language: Language) -> Self {
        let mut tokens = Tokens::new();
        let (mut sentences, mut spans, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for bytes in sentence_ranges(text) {
            let said = &text[bytes.clone()];
            sentences.push(Sentence {
                terms: terms(said, language, &mut tokens),
                words: words(said),
                is_weak: is_weak(&BlockType::Paragraph, said),
                vector: None,
            });
            texts.push(said.to_owned());
            spans.push(Span { block: 0, bytes });
        }
        let source = Source { score: 1.0, context: BTreeSet::new(), sentences };
        Self { sources: vec![source], spans: vec![spans], texts: vec![texts] }
    }

    /// Embeds the question and at most `embedded_max` sentences, those that words find most relevant.
    pub(crate) fn embed(
        &mut self,
        question: &mut Question,
        text: &str,
        embedder: &Embedder,
        embedded_max: usize,
        deadline: Instant,
    ) -> Result<(), EmbedError> {
        let mut ranked = extract::ranked(question, &self.sources);
        ranked.truncate(embedded_max);
        let texts = ranked.iter().map(|of| self.texts[of.source][of.sentence].clone()).collect();
        let vector = embedder.embed_query(text, deadline)?;
        let vectors = embedder.embed_passages(texts)?;
        question.vector = Some(vector.to_vec());
        for (of, vector) in ranked.iter().zip(vectors) {
            self.sources[of.source].sentences[of.sentence].vector = Some(vector);
        }
        Ok(())
    }

    /// Picks the answer.
    pub(crate) fn extract(&self, question: &Question, length: Length) -> Extract {
        extract::extract(question, &self.sources, limits(length))
    }

    /// Picks the sentences that say most.
    pub(crate) fn gist(&self, limits: Limits) -> Vec<Picked> {
        extract::gist(&self.sources, limits)
    }

    /// All sentences, source after source.
    pub(crate) fn sentences(&self) -> impl Iterator<Item = Said<'_>> {
        let sources = self.sources.iter().enumerate();
        sources.flat_map(move |(source, of)| {
            let sentences = of.sentences.iter().zip(&self.texts[source]).enumerate();
            sentences.map(move |(at, (sentence, text))| Said { source, sentence: at, terms: &sentence.terms, text })
        })
    }

    /// The words of a sentence, as its source has them.
    pub(crate) fn text(&self, source: usize, sentence: usize) -> &str {
        &self.texts[source][sentence]
    }

    /// Where a sentence stands in its source.
    pub(crate) fn span(&self, source: usize, sentence: usize) -> Span {
        self.spans[source][sentence].clone()
    }
}

/// A sentence that was cut.
pub(crate) struct Said<'a> {
    pub(crate) source: usize,
    pub(crate) sentence: usize,
    pub(crate) terms: &'a BTreeSet<String>,
    pub(crate) text: &'a str,
}

/// A question whose words are weighed.
pub(crate) fn question(words: Vec<Word>) -> Question {
    Question { words, vector: None }
}

/// How much is said at each length.
fn limits(length: Length) -> Limits {
    match length {
        Length::Short => Limits { sentences_max: 1, words_max: 40 },
        Length::Medium => Limits { sentences_max: 3, words_max: 60 },
        Length::Long => Limits { sentences_max: 10, words_max: 250 },
    }
}

/// Words between spaces; of scripts without them, two characters are about a word.
fn words(text: &str) -> usize {
    let unspaced =
        text.chars().filter(|c| matches!(u32::from(*c), 0x0e00..=0x0eff | 0x3040..=0x9fff | 0xac00..=0xd7af)).count();
    text.split_whitespace().count().max(unspaced / 2)
}

/// What asks, announces or is program text says little by itself.
fn is_weak(kind: &BlockType, text: &str) -> bool {
    *kind == BlockType::Code || text.ends_with(['?', '？', ':', '：', '؟'])
}
