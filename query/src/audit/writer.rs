//! The thread that writes the audit log: what waits goes into the file together, and to the disk together.
//!
//! What cannot be written is kept and tried again while the queue fills behind it; what is lost beyond that is told in the log once it can be
//! written. Whoever waits for an act is answered when it is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::AuditConfig;
use super::act::{Act, OfLog};
use super::redact::{Erased, redact, without_erased};
use super::segments::{Segments, of_log};
use crate::scribe::{Behind, Counts, Log};

/// Pause before what could not be written is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row after which a closing log gives up.
const CLOSING_TRIES: u32 = 3;

/// An act to record.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) act: Box<(Timestamp, Act)>,
    /// Told when it is on disk, where somebody waits for that.
    pub(super) done: Option<SyncSender<()>>,
}

pub(super) struct Writer {
    pub(super) log: Segments,
    pub(super) config: AuditConfig,
    pub(super) counts: Arc<Counts>,
    /// Whether what was tried last could not be written.
    pub(super) is_failing: Arc<AtomicBool>,
    pub(super) erased: Arc<dyn Erased>,
    pub(super) synced_at: Instant,
    /// Acts that were lost, as far as the log says so.
    pub(super) told_lost: u64,
    pub(super) has_unsynced: bool,
}

impl Log for Writer {
    type Record = Entry;

    fn patience(&self) -> Option<Duration> {
        self.has_unsynced.then(|| self.until_sync())
    }

    /// Again and again until it is in the file, or the log closes.
    fn write(&mut self, entries: Vec<Entry>, is_due: bool, behind: &Behind<'_, Entry>) -> bool {
        let mut waiting = Vec::new();
        let mut acts = Vec::with_capacity(entries.len());
        for Entry { act, done } in entries {
            let (time, act) = *act;
            acts.push((time, without_erased(act, &*self.erased)));
            waiting.extend(done);
        }
        let is_due = is_due || !waiting.is_empty();
        let mut failures = 0;
        while let Err(error) = self.append(&mut acts, is_due) {
            failures += 1;
            self.is_failing.store(true, Ordering::Release);
            if failures == 1 {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the audit log cannot be written; it is tried again");
            }
            if behind.is_closing() && failures >= CLOSING_TRIES {
                let left = acts.len() + behind.give_up();
                tracing::error!(acts = left, "the last lines of the audit log are lost");
                return false;
            }
            std::thread::park_timeout(RETRY_PAUSE);
        }
        if failures > 0 {
            tracing::info!("the audit log can be written again");
        }
        self.is_failing.store(false, Ordering::Release);
        // Whoever asked may have stopped waiting.
        for done in waiting {
            let _ = done.try_send(());
        }
        true
    }

    fn sweep(&mut self) {
        if let Err(error) = self.log.retire_due(Timestamp::now()) {
            tracing::warn!(error = &error as &dyn std::error::Error, "old segments of the audit log cannot be retired");
        }
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

impl Writer {
    fn until_sync(&self) -> Duration {
        Duration::from_millis(u64::from(self.config.sync_ms)).saturating_sub(self.synced_at.elapsed())
    }

    /// Writes acts, and takes them only where that succeeds.
    fn append(&mut self, acts: &mut Vec<(Timestamp, Act)>, is_due: bool) -> std::io::Result<()> {
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
            self.counts.written.fetch_add(given as u64, Ordering::Relaxed);
        }
        if self.has_unsynced && (is_due || self.until_sync().is_zero()) {
            self.log.sync()?;
            (self.has_unsynced, self.synced_at) = (false, Instant::now());
        }
        Ok(())
    }
}
