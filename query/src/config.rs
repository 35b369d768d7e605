//! What an operator can choose about the read side. Every key has a unit, a default and a bound.

use std::time::Duration;

use schemas::api::search::{FusionMethod, LIMIT_MAX, TIMEOUT_MS_MAX, TIMEOUT_MS_MIN};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::answer::config::AnswerConfig;
use crate::conversations::ConversationsConfig;
use crate::export::config::ExportConfig;
use crate::feedback::FeedbackConfig;
use crate::generate::config::GenerateConfig;
use crate::interleave::InterleaveConfig;

/// Choices about searching.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Candidates asked of each retriever, 10 to 1,000. More find more and cost more; 200.
    pub depth: usize,
    /// How long a request may take when it does not say, in milliseconds; 2,000.
    pub timeout_ms: u32,
    /// The longest time that a request may ask for, in milliseconds; 10,000.
    pub timeout_ms_max: u32,
    /// Share of the time that is kept for what comes after retrieval, 0 to 0.9: a retriever that takes the rest is left
    /// out. 0.25.
    pub present_share: f32,
    /// Blocking tasks of searches that run side by side; 0 means two for each core. A search takes up to two.
    pub tasks_max: usize,
    /// Searches that are at work side by side, one for each caller; 0 means two for each core.
    pub searches_max: usize,
    /// Share of its time that a search waits for its turn before it is turned away with 503, 0.01 to 1; 0.125, which is a quarter
    /// of a second unless a request says otherwise. Where more come than can be answered, this keeps what is answered in time.
    pub queue_share: f32,
    /// The formula that merges the retrievers.
    pub fusion: FusionMethod,
    /// The share of meaning in the weighted sum, 0 to 1; 0.7. `docs/ranking.md` says how this and the weights below were
    /// chosen.
    pub semantic_weight: f32,
    /// Choices about rescoring.
    pub rescore: RescoreConfig,
    /// Typos are forgiven when exact words find fewer candidates than this; 0 never. 3.
    pub fuzzy_below: usize,
    /// Longest snippet, in characters, 40 to 2,000; 240.
    pub snippet_chars: usize,
    /// Most values of one facet; 50.
    pub facet_values_max: usize,
    /// Where people open a page, with `{page}` and `{workspace}` in it; empty for no addresses.
    pub page_url: String,
    /// Choices about recording what was shown and what people did with it.
    pub feedback: FeedbackConfig,
    /// Choices about showing a second ranking.
    pub interleave: InterleaveConfig,
    /// Choices about answers.
    pub answer: AnswerConfig,
    /// Choices about other texts that are generated.
    pub generate: GenerateConfig,
    /// Choices about keeping conversations.
    pub conversations: ConversationsConfig,
    /// Choices about documents in PDF.
    pub export: ExportConfig,
}

/// Weights of what is added to the fused score, which is between 0 and 1. Zero switches one off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RescoreConfig {
    /// The share of the whole page in what words say of it, beside its best passage, 0 to 1; 0.5.
    pub page_share: f32,
    /// The share of the title in what meaning says of a page, 0 to 1; 0.3.
    pub title_share: f32,
    /// What a title that is the query adds to words, where the best page by words has 1, 0 to 1; 0.5.
    pub title_weight: f32,
    /// For words that stand side by side, 0 to 1; 0: it takes a third of the time of a search, and no collection was
    /// significantly better for it.
    pub proximity_weight: f32,
    /// For a page edited just now, 0 to 1; 0.03.
    pub recency_weight: f32,
    /// Age at which that has halved, in days; 90.
    pub recency_half_life_days: f32,
    /// The share of it that old pages keep, 0 to 1; 0.2.
    pub recency_floor: f32,
    /// Credit for further passages of a page, as a share of their scores that halves with each, 0 to 1; 0: BM25 of the whole
    /// page has them already.
    pub passages_weight: f32,
    /// Candidates whose text is read for the nearness of words; 50.
    pub proximity_depth: usize,
    /// The share of a page's score that comes from the pages it is most like, 0 to 1; 0.3.
    pub neighbours_weight: f32,
    /// How many of the best pages are compared with each other for that, 0 to 200; 50.
    pub neighbours_depth: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            depth: 200,
            timeout_ms: 2_000,
            timeout_ms_max: 10_000,
            present_share: 0.25,
            tasks_max: 0,
            searches_max: 0,
            queue_share: 0.125,
            fusion: FusionMethod::Weighted,
            semantic_weight: 0.7,
            rescore: RescoreConfig::default(),
            fuzzy_below: 3,
            snippet_chars: 240,
            facet_values_max: 50,
            page_url: String::new(),
            feedback: FeedbackConfig::default(),
            interleave: InterleaveConfig::default(),
            answer: AnswerConfig::default(),
            generate: GenerateConfig::default(),
            conversations: ConversationsConfig::default(),
            export: ExportConfig::default(),
        }
    }
}

