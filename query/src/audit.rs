//! The audit log: who searched and opened what, and what administrators did; append-only, and chained by hashes.
//!
//! On unless an operator switches it off. Lines hold ids and never text, unless that is allowed. Requests hand their acts over through a bounded
//! queue to one thread (`writer.rs` behind a `scribe`); commands write beside it, under a lock (`segments.rs`). `verify.rs` proves that nothing was changed, put
//! in or left out, as far as that can be proven ([how far](../../docs/audit.md)). Invariants: no request waits for a disk but one that
//! erases; what is lost is counted, in the log too; whoever is erased leaves it (`redact.rs`), and the chain still holds.

pub mod act;
mod config;
mod line;
mod redact;
mod segments;
pub mod verify;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;

use act::{Act, Kind};
pub use config::{AuditConfig, AuditConfigError, OnFailure};
use line::Sealer;
pub use line::{AuditKey, KEY_BYTES_MIN};
pub use redact::{Erased, lines_of};
use redact::{redact, without_erased};
use segments::Segments;
use writer::{Entry, Writer};

use crate::scribe::{Counts, Scribe, sweep_once};

/// The folder of the log, below that of the data.
pub const FOLDER: &str = "audit";
/// The name of its thread.
const THREAD: &str = "query-audit";

/// The audit log of a server. Cloning is cheap; the thread ends when all clones are gone or [`Audit::close`] is called.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    config: AuditConfig,
    key: Option<AuditKey>,
    dir: PathBuf,
    counts: Arc<Counts>,
    /// What was tried last could not be written.
    is_failing: Arc<AtomicBool>,
    /// Requests that were turned away in this minute, and how many of them were not recorded.
    refused: Mutex<(Option<Instant>, u32, usize)>,
    scribe: Scribe<Entry>,
}

/// An act that could not be recorded, where the operator wants no act without a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the audit log cannot be written at the moment")]
pub struct Unrecorded;

impl Audit {
    /// Opens the log below the folder of all data, and starts its thread; `None` where it is off. A log of a time when it was on is still kept
    /// clean of who is erased and of what is too old, once at each start.
    pub fn open(
        data_dir: &Path,
        config: &AuditConfig,
        key: Option<AuditKey>,
        erased: Arc<dyn Erased>,
    ) -> io::Result<Option<Self>> {
        let dir = data_dir.join(FOLDER);
        if !config.enabled && !dir.exists() {
            return Ok(None);
        }
        let (counts, is_failing) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let writer = Writer {
            log: Segments::open(&dir, config.clone(), Sealer::new(key.clone())?)?,
            config: config.clone(),
            counts: Arc::clone(&counts),
            is_failing: Arc::clone(&is_failing),
            erased,
            synced_at: Instant::now(),
            told_lost: 0,
            has_unsynced: false,
        };
        if !config.enabled {
            sweep_once(THREAD, writer)?;
            return Ok(None);
        }
        let scribe = Scribe::start(THREAD, config.queue_len_max, Arc::clone(&counts), writer)?;
        let (config, refused) = (config.clone(), Mutex::default());
        Ok(Some(Self(Arc::new(Parts { config, key, dir, counts, is_failing, refused, scribe }))))
    }

    /// What it is configured with.
    pub fn config(&self) -> &AuditConfig {
        &self.0.config
    }

    /// The folder of its segments.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The key that lines are authenticated with.
    pub fn key(&self) -> Option<&AuditKey> {
        self.0.key.as_ref()
    }

    /// Acts that were written since the start.
    pub fn recorded_total(&self) -> u64 {
        self.0.counts.written.load(Ordering::Relaxed)
    }

    /// Acts that were lost since the start.
    pub fn lost_total(&self) -> u64 {
        self.0.counts.lost.load(Ordering::Relaxed)
    }

