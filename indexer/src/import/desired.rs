//! What a source says that a workspace should hold: pages with their blocks, members, groups.
//!
//! Values only. What differs from the stored state is found by [`super::diff`].

use std::collections::BTreeMap;

use schemas::block::BlockContent;
use schemas::grant::{Grant, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId};
use schemas::page::{PageKind, Parent, PropertyValue};

/// A page as its source has it.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredPage {
    /// Its id.
    pub id: PageId,
    /// Where it hangs.
    pub parent: Parent,
    /// Its title, at most [`schemas::limits::TITLE_CHARS_MAX`] characters.
    pub title: String,
    /// What kind it is.
    pub kind: PageKind,
    /// Its icon.
    pub icon: Option<String>,
    /// Its properties; tags are the list named `tags`.
    pub properties: BTreeMap<String, PropertyValue>,
    /// Who made it; absent when the source does not say.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Option<jiff::Timestamp>,
    /// Who changed it last.
    pub edited_by: Option<UserId>,
    /// When it was changed last.
    pub edited_at: Option<jiff::Timestamp>,
    /// Its own sharing; absent when the source says nothing, and then sharing set by others stays.
    pub access: Option<DesiredAccess>,
    /// Whether it is in the trash.
    pub trashed: bool,
    /// Its blocks in reading order.
    pub blocks: Vec<DesiredBlock>,
}

impl DesiredPage {
    /// An empty page.
    pub fn new(id: PageId, parent: Parent, title: impl Into<String>) -> Self {
        Self {
            id,
            parent,
            title: title.into(),
            kind: PageKind::Page,
            icon: None,
            properties: BTreeMap::new(),
            created_by: None,
            created_at: None,
            edited_by: None,
            edited_at: None,
            access: None,
            trashed: false,
            blocks: Vec::new(),
        }
    }
}

/// The sharing of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredAccess {
    /// Its own grants.
    pub grants: Vec<Grant>,
    /// Whether it takes nothing from its parent.
    pub restricted: bool,
}

/// A block with the blocks nested in it.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredBlock {
    /// Its type and content.
    pub content: BlockContent,
    /// The blocks in it, in reading order.
    pub children: Vec<DesiredBlock>,
}

impl From<BlockContent> for DesiredBlock {
    fn from(content: BlockContent) -> Self {
        Self { content, children: Vec::new() }
    }
}

/// A person of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredMember {
    /// The person.
    pub user: UserId,
    /// What the person is.
    pub role: Role,
}

/// A group of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredGroup {
    /// The group.
    pub id: GroupId,
    /// Who is in it: users and groups.
    pub members: Vec<Principal>,
}
