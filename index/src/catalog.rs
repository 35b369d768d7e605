//! The catalog: the workspaces of this index with what is kept in memory of each: its access graph and page heads.
//!
//! It is filled from the heads in the fast column when the index opens, and kept ahead of the commits by the write side:
//! an access change is in the graph before it is committed. Readers hold the lock for no longer than they need to take
//! a mask or some heads. The lock is never held across a search.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use access::{AccessGraph, PageOrdinal, WorkspaceNumber};
use schemas::grant::{Principal, Role};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::page::Parent;

use crate::analysis::Language;
use crate::records::{Head, PageHead, group_change, member_change};

/// Counts over the stored passages of one workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkspaceStats {
    /// Pages that exist.
    pub pages: u64,
    /// Passages.
    pub passages: u64,
    /// Indexed tokens of those passages.
    pub tokens: u64,
    /// Passages with something to embed.
    pub embeddable: u64,
    /// Passages with an embedding.
    pub vectors: u64,
}

/// What is kept in memory of one workspace.
#[derive(Debug)]
pub struct WorkspaceState {
    /// Who may read what.
    pub access: AccessGraph,
    /// True once everything of it was erased; nothing is taken in any more.
    pub erased: bool,
    /// Boxed, so that a growing list moves and spares pointers and not heads.
    heads: Vec<Option<Box<PageHead>>>,
    members: HashMap<UserId, bool>,
    stats: WorkspaceStats,
    languages: u32,
}

impl WorkspaceState {
    fn new(number: WorkspaceNumber) -> Self {
        Self {
            access: AccessGraph::new(number),
            erased: false,
            heads: Vec::new(),
            members: HashMap::new(),
            stats: WorkspaceStats::default(),
            languages: 0,
        }
    }

    /// The head of a page by its number.
    pub fn head(&self, ordinal: PageOrdinal) -> Option<&PageHead> {
        self.heads.get(ordinal.0 as usize)?.as_deref()
    }

    /// The head of a page by its id.
    pub fn head_of(&self, page: &PageId) -> Option<&PageHead> {
        self.head(self.access.ordinal_of(page)?)
    }

    /// All heads, tombstones included, by number.
    pub fn heads(&self) -> impl Iterator<Item = &PageHead> {
        self.heads.iter().filter_map(Option::as_deref)
    }

    /// The number of a page; the next free one when it has none yet.
    pub fn ordinal_for(&self, page: &PageId) -> PageOrdinal {
        let next = PageOrdinal(u32::try_from(self.heads.len()).expect("a workspace has fewer than 2^32 pages"));
        self.access.ordinal_of(page).unwrap_or(next)
    }

    /// Puts the head of a page in place of its former one, keeping the counts of its passages.
    /// Its access takes effect at once, as far as it narrows.
    pub fn put_head(&mut self, mut head: PageHead) {
        self.access.apply(head.access_change());
        if let Some(former) = self.head(head.ordinal) {
            head.keep_counts(former);
        }
        self.set_head(Box::new(head));
    }

    /// Takes over the counts of a page's passages as they were just stored.
    pub(crate) fn count(&mut self, stored: &PageHead) {
        let Some(mut head) = self.head(stored.ordinal).cloned() else { return };
        head.keep_counts(stored);
        self.set_head(Box::new(head));
    }

    /// Names pages and people by the ids that are in memory anyway: each head that was read brought copies of them.
    fn share_ids(&self, head: &mut PageHead) {
        let known_page = |id: &mut PageId| {
            if let Some(known) = self.access.ordinal_of(id).and_then(|at| self.access.page_of(at)) {
                id.clone_from(known);
            }
        };
        known_page(&mut head.page);
        if let Some(Parent::Page { id }) = &mut head.parent {
            known_page(id);
        }
        for user in [&mut head.created_by, &mut head.edited_by].into_iter().flatten() {
            if let Some((known, _)) = self.members.get_key_value(user) {
                user.clone_from(known);
            }
        }
    }

    fn set_head(&mut self, mut head: Box<PageHead>) {
        self.share_ids(&mut head);
        let at = head.ordinal.0 as usize;
        if self.heads.len() <= at {
            self.heads.resize_with(at + 1, || None);
        }
        let former = self.heads[at].replace(head);
        let stats = &mut self.stats;
        if let Some(former) = former {
            stats.pages -= u64::from(!former.deleted);
            stats.passages -= u64::from(former.passages);
            stats.tokens -= former.tokens;
            stats.embeddable -= u64::from(former.embeddable);
            stats.vectors -= u64::from(former.vectors);
        }
        if let Some(head) = &self.heads[at] {
            stats.pages += u64::from(!head.deleted);
            stats.passages += u64::from(head.passages);
            stats.tokens += head.tokens;
            stats.embeddable += u64::from(head.embeddable);
            stats.vectors += u64::from(head.vectors);
            self.languages |= head.languages;
        }
    }

    /// Languages that passages of this workspace are written in, one at least.
    pub fn languages(&self) -> Vec<Language> {
        let held = Language::ALL.into_iter().filter(|language| self.languages & (1 << language.code()) != 0);
        let mut languages: Vec<Language> = held.collect();
        if languages.is_empty() {
            languages.push(Language::Other);
        }
        languages
    }

    /// Puts the members of a group; `None` deletes it.
    pub fn put_group(&mut self, group: &GroupId, members: Option<&Vec<Principal>>) {
        self.access.apply(group_change(group, members));
    }

