//! The thread that writes the ledger, and what it shares with those who record: they never wait for the disk, it does.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::file::LedgerFile;
use super::sums::Sums;
use crate::generate::config::LedgerConfig;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: LedgerConfig,
    pub(super) state: Mutex<State>,
    /// There is something to write, or it was written, or the ledger is closing.
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) sums: Sums,
    /// Lines that wait to be written.
    pub(super) pending: Vec<u8>,
    /// Bytes of lines that the writer has taken and not written yet, if it is at work.
    writing: Option<usize>,
    /// Someone is to be taken out of the files.
    pub(super) forgets: bool,
    /// The writer does not wait for more lines.
    pub(super) urgent: bool,
    pub(super) closing: bool,
}

impl Shared {
    pub(super) fn new(config: LedgerConfig, sums: Sums) -> Self {
        Self { config, state: Mutex::new(State { sums, ..State::default() }), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is recorded until the ledger closes. What cannot be written is kept and tried again.
    pub(super) fn write_until_closed(&self, file: &mut LedgerFile) {
        let mut has_failed = false;
        while let Some(batch) = self.take_batch(file) {
            let written = batch.write(file);
            let mut state = self.lock();
            state.writing = None;
            match written {
                Ok(()) if has_failed => tracing::info!("the usage ledger can be written again"),
                Ok(()) => {}
                Err(error) => {
                    if !has_failed {
                        tracing::error!(%error, "cannot write the usage ledger; trying again");
                    }
                    state.forgets |= batch.forgets;
                    if !file.has(&batch.lines) {
                        state.pending.splice(0..0, batch.lines);
                    }
                    if state.closing {
                        tracing::error!(bytes = state.pending.len(), "lines of the usage ledger are lost");
                        return;
                    }
                    has_failed = true;
                    continue;
                }
            }
            has_failed = false;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// What to write, once there is something and it has waited for more. `None` when there is nothing left and there will
    /// not be.
    fn take_batch(&self, file: &LedgerFile) -> Option<Batch> {
        let idle = |state: &mut State| state.has_nothing_new() && !state.closing;
        let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let gathers = |state: &mut State| !state.urgent && !state.closing;
        let flush = Duration::from_millis(self.config.flush_ms);
        let waited = self.changed.wait_timeout_while(state, flush, gathers);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.urgent = false;
        if state.has_nothing_new() {
            return None;
        }
        let lines = std::mem::take(&mut state.pending);
        let forgets = std::mem::take(&mut state.forgets);
        state.writing = Some(lines.len());
        let is_full = file.calls_bytes() + lines.len() as u64 > self.config.file_bytes_max;
        let sums = (is_full || forgets).then(|| state.sums.clone());
        Some(Batch { lines, sums, forgets })
    }
}

/// What is written together.
struct Batch {
    lines: Vec<u8>,
    /// All sums, if a new file is to begin after the lines. Taken at the same moment: they are those of the file and these lines,
    /// neither more nor less.
    sums: Option<Sums>,
    /// Whether the file before the new one is to go.
    forgets: bool,
}

impl Batch {
    fn write(&self, file: &mut LedgerFile) -> io::Result<()> {
        file.append(&self.lines)?;
        if let Some(sums) = &self.sums {
            file.begin_anew(sums.iter())?;
        }
        if self.forgets { file.remove_former() } else { Ok(()) }
    }
}

impl State {
    /// Whether all is on disk.
    pub(super) fn is_written(&self) -> bool {
        self.has_nothing_new() && self.writing.is_none()
    }

    /// Bytes that are not on disk yet.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.pending.len() + self.writing.unwrap_or(0)
    }

    fn has_nothing_new(&self) -> bool {
        self.pending.is_empty() && !self.forgets
    }
}
