//! The access graph of one workspace: told of changes, asked for masks and decisions.
//!
//! Knows nothing of text, commits or time. Invariants: after every `apply`, each page of the newest view has the
//! scope that the rules give it from scratch; the page above a sound page is sound; no view is published that is
//! older than the published one.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::{GroupId, PageId, UserId};

use crate::caller::{Caller, Decision, Purpose, Subject};
use crate::change::{AccessChange, Effect, PageNode, PageOrdinal, WorkspaceNumber};
use crate::directory::{Directory, PrincipalIndex, Principals, Reached};
use crate::mask::{Half, Mask};
use crate::scopes::{EMPTY, NOBODY, ScopeId, ScopeTable};
use crate::tree::{Content, DEPTH_MAX, Fault, Link, Presence, Tree};

/// Everything about who may read what in one workspace.
///
/// One writer applies changes and publishes; readers take masks. Cost: some 150 bytes per page, 16 per principal.
#[derive(Debug)]
pub struct AccessGraph {
    number: WorkspaceNumber,
    pub(crate) principals: Principals,
    pub(crate) tree: Tree,
    pub(crate) scopes: ScopeTable,
    seq: u64,
    published_seq: u64,
    pub(crate) newest: View,
    pub(crate) published: View,
}

/// What a decision is made from, as of one moment; scopes and principals keep their numbers, so they are shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// The scope of each page, by ordinal.
    scope_of: Arc<Vec<ScopeId>>,
    pub(crate) directory: Arc<Directory>,
}

/// The access state at the moment when the contents of a commit were fixed.
#[derive(Clone, Debug)]
#[must_use = "what is not published stays unseen"]
pub struct FencePoint {
    workspace: WorkspaceNumber,
    seq: u64,
    view: View,
}

/// What a workspace looks like, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Pages that are there, broken ones included.
    pub pages: u32,
    /// Distinct effective accesses held.
    pub scopes: u32,
    /// Pages broken by [`Fault::MissingParent`].
    pub orphans: u32,
    /// Pages broken by [`Fault::Cycle`].
    pub cycles: u32,
    /// Pages broken by [`Fault::TooDeep`].
    pub too_deep: u32,
    /// Ordinals and pages broken by [`Fault::OrdinalClash`]: a bug when not 0.
    pub ordinal_clashes: u32,
    /// Users and groups that grants name and that do not exist.
    pub unknown_principals: u32,
}

impl AccessGraph {
    /// A workspace without pages, groups or members.
    pub fn new(number: WorkspaceNumber) -> Self {
        Self {
            number,
            principals: Principals::new(),
            tree: Tree::default(),
            scopes: ScopeTable::new(),
            seq: 0,
            published_seq: 0,
            newest: View::default(),
            published: View::default(),
        }
    }

    /// Takes in a change. Access that it takes away is gone for every mask made from now on.
    ///
    /// Costs what changes: a subtree is walked only as far as its access or its depth differs from before.
    pub fn apply(&mut self, change: AccessChange) -> Effect {
        match change {
            AccessChange::Page { page, ordinal, node } => self.apply_page(&page, ordinal, &node),
            AccessChange::Group { group, members, deleted } => self.apply_group(group, &members, deleted),
            AccessChange::Member { user, role } => self.apply_member(user, role),
        }
    }

    fn apply_page(&mut self, page: &PageId, ordinal: PageOrdinal, node: &PageNode) -> Effect {
        let grants = self.number_grants(&node.grants);
        let content = Content {
            parent: node.parent.as_ref(),
            grants: &grants,
            restricted: node.restricted,
            trashed: node.trashed,
            deleted: node.deleted,
        };
        let concerned = self.tree.ordinal_of(page).unwrap_or(ordinal.0);
        if !self.tree.set(page, ordinal, &content) {
            return Effect::default();
        }
        self.seq += 1;
        let added = self.tree.len() as usize - self.newest.scope_of.len();
        if added > 0 {
            Arc::make_mut(&mut self.newest.scope_of).resize(self.tree.len() as usize, NOBODY);
            (0..added).for_each(|_| self.scopes.add_page(NOBODY));
        }
        Effect { changed: true, scopes_changed: self.settle(concerned) }
    }

    /// Numbers grants: sorted, one for each principal.
    fn number_grants(&mut self, grants: &[Grant]) -> Vec<(PrincipalIndex, Level)> {
        let mut numbered: Vec<_> =
            grants.iter().map(|grant| (self.principals.intern(&grant.principal), grant.level)).collect();
        numbered.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        numbered.dedup_by_key(|(principal, _)| *principal);
        numbered
    }

