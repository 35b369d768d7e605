//! What a commit says of itself, stored with it.

use std::collections::BTreeMap;

use access::WorkspaceNumber;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, IndexError};
use crate::fields::FORMAT;

/// What a commit says of itself: how far the source was read, under which number, with which model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPayload {
    /// Number of the commit, growing by one.
    pub index_seq: u64,
    /// The next position to read in each stream.
    #[serde(default)]
    pub offsets: BTreeMap<String, i64>,
    /// The embedding model of all vectors.
    #[serde(default)]
    pub model_id: Option<String>,
    /// How far a generation that is being built has followed the one in use; absent once it is in use itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
}

/// How far one generation has followed another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follows {
    /// The one that is followed.
    pub generation: u32,
    /// Number of the commit of that one whose records are all here, once nothing is left to copy.
    pub index_seq: u64,
    /// While the first copy is made: the page that comes next.
    pub next: Option<(WorkspaceNumber, u32)>,
}

/// The payload as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredPayload {
    format: u32,
    #[serde(flatten)]
    payload: CommitPayload,
}

impl CommitPayload {
    pub(super) fn encode(&self) -> String {
        let stored = StoredPayload { format: FORMAT, payload: self.clone() };
        serde_json::to_string(&stored).expect("numbers and text are JSON")
    }

    /// The format and the payload of the last commit; `None` before the first.
    pub(crate) fn of(engine: &tantivy::Index) -> Result<Option<(u32, Self)>, IndexError> {
        let payload = engine.load_metas().doing("read its description")?.payload;
        payload.as_deref().map(Self::decode).transpose()
    }

    /// Reads a payload and the format it says.
    pub(crate) fn decode(json: &str) -> Result<(u32, Self), IndexError> {
        let stored: StoredPayload = serde_json::from_str(json)
            .map_err(|error| IndexError::Damaged { what: "commit payload", source: Box::new(error) })?;
        Ok((stored.format, stored.payload))
    }
}
