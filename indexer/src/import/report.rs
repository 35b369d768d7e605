//! What an import tells its caller: progress while it runs, a report at its end.

use serde::Serialize;

/// Most warnings and dead letters kept in a report; the rest are counted.
pub const WARNINGS_MAX: usize = 10_000;

/// Something in a source that was not imported as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The file, page or entry it is about, as the source names it; empty for the source as a whole.
    pub file: String,
    /// Its line, from 1, where the file has lines of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong, and what was done about it.
    pub reason: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => f.write_str(&self.reason),
            (file, Some(line)) => write!(f, "{file}:{line}: {}", self.reason),
            (file, None) => write!(f, "{file}: {}", self.reason),
        }
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Pages that the source holds; of a history, pages that an edit touched.
    pub pages_seen: u64,
    /// Of these, pages that differed from what was stored.
    pub pages_changed: u64,
    /// Pages that are gone from the source and were deleted.
    pub pages_removed: u64,
    /// Events that were applied.
    pub events: u64,
    /// What the caller should know about choices that were made for them.
    pub notes: Vec<String>,
    /// What was not imported as it stands, at most [`WARNINGS_MAX`].
    pub warnings: Vec<Warning>,
    /// How many more warnings there were.
    pub warnings_left_out: u64,
}

impl Report {
    pub(super) fn warn(&mut self, file: &str, line: Option<u64>, reason: String) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Warning { file: file.to_owned(), line, reason });
        } else {
            self.warnings_left_out += 1;
        }
    }

    /// How many warnings there were in all.
    pub fn warning_count(&self) -> u64 {
        self.warnings.len() as u64 + self.warnings_left_out
    }
}

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finding out what the source holds.
    Read,
    /// Writing what differs.
    Write,
    /// Deleting what is gone.
    Prune,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Pages, edits or lines done in this stage.
    pub done: u64,
    /// How many there are, once known.
    pub total: Option<u64>,
    /// Events applied so far.
    pub events: u64,
}
