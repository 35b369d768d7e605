//! The ledger: what every call to a language model took, on disk, and its sums.
//!
//! One line a call, in `usage.ndjson`; who, what for, which model, how many tokens, what it cost, how it ended; never a text.
//! Sums are kept in memory by workspace, day, user and model, and change at once; lines are gathered and written by a
//! thread. When a file is full a new one begins with all sums until then, so that the newest file alone is the whole truth,
//! and the one before it is kept only to be looked at. Invariant: the sums equal the sums in the newest file and its lines,
//! and those that wait to be written.

mod file;
mod sums;
mod writer;

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::file::LedgerFile;
use self::sums::Sums;
use self::writer::{Shared, State};
use super::budget::day_of;
use super::config::LedgerConfig;
use super::fault::Outcome;
use super::{Account, Task, Usage};

/// A call to a language model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was over.
    pub at: Timestamp,
    /// For whom, the workspace.
    pub workspace: String,
    /// For whom, the user in it.
    pub user: String,
    /// What for.
    pub task: Task,
    /// The endpoint, by its name in the configuration.
    pub endpoint: String,
    /// The model.
    pub model: String,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// What it cost, in millionths of the currency of the price table.
    pub cost_micros: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// When its first text came, in milliseconds from its beginning; absent where none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_text_ms: Option<u64>,
}

/// What calls took together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The workspace.
    pub workspace: String,
    /// The day, of UTC; of days that are not told apart any more, the first of their month.
    pub day: Date,
    /// The user; empty for users of long ago who are not told apart any more.
    pub user: String,
    /// The model.
    pub model: String,
    /// What they took.
    #[serde(flatten)]
    pub totals: Totals,
}

/// Sums of tokens and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Calls, those that failed too.
    pub calls: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// What they cost, in millionths of the currency of the price table.
    pub cost_micros: u64,
}

impl Totals {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.cost_micros = self.cost_micros.saturating_add(other.cost_micros);
    }
}

impl From<&Usage> for Totals {
    fn from(usage: &Usage) -> Self {
        let Usage { prompt_tokens, completion_tokens, cost_micros } = *usage;
        Self { calls: 1, prompt_tokens, completion_tokens, cost_micros }
    }
}

/// Why the ledger cannot be used.
#[derive(Debug, Error)]
#[error("cannot open the ledger of language models at {}", path.display())]
pub struct LedgerError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// The record of all calls. One process writes one.
#[derive(Debug)]
pub struct Ledger {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Ledger {
    /// Opens the ledger in a folder, or begins one; reads back what it holds.
    ///
    /// A last line that a crash has cut is taken off, and told in the log.
    pub fn open(dir: &Path, config: LedgerConfig, now: Timestamp) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError { path: dir.to_owned(), source };
        let (file, mut sums) = LedgerFile::open(dir).map_err(failed)?;
        sums.shrink(config.sums_max, config.days, day_of(now));
        Self::start(file, sums, config).map_err(failed)
    }

    /// Starts to write to a file, of whose calls these are the sums.
    fn start(mut file: LedgerFile, sums: Sums, config: LedgerConfig) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(config, sums));
        let written = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("models-ledger".to_owned())
            .spawn(move || written.write_until_closed(&mut file))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Whether a call for an account may be made, or why not: what cannot be written down is not spent.
    pub(super) fn check_room(&self, account: &Account, now: Timestamp) -> Result<(), &'static str> {
        let mut state = self.shared.lock();
        let LedgerConfig { pending_bytes_max, sums_max, days, .. } = self.shared.config;
        if state.waiting_bytes() > pending_bytes_max {
            return Err("what was spent cannot be written to the ledger");
        }
        let today = day_of(now);
        if state.sums.len() >= sums_max && !state.sums.knows(account, today) {
            state.sums.shrink(sums_max, days, today);
            if state.sums.len() >= sums_max {
                return Err("the ledger has as many accounts this month as it takes");
            }
        }
        Ok(())
    }

    /// Records a call. Its sums change at once; its line is written soon.
    pub fn record(&self, entry: &Entry) {
        let line = file::line_of(&file::Line::Call(entry.clone()));
        let mut state = self.shared.lock();
        let LedgerConfig { sums_max, days, .. } = self.shared.config;
        state.sums.add_entry(entry);
        if state.sums.len() > sums_max {
            state.sums.shrink(sums_max, days, day_of(entry.at));
        }
        state.pending.extend_from_slice(&line);
        self.shared.changed.notify_all();
    }

    /// What a workspace took on some days: a sum for each day, user and model, ordered by them.
    pub fn usage(&self, workspace: &str, days: RangeInclusive<Date>) -> Vec<Sum> {
        self.shared.lock().sums.of(workspace, days)
    }

    /// Every sum there is.
    pub fn all(&self) -> Vec<Sum> {
        self.shared.lock().sums.iter().collect()
    }

    /// Takes a user of a workspace out of the ledger, or all of a workspace: from the sums at once, and from the files with the
    /// next lines that are written, for which a new file is begun and the former one removed. What a user took is still counted
    /// for the workspace. [`Ledger::flush`] waits for it.
    pub fn forget(&self, workspace: &str, user: Option<&str>) {
        let mut state = self.shared.lock();
        state.sums.forget(workspace, user);
        state.forgets = true;
        state.urgent = true;
        self.shared.changed.notify_all();
    }

    /// Waits until all calls recorded before are on disk, or a time is over; says whether they are. Blocks.
    pub fn flush(&self, timeout: Duration) -> bool {
        let mut state = self.shared.lock();
        state.urgent = true;
        self.shared.changed.notify_all();
        let waits = |state: &mut State| !state.is_written();
        let waited = self.shared.changed.wait_timeout_while(state, timeout, waits);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !waited.timed_out()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread of the usage ledger panicked");
        }
    }
}

#[cfg(test)]
mod tests;
