//! What the graph is told: the state of a page, a group or a member that won.
//!
//! Changes are states, not differences: which of two writes wins was settled before (`schemas::register`), and
//! telling the same state twice changes nothing.

use schemas::grant::{Grant, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId};

/// The number of a workspace in its shard; the index keys its postings with it.
pub type WorkspaceNumber = u32;

/// A page's number in its workspace: dense from 0, one page each, never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageOrdinal(pub u32);

/// Where a page hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// At the root of the workspace. Inherits nothing.
    Workspace,
    /// Under a page; a teamspace is a page of that kind. The page need not be known yet.
    Page(PageId),
}

/// What access needs to know of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageNode {
    /// Where it hangs; `None` while unknown: nobody has access to it.
    pub parent: Option<Parent>,
    /// Its own grants. Of several for one principal the highest level counts.
    pub grants: Vec<Grant>,
    /// Whether the grants from above are cut off.
    pub restricted: bool,
    /// Whether it was put into the trash itself.
    pub trashed: bool,
    /// Whether it is gone. Its children then hang nowhere.
    pub deleted: bool,
}

/// The state of one entity, after the merge of its writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessChange {
    /// A page.
    Page {
        /// Its id.
        page: PageId,
        /// Its number, the same each time.
        ordinal: PageOrdinal,
        /// Its state.
        node: PageNode,
    },
    /// A group.
    Group {
        /// Its id.
        group: GroupId,
        /// Users and groups in it, in any order; other principals are passed over.
        members: Vec<Principal>,
        /// Whether it is gone: nobody is in it.
        deleted: bool,
    },
    /// A person's role in the workspace.
    Member {
        /// The person.
        user: UserId,
        /// The role.
        role: Role,
    },
}

/// What a change did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Whether anything differs from before.
    pub changed: bool,
    /// Pages whose effective access is another one now.
    pub scopes_changed: u32,
}
