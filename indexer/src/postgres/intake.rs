//! Batches of what was read: events on their way into the engine, and rows that are none on their way to the dead letters.
//!
//! Invariant: [`Intake::flush`] moves an offset only when all that was given before is merged or kept as a dead letter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemas::event::{Event, InvalidEvent};
use tokio_util::sync::CancellationToken;

use super::PostgresError;
use crate::dead_letters::{DeadLetter, Origin, SentFor};
use crate::engine::{Engine, Read, Wait};
use crate::error::IngestError;

/// Most events of a batch, and most bytes, before the last row.
const BATCH_EVENTS_MAX: usize = 5_000;
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How long an engine that is full is waited for before it is seen whether to stop.
const ROOM_WAIT: Duration = Duration::from_secs(1);
/// How long an engine may stay full, in turns of [`ROOM_WAIT`].
const ROOM_TURNS_MAX: u32 = 600;

/// The name of a row: its table, and what tells it from others there.
#[derive(Clone, Debug)]
pub(super) struct RowName {
    pub(super) table: Arc<str>,
    pub(super) row: Arc<str>,
}

impl RowName {
    fn origin(&self) -> Origin<'_> {
        Origin::Row { table: &self.table, row: &self.row }
    }
}

/// What became of what was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events that changed something.
    pub accepted: u64,
    /// Events that were known already, or are older than what is there.
    pub unchanged: u64,
    /// Rows and events that were turned down; they are in the file of dead letters.
    pub rejected: u64,
}

/// A batch under way.
pub(super) struct Intake<'a> {
    engine: &'a Engine,
    stop: &'a CancellationToken,
    events: Vec<Event>,
    /// The rows that the events were read from.
    names: Vec<RowName>,
    bad: Vec<(RowName, Vec<u8>, InvalidEvent)>,
    bytes: usize,
    pub(super) taken: Taken,
}

impl<'a> Intake<'a> {
    pub(super) fn new(engine: &'a Engine, stop: &'a CancellationToken) -> Self {
        let (events, names, bad) = (Vec::new(), Vec::new(), Vec::new());
        Self { engine, stop, events, names, bad, bytes: 0, taken: Taken::default() }
    }

    /// Adds an event of so many bytes.
    pub(super) fn good(&mut self, event: Event, bytes: usize, name: RowName) {
        self.bytes += bytes;
        self.events.push(event);
        self.names.push(name);
    }

    /// Adds a row that is none.
    pub(super) fn bad(&mut self, row: Vec<u8>, error: InvalidEvent, name: RowName) {
        self.bytes += row.len();
        self.bad.push((name, row, error));
    }

    /// Whether to flush before the next row.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() + self.bad.len() >= BATCH_EVENTS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// Brings all that was given to the engine, and then moves the offsets. Waits for room where there is none.
    pub(super) fn flush(&mut self, offsets: &BTreeMap<String, i64>) -> Result<(), PostgresError> {
        if self.events.is_empty() && self.bad.is_empty() && offsets.is_empty() {
            return Ok(());
        }
        let letters = self.bad.iter().map(|(name, row, error)| DeadLetter {
            event: row,
            error,
            origin: Some(name.origin()),
            sent_for: SentFor::Any,
        });
        self.engine.keep(&letters.collect::<Vec<_>>())?;
        self.taken.rejected += self.bad.len() as u64;
        self.bad.clear();
        let mut keep = |rejected: &[(usize, InvalidEvent)]| {
            let texts: Vec<_> = rejected.iter().map(|(at, _)| self.events[*at].encode()).collect();
            let letters = texts.iter().zip(rejected).map(|(text, (at, error))| DeadLetter {
                event: text.as_bytes(),
                error,
                origin: Some(self.names[*at].origin()),
                sent_for: SentFor::Any,
            });
            self.engine.keep(&letters.collect::<Vec<_>>())
        };
        let mut turns = 0;
        loop {
            if self.stop.is_cancelled() {
                return Err(PostgresError::Stopped);
            }
            let read = Read { events: &self.events, written_ms: &[], offsets, is_bulk: false };
            match self.engine.submit_read(&read, Wait::Applied, &mut keep) {
                Ok(submitted) => {
                    self.taken.accepted += submitted.accepted;
                    self.taken.unchanged += submitted.unchanged;
                    self.taken.rejected += submitted.rejected.len() as u64;
                    break;
                }
                Err(error @ IngestError::Overloaded { .. }) if turns == ROOM_TURNS_MAX => return Err(error.into()),
                Err(IngestError::Overloaded { .. }) => {
                    turns += 1;
                    self.engine.wait_for_room(self.events.len(), ROOM_WAIT);
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.events.clear();
        self.names.clear();
        self.bytes = 0;
        Ok(())
    }
}