    /// Works out the scopes below a page that changed. Returns how many are others now.
    fn settle(&mut self, changed: u32) -> u32 {
        let mut scopes_changed = 0;
        let mut state = if self.closes_cycle(changed) { (NOBODY, 0) } else { self.state_of(changed) };
        let mut at = changed;
        let mut pending = Vec::new();
        loop {
            let before = self.newest.scope_of[at as usize];
            let (scope, depth) = state;
            if scope != before || depth != self.tree.node(at).depth {
                self.tree.set_depth(at, depth);
                if scope != before {
                    Arc::make_mut(&mut self.newest.scope_of)[at as usize] = scope;
                    self.scopes.move_page(before, scope, self.seq);
                    scopes_changed += 1;
                }
                pending.extend(&self.tree.node(at).children);
            }
            let Some(next) = pending.pop() else { return scopes_changed };
            at = next;
            state = self.state_of(at);
        }
    }

    /// The scope and depth of a page, from those of the page above.
    fn state_of(&mut self, at: u32) -> (ScopeId, u8) {
        let node = self.tree.node(at);
        if node.presence != Presence::Here {
            return (NOBODY, 0);
        }
        let (base, depth) = match node.link {
            Link::Workspace => (EMPTY, 1),
            Link::Page(parent) => (self.newest.scope_of[parent as usize], self.tree.node(parent).depth + 1),
            Link::Unknown | Link::Waiting(_) => return (NOBODY, 0),
        };
        if base == NOBODY || depth > DEPTH_MAX {
            return (NOBODY, 0);
        }
        (self.scopes.derive(base, &node.grants, node.restricted, node.trashed), depth)
    }

    /// Whether a page was just hung below itself.
    ///
    /// Spares going round the cycle until it is too deep, which ends the same. A page in an older cycle is broken
    /// already, and so is what hangs under it; above a sound page there are less than [`DEPTH_MAX`] others.
    fn closes_cycle(&self, at: u32) -> bool {
        let Some(parent) = self.tree.parent(at) else { return false };
        self.newest.scope_of[parent as usize] != NOBODY
            && (parent == at || self.tree.ancestors(parent).any(|above| above == at))
    }

    fn apply_group(&mut self, group: GroupId, members: &[Principal], deleted: bool) -> Effect {
        let group = self.principals.intern(&Principal::Group(group));
        let mut numbers: Vec<_> = members
            .iter()
            .filter(|member| matches!(member, Principal::User(_) | Principal::Group(_)))
            .map(|member| self.principals.intern(member))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        let members = (!deleted).then_some(&numbers[..]);
        if self.newest.directory.members_of(group) == members {
            return Effect::default();
        }
        Arc::make_mut(&mut self.newest.directory).set_members(group, members);
        self.seq += 1;
        Effect { changed: true, scopes_changed: 0 }
    }

    fn apply_member(&mut self, user: UserId, role: Role) -> Effect {
        let user = self.principals.intern(&Principal::User(user));
        if self.newest.directory.role(user) == Some(role) {
            return Effect::default();
        }
        Arc::make_mut(&mut self.newest.directory).set_role(user, role);
        self.seq += 1;
        Effect { changed: true, scopes_changed: 0 }
    }

    /// Marks the present state, to be published once the commit whose contents are being fixed is visible.
    pub fn fence_point(&self) -> FencePoint {
        FencePoint { workspace: self.number, seq: self.seq, view: self.newest.clone() }
    }

    /// Gives the access that was applied before the point. A point older than what is published does nothing.
    pub fn publish_at(&mut self, point: FencePoint) {
        debug_assert_eq!(point.workspace, self.number, "a fence point belongs to the graph that gave it");
        if point.workspace != self.number || point.seq < self.published_seq {
            return;
        }
        self.published = point.view;
        self.published_seq = point.seq;
        self.scopes.reclaim(self.published_seq);
    }

    /// Gives all access applied so far: everything that was written with it is visible.
    pub fn publish(&mut self) {
        self.publish_at(self.fence_point());
    }

    /// How many changes made a difference so far.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The [`AccessGraph::seq`] up to which access is given. Behind it while a commit is pending.
    pub fn published_seq(&self) -> u64 {
        self.published_seq
    }

    /// The number of this workspace.
    pub fn number(&self) -> WorkspaceNumber {
        self.number
    }

    /// The pages that a caller may see for a purpose, by the newest and the published view both.
    ///
    /// Costs the caller's groups and one bit per scope, twice while a commit is pending; pages are not touched.
    pub fn mask(&self, caller: &Caller, purpose: Purpose) -> Mask {
        let half = |view: &View| Half {
            scope_of: Arc::clone(&view.scope_of),
            scopes: self.scopes.allowed(&self.principals_of(view, &caller.subject), purpose).into(),
        };
        let published = (self.seq != self.published_seq).then(|| half(&self.published));
        Mask::new(self.number, self.seq, self.published_seq, half(&self.newest), published)
            .with_allowed_count(|scopes| self.scopes.pages_in(scopes))
    }

