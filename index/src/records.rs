//! Heads: what is kept in memory about every page, group and member, read from a fast column when the index opens.
//!
//! A head is derived from the full record; it decides access, filters and how a hit is shown, without reading the record.

mod stored;

use access::{AccessChange, PageNode, PageOrdinal};
use schemas::grant::{Grant, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::page::{PageKind, Parent, PropertyValue};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::{Deserialize, Serialize};

pub(crate) use stored::read_heads;

/// Names of properties that hold the tags of a page, compared in lower case.
const TAG_PROPERTIES: [&str; 2] = ["tags", "tag"];

/// What is kept in memory about a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageHead {
    /// Its id.
    pub page: PageId,
    /// Its dense number within the workspace, for good.
    #[serde(with = "ordinal_number")]
    pub ordinal: PageOrdinal,
    /// Its title; empty when it has none.
    pub title: String,
    /// Its icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// What kind it is.
    pub kind: PageKind,
    /// Where it hangs; absent when nothing said so yet.
    pub parent: Option<Parent>,
    /// True when it is deleted, or was never upserted: it exists for nobody.
    pub deleted: bool,
    /// True when the page itself is in the trash.
    pub trashed: bool,
    /// Its own grants.
    pub grants: Vec<Grant>,
    /// True when it takes nothing from its parent.
    pub restricted: bool,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<jiff::Timestamp>,
    /// Who changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<UserId>,
    /// When it was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<jiff::Timestamp>,
    /// Passages stored for it.
    #[serde(default)]
    pub passages: u32,
    /// Indexed tokens of those passages.
    #[serde(default)]
    pub tokens: u64,
    /// How many of those passages have something to embed.
    #[serde(default)]
    pub embeddable: u32,
    /// How many of those have an embedding.
    #[serde(default)]
    pub vectors: u32,
    /// Languages of those passages: a bit for each [`crate::analysis::Language::code`].
    #[serde(default)]
    pub languages: u32,
}

impl PageHead {
    /// The head of a page, with the counts of its passages still at zero.
    pub fn of(page: &PageId, ordinal: PageOrdinal, record: &PageRecord) -> Self {
        Self {
            page: page.clone(),
            ordinal,
            title: record.title.value().cloned().unwrap_or_default(),
            icon: record.icon.value().cloned().flatten(),
            kind: record.kind.value().copied().unwrap_or_default(),
            parent: record.parent.value().cloned(),
            deleted: !record.exists(),
            trashed: record.trashed.value() == Some(&true),
            grants: record.grants.value().cloned().unwrap_or_default(),
            restricted: record.restricted.value() == Some(&true),
            tags: tags(record),
            created_by: record.created_by.value().cloned(),
            created_at: record.created_at.value().copied(),
            edited_by: record.edited_by.value().cloned(),
            edited_at: record.edited_at.value().copied(),
            passages: 0,
            tokens: 0,
            embeddable: 0,
            vectors: 0,
            languages: 0,
        }
    }

    /// Takes over what a former head says of the stored passages.
    pub(crate) fn keep_counts(&mut self, former: &Self) {
        (self.passages, self.tokens) = (former.passages, former.tokens);
        (self.embeddable, self.vectors) = (former.embeddable, former.vectors);
        self.languages = former.languages;
    }

    /// What this says to the access graph.
    pub(crate) fn access_change(&self) -> AccessChange {
        AccessChange::Page {
            page: self.page.clone(),
            ordinal: self.ordinal,
            node: PageNode {
                parent: self.parent.as_ref().map(|parent| match parent {
                    Parent::Workspace => access::Parent::Workspace,
                    Parent::Page { id } => access::Parent::Page(id.clone()),
                }),
                grants: self.grants.clone(),
                restricted: self.restricted,
                trashed: self.trashed,
                deleted: self.deleted,
            },
        }
    }
}

fn tags(record: &PageRecord) -> Vec<String> {
    let named = record.properties.iter().filter(|(name, _)| TAG_PROPERTIES.contains(&name.to_lowercase().as_str()));
    let mut tags = Vec::new();
    for (_, property) in named {
        match property.value() {
            Some(Some(PropertyValue::List(items))) => tags.extend(items.iter().cloned()),
            Some(Some(PropertyValue::Text(text))) => tags.push(text.clone()),
            _ => {}
        }
    }
    tags
}

/// What is kept in memory about a record, as it stands in the fast column.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Head {
    /// A page.
    Page(Box<PageHead>),
    /// A group; no members once it is deleted.
    Group {
        /// Its id.
        group: GroupId,
        /// Who is in it.
        members: Option<Vec<Principal>>,
    },
    /// A person.
    Member {
        /// Its id.
        user: UserId,
        /// What the person is.
        role: Option<Role>,
        /// True once erased.
        erased: bool,
    },
    /// The workspace itself.
    Workspace {
        /// Its id.
        workspace: WorkspaceId,
        /// True once erased: nothing is taken in any more.
        erased: bool,
    },
}

/// What a group's record says to the access graph.
pub(crate) fn group_change(group: &GroupId, members: Option<&Vec<Principal>>) -> AccessChange {
    AccessChange::Group {
        group: group.clone(),
        members: members.cloned().unwrap_or_default(),
        deleted: members.is_none(),
    }
}

/// What a member's record says to the access graph.
pub(crate) fn member_change(user: &UserId, role: Option<Role>, erased: bool) -> AccessChange {
    let role = if erased { Role::Removed } else { role.unwrap_or(Role::Removed) };
    AccessChange::Member { user: user.clone(), role }
}

impl Head {
    pub(crate) fn group(group: &GroupId, record: &GroupRecord) -> Self {
        Self::Group { group: group.clone(), members: record.members.value().cloned().flatten() }
    }

    pub(crate) fn member(user: &UserId, record: &MemberRecord) -> Self {
        let erased = record.erased.value() == Some(&true);
        Self::Member { user: user.clone(), role: record.role.value().copied(), erased }
    }
}

/// Ordinals as plain numbers.
mod ordinal_number {
    use access::PageOrdinal;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
    pub(super) fn serialize<S: Serializer>(ordinal: &PageOrdinal, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(ordinal.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PageOrdinal, D::Error> {
        u32::deserialize(deserializer).map(PageOrdinal)
    }
}
