//! The write side as this crate sees it: something that takes events. The binary puts the indexer behind it.

use std::future::Future;
use std::pin::Pin;

use schemas::api::events::Wait;
use schemas::api::operate::IngestStatus;
use schemas::event::{Event, InvalidEvent};
use schemas::ids::WorkspaceId;
use thiserror::Error;

use crate::deadline::Deadline;

/// Something that takes events.
pub trait Ingest: Send + Sync + 'static {
    /// Takes a batch of checked events, in order, and answers once they are as safe as `wait` asks for.
    ///
    /// The batch goes on when the future is dropped: writes are not cancelled. An error says that nothing is known of
    /// the batch; sending it again does no harm.
    fn submit(&self, events: Vec<Event>, wait: Wait, deadline: Deadline) -> Submitted;

    /// Keeps events that could not be read or may not be taken, with the reasons, for an operator to look at. Answers once
    /// they are on disk.
    fn reject(&self, refused: Vec<Refused>) -> Kept;

    /// How it stands. Cheap.
    fn status(&self) -> IngestStatus;
}

/// The answer to a batch, when it comes.
pub type Submitted = Pin<Box<dyn Future<Output = Result<Receipt, IngestError>> + Send>>;

/// An event that was turned down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its bytes as they came.
    pub event: Vec<u8>,
    /// Why.
    pub error: InvalidEvent,
    /// The workspace that it names, if its sender may write there.
    pub sent_for: Option<WorkspaceId>,
}

/// The answer to events that were turned down, when it comes.
pub type Kept = Pin<Box<dyn Future<Output = Result<(), IngestError>> + Send>>;

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Events that changed something.
    pub accepted: u64,
    /// Events that were seen before, or are older than what is there.
    pub unchanged: u64,
    /// Events that met a concurrent write; counted under one of the above too.
    pub conflicts: u64,
    /// Events that were turned down, by their place in the batch, ascending.
    pub rejected: Vec<(usize, InvalidEvent)>,
    /// The commit that holds the batch.
    pub index_seq: u64,
}

/// Why a batch was not answered for.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The queue is full.
    #[error("the queue of events is full")]
    Busy,
    /// The deadline came first; the batch may still be taken.
    #[error("the batch was not committed by the deadline")]
    Late,
    /// Commits fail at the moment, on a full disk for one; what was taken is kept and tried again.
    #[error("the batch could not be committed")]
    Failing(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Events are not taken now: the server is starting or stopping, or reads only.
    #[error("events are not taken at the moment")]
    Closed,
    /// The write side failed.
    #[error("the write side failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
