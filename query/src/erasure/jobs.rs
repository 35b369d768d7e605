//! The jobs on disk: one file of JSON each, written whole beside the former one and moved into its place.
//!
//! Invariants: what is in memory is on disk; jobs that are not over are never dropped, and of those that are, the oldest go beyond the bound.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use schemas::api::erasures::{Erasure, ErasureObject, ErasureStatus};
use thiserror::Error;

use super::{ErasureConfig, Subject};
use crate::hex::hex;

const SUFFIX: &str = "json";
const NEW_FILE: &str = "new";
/// Random bytes of an id.
const ID_BYTES: usize = 16;

/// Why jobs could not be read or written.
#[derive(Debug, Error)]
pub enum JobsError {
    /// The file system failed.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is none of a job. Look at it, and move it away.
    #[error("{} is no job", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread of erasures")]
    Thread(#[source] io::Error),
}

/// Reads the jobs in a folder, the oldest first; one that is not there has none.
pub fn read(dir: &Path) -> Result<Vec<Erasure>, JobsError> {
    let failed = |source| JobsError::Io { path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut jobs: Vec<Erasure> = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != SUFFIX) {
            continue;
        }
        let bytes = fs::read(&path).map_err(|source| JobsError::Io { path: path.clone(), source })?;
        let malformed = |source| JobsError::Malformed { path: path.clone(), source };
        let job: Erasure = serde_json::from_slice(&bytes).map_err(malformed)?;
        if Subject::of(job.kind, &job.workspace, &job.subject).is_none() {
            return Err(malformed(serde::de::Error::custom("its subject is no id")));
        }
        jobs.push(job);
    }
    jobs.sort_by(|one, other| (one.requested_at, &one.id).cmp(&(other.requested_at, &other.id)));
    Ok(jobs)
}

#[derive(Debug)]
pub(super) struct Jobs {
    dir: PathBuf,
    receipts_max: usize,
    by_id: BTreeMap<String, Erasure>,
    /// The newest of each subject.
    newest: BTreeMap<Subject, String>,
    /// Those that are not over, in the order in which they are worked on.
    waiting: VecDeque<String>,
    /// Those that are, the oldest first.
    over: VecDeque<String>,
}

impl Jobs {
    pub(super) fn open(dir: &Path, config: &ErasureConfig) -> Result<Self, JobsError> {
        let failed = |source| JobsError::Io { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(failed)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let (by_id, newest) = (BTreeMap::new(), BTreeMap::new());
        let (waiting, over) = (VecDeque::new(), VecDeque::new());
        let mut jobs = Self { dir: dir.to_owned(), receipts_max: config.receipts_max, by_id, newest, waiting, over };
        for job in read(dir)? {
            jobs.take_in(job);
        }
        Ok(jobs)
    }

    fn take_in(&mut self, job: Erasure) {
        let is_new = !self.by_id.contains_key(&job.id);
        if is_new && let Some(subject) = Subject::of(job.kind, &job.workspace, &job.subject) {
            self.newest.insert(subject, job.id.clone());
        }
        if !is_new {
            self.waiting.retain(|id| *id != job.id);
        }
        let place = if job.status == ErasureStatus::Done { &mut self.over } else { &mut self.waiting };
        place.push_back(job.id.clone());
        self.by_id.insert(job.id.clone(), job);
    }

    /// A job that waits, not yet written down.
    pub(super) fn new_job(&self, subject: &Subject, now: Timestamp) -> Result<Erasure, JobsError> {
        let mut id = [0; ID_BYTES];
        let random = getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()));
        random.map_err(|source| JobsError::Io { path: self.dir.clone(), source })?;
        Ok(Erasure {
            object: ErasureObject::Erasure,
            id: hex(&id),
            workspace: subject.workspace().clone(),
            kind: subject.kind(),
            subject: subject.id().to_owned(),
            status: ErasureStatus::Waiting,
            requested_at: now,
            tries: 0,
            trouble: None,
            receipt: None,
            request_id: String::new(),
        })
    }

    /// Writes a job down, behind the others that wait; gives it back once it is on disk. One that is over is not put again.
    pub(super) fn put(&mut self, job: Erasure) -> Result<Erasure, JobsError> {
        let path = self.path(&job.id);
        self.write(&path, &job).map_err(|source| JobsError::Io { path, source })?;
        self.take_in(job.clone());
        while self.over.len() > self.receipts_max {
            let Some(id) = self.over.pop_front() else { break };
            if let Err(error) = fs::remove_file(self.path(&id)) {
                tracing::warn!(erasure = id, %error, "an old receipt cannot be removed");
            }
            self.by_id.remove(&id);
            self.newest.retain(|_, newest| *newest != id);
        }
        Ok(job)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(id).with_extension(SUFFIX)
    }

    fn write(&self, path: &Path, job: &Erasure) -> io::Result<()> {
        let aside = self.dir.join(NEW_FILE);
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        serde_json::to_writer_pretty(&mut file, job)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        File::open(&self.dir)?.sync_all()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Erasure> {
        self.by_id.get(id)
    }

    /// The newest job of something.
    pub(super) fn newest(&self, subject: &Subject) -> Option<&Erasure> {
        self.by_id.get(self.newest.get(subject)?)
    }

    /// The job that waited longest for its turn.
    pub(super) fn next(&self) -> Option<Erasure> {
        self.by_id.get(self.waiting.front()?).cloned()
    }

    /// Jobs that are not over.
    pub(super) fn unfinished(&self) -> usize {
        self.waiting.len()
    }
}
