//! The thread that writes the audit log: what waits goes into the file together, and to the disk together.
//!
//! What cannot be written is kept and tried again while the queue fills behind it; what is lost beyond that is told in the log once it can be
//! written. Whoever waits for an act is answered when it is on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::act::{Act, OfLog};
use super::redact::{Erased, redact, without_erased};
use super::segments::{Segments, of_log};
use super::{AuditConfig, Counts};

/// Acts written together.
const BATCH_MAX: usize = 256;
/// Longest time between two looks at who was erased.
const LOOK_INTERVAL: Duration = Duration::from_hours(1);
/// Pause before what could not be written is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row after which a closing log gives up.
const CLOSING_TRIES: u32 = 3;

/// What the thread is asked for.
pub(super) enum Request {
    /// Record an act, and say when it is on disk where somebody waits for it.
    Record(Box<(Timestamp, Act)>, Option<SyncSender<()>>),
    /// Take out who was erased, and say when that is done.
    Sweep(Option<SyncSender<()>>),
}

pub(super) struct Writer {
    pub(super) log: Segments,
    pub(super) config: AuditConfig,
    pub(super) counts: Arc<Counts>,
    pub(super) erased: Arc<dyn Erased>,
    pub(super) synced_at: Instant,
    /// Acts that were lost, as far as the log says so.
    pub(super) told_lost: u64,
    pub(super) has_unsynced: bool,
}

/// What is dealt with together.
#[derive(Default)]
struct Batch {
    acts: Vec<(Timestamp, Act)>,
    waiting: Vec<SyncSender<()>>,
    sweeps: Vec<SyncSender<()>>,
    is_swept: bool,
}

impl Writer {
    /// Writes until nobody can ask any more.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        self.sweep();
        let mut looked_at = Instant::now();
        loop {
            let patience = if self.has_unsynced { self.until_sync() } else { LOOK_INTERVAL };
            let (first, is_last) = match requests.recv_timeout(patience) {
                Ok(request) => (Some(request), false),
                Err(RecvTimeoutError::Timeout) => (None, false),
                Err(RecvTimeoutError::Disconnected) => (None, true),
            };
            let mut batch = Batch::default();
            for request in first.into_iter().chain(requests.try_iter().take(BATCH_MAX - 1)) {
                batch.take(request);
            }
            let is_due = is_last || !batch.waiting.is_empty() || !batch.sweeps.is_empty();
            let is_written = self.write_until_done(&mut batch, is_due, requests);
            if batch.is_swept
                || self.counts.is_erased.swap(false, Ordering::AcqRel)
                || looked_at.elapsed() >= LOOK_INTERVAL
            {
                self.sweep();
                looked_at = Instant::now();
            }
            if is_written {
                // Whoever asked may have stopped waiting.
                batch.waiting.into_iter().chain(batch.sweeps).for_each(|done| _ = done.try_send(()));
            }
            if is_last {
                return;
            }
        }
    }

    fn until_sync(&self) -> Duration {
        Duration::from_millis(u64::from(self.config.sync_ms)).saturating_sub(self.synced_at.elapsed())
    }

    /// Writes a batch, again and again until it is in the file. False when the log closes before.
    fn write_until_done(&mut self, batch: &mut Batch, is_due: bool, requests: &Receiver<Request>) -> bool {
        let mut failures = 0;
        let mut acts = std::mem::take(&mut batch.acts);
        acts = acts.into_iter().map(|(time, act)| (time, without_erased(act, &*self.erased))).collect();
        loop {
            let Err(error) = self.write(&mut acts, is_due) else {
                if failures > 0 {
                    tracing::info!("the audit log can be written again");
                }
                self.counts.is_failing.store(false, Ordering::Release);
                return true;
            };
            failures += 1;
            self.counts.is_failing.store(true, Ordering::Release);
            if failures == 1 {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the audit log cannot be written; it is tried again");
            }
            if self.counts.is_closed.load(Ordering::Acquire) && failures >= CLOSING_TRIES {
                let left = acts.len() + requests.try_iter().count();
                tracing::error!(acts = left, "the last lines of the audit log are lost");
                return false;
            }
            std::thread::park_timeout(RETRY_PAUSE);
        }
    }

    fn write(&mut self, acts: &mut Vec<(Timestamp, Act)>, is_due: bool) -> std::io::Result<()> {
        let lost = self.counts.lost.load(Ordering::Relaxed);
        let news = lost - self.told_lost;
        if !acts.is_empty() || news > 0 {
            let lock = self.log.lock()?;
            let mut all = std::mem::take(acts);
            let given = all.len();
            if news > 0 {
                all.push((Timestamp::now(), of_log(OfLog::Lost { acts: news })));
            }
            let appended = self.log.append(&lock, &all);
            if let Err(error) = appended {
                all.truncate(given);
                *acts = all;
                return Err(error);
            }
            self.told_lost = lost;
            self.has_unsynced = true;
            self.counts.recorded.fetch_add(given as u64, Ordering::Relaxed);
        }
        if self.has_unsynced && (is_due || self.until_sync().is_zero()) {
            self.log.sync()?;
            (self.has_unsynced, self.synced_at) = (false, Instant::now());
        }
        Ok(())
    }

    fn sweep(&mut self) {
        match redact(&mut self.log, &*self.erased, Timestamp::now()) {
            Ok(0) => {}
            Ok(lines) => tracing::info!(lines, "who was erased was taken out of the audit log"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "the audit log may still name someone erased; it is tried again within the hour"
                );
            }
        }
    }
}

impl Batch {
    fn take(&mut self, request: Request) {
        match request {
            Request::Record(act, done) => {
                self.acts.push(*act);
                self.waiting.extend(done);
            }
            Request::Sweep(done) => {
                self.is_swept = true;
                self.sweeps.extend(done);
            }
        }
    }
}
