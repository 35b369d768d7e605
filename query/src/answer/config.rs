//! What an operator can choose about answers.

use std::time::Duration;

use models::generate::GenerateError;
use schemas::api::answers::{ANSWER_TIMEOUT_MS_MAX, ANSWER_TIMEOUT_MS_MIN};
use serde::{Deserialize, Serialize};

use super::cache::CacheConfig;
use super::resume::ResumeConfig;
use crate::config::ConfigError;
use crate::deadline::Deadline;

/// Choices about answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerConfig {
    /// Answers that are written side by side, 1 to 10,000; more are shed with 503. 64.
    pub answers_max: usize,
    /// Of these, how many are written for one caller, 0 to 10,000; more are answered with 429. 0 for no bound; 16.
    pub caller_answers_max: usize,
    /// Of these, how many are written for one workspace, 0 to 10,000; more are answered with 429. 0 for no bound; 48.
    pub workspace_answers_max: usize,
    /// How long an answer may take when the request does not say, in milliseconds; 30,000.
    pub timeout_ms: u32,
    /// The longest time that a request may ask for, in milliseconds; 120,000.
    pub timeout_ms_max: u32,
    /// Between two signs of life on a stream on which nothing else goes out, in milliseconds, 100 to 60,000; 5,000.
    pub heartbeat_ms: u32,
    /// Sources of an answer, one for each page, 1 to 20; 8.
    pub sources_max: usize,
    /// Passages of a page that are looked into, 1 to 8; 2.
    pub passages_max: usize,
    /// Tokens of one source, 50 to 4,000; 400. A table that its passage is a part of may take as much again.
    pub source_tokens_max: usize,
    /// Tokens of all sources, 100 to 100,000; 3,000.
    pub sources_tokens_max: usize,
    /// Tokens that a model may write, 50 to 32,000; 1,000.
    pub answer_tokens_max: u32,
    /// Sentences that are embedded to compare them with the question, or with what they cite, 0 to 200; 16. Each takes tens of
    /// milliseconds of a core; 0 goes by words alone.
    pub embedded_max: usize,
    /// Whether a model may make a question stand alone, from the conversation before it, before anything is retrieved; false:
    /// nobody then waits for a model before the sources.
    pub rewrite: bool,
    /// What becomes of a request whose workspace or person has used up its tokens; `refuse`.
    pub on_budget: OnBudget,
    /// Choices about keeping answers.
    pub cache: CacheConfig,
    /// Choices about going on with answers whose connection broke.
    pub resume: ResumeConfig,
}

/// What becomes of a request for which there are no tokens left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBudget {
    /// It is turned away with 429, the reason, and when there are some again.
    #[default]
    Refuse,
    /// The extractor does it, where it can.
    Extract,
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            answers_max: 64,
            caller_answers_max: 16,
            workspace_answers_max: 48,
            timeout_ms: 30_000,
            timeout_ms_max: 120_000,
            heartbeat_ms: 5_000,
            sources_max: 8,
            passages_max: 2,
            source_tokens_max: 400,
            sources_tokens_max: 3_000,
            answer_tokens_max: 1_000,
            embedded_max: 16,
            rewrite: false,
            on_budget: OnBudget::Refuse,
            cache: CacheConfig::default(),
            resume: ResumeConfig::default(),
        }
    }
}

impl AnswerConfig {
    /// Whether a failure of a model is the end of a request, whatever the extractor could do: the tokens are used up, and the operator
    /// has such requests refused.
    pub(crate) fn refuses_after(&self, error: &GenerateError) -> bool {
        matches!(error, GenerateError::Budget { .. }) && self.on_budget == OnBudget::Refuse
    }

    /// When a text is due that may take so long; as long as is configured where the request does not say.
    pub(crate) fn deadline(&self, timeout_ms: Option<u32>) -> Deadline {
        let timeout_ms = timeout_ms.unwrap_or(self.timeout_ms).min(self.timeout_ms_max);
        Deadline::after(Duration::from_millis(u64::from(timeout_ms)))
    }

    /// Checks every value against its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        rule((1..=10_000).contains(&self.answers_max), "answer.answers_max", "must be from 1 to 10,000")?;
        let of_caller = self.caller_answers_max <= 10_000;
        rule(of_caller, "answer.caller_answers_max", "must be at most 10,000")?;
        let of_workspace = self.workspace_answers_max <= 10_000;
        rule(of_workspace, "answer.workspace_answers_max", "must be at most 10,000")?;
        let timeouts = ANSWER_TIMEOUT_MS_MIN..=self.timeout_ms_max;
        rule(timeouts.contains(&self.timeout_ms), "answer.timeout_ms", "must be from 100 to `timeout_ms_max`")?;
        let longest = self.timeout_ms_max <= ANSWER_TIMEOUT_MS_MAX;
        rule(longest, "answer.timeout_ms_max", "must be at most 300,000")?;
        rule((100..=60_000).contains(&self.heartbeat_ms), "answer.heartbeat_ms", "must be from 100 to 60,000")?;
        rule((1..=20).contains(&self.sources_max), "answer.sources_max", "must be from 1 to 20")?;
        rule((1..=8).contains(&self.passages_max), "answer.passages_max", "must be from 1 to 8")?;
        let source = (50..=4_000).contains(&self.source_tokens_max);
        rule(source, "answer.source_tokens_max", "must be from 50 to 4,000")?;
        let sources = (100..=100_000).contains(&self.sources_tokens_max);
        rule(sources, "answer.sources_tokens_max", "must be from 100 to 100,000")?;
        let answer = (50..=32_000).contains(&self.answer_tokens_max);
        rule(answer, "answer.answer_tokens_max", "must be from 50 to 32,000")?;
        rule(self.embedded_max <= 200, "answer.embedded_max", "must be at most 200")?;
        self.resume.check()?;
        self.cache.check()
    }
}
