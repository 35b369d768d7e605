//! The access rules a second time, written to be read rather than to be fast.
//!
//! A decision is worked out from scratch by walking up the tree and down the groups, with nothing remembered. It
//! shares no code with the `access` crate: nothing but `std` and the ids and grants of `schemas`. Tests of other
//! crates include this file with `#[path]`. Whoever changes a rule changes it here and there, and the property tests
//! say whether the two mean the same.

#![allow(dead_code, unreachable_pub, reason = "each test that includes it uses a part, from inside its own crate")]

use std::collections::{BTreeMap, BTreeSet};

use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId};

/// Where a page hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Above {
    /// At the root of the workspace.
    Root,
    /// Under a page, known or not.
    Page(PageId),
    /// Nobody knows.
    Unknown,
}

/// A page as the oracle knows it.
#[derive(Clone, Debug)]
pub struct Page {
    /// Where it hangs.
    pub above: Above,
    /// Its own grants.
    pub grants: Vec<Grant>,
    /// Whether the grants from above are cut off.
    pub restricted: bool,
    /// Whether it was put into the trash itself.
    pub trashed: bool,
}

/// A workspace as the oracle knows it: what is deleted is not in it.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// The pages that exist.
    pub pages: BTreeMap<PageId, Page>,
    /// The groups that exist, with their members.
    pub groups: BTreeMap<GroupId, Vec<Principal>>,
    /// The role of everyone known.
    pub roles: BTreeMap<UserId, Role>,
}

/// What adds up on a page from the root down to it.
struct Effective {
    grants: Vec<Grant>,
    trashed: bool,
}

impl Oracle {
    /// Whether search shows a page to a user (`None`: anonymous).
    pub fn finds(&self, user: Option<&UserId>, page: &PageId) -> bool {
        let named = |effective: &Effective| !effective.trashed && self.level(user, effective, false).is_some();
        self.effective(page, 1).as_ref().is_some_and(named)
    }

    /// Whether a page opens by its id.
    pub fn opens(&self, user: Option<&UserId>, page: &PageId) -> bool {
        let any = |effective: &Effective| !effective.trashed && self.level(user, effective, true).is_some();
        self.effective(page, 1).as_ref().is_some_and(any)
    }

    /// Whether a page is found and read in the trash.
    pub fn finds_in_trash(&self, user: Option<&UserId>, page: &PageId) -> bool {
        let edits =
            |effective: &Effective| effective.trashed && self.level(user, effective, false) >= Some(Level::Edit);
        self.effective(page, 1).as_ref().is_some_and(edits)
    }

    /// The level of a page for a user; in the trash, without what `public` gives.
    pub fn level_of(&self, user: Option<&UserId>, page: &PageId) -> Option<Level> {
        let effective = self.effective(page, 1)?;
        self.level(user, &effective, !effective.trashed)
    }

    /// `None` for a page that does not exist or does not hang at the root within 100 levels: a cycle never does.
    fn effective(&self, page: &PageId, level: u32) -> Option<Effective> {
        if level > 100 {
            return None;
        }
        let page = self.pages.get(page)?;
        let above = match &page.above {
            Above::Root => Effective { grants: Vec::new(), trashed: false },
            Above::Page(parent) => self.effective(parent, level + 1)?,
            Above::Unknown => return None,
        };
        let inherited = if page.restricted { Vec::new() } else { above.grants };
        Some(Effective { grants: [inherited, page.grants.clone()].concat(), trashed: above.trashed || page.trashed })
    }

    fn level(&self, user: Option<&UserId>, effective: &Effective, public_counts: bool) -> Option<Level> {
        let reaches = |grant: &&Grant| match &grant.principal {
            Principal::Public => public_counts,
            other => user.is_some_and(|user| self.is(user, other)),
        };
        effective.grants.iter().filter(reaches).map(|grant| grant.level).max()
    }

    /// Whether a user is a principal: itself, in a group, or a member.
    fn is(&self, user: &UserId, principal: &Principal) -> bool {
        let Some(role) = self.roles.get(user).filter(|role| **role != Role::Removed) else { return false };
        match principal {
            Principal::User(named) => named == user,
            Principal::Group(group) => self.holds(group, user, &mut BTreeSet::new()),
            Principal::Workspace => *role == Role::Member,
            Principal::Public => true,
        }
    }

    fn holds(&self, group: &GroupId, user: &UserId, asked: &mut BTreeSet<GroupId>) -> bool {
        asked.insert(group.clone())
            && self.groups.get(group).is_some_and(|members| {
                members.iter().any(|member| match member {
                    Principal::User(named) => named == user,
                    Principal::Group(inner) => self.holds(inner, user, asked),
                    Principal::Workspace | Principal::Public => false,
                })
            })
    }
}
