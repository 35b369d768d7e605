//! What an operator can choose about the audit log. Every key has a unit, a default and a bound.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key whose value is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("audit configuration: `{key}` {requirement}")]
pub struct AuditConfigError {
    /// The key.
    pub key: &'static str,
    /// What its value must be.
    pub requirement: &'static str,
}

/// Choices about the log of who did what. It is on unless it is switched off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Whether it is recorded who searched, what was opened, and what administrators did; true.
    pub enabled: bool,
    /// Whether the text of queries and questions is kept, too; false. It is erased with the person who wrote it.
    pub keep_text: bool,
    /// Whether suggestions are recorded, a line for each key that is pressed; false.
    pub suggestions: bool,
    /// Requests that are recorded each minute of those turned away for their identity (401) or their rights (403); what goes beyond is
    /// counted in the next such line. 0 for none, at most 10,000; 60.
    pub refused_per_minute_max: u32,
    /// Ids of pages in one line; of the rest, their number. 0 to 100; 20.
    pub pages_max: usize,
    /// What becomes of a request that cannot be recorded, because the queue is full or the disk is; `drop`.
    pub on_failure: OnFailure,
    /// Lines that wait to be written, 16 to 1,000,000; 4,096, some 2 MB.
    pub queue_len_max: usize,
    /// Longest time until lines are on disk, in milliseconds, 1 to 60,000: what a loss of power may cost; 1,000.
    pub sync_ms: u32,
    /// Bytes at which a new segment is begun, 64 KiB to 64 MiB; 8 MiB.
    pub segment_bytes_max: u64,
    /// Hours after which a new segment is begun, 1 to 720; 24.
    pub segment_hours: u32,
    /// Days for which segments are kept after their last line, 1 to 36,500; 365.
    pub retention_days: u32,
    /// Bytes of all segments, 1 MiB or more; 10 GiB. The oldest go first where they come to more, however young.
    pub bytes_max: u64,
}

/// What becomes of a request that cannot be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is answered. What was not recorded is counted, in the log too once that can be written again.
    #[default]
    Drop,
    /// It is turned away with 503, once it was worked on. Events, and so revocations, are taken in all the same.
    Refuse,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            keep_text: false,
            suggestions: false,
            refused_per_minute_max: 60,
            pages_max: 20,
            on_failure: OnFailure::Drop,
            queue_len_max: 4_096,
            sync_ms: 1_000,
            segment_bytes_max: 8 << 20,
            segment_hours: 24,
            retention_days: 365,
            bytes_max: 10 << 30,
        }
    }
}

impl AuditConfig {
    /// Checks every value against its range.
    pub fn check(&self) -> Result<(), AuditConfigError> {
        let rule =
            |holds: bool, key, requirement| if holds { Ok(()) } else { Err(AuditConfigError { key, requirement }) };
        let refused = self.refused_per_minute_max <= 10_000;
        rule(refused, "refused_per_minute_max", "must be at most 10,000")?;
        rule(self.pages_max <= 100, "pages_max", "must be at most 100")?;
        let waiting = (16..=1_000_000).contains(&self.queue_len_max);
        rule(waiting, "queue_len_max", "must be from 16 to 1,000,000")?;
        rule((1..=60_000).contains(&self.sync_ms), "sync_ms", "must be from 1 to 60,000")?;
        let segment = (64 << 10..=64 << 20).contains(&self.segment_bytes_max);
        rule(segment, "segment_bytes_max", "must be from 64 KiB to 64 MiB")?;
        rule((1..=720).contains(&self.segment_hours), "segment_hours", "must be from 1 to 720")?;
        let days = (1..=36_500).contains(&self.retention_days);
        rule(days, "retention_days", "must be from 1 to 36,500")?;
        rule(self.bytes_max >= 1 << 20, "bytes_max", "must be at least 1 MiB")
    }
}
