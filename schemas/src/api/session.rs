//! `/v1/session`.

use serde::{Deserialize, Serialize};

use crate::grant::Role;
use crate::ids::{UserId, WorkspaceId};

/// Who the server takes the caller for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    /// Whether callers are believed without proof: insecure development, on this machine alone.
    pub development: bool,
    /// The workspace that is asked; absent when none was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// The person; absent when none was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// Whether the endpoints for administrators may be used.
    pub administrator: bool,
    /// Whether the server keeps conversations for those who ask for it.
    pub conversations: bool,
    /// In insecure development, people that one may search as: the first 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 1000)]
    pub people: Vec<Person>,
    /// The request, as logs name it.
    pub request_id: String,
}

/// A person in a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Person {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The person.
    pub user: UserId,
    /// What the person is there.
    pub role: Role,
}
