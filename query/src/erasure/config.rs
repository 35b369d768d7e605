//! What an operator can choose about erasures.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key whose value is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("erasure configuration: `{key}` {requirement}")]
pub struct ErasureConfigError {
    /// The key.
    pub key: &'static str,
    /// What its value must be.
    pub requirement: &'static str,
}

/// Choices about erasures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErasureConfig {
    /// Erasures that wait or are worked on at once, 1 to 10,000; more are answered with 429. 100.
    pub jobs_max: usize,
    /// Erasures that are over whose receipts are kept, 1 to 1,000,000; of more, the oldest go. 10,000, of some 2 KB each.
    pub receipts_max: usize,
}

impl Default for ErasureConfig {
    fn default() -> Self {
        Self { jobs_max: 100, receipts_max: 10_000 }
    }
}

impl ErasureConfig {
    /// Checks every value against its range.
    pub fn check(&self) -> Result<(), ErasureConfigError> {
        let rule =
            |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ErasureConfigError { key, requirement }) };
        rule((1..=10_000).contains(&self.jobs_max), "jobs_max", "must be from 1 to 10,000")?;
        rule((1..=1_000_000).contains(&self.receipts_max), "receipts_max", "must be from 1 to 1,000,000")
    }
}
