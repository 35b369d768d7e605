//! Events: block-change messages in the CloudEvents 1.0 JSON format.
//!
//! `subject` is the id of the entity, the extension attribute `workspaceid` the tenant (and the Kafka key), and `data`
//! holds the version and what changed. [`Event::decode`] is the only way in: it checks every limit and names the field
//! that broke one. It never panics and allocates no more than the input is long, times a constant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::value::MapDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::block::BlockContent;
use crate::grant::{Grant, Principal, Role};
use crate::ids::{BlockId, GroupId, InvalidId, PageId, UserId, WorkspaceId};
use crate::limits;
use crate::page::{PagePatch, PropertyValue};
use crate::version::{CLOCK_REGIONS_MAX, Version};

/// A decoded and checked event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id that the source gave it; unique together with `source`.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// The workspace it is about.
    pub workspace: WorkspaceId,
    /// When it happened, if the source says so.
    pub time: Option<jiff::Timestamp>,
    /// The version of the write.
    pub version: Version,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every event is of the large kind")]
pub enum Change {
    /// A block was made, changed or moved.
    BlockUpserted {
        /// The block.
        block: BlockId,
        /// Its new state.
        patch: BlockPatch,
    },
    /// A block is gone.
    BlockDeleted {
        /// The block.
        block: BlockId,
        /// The page it was on, as far as the source knows.
        page: PageId,
    },
    /// A page was made, renamed, moved, or its properties changed.
    PageUpserted {
        /// The page.
        page: PageId,
        /// What is new.
        patch: Box<PagePatch>,
    },
    /// A page went to the trash, and with it all below.
    PageTrashed {
        /// The page.
        page: PageId,
    },
    /// A page came back from the trash.
    PageRestored {
        /// The page.
        page: PageId,
    },
    /// A page is gone for good.
    PageDeleted {
        /// The page.
        page: PageId,
    },
    /// The sharing of a page changed.
    PageAccessChanged {
        /// The page.
        page: PageId,
        /// Its own grants, all of them.
        grants: Vec<Grant>,
        /// Whether it takes nothing from its parent.
        restricted: bool,
    },
    /// A group was made, changed or deleted.
    GroupChanged {
        /// The group.
        group: GroupId,
        /// Who is in it, users and groups; absent when it is deleted.
        members: Option<Vec<Principal>>,
    },
    /// A person joined, left, or became a guest.
    MemberChanged {
        /// The person.
        user: UserId,
        /// What the person is now.
        role: Role,
    },
    /// Everything of the workspace is to be erased, for good.
    WorkspaceErased,
    /// The person is to be erased, for good.
    UserErased {
        /// The person.
        user: UserId,
    },
}

impl Change {
    /// The CloudEvents type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::BlockUpserted { .. } => "block.upserted",
            Self::BlockDeleted { .. } => "block.deleted",
            Self::PageUpserted { .. } => "page.upserted",
            Self::PageTrashed { .. } => "page.trashed",
            Self::PageRestored { .. } => "page.restored",
            Self::PageDeleted { .. } => "page.deleted",
            Self::PageAccessChanged { .. } => "page.access_changed",
            Self::GroupChanged { .. } => "group.changed",
            Self::MemberChanged { .. } => "member.changed",
            Self::WorkspaceErased => "workspace.erased",
            Self::UserErased { .. } => "user.erased",
        }
    }
}

/// What a `block.upserted` event says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockPatch {
    /// The page it stands on.
    pub page: PageId,
    /// The block it is nested in; absent at the top of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BlockId>,
    /// Its order among its siblings, compared byte by byte (fractional indexing works well).
    pub position: String,
    /// Its type and content; absent when only its place changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<BlockContent>,
}

/// Why an event was turned down: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidEvent {
    /// Path of the field, as `data.version.clock`; empty for the event as a whole.
    pub field: String,
    /// What is wrong with it, and the limit where one was broken. Holds no content.
    pub reason: String,
    /// A stable name of the kind of problem.
    pub code: InvalidCode,
}