    /// What a caller may do with one page, by the newest and the published view both. Nothing, for an unknown page.
    pub fn decide(&self, caller: &Caller, page: PageOrdinal) -> Decision {
        let newest = self.decide_in(&self.newest, &caller.subject, page);
        if self.seq == self.published_seq {
            return newest;
        }
        newest.and(self.decide_in(&self.published, &caller.subject, page))
    }

    pub(crate) fn decide_in(&self, view: &View, subject: &Subject, page: PageOrdinal) -> Decision {
        let Some(&scope) = view.scope_of.get(page.0 as usize) else { return Decision::default() };
        self.scopes.decide(scope, &self.principals_of(view, subject))
    }

    fn principals_of(&self, view: &View, subject: &Subject) -> Vec<PrincipalIndex> {
        self.reached_by(view, subject).iter().map(|reached| reached.principal).collect()
    }

    /// The principals that a subject is in a view, without `public`.
    pub(crate) fn reached_by(&self, view: &View, subject: &Subject) -> Vec<Reached> {
        let Subject::User(user) = subject else { return Vec::new() };
        let user = self.principals.get(&Principal::User(user.clone()));
        user.map(|user| view.directory.principals_of(user)).unwrap_or_default()
    }

    /// Whether nobody has access to a page, whatever the grants.
    pub(crate) fn is_broken(&self, at: u32) -> bool {
        self.newest.scope_of[at as usize] == NOBODY
    }

    /// The effective grants of a page in the newest view.
    pub(crate) fn effective_grants(&self, at: u32) -> &[(PrincipalIndex, Level)] {
        self.scopes.grants(self.newest.scope_of[at as usize])
    }

    /// What a person is in the workspace; `None` when nothing was said of them.
    pub fn role_of(&self, user: &UserId) -> Option<Role> {
        self.newest.directory.role(self.principals.get(&Principal::User(user.clone()))?)
    }

    /// The ordinal that a page has, also once it is deleted.
    pub fn ordinal_of(&self, page: &PageId) -> Option<PageOrdinal> {
        self.tree.ordinal_of(page).map(PageOrdinal)
    }

    /// The page at an ordinal, also once it is deleted.
    pub fn page_of(&self, ordinal: PageOrdinal) -> Option<&PageId> {
        self.tree.get(ordinal)?.page.as_ref()
    }

    /// The smallest ordinal above all that were used.
    pub fn next_ordinal(&self) -> PageOrdinal {
        PageOrdinal(self.tree.len())
    }

    /// The page above, if it is known and not deleted.
    pub fn parent_of(&self, ordinal: PageOrdinal) -> Option<PageOrdinal> {
        self.ancestors(ordinal).next()
    }

    /// The pages above, nearest first, as far as they are known and not deleted; at most [`DEPTH_MAX`].
    pub fn ancestors(&self, ordinal: PageOrdinal) -> impl Iterator<Item = PageOrdinal> {
        self.tree.ancestors(ordinal.0).map(PageOrdinal)
    }

    /// A page and all pages below it, to narrow a mask by. Empty for an unknown or deleted page.
    pub fn subtree(&self, ordinal: PageOrdinal) -> RoaringBitmap {
        let mut pages = RoaringBitmap::new();
        let mut pending: Vec<u32> = self.tree.get(ordinal).map(|_| ordinal.0).into_iter().collect();
        while let Some(at) = pending.pop() {
            if self.tree.node(at).presence == Presence::Here && pages.insert(at) {
                pending.extend(&self.tree.node(at).children);
            }
        }
        pages
    }

    /// Counts what there is and what is wrong. Costs a test for each principal, and for each page if some are broken.
    pub fn counters(&self) -> Counters {
        let mut counters =
            Counters { pages: self.tree.here(), scopes: self.scopes.len() as u32, ..Counters::default() };
        let absent = self.tree.len() - self.tree.here();
        if self.scopes.pages(NOBODY) > absent || self.tree.clashes() > 0 {
            let mut known = HashMap::new();
            for at in 0..self.tree.len() {
                if !self.is_broken(at) || matches!(self.tree.node(at).presence, Presence::Gap | Presence::Deleted) {
                    continue;
                }
                *match self.tree.fault(at, &mut known) {
                    Fault::MissingParent => &mut counters.orphans,
                    Fault::Cycle => &mut counters.cycles,
                    Fault::TooDeep => &mut counters.too_deep,
                    Fault::OrdinalClash => &mut counters.ordinal_clashes,
                } += 1;
            }
        }
        let directory = &self.newest.directory;
        let unknown = |(number, name): &(PrincipalIndex, &Principal)| {
            self.scopes.names(*number) && !directory.knows(*number, name)
        };
        counters.unknown_principals = self.principals.iter().filter(unknown).count() as u32;
        counters
    }
}
