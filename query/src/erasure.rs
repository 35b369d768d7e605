//! Erasures: jobs that take a page, a person or a workspace out of every store that may hold something of it, and prove it by a receipt.
//!
//! ```text
//! DELETE -> job on disk -> 202 -> each store erases, in order -> each store is looked into -> nothing is left -> receipt -> audit log
//!                            ^                                        │ something is left, or a store failed
//!                            └──────────────── later ────────────────┘
//! ```
//!
//! What stores there are is not known here: each is a [`Store`], and the process names them in one list. Invariants: a job is on disk before it
//! is answered, and ends with a receipt or is tried again, after a restart too; a receipt says that nothing was left in any store; the same thing
//! has one job at a time.

mod config;
mod jobs;
pub mod receipt;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use schemas::api::erasures::{Erasure, ErasureCheck, ErasureKind, ErasureStatus};
use schemas::ids::{PageId, UserId, WorkspaceId};
use thiserror::Error;

use crate::audit::Audit;
use crate::audit::act::{Act, Actor, Kind, What};
pub use config::{ErasureConfig, ErasureConfigError};
use jobs::Jobs;
pub use jobs::{JobsError, read as read_jobs};

/// The folder of the jobs, below that of the data.
pub const FOLDER: &str = "erasures";

/// First and longest pause before a job is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the audit log is waited for.
const AUDIT_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be erased.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A page of a workspace.
    Page(WorkspaceId, PageId),
    /// A person of a workspace.
    User(WorkspaceId, UserId),
    /// A workspace.
    Workspace(WorkspaceId),
}

impl Subject {
    /// The workspace that it is of, or is.
    pub fn workspace(&self) -> &WorkspaceId {
        match self {
            Self::Page(workspace, _) | Self::User(workspace, _) | Self::Workspace(workspace) => workspace,
        }
    }

    /// What it is.
    pub fn kind(&self) -> ErasureKind {
        match self {
            Self::Page(..) => ErasureKind::Page,
            Self::User(..) => ErasureKind::User,
            Self::Workspace(_) => ErasureKind::Workspace,
        }
    }

    /// Its own id.
    pub fn id(&self) -> &str {
        match self {
            Self::Page(_, page) => page.as_str(),
            Self::User(_, user) => user.as_str(),
            Self::Workspace(workspace) => workspace.as_str(),
        }
    }

    /// What a job or a receipt is about; none where it names no id.
    pub fn of(kind: ErasureKind, workspace: &WorkspaceId, id: &str) -> Option<Self> {
        Some(match kind {
            ErasureKind::Page => Self::Page(workspace.clone(), PageId::new(id).ok()?),
            ErasureKind::User => Self::User(workspace.clone(), UserId::new(id).ok()?),
            ErasureKind::Workspace => Self::Workspace(workspace.clone()),
        })
    }
}

/// Something that may hold something of a page, a person or a workspace. The first of all is the index: others may ask it who was erased.
pub trait Store: Send + Sync {
    /// Takes out what it holds. It may be called again, whatever came of it before; false where it must be, later.
    fn erase(&self, subject: &Subject) -> Result<bool, StoreError>;

    /// Looks what is left, and changes nothing.
    fn look(&self, subject: &Subject) -> Result<ErasureCheck, StoreError>;
}