impl Default for RescoreConfig {
    fn default() -> Self {
        Self {
            page_share: 0.5,
            title_share: 0.3,
            title_weight: 0.5,
            proximity_weight: 0.0,
            recency_weight: 0.03,
            recency_half_life_days: 90.0,
            recency_floor: 0.2,
            passages_weight: 0.0,
            proximity_depth: 50,
            neighbours_weight: 0.3,
            neighbours_depth: 50,
        }
    }
}

/// A key whose value is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("search configuration: `{key}` {requirement}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// What its value must be.
    pub requirement: &'static str,
}

impl Config {
    /// Checks every value against its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        let share = |value: f32| (0.0..=1.0).contains(&value);
        rule((10..=1_000).contains(&self.depth), "depth", "must be from 10 to 1,000")?;
        let timeouts = TIMEOUT_MS_MIN..=self.timeout_ms_max;
        rule(timeouts.contains(&self.timeout_ms), "timeout_ms", "must be from 100 to `timeout_ms_max`")?;
        rule(self.timeout_ms_max <= TIMEOUT_MS_MAX, "timeout_ms_max", "must be at most 60,000")?;
        rule((0.0..=0.9).contains(&self.present_share), "present_share", "must be from 0 to 0.9")?;
        rule(self.tasks_max == 0 || self.tasks_max >= 2, "tasks_max", "must be 0, or 2 or more")?;
        rule((0.01..=1.0).contains(&self.queue_share), "queue_share", "must be from 0.01 to 1")?;
        rule(share(self.semantic_weight), "semantic_weight", "must be from 0 to 1")?;
        rule(share(self.rescore.page_share), "rescore.page_share", "must be from 0 to 1")?;
        rule(share(self.rescore.title_share), "rescore.title_share", "must be from 0 to 1")?;
        rule(share(self.rescore.title_weight), "rescore.title_weight", "must be from 0 to 1")?;
        rule(share(self.rescore.proximity_weight), "rescore.proximity_weight", "must be from 0 to 1")?;
        rule(share(self.rescore.recency_weight), "rescore.recency_weight", "must be from 0 to 1")?;
        rule(share(self.rescore.recency_floor), "rescore.recency_floor", "must be from 0 to 1")?;
        rule(share(self.rescore.passages_weight), "rescore.passages_weight", "must be from 0 to 1")?;
        rule(share(self.rescore.neighbours_weight), "rescore.neighbours_weight", "must be from 0 to 1")?;
        rule(self.rescore.neighbours_depth <= 200, "rescore.neighbours_depth", "must be at most 200")?;
        let half_life = self.rescore.recency_half_life_days;
        rule(half_life.is_finite() && half_life > 0.0, "rescore.recency_half_life_days", "must be more than 0")?;
        rule((40..=2_000).contains(&self.snippet_chars), "snippet_chars", "must be from 40 to 2,000")?;
        let url = self.page_url.is_empty() || self.page_url.contains("{page}");
        rule(url, "page_url", "must be empty or hold `{page}`")?;
        self.feedback.check()?;
        self.answer.check()?;
        self.generate.check()?;
        self.conversations.check()?;
        self.export.check()?;
        self.interleave.check(self)
    }

    /// The time that a request gets: what it asks for, within what is allowed.
    pub fn timeout(&self, asked_ms: Option<u32>) -> Duration {
        let ms = asked_ms.unwrap_or(self.timeout_ms).min(self.timeout_ms_max);
        Duration::from_millis(u64::from(ms))
    }

    /// Most hits in one response.
    pub fn limit_max(&self) -> u32 {
        LIMIT_MAX
    }

    /// [`Config::tasks_max`], or two for each core.
    pub(crate) fn tasks_max_effective(&self) -> usize {
        if self.tasks_max > 0 { self.tasks_max } else { two_for_each_core() }
    }

    /// [`Config::searches_max`], or two for each core.
    pub(crate) fn searches_max_effective(&self) -> usize {
        if self.searches_max > 0 { self.searches_max } else { two_for_each_core() }
    }
}

fn two_for_each_core() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_their_own_bounds() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn a_value_out_of_range_is_named() {
        let config = Config { semantic_weight: f32::NAN, ..Config::default() };
        assert_eq!(config.check().unwrap_err().key, "semantic_weight");
        let config = Config { page_url: "https://app.example".into(), ..Config::default() };
        assert_eq!(config.check().unwrap_err().key, "page_url");
    }
}
