//! The lines of the log: what was shown, and what people did with it.
//!
//! One JSON object a line. No line holds a person's id, a title or any text of a page; the text of a query only where the
//! operator allowed it. Times are cut to the hour.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use jiff::Timestamp;
use schemas::api::feedback::FeedbackKind;
use schemas::ids::{PageId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::key::{ListId, Pseudonym};
use crate::interleave::Team;

/// The file that is written to.
pub(super) const FILE: &str = "log.ndjson";
/// The one before, once it was full.
pub(super) const FORMER_FILE: &str = "log.1.ndjson";
/// Longest line: a hundred ids of pages and the longest query, with room for escapes.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// Hits that were shown.
    Shown(Shown),
    /// Something that was done with one of them.
    Done(Done),
}

/// One page of a list of hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The hour.
    pub time: Timestamp,
    /// The list; its further pages are lines of their own.
    pub list: ListId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The person.
    pub person: Pseudonym,
    /// The query with its filters.
    pub query: Pseudonym,
    /// The text of the query, where it may be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// True when filters narrowed the list, so that a page may be missing for another reason than its rank.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filtered: bool,
    /// True when the last word was still being typed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefix: bool,
    /// The rank of the first hit.
    pub first_rank: u32,
    /// The pages of the hits, in the order shown.
    pub pages: Vec<PageId>,
    /// Which configuration each hit came from, where two were interleaved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<Option<Team>>,
    /// The commit that was searched.
    pub index_seq: u64,
    /// The access state that was heeded.
    pub access_seq: u64,
}

/// Something that was done with one hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The hour.
    pub time: Timestamp,
    /// The list.
    pub list: ListId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The person.
    pub person: Pseudonym,
    /// What was done.
    pub kind: FeedbackKind,
    /// The page of the hit.
    pub page: PageId,
    /// Where the hit stood.
    pub rank: u32,
    /// How long the page was looked at, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u32>,
}

impl Record {
    /// The workspace.
    pub fn workspace(&self) -> &WorkspaceId {
        match self {
            Self::Shown(shown) => &shown.workspace,
            Self::Done(done) => &done.workspace,
        }
    }

    /// The person.
    pub fn person(&self) -> &Pseudonym {
        match self {
            Self::Shown(shown) => &shown.person,
            Self::Done(done) => &done.person,
        }
    }

    /// The hour.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Shown(shown) => shown.time,
            Self::Done(done) => done.time,
        }
    }
}

/// Cuts a time to its hour.
pub(super) fn hour(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second().div_euclid(3_600) * 3_600).unwrap_or(time)
}

/// Gives the lines of a log to `take`, oldest first, and returns how many could not be read: a line cut short by a crash,
/// or of a later version. A log that is not there has none.
///
/// `folder` is that of the log. One line is in memory at a time. It may be read while it is written to.
pub fn each(folder: &Path, take: &mut dyn FnMut(Record)) -> io::Result<u64> {
    let mut unread = 0;
    for name in [FORMER_FILE, FILE] {
        unread += each_of(&folder.join(name), &mut |_, record| {
            take(record);
            Ok(())
        })?;
    }
    Ok(unread)
}

/// Gives the lines of one file to `take`, as they stand and as they read.
pub(super) fn each_of(path: &Path, take: &mut dyn FnMut(&[u8], Record) -> io::Result<()>) -> io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let (mut reader, mut line, mut unread) = (BufReader::new(file), Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(unread);
        }
        // Of a line that is too long the rest is read as lines of its own, which are none.
        match line.strip_suffix(b"\n").map(serde_json::from_slice::<Record>) {
            Some(Ok(record)) => take(&line, record)?,
            _ => unread += 1,
        }
    }
}