/// Why a store could not be erased from, or not looked into.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Why an erasure was not begun.
#[derive(Debug, Error)]
pub enum EraseError {
    /// As many wait as may.
    #[error("as many erasures wait as may")]
    Full,
    /// The job could not be written down, or not recorded.
    #[error("the job cannot be written down")]
    Unwritten(#[source] StoreError),
    /// The server stops.
    #[error("the server stops")]
    Closed,
}

/// The erasures of a server. Cloning is cheap; the thread ends when all clones are gone or [`Erasures::close`] is called.
#[derive(Clone)]
pub struct Erasures(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    config: ErasureConfig,
    stores: Vec<Box<dyn Store>>,
    not_reached: Vec<String>,
    audit: Option<Audit>,
    /// Held while one is begun, so that two who ask for the same get the same.
    beginning: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    jobs: Jobs,
    is_closed: bool,
}

/// What the jobs work with.
pub struct Parts {
    /// What may hold something, the index first.
    pub stores: Vec<Box<dyn Store>>,
    /// What may hold something and cannot be reached, in words.
    pub not_reached: Vec<String>,
    /// Where requests and receipts are recorded.
    pub audit: Option<Audit>,
}

impl Erasures {
    /// Opens the jobs below the folder of all data, and goes on with those that are not over.
    pub fn open(data_dir: &Path, config: &ErasureConfig, parts: Parts) -> Result<Self, JobsError> {
        let Parts { stores, not_reached, audit } = parts;
        let state = Mutex::new(State { jobs: Jobs::open(&data_dir.join(FOLDER), config)?, is_closed: false });
        let (config, changed) = (config.clone(), Condvar::new());
        let beginning = Mutex::new(());
        let shared = Arc::new(Shared { config, stores, not_reached, audit, beginning, state, changed });
        let worked = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("query-erasure".to_owned()).spawn(move || worked.run());
        let thread = thread.map_err(JobsError::Thread)?;
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// Begins an erasure, or finds the one that is not over yet, or the one that is over where nothing came back since. The job is on disk
    /// when it returns, and that it was asked for is in the audit log, each time. Blocks.
    pub fn begin(&self, subject: &Subject, by: Actor, request_id: &str) -> Result<Erasure, EraseError> {
        let shared = &self.0.shared;
        let _beginning = shared.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let former = shared.lock().jobs.newest(subject).cloned();
        let former = former.filter(|job| job.status != ErasureStatus::Done || shared.is_nothing_left(subject));
        let unwritten = |error: JobsError| EraseError::Unwritten(Box::new(error));
        if let Some(former) = former {
            shared.record(&former, subject, by, request_id, true)?;
            return Ok(former);
        }
        let state = shared.lock();
        if state.is_closed {
            return Err(EraseError::Closed);
        }
        if state.jobs.unfinished() >= shared.config.jobs_max {
            return Err(EraseError::Full);
        }
        let job = state.jobs.new_job(subject, Timestamp::now()).map_err(unwritten)?;
        drop(state);
        shared.record(&job, subject, by, request_id, false)?;
        let mut state = shared.lock();
        let job = state.jobs.put(job).map_err(unwritten)?;
        drop(state);
        shared.changed.notify_all();
        Ok(job)
    }

    /// A job by its id.
    pub fn get(&self, id: &str) -> Option<Erasure> {
        self.0.shared.lock().jobs.get(id).cloned()
    }

    /// Jobs that are not over.
    pub fn unfinished(&self) -> usize {
        self.0.shared.lock().jobs.unfinished()
    }

    /// Waits until all jobs are over; false when the time ran out first. Blocks.
    pub fn settle(&self, timeout: Duration) -> bool {
        let shared = &self.0.shared;
        let is_at_work = |state: &mut State| state.jobs.unfinished() > 0 && !state.is_closed;
        let waited = shared.changed.wait_timeout_while(shared.lock(), timeout, is_at_work);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.jobs.unfinished() == 0
    }

    /// Ends the thread after the store at hand; jobs go on at the next start.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Handle {
    fn close(&self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the thread was reported where it happened.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

fn kind_name(kind: ErasureKind) -> &'static str {
    match kind {
        ErasureKind::Page => "page",
        ErasureKind::User => "user",
        ErasureKind::Workspace => "workspace",
    }
}

/// What came of a try.
enum Tried {
    Done(Vec<ErasureCheck>),
    /// Why not.
    Later(String),
    /// The server stops.
    Stopped,
}

impl Shared {
    /// Records that an erasure was asked for, again perhaps, and waits until that is on disk.
    fn record(
        &self,
        job: &Erasure,
        subject: &Subject,
        by: Actor,
        request_id: &str,
        is_again: bool,
    ) -> Result<(), EraseError> {
        let Some(audit) = &self.audit else { return Ok(()) };
        // No text and no person: the lines of the log that name the person go with the person.
        let what = What::new(Kind::ErasureRequested).noting("erasure", &job.id).noting("of", kind_name(job.kind));
        let what = if is_again { what.noting("again", "true") } else { what };
        let what = What { request: Some(request_id.to_owned()), ..what.within(subject.workspace()) };
        let recorded = audit.record_durably(Act { who: by.into(), what }, AUDIT_PATIENCE);
        recorded.map_err(|error| EraseError::Unwritten(Box::new(error)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_nothing_left(&self, subject: &Subject) -> bool {
        self.stores.iter().all(|store| store.look(subject).is_ok_and(|check| check.left == 0))
    }

    /// Works on one job after another until the server stops. One that fails goes behind the others.
    fn run(&self) {
        let mut pause = RETRY_PAUSE;
        loop {
            let idle = |state: &mut State| !state.is_closed && state.jobs.unfinished() == 0;
            let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if state.is_closed {
                return;
            }
            let Some(job) = state.jobs.next() else { continue };
            drop(state);
            match self.work_on(job) {
                Ok(true) => {
                    pause = RETRY_PAUSE;
                    self.changed.notify_all();
                    continue;
                }
                Ok(false) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "an erasure cannot be written down; it is tried again");
                }
            }
            let waited = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.is_closed);
            drop(waited);
            pause = (2 * pause).min(RETRY_PAUSE_MAX);
        }
    }

    /// Tries a job. Whether it is over.
    fn work_on(&self, mut job: Erasure) -> Result<bool, JobsError> {
        (job.status, job.tries) = (ErasureStatus::Running, job.tries.saturating_add(1));
        let mut job = self.lock().jobs.put(job)?;
        let Some(subject) = Subject::of(job.kind, &job.workspace, &job.subject) else { return Ok(false) };
        let checks = match self.try_once(&subject) {
            Tried::Done(checks) => checks,
            Tried::Stopped => return Ok(false),
            Tried::Later(trouble) => {
                tracing::warn!(
                    erasure = job.id,
                    tries = job.tries,
                    trouble,
                    "an erasure is not over yet; it is tried again"
                );
                job.trouble = Some(trouble);
                self.lock().jobs.put(job)?;
                return Ok(false);
            }
        };
        let key = self.audit.as_ref().and_then(Audit::key);
        let receipt = receipt::make(&job, checks, self.not_reached.clone(), Timestamp::now(), key);
        if let Some(audit) = &self.audit {
            let what = What::new(Kind::ErasureFinished).noting("erasure", &job.id).noting("receipt", &receipt.hash);
            let act = Act { who: Actor::System.into(), what: what.noting("of", kind_name(job.kind)) };
            if audit.record_durably(act, AUDIT_PATIENCE).is_err() {
                job.trouble = Some("the receipt cannot be recorded in the audit log".to_owned());
                self.lock().jobs.put(job)?;
                return Ok(false);
            }
        }
        tracing::info!(erasure = job.id, tries = job.tries, "an erasure is over");
        (job.status, job.trouble, job.receipt) = (ErasureStatus::Done, None, Some(receipt));
        self.lock().jobs.put(job)?;
        Ok(true)
    }

    fn try_once(&self, subject: &Subject) -> Tried {
        for store in &self.stores {
            if self.lock().is_closed {
                return Tried::Stopped;
            }
            match store.erase(subject) {
                Ok(true) => {}
                Ok(false) => {
                    return Tried::Later(
                        "a store is not done yet: a generation is built, or former files are read".to_owned(),
                    );
                }
                Err(error) => return Tried::Later(crate::error::with_causes(&*error)),
            }
        }
        let mut checks = Vec::with_capacity(self.stores.len());
        for store in &self.stores {
            match store.look(subject) {
                Ok(check) if check.left == 0 => checks.push(check),
                Ok(check) => {
                    return Tried::Later(format!("{} of {} left in `{}`", check.left, check.looked_for, check.store));
                }
                Err(error) => return Tried::Later(crate::error::with_causes(&*error)),
            }
        }
        Tried::Done(checks)
    }
}

#[cfg(test)]
mod tests;
