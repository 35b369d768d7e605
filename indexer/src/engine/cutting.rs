//! Cutting: how the generation in use makes passages of a page, and the model that embeds them.
//!
//! It follows the recipe that the generation was built with, whatever the configuration says by now: another passage size
//! or another model is another generation.

use index::Index;
use index::Passage;
use index::generation::Recipe;
use index::vectors::ModelTag;
use models::embed::{Embedder, TokenCounter};
use schemas::ids::PageId;
use schemas::record::PageRecord;

use crate::error::OpenError;
use crate::split::{self, Rules, split};

/// Tokens kept free for what a model's own counting may add.
const HEADROOM_TOKENS: usize = 8;
/// Longest passage where no model says.
const TOKENS_MAX_WITHOUT_MODEL: usize = 240;

/// The release of the cutter from which on titles are texts of their own.
const TITLES_SINCE: u32 = 2;
/// Fewest letters side by side in a title that says something.
const TITLE_LETTERS_MIN: usize = 2;

/// How one generation cuts and embeds.
pub(crate) struct Cutting {
    pub(crate) recipe: Recipe,
    pub(crate) embedding: Option<Embedding>,
    token_counter: TokenCounter,
    max_tokens: usize,
}

/// The embedding model.
#[derive(Clone)]
pub(crate) struct Embedding {
    pub(crate) embedder: Embedder,
    pub(crate) tag: ModelTag,
}

impl std::fmt::Debug for Cutting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cutting").field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

impl Cutting {
    /// The way of a recipe, with its model if that is there.
    pub(crate) fn new(recipe: Recipe, embedder: Option<Embedder>) -> Self {
        let token_counter = embedder.as_ref().map_or_else(TokenCounter::estimate, Embedder::token_counter);
        let tokens_max = embedder
            .as_ref()
            .map_or(TOKENS_MAX_WITHOUT_MODEL, |embedder| embedder.passage_tokens_max().saturating_sub(HEADROOM_TOKENS));
        let embedding = embedder.map(|embedder| {
            let tag = ModelTag::of(embedder.model_id().as_str());
            Embedding { embedder, tag }
        });
        let max_tokens = tokens_max.max(recipe.passage_tokens.min(TOKENS_MAX_WITHOUT_MODEL));
        Self { recipe, embedding, token_counter, max_tokens }
    }

    /// The way of the generation in use, and what it is to write down of itself where that is new: its first model, or all.
    pub(crate) fn of_index(
        index: &Index,
        embedder: Option<Embedder>,
        passage_tokens: usize,
    ) -> Result<Self, OpenError> {
        let described = index.description();
        if let Some(embedder) = &embedder
            && embedder.dimensions() != described.dimensions
        {
            let (index, model) = (described.dimensions, embedder.dimensions());
            return Err(OpenError::OtherDimensions { index, model });
        }
        let model = embedder.as_ref().map(|embedder| embedder.model_id().to_string());
        let stored = described.recipe.clone();
        let recipe = match stored.clone() {
            None => wanted(passage_tokens, embedder.as_ref()),
            Some(stored) => match (&stored.model_id, model) {
                (Some(index), Some(model)) if *index != model => {
                    return Err(OpenError::OtherModel { index: index.clone(), model });
                }
                (None, Some(_)) => {
                    Recipe { passage_tokens: stored.passage_tokens, ..wanted(stored.passage_tokens, embedder.as_ref()) }
                }
                _ => stored,
            },
        };
        if stored.as_ref() != Some(&recipe) {
            index.describe(recipe.clone())?;
        }
        Ok(Self::new(recipe, embedder))
    }

    /// The passages of a page, in reading order, and its title after them if that says something.
    pub(crate) fn passages(&self, page: &PageId, record: &PageRecord) -> Vec<Passage> {
        let count = |text: &str| self.token_counter.count(text);
        let target_tokens = self.recipe.passage_tokens.min(self.max_tokens);
        let mut passages = split(page, record, &Rules { count: &count, target_tokens, max_tokens: self.max_tokens });
        let title = record.title.value().filter(|title| self.recipe.cutter >= TITLES_SINCE && says_something(title));
        if let (Some(title), Some(language)) = (title, passages.first().map(|first| first.language)) {
            passages.push(Passage::of_title(title, language));
        }
        passages
    }

    /// Names the model's vectors.
    pub(crate) fn tag(&self) -> Option<ModelTag> {
        self.embedding.as_ref().map(|embedding| embedding.tag)
    }

    /// The id of the model.
    pub(crate) fn model_id(&self) -> Option<String> {
        self.recipe.model_id.clone()
    }
}

/// Whether there is a word in a title: a number, or a letter and a number, name a page and do not say what is on it.
fn says_something(title: &str) -> bool {
    title.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().nth(TITLE_LETTERS_MIN - 1).is_some())
}

/// The recipe that this release, a passage size and a model ask for.
pub fn wanted(passage_tokens: usize, embedder: Option<&Embedder>) -> Recipe {
    Recipe {
        model_id: embedder.map(|embedder| embedder.model_id().to_string()),
        model: embedder.map_or(serde_json::Value::Null, |embedder| {
            serde_json::to_value(embedder.config()).expect("a configuration is text and numbers")
        }),
        ..Recipe::new(passage_tokens, split::RELEASE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_of_numbers_and_single_letters_says_nothing() {
        for title in ["Onboarding", "3.30 Postgres incident", "望遠鏡", "de"] {
            assert!(says_something(title), "{title}");
        }
        for title in ["", "2024", "D000123", "3.1.4", "A 1"] {
            assert!(!says_something(title), "{title}");
        }
    }
}
