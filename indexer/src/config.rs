//! What the write side is configured with.
//!
//! Raw form only: [`Config::check`] says whether the values can go together.

use std::path::PathBuf;

use schemas::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, PAGE_BLOCKS_MAX};
use serde::{Deserialize, Serialize};

/// Settings of the write side of one index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of `dead-letters.ndjson`, where events that were turned down are kept with the reason; made if it is not
    /// there. Default `data`.
    pub data_dir: PathBuf,
    /// Least time from one commit to the next, in milliseconds; 1 to 10,000. Changes that come between are committed
    /// together; the first after a rest waits a tenth of it for others. Default 250: an edit is findable within a second,
    /// and a commit costs little per edit.
    pub commit_interval_ms: u64,
    /// Changes that make a commit start before its time, 1 or more; larger batches are spread over several commits, so that
    /// edits need not wait long for one; fewer while people edit, so that a commit takes no longer than the time between
    /// two. Default 4,000: about half a second of work.
    pub commit_events_max: usize,
    /// Bytes of changes that make a commit start before its time, 1 or more. Default 16 MiB.
    pub commit_bytes_max: usize,
    /// Events taken in and not committed yet, above which more are turned away for a while; at least one full batch.
    /// Default 50,000.
    pub pending_events_max: usize,
    /// The same in bytes of events; at least one full batch. Default 128 MiB.
    pub pending_bytes_max: usize,
    /// Blocks of the pages concerned by what is not committed yet, above which the next events wait for a commit; at least
    /// two full pages. Default 200,000: a page is held with all its blocks, at about a kilobyte and its text each.
    pub pending_blocks_max: usize,
    /// Longest wait for a commit, in milliseconds, before the sender is told that it is not known yet; 1 or more.
    /// Default 30,000.
    pub wait_ms_max: u64,
    /// How long a passage should be, in tokens of the embedding model; 100 or more. Default 200: long enough to make sense
    /// alone, and within the 256 that small models take.
    pub passage_tokens: usize,
    /// Batches of fewer events than this are taken for someone's edit, and their pages are embedded before those of
    /// imports. Default 100.
    pub interactive_events_max: usize,
    /// Passages embedded between two looks at what is more urgent, 1 to 1,024. Default 32: some seconds of one core.
    pub embed_batch_passages: usize,
    /// Vectors gathered before they are committed together, 1 or more. Default 512.
    pub embed_commit_passages: usize,
    /// How long vectors are gathered before they are committed together, in milliseconds, 1 or more. Default 2,000: each
    /// commit writes their pages anew.
    pub embed_interval_ms: u64,
    /// Pages that were written and wait for vectors are kept as they were cut, up to about this many bytes, so that they are not
    /// read and cut again for them; 0 keeps none. Default 16 MiB.
    pub recent_bytes_max: usize,
    /// Size of `dead-letters.ndjson`, in bytes, above which it is set aside as `dead-letters.1.ndjson` in place of the one
    /// before; 1 MiB or more. Default 64 MiB.
    pub dead_letters_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            commit_interval_ms: 250,
            commit_events_max: 4_000,
            commit_bytes_max: 16 << 20,
            pending_events_max: 50_000,
            pending_bytes_max: 128 << 20,
            pending_blocks_max: 200_000,
            wait_ms_max: 30_000,
            passage_tokens: 200,
            interactive_events_max: 100,
            embed_batch_passages: 32,
            embed_commit_passages: 512,
            embed_interval_ms: 2_000,
            recent_bytes_max: 16 << 20,
            dead_letters_bytes_max: 64 << 20,
        }
    }
}

/// A configured value is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("indexer configuration: `{key}` {requirement}")]
pub struct BadConfig {
    /// The key.
    pub key: &'static str,
    /// What its value must be.
    pub requirement: String,
}

impl Config {
    /// Checks every value against its stated range.
    pub fn check(&self) -> Result<(), BadConfig> {
        let bad = |key, requirement: &str| Err(BadConfig { key, requirement: requirement.to_owned() });
        if !(1..=10_000).contains(&self.commit_interval_ms) {
            return bad("commit_interval_ms", "must be 1 to 10000");
        }
        let at_least_one = [
            ("commit_events_max", self.commit_events_max as u64),
            ("commit_bytes_max", self.commit_bytes_max as u64),
            ("wait_ms_max", self.wait_ms_max),
            ("embed_commit_passages", self.embed_commit_passages as u64),
            ("embed_interval_ms", self.embed_interval_ms),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return bad(key, "must be at least 1");
        }
        if self.pending_events_max < BATCH_EVENTS_MAX {
            return bad("pending_events_max", &format!("must be at least {BATCH_EVENTS_MAX}, a full batch"));
        }
        if self.pending_bytes_max < BATCH_BYTES_MAX {
            return bad("pending_bytes_max", &format!("must be at least {BATCH_BYTES_MAX}, a full batch"));
        }
        if self.pending_blocks_max < 2 * PAGE_BLOCKS_MAX {
            return bad("pending_blocks_max", &format!("must be at least {}, two full pages", 2 * PAGE_BLOCKS_MAX));
        }
        if self.passage_tokens < 100 {
            return bad("passage_tokens", "must be at least 100");
        }
        if !(1..=1_024).contains(&self.embed_batch_passages) {
            return bad("embed_batch_passages", "must be 1 to 1024");
        }
        if self.dead_letters_bytes_max < 1 << 20 {
            return bad("dead_letters_bytes_max", "must be at least 1048576");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_what_is_wrong_is_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let config = Config { pending_events_max: 10, ..Config::default() };
        let error = config.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "indexer configuration: `pending_events_max` must be at least 10000, a full batch"
        );
        assert!(toml::from_str::<Config>("commit_intervall_ms = 3").is_err());
    }
}
