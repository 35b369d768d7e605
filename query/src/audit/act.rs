//! What a line of the audit log says: who, and what they did. Ids and names of kinds, never text, but where the operator allows it.
//!
//! The two parts are apart because they are erased apart: with a person goes *who*, with a workspace both.

use std::collections::BTreeMap;

use schemas::ids::{PageId, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

/// The note that names several workspaces.
const WORKSPACES_NOTE: &str = "workspaces";

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Who did it.
    pub who: Who,
    /// What was done.
    pub what: What,
}

/// Who did something, and to whom. Goes when one of them is erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Who did it.
    #[serde(flatten)]
    pub actor: Actor,
    /// The person it is about, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<UserId>,
    /// What that person wrote, a query or a question, where the operator allows that it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Someone who does something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "actor", rename_all = "snake_case")]
pub enum Actor {
    /// Someone who showed nothing.
    Nobody,
    /// A person of the workspace.
    Person {
        /// The id.
        user: UserId,
    },
    /// A service key.
    Service {
        /// Its name.
        key: String,
        /// The person it acted for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
    /// Someone believed by word alone, in insecure development.
    Development {
        /// The person that was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserId>,
    },
    /// Whoever runs `tessera` on the command line.
    Operator {
        /// The login name, as the environment says it.
        login: String,
    },
    /// Tessera itself.
    System,
    /// A person who had been erased when it was written.
    Erased,
}

impl Actor {
    /// The person it is, or acted for.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Person { user } => Some(user),
            Self::Service { user, .. } | Self::Development { user } => user.as_ref(),
            Self::Nobody | Self::Operator { .. } | Self::System | Self::Erased => None,
        }
    }

    /// What it is called: the id of a person, the name of a key, a login name.
    pub fn name(&self) -> &str {
        match self {
            Self::Person { user } => user.as_str(),
            Self::Service { key, user } => user.as_ref().map_or(key, UserId::as_str),
            Self::Development { user } => user.as_ref().map_or("development", UserId::as_str),
            Self::Operator { login } => login,
            Self::Nobody => "nobody",
            Self::System => "tessera",
            Self::Erased => "erased",
        }
    }
}

impl From<Actor> for Who {
    fn from(actor: Actor) -> Self {
        Self { actor, about: None, text: None }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct What {
    /// Its kind.
    pub kind: Kind,
    /// In which workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// The request, as the log of the server names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The pages that were shown, opened or named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageId>,
    /// How many more there were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
    /// What else there is to say: names, ids, counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
    /// What the log says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<OfLog>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl What {
    /// Something of a kind.
    pub fn new(kind: Kind) -> Self {
        let (pages, notes) = (Vec::new(), BTreeMap::new());
        Self { kind, workspace: None, request: None, pages, more: 0, notes, log: None }
    }

    /// The workspaces that it names: the one that it was done in, and those that a key may touch.
    pub fn workspaces(&self) -> impl Iterator<Item = &str> {
        let noted = self.notes.get(WORKSPACES_NOTE).map_or("", String::as_str);
        self.workspace.iter().map(WorkspaceId::as_str).chain(noted.split_whitespace())
    }

    /// Noting the workspaces that a key may touch. The line goes with each of them.
    #[must_use]
    pub fn noting_workspaces(self, workspaces: &[WorkspaceId]) -> Self {
        if workspaces.is_empty() {
            return self;
        }
        // No id has white space.
        let ids: Vec<&str> = workspaces.iter().map(WorkspaceId::as_str).collect();
        self.noting(WORKSPACES_NOTE, ids.join(" "))
    }

    /// In a workspace.
    #[must_use]
    pub fn within(mut self, workspace: &WorkspaceId) -> Self {
        self.workspace = Some(workspace.clone());
        self
    }

    /// On pages.
    #[must_use]
    pub fn on<'a>(mut self, pages: impl IntoIterator<Item = &'a PageId>) -> Self {
        self.pages.extend(pages.into_iter().cloned());
        self
    }

    /// With something else to say. No text of a page, none that a person wrote, and no id of a person or a workspace, which would not be erased.
    #[must_use]
    pub fn noting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.notes.insert(name.to_owned(), value.into());
        self
    }
}

/// Kinds of acts. A name keeps its meaning for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Hits of a search were shown.
    Search,
    /// Pages like one were shown.
    Similar,
    /// Suggestions were given.
    Suggest,
    /// An answer was begun from sources.
    Answer,
    /// Another text was begun from pages.
    Generate,
    /// A page was opened.
    Open,
    /// A page was given as a document.
    Export,
    /// Somebody was shown the titles of their conversations.
    ConversationsListed,
    /// Somebody was shown a kept conversation of theirs.
    ConversationOpened,
    /// Somebody removed a conversation of theirs.
    ConversationRemoved,
    /// An administrator read who used how much of language models.
    UsageRead,
    /// It was explained why somebody can or cannot see a page.
    ExplainAccess,
    /// A request was turned away: no valid identity, or not the right to do that.
    Refused,
    /// A service key was made.
    KeyCreated,
    /// A service key was replaced.
    KeyRotated,
    /// A service key was ended.
    KeyRevoked,
    /// Service keys that ended long ago were forgotten.
    KeysPruned,
    /// An erasure was asked for.
    ErasureRequested,
    /// An erasure is over, and has a receipt.
    ErasureFinished,
    /// The index was built anew, or went back to a former generation.
    Reindexed,
    /// Pages, groups, members or events were taken in by the command line, past the API.
    Imported,
    /// Events were written to the stream by the command line.
    Produced,
    /// Dead letters, which hold content, were listed.
    DeadLettersListed,
    /// Dead letters were written to the stream again.
    DeadLettersReplayed,
    /// The index was repaired.
    Repaired,
    /// A snapshot was taken.
    SnapshotTaken,
    /// A snapshot was put in the place of the index.
    Restored,
    /// A server started.
    ServerStarted,
    /// A server stopped.
    ServerStopped,
    /// Something about the log itself.
    Log,
}

impl Kind {
    /// Its name in lines and on the command line.
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        }
    }
}

/// What the log says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum OfLog {
    /// A segment begins. The first line of every one.
    Begun {
        /// Of the lines; 1.
        format: u32,
        /// Names the key that its lines are authenticated with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The hash of the very first line of the log; none in the segment that holds it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first_hash: Option<String>,
        /// The segment before could not be gone on with: the chain begins anew here.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        after_damage: bool,
    },
    /// Segments were old enough to be removed.
    Retired {
        /// The hash of the very first line of the log.
        first_hash: String,
        /// The last line that was removed; all before it were, too.
        last_seq: u64,
        /// Its hash.
        last_hash: String,
    },
    /// The end of a segment held a part of a line, which was cut off.
    Mended {
        /// Bytes that were cut off.
        bytes: u64,
        /// Their SHA-256.
        sha256: String,
    },
    /// Acts were not recorded: the queue was full or the disk was.
    Lost {
        /// How many.
        acts: u64,
    },
    /// Parts of lines were erased. Written before they are.
    Redacted {
        /// The first line of their segment.
        segment: u64,
        /// Lines that lose who, as `5-7,9`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        who: String,
        /// Lines that lose who and what.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        both: String,
    },
}
