//! `/v1/status`, `/v1/explain-access`, `/healthz` and `/readyz`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Consistency;
use crate::ids::{PageId, WorkspaceId};

/// How the server stands. Counts are for administrators alone: they would tell others of pages they cannot see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// The release.
    pub version: String,
    /// Whether it takes requests.
    pub ready: bool,
    /// The embedding model; absent when search goes by words alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// What has been read of the caller's workspace.
    pub consistency: Consistency,
    /// The caller's workspace; for administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceStatus>,
    /// The write side, over all workspaces; for service keys that may administer every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingest: Option<IngestStatus>,
    /// The request, as logs name it.
    pub request_id: String,
}

/// What is held of one workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkspaceStatus {
    /// Its id.
    pub id: WorkspaceId,
    /// Pages, those in the trash included.
    pub pages: u64,
    /// Passages that can be searched by words.
    pub passages: u64,
    /// Passages that can be searched by meaning.
    pub vectors: u64,
    /// Passages that still wait for their vector.
    pub pending_vectors: u64,
}

/// How the write side stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IngestStatus {
    /// Whether events are taken.
    pub accepting: bool,
    /// Events that wait to be committed.
    pub queue_len: u64,
    /// Passages that wait to be embedded.
    pub pending_vectors: u64,
    /// Age of the oldest event that is not searchable yet, in milliseconds.
    pub lag_ms: u64,
    /// Events turned down since the start.
    pub rejected_total: u64,
    /// The stream that is read; absent when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamStatus>,
}

/// How the reading of a stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamStatus {
    /// Whether the brokers answered when they were last asked.
    pub connected: bool,
    /// Whether events could not be merged when it was last tried, and are tried again: a full disk, for one. Or reading ended
    /// because of what the log says.
    pub failing: bool,
    /// Times the brokers had dropped events before they were read.
    pub gaps_total: u64,
    /// The partitions that are read, in order.
    pub partitions: Vec<PartitionStatus>,
}

/// How the reading of a partition stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: i32,
    /// All before this offset is merged, or kept as a dead letter.
    pub position: i64,
    /// All before this offset is committed; absent before the first commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<i64>,
    /// Events from the position to the end of the partition; absent before the brokers were asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_events: Option<u64>,
    /// How long ago the first event that was read and is not merged was written, in milliseconds; where none waits, about how long
    /// the first that was not read yet does; 0 when all is merged.
    pub lag_ms: u64,
    /// Bytes that were read and are not merged.
    pub in_flight_bytes: u64,
    /// Whether it is not read for a while, because too much waits.
    pub paused: bool,
}

/// Why a person can or cannot see or find a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainAccess {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who was asked about: `user:ID` or `anonymous`.
    pub subject: String,
    /// The page.
    pub page: PageId,
    /// May find it by search.
    pub discover: bool,
    /// May open it by id.
    pub read: bool,
    /// What is indexed of the page; absent when the page is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexed: Option<IndexedPage>,
    /// The verdict with its path through the tree and the groups.
    #[schema(value_type = Object)]
    pub explanation: serde_json::Value,
    /// The titles of the pages of that path, by their ids, as far as whoever asks can read those pages.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object, required = false)]
    pub titles: BTreeMap<PageId, String>,
    /// What had been read when this was answered.
    pub consistency: Consistency,
    /// The request, as logs name it.
    pub request_id: String,
}

/// What the index holds of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IndexedPage {
    /// Passages that can be searched by words.
    pub passages: u64,
    /// Passages that can be searched by meaning.
    pub vectors: u64,
    /// Whether it is in the trash, itself or with a page above it.
    pub trashed: bool,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// The answer of `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// Always `ok`; a server that is not answers with a problem.
    pub status: HealthStatus,
}

/// The word `ok`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// All is well.
    #[default]
    Ok,
}