/// Kinds of invalid events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvalidCode {
    /// Not JSON, or a field is missing or of the wrong type.
    Malformed,
    /// A stated limit was broken.
    LimitExceeded,
    /// The type of event is unknown.
    UnknownType,
    /// The timestamp is too far in the future.
    ClockAhead,
    /// The sender may not write to this workspace.
    WrongWorkspace,
}

impl InvalidEvent {
    /// Makes one.
    pub fn new(code: InvalidCode, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), code }
    }
}

fn limit(field: impl Into<String>, what: &str, found: usize, max: usize) -> InvalidEvent {
    InvalidEvent::new(InvalidCode::LimitExceeded, field, format!("{found} {what}, the limit is {max}"))
}

#[derive(Deserialize)]
struct Envelope<'a> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    workspaceid: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    time: Option<jiff::Timestamp>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct EnvelopeOut<'a, D> {
    specversion: &'static str,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    workspaceid: &'a WorkspaceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<jiff::Timestamp>,
    datacontenttype: &'static str,
    data: D,
}

#[derive(Serialize)]
struct Versioned<T> {
    version: Version,
    #[serde(flatten)]
    rest: T,
}

/// The `data` of events that say nothing but their version.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnPage {
    page: PageId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Access {
    #[serde(default)]
    grants: Vec<Grant>,
    #[serde(default)]
    restricted: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    members: Option<Vec<Principal>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleOf {
    role: Role,
}

impl Event {
    /// Decodes and checks one event. `now_ms` is the receiver's clock: a timestamp more than
    /// [`limits::CLOCK_AHEAD_MS_MAX`] after it is refused, since it would win every conflict until then.
    pub fn decode(json: &[u8], now_ms: u64) -> Result<Self, InvalidEvent> {
        if json.len() > limits::EVENT_BYTES_MAX {
            return Err(limit("", "bytes", json.len(), limits::EVENT_BYTES_MAX));
        }
        let envelope: Envelope = serde_json::from_slice(json).map_err(|error| malformed("", &error))?;
        if envelope.specversion != "1.0" {
            return Err(InvalidEvent::new(InvalidCode::Malformed, "specversion", "must be \"1.0\""));
        }
        for (field, text) in [("id", &envelope.id), ("source", &envelope.source)] {
            if text.is_empty() || text.len() > 512 {
                return Err(InvalidEvent::new(InvalidCode::Malformed, field, "must have 1 to 512 bytes"));
            }
        }
        let workspace = id(WorkspaceId::new(&envelope.workspaceid), "workspaceid")?;
        let subject = envelope.subject.as_deref().unwrap_or("");
        let data = envelope.data.map_or("{}", RawValue::get);
        let (version, change) = decode_change(&envelope.kind, subject, data)?;
        check_version(&version, now_ms)?;
        change.check()?;
        Ok(Self { id: envelope.id, source: envelope.source, workspace, time: envelope.time, version, change })
    }

    /// The event as CloudEvents JSON, without line breaks.
    pub fn encode(&self) -> String {
        match &self.change {
            Change::BlockUpserted { block, patch } => self.envelope(Some(block.as_str()), patch),
            Change::BlockDeleted { block, page } => self.envelope(Some(block.as_str()), OnPage { page: page.clone() }),
            Change::PageUpserted { page, patch } => self.envelope(Some(page.as_str()), patch),
            Change::PageTrashed { page } | Change::PageRestored { page } | Change::PageDeleted { page } => {
                self.envelope(Some(page.as_str()), Nothing {})
            }
            Change::PageAccessChanged { page, grants, restricted } => {
                let access = Access { grants: grants.clone(), restricted: *restricted };
                self.envelope(Some(page.as_str()), access)
            }
            Change::GroupChanged { group, members } => {
                self.envelope(Some(group.as_str()), Members { members: members.clone() })
            }
            Change::MemberChanged { user, role } => self.envelope(Some(user.as_str()), RoleOf { role: *role }),
            Change::UserErased { user } => self.envelope(Some(user.as_str()), Nothing {}),
            Change::WorkspaceErased => self.envelope(None, Nothing {}),
        }
    }

    fn envelope<T: Serialize>(&self, subject: Option<&str>, rest: T) -> String {
        let out = EnvelopeOut {
            specversion: "1.0",
            id: &self.id,
            source: &self.source,
            kind: self.change.type_name(),
            workspaceid: &self.workspace,
            subject,
            time: self.time,
            datacontenttype: "application/json",
            data: Versioned { version: self.version.clone(), rest },
        };
        serde_json::to_string(&out).expect("maps have text keys and numbers are finite")
    }
}

fn decode_change(kind: &str, subject: &str, data: &str) -> Result<(Version, Change), InvalidEvent> {
    fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<(Version, T), InvalidEvent> {
        let mut fields: BTreeMap<Cow<'a, str>, &'a RawValue> =
            serde_json::from_str(data).map_err(|error| malformed("data", &error))?;
        let Some(version) = fields.remove("version") else {
            return Err(InvalidEvent::new(InvalidCode::Malformed, "data.version", "is missing"));
        };
        let version = serde_json::from_str(version.get()).map_err(|error| malformed("data.version", &error))?;
        let rest = T::deserialize(MapDeserializer::new(fields.into_iter()));
        Ok((version, rest.map_err(|error: serde_json::Error| malformed("data", &error))?))
    }
    let page = || id(PageId::new(subject), "subject");
    let user = || id(UserId::new(subject), "subject");
    let block = || id(BlockId::new(subject), "subject");
    Ok(match kind {
        "block.upserted" => {
            let (version, patch) = read::<BlockPatch>(data)?;
            (version, Change::BlockUpserted { block: block()?, patch })
        }
        "block.deleted" => {
            let (version, OnPage { page }) = read(data)?;
            (version, Change::BlockDeleted { block: block()?, page })
        }
        "page.upserted" => {
            let (version, patch) = read::<PagePatch>(data)?;
            (version, Change::PageUpserted { page: page()?, patch: Box::new(patch) })
        }
        "page.trashed" => (read::<Nothing>(data)?.0, Change::PageTrashed { page: page()? }),
        "page.restored" => (read::<Nothing>(data)?.0, Change::PageRestored { page: page()? }),
        "page.deleted" => (read::<Nothing>(data)?.0, Change::PageDeleted { page: page()? }),
        "page.access_changed" => {
            let (version, Access { grants, restricted }) = read(data)?;
            (version, Change::PageAccessChanged { page: page()?, grants, restricted })
        }
        "group.changed" => {
            let (version, Members { members }) = read(data)?;
            let group = id(GroupId::new(subject), "subject")?;
            (version, Change::GroupChanged { group, members })
        }
        "member.changed" => {
            let (version, RoleOf { role }) = read(data)?;
            (version, Change::MemberChanged { user: user()?, role })
        }
        "workspace.erased" => (read::<Nothing>(data)?.0, Change::WorkspaceErased),
        "user.erased" => (read::<Nothing>(data)?.0, Change::UserErased { user: user()? }),
        _ => {
            return Err(InvalidEvent::new(
                InvalidCode::UnknownType,
                "type",
                "is not a type of event this release knows",
            ));
        }
    })
}

fn malformed(field: &str, error: &serde_json::Error) -> InvalidEvent {
    // serde's messages may quote a wrong value: cut them, so that a log line holds no page of text.
    let mut reason = error.to_string();
    if let Some((end, _)) = reason.char_indices().nth(200) {
        reason.truncate(end);
    }
    InvalidEvent::new(InvalidCode::Malformed, field, reason)
}

fn id<T>(made: Result<T, InvalidId>, field: &str) -> Result<T, InvalidEvent> {
    made.map_err(|error| InvalidEvent::new(InvalidCode::Malformed, field, error.to_string()))
}

fn check_version(version: &Version, now_ms: u64) -> Result<(), InvalidEvent> {
    let regions = version.clock.0.len();
    if regions > CLOCK_REGIONS_MAX {
        return Err(limit("data.version.clock", "regions", regions, CLOCK_REGIONS_MAX));
    }
    if version.clock.counter(&version.region) == 0 {
        let reason = "must count the region that wrote the event";
        return Err(InvalidEvent::new(InvalidCode::Malformed, "data.version.clock", reason));
    }
    if version.timestamp.wall_ms > now_ms.saturating_add(limits::CLOCK_AHEAD_MS_MAX) {
        let reason = format!("is more than {} ms ahead of this server's clock", limits::CLOCK_AHEAD_MS_MAX);
        return Err(InvalidEvent::new(InvalidCode::ClockAhead, "data.version.timestamp", reason));
    }
    Ok(())
}

impl Change {
    fn check(&self) -> Result<(), InvalidEvent> {
        match self {
            Self::BlockUpserted { patch, .. } => {
                let bytes = patch.position.len();
                if bytes > limits::POSITION_BYTES_MAX {
                    return Err(limit("data.position", "bytes", bytes, limits::POSITION_BYTES_MAX));
                }
                let chars = patch.content.as_ref().map_or(0, |content| content.plain_text().chars().count());
                if chars > limits::BLOCK_CHARS_MAX {
                    return Err(limit("data.content", "characters", chars, limits::BLOCK_CHARS_MAX));
                }
                Ok(())
            }
            Self::PageUpserted { patch, .. } => check_patch(patch),
            Self::PageAccessChanged { grants, .. } if grants.len() > limits::GRANTS_MAX => {
                Err(limit("data.grants", "grants", grants.len(), limits::GRANTS_MAX))
            }
            Self::GroupChanged { members: Some(members), .. } => {
                if members.len() > limits::GROUP_MEMBERS_MAX {
                    return Err(limit("data.members", "members", members.len(), limits::GROUP_MEMBERS_MAX));
                }
                let stray = members.iter().position(|m| !matches!(m, Principal::User(_) | Principal::Group(_)));
                stray.map_or(Ok(()), |at| {
                    let reason = "a group holds users and groups only";
                    Err(InvalidEvent::new(InvalidCode::Malformed, format!("data.members[{at}]"), reason))
                })
            }
            _ => Ok(()),
        }
    }
}

fn check_patch(patch: &PagePatch) -> Result<(), InvalidEvent> {
    let chars = patch.title.as_ref().map_or(0, |title| title.chars().count());
    if chars > limits::TITLE_CHARS_MAX {
        return Err(limit("data.title", "characters", chars, limits::TITLE_CHARS_MAX));
    }
    if patch.properties.len() > limits::PROPERTIES_MAX {
        return Err(limit("data.properties", "properties", patch.properties.len(), limits::PROPERTIES_MAX));
    }
    let icon_chars = patch.icon.as_ref().and_then(|icon| icon.as_ref()).map_or(0, |icon| icon.chars().count());
    if icon_chars > limits::TITLE_CHARS_MAX {
        return Err(limit("data.icon", "characters", icon_chars, limits::TITLE_CHARS_MAX));
    }
    for (at, (name, value)) in patch.properties.iter().enumerate() {
        let chars = name.chars().count() + value.as_ref().map_or(0, |v: &PropertyValue| v.plain_text().chars().count());
        if chars > limits::PROPERTY_CHARS_MAX {
            let field = format!("data.properties (number {at})");
            return Err(limit(field, "characters", chars, limits::PROPERTY_CHARS_MAX));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
