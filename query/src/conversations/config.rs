//! What an operator can choose about conversations. Every key has a unit, a default and a bound.

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// Choices about keeping conversations. One is kept only where a request asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConversationsConfig {
    /// Whether conversations are kept; true. Without it requests that name one are refused, and what was kept before is told to nobody.
    pub enabled: bool,
    /// Turns of one conversation, 1 to 1,000; 100. The oldest goes first.
    pub turns_max: usize,
    /// Conversations of one person in one workspace, 1 to 10,000; 200. The one that was gone on with longest ago goes first.
    pub person_conversations_max: usize,
    /// Bytes of one person's conversations in one workspace, 256 KiB to 64 MiB; 2 MiB, which is some 300 turns. They are read for each turn.
    pub person_bytes_max: u64,
    /// Bytes of all conversations of one workspace; at least `person_bytes_max`. 1 GiB. Those of the person who asked longest ago go first.
    pub workspace_bytes_max: u64,
    /// Bytes of all conversations of all workspaces; at least `person_bytes_max`. 16 GiB. Of the workspace that has most, those of the person
    /// who asked longest ago go first.
    pub bytes_max: u64,
    /// Days after its last turn on which a conversation is removed, 1 to 3,650; 90.
    pub retention_days: u32,
    /// Characters of the turns before that a language model is given with a question, 0 to 80,000; 8,000. The newest turns, ten at most.
    pub history_chars_max: usize,
}

impl Default for ConversationsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            turns_max: 100,
            person_conversations_max: 200,
            person_bytes_max: 2 << 20,
            workspace_bytes_max: 1 << 30,
            bytes_max: 16 << 30,
            retention_days: 90,
            history_chars_max: 8_000,
        }
    }
}

impl ConversationsConfig {
    /// Checks every value against its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        rule((1..=1_000).contains(&self.turns_max), "conversations.turns_max", "must be from 1 to 1,000")?;
        let many = (1..=10_000).contains(&self.person_conversations_max);
        rule(many, "conversations.person_conversations_max", "must be from 1 to 10,000")?;
        let bytes = (256 << 10..=64 << 20).contains(&self.person_bytes_max);
        rule(bytes, "conversations.person_bytes_max", "must be from 256 KiB to 64 MiB")?;
        let room = self.workspace_bytes_max >= self.person_bytes_max;
        rule(room, "conversations.workspace_bytes_max", "must be at least `person_bytes_max`")?;
        let room = self.bytes_max >= self.person_bytes_max;
        rule(room, "conversations.bytes_max", "must be at least `person_bytes_max`")?;
        let days = (1..=3_650).contains(&self.retention_days);
        rule(days, "conversations.retention_days", "must be from 1 to 3,650")?;
        let history = self.history_chars_max <= 80_000;
        rule(history, "conversations.history_chars_max", "must be at most 80,000")
    }
}