    /// Puts what a person is.
    pub fn put_member(&mut self, user: &UserId, role: Option<Role>, erased: bool) {
        self.access.apply(member_change(user, role, erased));
        self.members.insert(user.clone(), erased);
    }

    /// All people of whom anything was said, in no order.
    pub fn people(&self) -> impl Iterator<Item = &UserId> {
        self.members.keys()
    }

    /// True when the person's name may be shown: erased people have none.
    pub fn may_name(&self, user: &UserId) -> bool {
        self.members.get(user) != Some(&true)
    }

    /// Counts over what is stored.
    pub fn stats(&self) -> WorkspaceStats {
        self.stats
    }

    /// Forgets everything but that it was erased.
    pub fn erase(&mut self) {
        let number = self.access.number();
        *self = Self { erased: true, ..Self::new(number) };
    }
}

/// One workspace.
#[derive(Debug)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its number in this index.
    pub number: WorkspaceNumber,
    state: RwLock<WorkspaceState>,
}

impl Workspace {
    /// What is kept of it, to read. Held for a mask or some heads, never across a search.
    pub fn read(&self) -> RwLockReadGuard<'_, WorkspaceState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is kept of it, to change. For the write side.
    pub fn write(&self) -> RwLockWriteGuard<'_, WorkspaceState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All workspaces of an index. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    workspaces: Arc<RwLock<Workspaces>>,
}

#[derive(Debug, Default)]
struct Workspaces {
    by_id: HashMap<WorkspaceId, Arc<Workspace>>,
    by_number: HashMap<WorkspaceNumber, Arc<Workspace>>,
    next: WorkspaceNumber,
}

impl Workspaces {
    fn insert(&mut self, id: &WorkspaceId, number: WorkspaceNumber) -> Arc<Workspace> {
        let state = RwLock::new(WorkspaceState::new(number));
        let workspace = Arc::new(Workspace { id: id.clone(), number, state });
        self.by_id.insert(id.clone(), Arc::clone(&workspace));
        self.by_number.insert(number, Arc::clone(&workspace));
        self.next = self.next.max(number + 1);
        workspace
    }
}

impl Catalog {
    /// A workspace, if anything was ever said about it.
    pub fn get(&self, id: &WorkspaceId) -> Option<Arc<Workspace>> {
        self.workspaces.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    /// A workspace by its number.
    pub fn numbered(&self, number: WorkspaceNumber) -> Option<Arc<Workspace>> {
        self.workspaces.read().unwrap_or_else(PoisonError::into_inner).by_number.get(&number).cloned()
    }

    /// A workspace, made with the next free number if it is new. For the write side.
    pub fn get_or_create(&self, id: &WorkspaceId) -> Arc<Workspace> {
        if let Some(workspace) = self.get(id) {
            return workspace;
        }
        let mut workspaces = self.workspaces.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(workspace) = workspaces.by_id.get(id) {
            return Arc::clone(workspace);
        }
        let number = workspaces.next;
        workspaces.insert(id, number)
    }

    /// A workspace with a number that another catalog gave it.
    pub fn adopt(&self, id: &WorkspaceId, number: WorkspaceNumber) -> Arc<Workspace> {
        let known = self.numbered(number);
        known.unwrap_or_else(|| self.workspaces.write().unwrap_or_else(PoisonError::into_inner).insert(id, number))
    }

    /// Takes over the counts of stored passages from the catalog of another generation.
    pub(crate) fn take_counts(&self, other: &Self) {
        for workspace in self.workspaces() {
            let Some(counted) = other.numbered(workspace.number) else { continue };
            let counted = counted.read();
            let mut state = workspace.write();
            state.languages = 0;
            for head in counted.heads() {
                state.count(head);
            }
        }
    }

    /// All workspaces, in no order.
    pub fn workspaces(&self) -> Vec<Arc<Workspace>> {
        self.workspaces.read().unwrap_or_else(PoisonError::into_inner).by_id.values().cloned().collect()
    }

    /// Fills the catalog from stored heads, given with the number of their workspace. What is stored is published.
    pub(crate) fn load(&self, heads: impl IntoIterator<Item = (WorkspaceNumber, Head)>) {
        let mut waiting: HashMap<WorkspaceNumber, Vec<Head>> = HashMap::new();
        let mut workspaces = self.workspaces.write().unwrap_or_else(PoisonError::into_inner);
        for (number, head) in heads {
            match head {
                Head::Workspace { workspace, erased } => {
                    workspaces.insert(&workspace, number).write().erased = erased;
                }
                other => waiting.entry(number).or_default().push(other),
            }
        }
        for (number, heads) in waiting {
            let Some(workspace) = workspaces.by_number.get(&number) else {
                tracing::error!(workspace_number = number, "stored pages belong to no workspace; they are not served");
                continue;
            };
            let mut state = workspace.write();
            let mut pages = Vec::with_capacity(heads.len());
            for head in heads {
                match head {
                    Head::Page(head) => {
                        state.access.apply(head.access_change());
                        pages.push(head);
                    }
                    Head::Group { group, members } => state.put_group(&group, members.as_ref()),
                    Head::Member { user, role, erased } => state.put_member(&user, role, erased),
                    Head::Workspace { .. } => {}
                }
            }
            let len = pages.iter().map(|head| head.ordinal.0 as usize + 1).max().unwrap_or(0);
            state.heads.reserve_exact(len);
            // Now that all are known, they can be named by the ids in memory.
            for head in pages {
                state.set_head(head);
            }
            state.access.publish();
        }
    }
}