    /// Records an act; it is on disk within [`AuditConfig::sync_ms`]. Waits for nothing.
    ///
    /// An error only where the operator wants nothing done that is not recorded; else what does not fit is counted.
    pub fn record(&self, mut act: Act) -> Result<(), Unrecorded> {
        let config = &self.0.config;
        if (act.what.kind == Kind::Suggest && !config.suggestions) || !self.admits(&mut act) {
            return Ok(());
        }
        config.fit(&mut act);
        let is_refused = act.what.kind == Kind::Refused;
        if self.send(act, None) && !self.0.is_failing.load(Ordering::Acquire) {
            return Ok(());
        }
        if config.on_failure == OnFailure::Refuse && !is_refused { Err(Unrecorded) } else { Ok(()) }
    }

    /// Records an act and waits until it is on disk. Blocks.
    pub fn record_durably(&self, act: Act, timeout: Duration) -> Result<(), Unrecorded> {
        let (done, wait) = sync_channel(1);
        let sent = self.send(act, Some(done));
        if sent && wait.recv_timeout(timeout).is_ok() { Ok(()) } else { Err(Unrecorded) }
    }

    /// Of requests that are turned away, only so many are recorded in a minute.
    fn admits(&self, act: &mut Act) -> bool {
        if act.what.kind != Kind::Refused {
            return true;
        }
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, recorded, left_out) = &mut *refused;
        if since.is_none_or(|since| since.elapsed() >= Duration::from_mins(1)) {
            (*since, *recorded) = (Some(Instant::now()), 0);
        }
        if *recorded >= self.0.config.refused_per_minute_max {
            *left_out += 1;
            return false;
        }
        *recorded += 1;
        act.what.more = std::mem::take(left_out);
        true
    }

    fn send(&self, act: Act, done: Option<SyncSender<()>>) -> bool {
        self.0.scribe.offer(Entry { act: Box::new((Timestamp::now(), act)), done })
    }

    /// Has everyone who was erased taken out of the log. Say so whenever somebody was; it is looked for once an hour and at each start anyway.
    pub fn look_for_erased(&self) {
        self.0.scribe.look_for_erased();
    }

    /// Waits until what was handed over so far is on disk and who was erased is out of it; false when the time ran out first. Blocks.
    pub fn settle(&self, timeout: Duration) -> bool {
        self.0.scribe.settle(timeout)
    }

    /// Writes what is waiting and ends the thread. What comes later is lost.
    pub fn close(&self) {
        self.0.scribe.close();
    }
}

/// Takes out of a log of a time when it was on whoever was erased, and what is too old. For a process that records nothing.
pub fn clean_left(data_dir: &Path, config: &AuditConfig, key: Option<AuditKey>, erased: &dyn Erased) -> io::Result<()> {
    let dir = data_dir.join(FOLDER);
    if dir.exists() {
        let mut log = Segments::open(&dir, config.clone(), Sealer::new(key)?)?;
        log.retire_due(Timestamp::now())?;
        redact(&mut log, erased, Timestamp::now())?;
    }
    Ok(())
}

impl AuditConfig {
    /// Takes out of an act what is not to be kept.
    fn fit(&self, act: &mut Act) {
        if act.what.pages.len() > self.pages_max {
            act.what.more += act.what.pages.len() - self.pages_max;
            act.what.pages.truncate(self.pages_max);
        }
        if !self.keep_text {
            act.who.text = None;
        }
    }
}

/// Records an act of a command, beside a server that may run, and waits until it is on disk. Nothing where the log is off.
pub fn record_once(
    data_dir: &Path,
    config: &AuditConfig,
    key: Option<AuditKey>,
    erased: Option<&dyn Erased>,
    act: Act,
) -> io::Result<()> {
    if !config.enabled {
        return Ok(());
    }
    let mut act = if let Some(erased) = erased { without_erased(act, erased) } else { act };
    config.fit(&mut act);
    let mut log = Segments::open(&data_dir.join(FOLDER), config.clone(), Sealer::new(key)?)?;
    let lock = log.lock()?;
    log.append(&lock, &[(Timestamp::now(), act)])?;
    log.sync()
}

#[cfg(test)]
mod tests;
