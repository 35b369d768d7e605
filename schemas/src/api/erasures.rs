//! `/v1/erasures` and the `DELETE`s that begin one: jobs that erase something, and their receipts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::WorkspaceId;

/// What is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureKind {
    /// A page with its blocks.
    Page,
    /// A person of the workspace.
    User,
    /// The workspace.
    Workspace,
}

/// The word `erasure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureObject {
    /// An erasure.
    #[default]
    Erasure,
}

/// How far an erasure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureStatus {
    /// It waits for its turn.
    Waiting,
    /// It is worked on, or waits to be tried again.
    Running,
    /// It is over, and has a receipt.
    Done,
}

/// A job that erases something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Erasure {
    /// Always `erasure`.
    #[serde(default)]
    pub object: ErasureObject,
    /// Its id.
    pub id: String,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// What is erased.
    pub kind: ErasureKind,
    /// The id of the page, the person or the workspace.
    pub subject: String,
    /// How far it is.
    pub status: ErasureStatus,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try did not come to an end, in words; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub trouble: Option<String>,
    /// What was done and found, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub receipt: Option<ErasureReceipt>,
    /// The request, as logs name it.
    #[serde(default)]
    pub request_id: String,
}

/// What was done and found: the proof of an erasure, to be kept by whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErasureReceipt {
    /// Of this document; 1.
    pub format: u32,
    /// The job.
    pub erasure: String,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// What was erased.
    pub kind: ErasureKind,
    /// The id of the page, the person or the workspace.
    pub subject: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// When all stores had been looked into.
    #[schema(value_type = String, format = DateTime)]
    pub finished_at: Timestamp,
    /// The release of Tessera that did it.
    pub release: String,
    /// What was looked into, in this order.
    pub checks: Vec<ErasureCheck>,
    /// What cannot be reached from here and may hold something still, in words.
    pub not_reached: Vec<String>,
    /// SHA-256 of this document without `hash` and `mac`, as compact JSON, its fields in the order of their names. It is in the audit log, too.
    pub hash: String,
    /// HMAC-SHA-256 of the same, cut to 16 bytes, where the audit log has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub mac: Option<String>,
}

/// What one store was found to hold in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErasureCheck {
    /// The store: `index`, `dead_letters`, `audit` and so on.
    pub store: String,
    /// Whether there is one at all.
    pub present: bool,
    /// What was looked for, in words.
    pub looked_for: String,
    /// How much of it is left: 0 in a receipt.
    pub left: u64,
    /// What it keeps on purpose, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub kept: Vec<String>,
}
