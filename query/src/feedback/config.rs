//! What an operator can choose about recording feedback. Every key has a unit, a default and a bound.

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Choices about the log of what was shown and what people did with it. It is off unless it is switched on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedbackConfig {
    /// Whether searches and feedback are recorded; false. Without it nothing is written and no response has a
    /// `tracking_id`.
    pub enabled: bool,
    /// Whether the text of queries is kept too; false. Without it equal queries can be told to be equal, and no more.
    pub keep_text: bool,
    /// Size of the log in bytes, both of its files together; 1 MiB or more. 256 MiB. The older half goes when it is full.
    pub bytes_max: u64,
    /// Age at which lines are removed, in days, 1 to 3,650; 90.
    pub retention_days: u32,
    /// Lines waiting to be written; what comes when it is full is dropped and counted. 1 to 1,000,000; 4,096.
    pub queue_len_max: usize,
    /// Bytes for the lists that feedback may still come for; the oldest go first. 64 KiB or more; 8 MiB, which is some
    /// 5,000 lists.
    pub lists_bytes_max: usize,
    /// How long feedback on a list is taken, in hours, 1 to 720; 24.
    pub list_hours: u32,
}

impl Default for FeedbackConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            keep_text: false,
            bytes_max: 256 << 20,
            retention_days: 90,
            queue_len_max: 4_096,
            lists_bytes_max: 8 << 20,
            list_hours: 24,
        }
    }
}

impl FeedbackConfig {
    /// Checks every value against its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        rule(self.bytes_max >= 1 << 20, "feedback.bytes_max", "must be at least 1 MiB")?;
        let days = (1..=3_650).contains(&self.retention_days);
        rule(days, "feedback.retention_days", "must be from 1 to 3,650")?;
        let waiting = (1..=1_000_000).contains(&self.queue_len_max);
        rule(waiting, "feedback.queue_len_max", "must be from 1 to 1,000,000")?;
        rule(self.lists_bytes_max >= 64 << 10, "feedback.lists_bytes_max", "must be at least 64 KiB")?;
        rule((1..=720).contains(&self.list_hours), "feedback.list_hours", "must be from 1 to 720")
    }
}
