//! The thread that writes the log: the one owner of its files.
//!
//! ```text
//! searches, feedback -> bounded queue -> lines -> log.ndjson -> (full) -> log.1.ndjson -> (full again) -> gone
//!                                          ^ sweeps take out what is too old or of someone who was erased
//! ```
//!
//! Lines are handed to the system after each batch and are on disk when the file is full or the thread ends: a crash may
//! cost the last ones, and no search waits for a disk. Invariant: once a sweep saw that a workspace or a person was erased,
//! no line of theirs is in the files, and none is written.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use index::Index;
use jiff::Timestamp;
use schemas::ids::WorkspaceId;

use super::key::Pseudonym;
use super::record::{self, FILE, FORMER_FILE, LINE_BYTES_MAX, Record, each_of};
use super::{FeedbackConfig, Key};
use crate::scribe::{Behind, Counts, Log};

/// A file that is being rewritten.
const NEW_FILE: &str = "log.new";
/// Longest time between two looks at what is too old, which read the whole log.
const AGE_INTERVAL: Duration = Duration::from_hours(24);

/// Workspaces and people that were erased.
#[derive(Debug, Default, PartialEq, Eq)]
struct Erased {
    workspaces: HashSet<WorkspaceId>,
    people: HashSet<Pseudonym>,
}

impl Erased {
    fn of(index: &Index, key: &Key) -> Self {
        let mut erased = Self::default();
        for workspace in index.catalog().workspaces() {
            let state = workspace.read();
            if state.erased {
                erased.workspaces.insert(workspace.id.clone());
            }
            let people = state.people().filter(|user| !state.may_name(user));
            erased.people.extend(people.map(|user| key.person(&workspace.id, user)));
        }
        erased
    }

    fn holds(&self, record: &Record) -> bool {
        self.workspaces.contains(record.workspace()) || self.people.contains(record.person())
    }
}

pub(super) struct Writer {
    folder: PathBuf,
    config: FeedbackConfig,
    index: Index,
    key: Arc<Key>,
    counts: Arc<Counts>,
    open: Option<(BufWriter<File>, u64)>,
    erased: Erased,
    /// When lines that are too old were last looked for.
    swept_at: Option<Timestamp>,
}

impl Writer {
    pub(super) fn new(folder: &Path, config: FeedbackConfig, index: Index, key: Arc<Key>, counts: Arc<Counts>) -> Self {
        let folder = folder.to_owned();
        Self { folder, config, index, key, counts, open: None, erased: Erased::default(), swept_at: None }
    }

    fn put(&mut self, record: &Record) {
        if self.erased.holds(record) {
            return;
        }
        match self.append(record) {
            Ok(()) => _ = self.counts.written.fetch_add(1, Ordering::Relaxed),
            Err(error) => self.lose(&error),
        }
    }

    fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if line.len() > LINE_BYTES_MAX {
            return Err(io::Error::other("the line is longer than any that is read"));
        }
        let (mut file, mut bytes) = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        if bytes > 0 && bytes + line.len() as u64 > self.config.bytes_max / 2 {
            close(file)?;
            fs::rename(self.folder.join(FILE), self.folder.join(FORMER_FILE))?;
            (file, bytes) = self.open_file()?;
        }
        file.write_all(&line)?;
        self.open = Some((file, bytes + line.len() as u64));
        Ok(())
    }

    fn flush(&mut self) {
        let flushed = self.open.as_mut().map_or(Ok(()), |(file, _)| file.flush());
        if let Err(error) = flushed {
            self.open = None;
            self.lose(&error);
        }
    }

    fn lose(&self, error: &io::Error) {
        // The first of a row is told: a full disk would fill the log too.
        if (self.counts.lost.fetch_add(1, Ordering::Relaxed) + 1).is_power_of_two() {
            tracing::warn!(error = error as &dyn std::error::Error, "feedback was not written");
        }
    }

    fn open_file(&self) -> io::Result<(BufWriter<File>, u64)> {
        let file = OpenOptions::new().create(true).append(true).open(self.folder.join(FILE))?;
        let bytes = file.metadata()?.len();
        Ok((BufWriter::new(file), bytes))
    }
}

impl Log for Writer {
    type Record = Box<Record>;

    fn write(&mut self, records: Vec<Box<Record>>, _: bool, _: &Behind<'_, Box<Record>>) -> bool {
        for record in records {
            self.put(&record);
        }
        self.flush();
        true
    }

    /// Takes out what is of those who were erased since the last time and, once a day, what is too old.
    fn sweep(&mut self) {
        let now = Timestamp::now();
        let erased = Erased::of(&self.index, &self.key);
        let is_due = self.swept_at.is_none_or(|at| now.duration_since(at).unsigned_abs() >= AGE_INTERVAL);
        if erased == self.erased && !is_due {
            return;
        }
        self.erased = erased;
        self.flush();
        let oldest = now.as_second() - i64::from(self.config.retention_days) * 86_400;
        let keeps = |record: &Record| record.time().as_second() >= oldest && !self.erased.holds(record);
        match rewrite(&self.folder, &keeps) {
            Ok(gone) => {
                // The next line goes into the new file.
                self.open = None;
                self.swept_at = Some(now);
                if gone > 0 {
                    tracing::info!(lines = gone, "feedback that is too old or of someone erased was removed");
                }
            }
            Err(error) => {
                self.swept_at = None;
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "feedback of someone erased may be left; it is tried again within the hour");
            }
        }
    }

    fn close(&mut self) {
        if let Some((file, _)) = self.open.take()
            && let Err(error) = close(file)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last lines of feedback were not written");
        }
    }
}

/// Rewrites the files of a log that hold what is not to be kept, or what cannot be read, and says how many lines went.
fn rewrite(folder: &Path, keeps: &dyn Fn(&Record) -> bool) -> io::Result<u64> {
    let mut gone_of_all = 0;
    for name in [FORMER_FILE, FILE] {
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        let aside = folder.join(NEW_FILE);
        let (mut kept, mut gone) = (BufWriter::new(File::create(&aside)?), 0);
        gone += each_of(&path, &mut |line, record: Record| {
            if keeps(&record) {
                return kept.write_all(line);
            }
            gone += 1;
            Ok(())
        })?;
        if gone == 0 {
            fs::remove_file(&aside)?;
            continue;
        }
        close(kept)?;
        fs::rename(&aside, &path)?;
        File::open(folder)?.sync_all()?;
        gone_of_all += gone;
    }
    Ok(gone_of_all)
}

fn close(file: BufWriter<File>) -> io::Result<()> {
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// Whether there is anything to keep clean, although nothing is recorded any more.
pub(super) fn is_left(folder: &Path) -> bool {
    [record::FILE, record::FORMER_FILE].iter().any(|name| folder.join(name).exists())
}
