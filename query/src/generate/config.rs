//! What an operator can choose about generation. How many texts are written side by side, and how long they may take, is chosen for
//! answers and generation together, in [`crate::answer::config`].

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Choices about generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateConfig {
    /// Tokens of all pages that a text is made of, shared out evenly, 100 to 1,000,000; 6,000. What the language model takes is never
    /// exceeded.
    pub sources_tokens_max: usize,
    /// Tokens that a model may write, 50 to 32,000; 2,000.
    pub tokens_max: u32,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self { sources_tokens_max: 6_000, tokens_max: 2_000 }
    }
}

impl GenerateConfig {
    /// Checks every value against its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        let sources = (100..=1_000_000).contains(&self.sources_tokens_max);
        rule(sources, "generate.sources_tokens_max", "must be from 100 to 1,000,000")?;
        rule((50..=32_000).contains(&self.tokens_max), "generate.tokens_max", "must be from 50 to 32,000")
    }
}
