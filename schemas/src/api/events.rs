//! `/v1/events`: batches of events over HTTP.

use serde::{Deserialize, Serialize};

use crate::event::InvalidCode;

/// What to wait for before the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Until the events are committed to disk: answered with 202.
    #[default]
    Durable,
    /// Until searches find them: answered with 200.
    Searchable,
}

/// What became of a batch. The events that were turned down are listed; all others are safe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventsResponse {
    /// Events that changed something.
    pub accepted: u64,
    /// Events that were seen before, or are older than what is there.
    pub unchanged: u64,
    /// Events that met a concurrent write; they are counted under `accepted` or `unchanged` too.
    pub conflicts: u64,
    /// Events that were turned down, in the order of the batch.
    pub rejected: Vec<RejectedEvent>,
    /// The commit that holds the batch: give it as `at_least.index_seq` to read what was written.
    pub index_seq: u64,
    /// The request, as logs name it.
    pub request_id: String,
}

/// An event that was turned down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectedEvent {
    /// Its place in the batch, counted from 0.
    pub index: u64,
    /// The id that its source gave it, as far as it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The field that is wrong, as `data.version.clock`; empty for the event as a whole.
    pub field: String,
    /// A stable name of the kind of problem.
    pub code: InvalidCode,
    /// What is wrong, and the limit where one was broken.
    pub reason: String,
}
