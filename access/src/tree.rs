//! The page tree: who hangs under whom, in any order of arrival.
//!
//! Pages are numbered by their ordinals, so that walking a subtree hashes nothing. What the tree means for access is
//! decided in `graph`. Invariants: `child` is in `children` of `parent` exactly when its link is `Link::Page(parent)`,
//! and in `waiting[id]` exactly when its link is `Link::Waiting(id)`; no page of the tree has an id that is waited for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use schemas::ids::PageId;
use serde::{Deserialize, Serialize};

use crate::change::{PageOrdinal, Parent};
use crate::scopes::Grants;

/// Deepest level of the tree; pages at the root are at 1. What is deeper is reached by nobody.
pub const DEPTH_MAX: u8 = 100;

/// Why nobody has access to a page that exists, whatever the grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It, or a page above it, hangs under a page that is not known (yet) or deleted.
    MissingParent,
    /// It, or a page above it, hangs under itself.
    Cycle,
    /// It is deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Its ordinal was used for two pages, or it was given two ordinals. A bug of whoever gives them; does not heal.
    OrdinalClash,
}

/// What is at an ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Nothing yet.
    Gap,
    /// A page.
    Here,
    /// A page that is gone.
    Deleted,
    /// Nobody knows which page.
    Clashed,
}

/// Where a page hangs, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Unknown,
    Workspace,
    /// Under a page that has not arrived.
    Waiting(PageId),
    Page(u32),
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) page: Option<PageId>,
    pub(crate) presence: Presence,
    pub(crate) link: Link,
    pub(crate) children: BTreeSet<u32>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) restricted: bool,
    pub(crate) trashed: bool,
    /// From 1 at the root; 0 for what nobody has access to.
    pub(crate) depth: u8,
}

/// What `Tree::set` writes.
pub(crate) struct Content<'a> {
    pub(crate) parent: Option<&'a Parent>,
    pub(crate) grants: &'a Grants,
    pub(crate) restricted: bool,
    pub(crate) trashed: bool,
    pub(crate) deleted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    ordinals: HashMap<PageId, u32>,
    /// Children of pages that have not arrived.
    waiting: HashMap<PageId, BTreeSet<u32>>,
    /// Pages that are here.
    here: u32,
    /// Ordinals that clashed.
    clashes: u32,
}

impl Tree {
    /// One more than the largest ordinal seen.
    pub(crate) fn len(&self) -> u32 {
        self.nodes.len() as u32
    }

    /// Pages that are here: no gaps, no deleted ones.
    pub(crate) fn here(&self) -> u32 {
        self.here
    }

    /// Ordinals with two pages or pages with two ordinals.
    pub(crate) fn clashes(&self) -> u32 {
        self.clashes
    }

    pub(crate) fn get(&self, ordinal: PageOrdinal) -> Option<&Node> {
        self.nodes.get(ordinal.0 as usize)
    }

    pub(crate) fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    pub(crate) fn set_depth(&mut self, at: u32, depth: u8) {
        self.nodes[at as usize].depth = depth;
    }

    pub(crate) fn ordinal_of(&self, page: &PageId) -> Option<u32> {
        self.ordinals.get(page).copied()
    }

    /// Writes the state of a page. Returns whether anything differs from before.
    ///
    /// A page with two ordinals or an ordinal with two pages becomes [`Presence::Clashed`] for good: one of them
    /// would be shown with the grants of the other.
    pub(crate) fn set(&mut self, page: &PageId, ordinal: PageOrdinal, content: &Content<'_>) -> bool {
        let at = match self.ordinal_of(page) {
            Some(at) if at != ordinal.0 => return self.clash(at),
            Some(at) => at,
            None => {
                if self.get(ordinal).is_some_and(|node| node.presence != Presence::Gap) {
                    return self.clash(ordinal.0);
                }
                self.arrive(page, ordinal.0);
                ordinal.0
            }
        };
        if self.node(at).presence == Presence::Clashed {
            return false;
        }
        let presence = if content.deleted { Presence::Deleted } else { Presence::Here };
        let link = match content.parent {
            None => Link::Unknown,
            Some(Parent::Workspace) => Link::Workspace,
            Some(Parent::Page(id)) => self.ordinal_of(id).map_or_else(|| Link::Waiting(id.clone()), Link::Page),
        };
        let node = &mut self.nodes[at as usize];
        let same = node.presence == presence
            && node.link == link
            && *node.grants == *content.grants
            && node.restricted == content.restricted
            && node.trashed == content.trashed;
        if same {
            return false;
        }
        if *node.grants != *content.grants {
            node.grants = Arc::from(content.grants);
        }
        node.restricted = content.restricted;
        node.trashed = content.trashed;
        self.set_presence(at, presence);
        self.hang(at, link);
        true
    }

    /// Makes room for a page that was not known, and hangs the children that waited for it.
    fn arrive(&mut self, page: &PageId, at: u32) {
        let gap = || Node {
            page: None,
            presence: Presence::Gap,
            link: Link::Unknown,
            children: BTreeSet::new(),
            grants: Arc::default(),
            restricted: false,
            trashed: false,
            depth: 0,
        };
        let len = self.nodes.len().max(at as usize + 1);
        self.nodes.resize_with(len, gap);
        self.ordinals.insert(page.clone(), at);
        let children = self.waiting.remove(page).unwrap_or_default();
        for &child in &children {
            self.nodes[child as usize].link = Link::Page(at);
        }
        let node = &mut self.nodes[at as usize];
        node.page = Some(page.clone());
        node.children = children;
    }

    fn clash(&mut self, at: u32) -> bool {
        if self.node(at).presence == Presence::Clashed {
            return false;
        }
        self.set_presence(at, Presence::Clashed);
        self.clashes += 1;
        true
    }

    fn set_presence(&mut self, at: u32, presence: Presence) {
        let node = &mut self.nodes[at as usize];
        self.here -= u32::from(node.presence == Presence::Here);
        self.here += u32::from(presence == Presence::Here);
        node.presence = presence;
    }

    fn hang(&mut self, at: u32, link: Link) {
        match &self.nodes[at as usize].link {
            Link::Unknown | Link::Workspace => {}
            &Link::Page(parent) => {
                self.nodes[parent as usize].children.remove(&at);
            }
            Link::Waiting(id) => {
                if let Some(children) = self.waiting.get_mut(id) {
                    children.remove(&at);
                    if children.is_empty() {
                        self.waiting.remove(&id.clone());
                    }
                }
            }
        }
        match &link {
            Link::Unknown | Link::Workspace => {}
            &Link::Page(parent) => {
                self.nodes[parent as usize].children.insert(at);
            }
            Link::Waiting(id) => {
                self.waiting.entry(id.clone()).or_default().insert(at);
            }
        }
        self.nodes[at as usize].link = link;
    }

    /// The page above, as linked: it may be deleted or below.
    pub(crate) fn parent(&self, at: u32) -> Option<u32> {
        match self.nodes.get(at as usize)?.link {
            Link::Page(parent) => Some(parent),
            _ => None,
        }
    }

    /// The pages above, nearest first, at most [`DEPTH_MAX`] of them: a cycle ends there.
    pub(crate) fn ancestors(&self, at: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(self.parent(at), |&above| self.parent(above))
            .take_while(|&above| self.node(above).presence == Presence::Here)
            .take(usize::from(DEPTH_MAX))
    }

    /// Why nobody has access to a page that the graph calls broken.
    ///
    /// Walks up to the first page whose fault is known, its own cause, or itself. `known` remembers what was found, so
    /// that asking for every page costs one step for each.
    pub(crate) fn fault(&self, at: u32, known: &mut HashMap<u32, Fault>) -> Fault {
        let mut walked = Vec::new();
        let mut seen = HashSet::new();
        let mut above = at;
        let fault = loop {
            if let Some(&fault) = known.get(&above) {
                break fault;
            }
            let node = self.node(above);
            if node.presence == Presence::Clashed {
                walked.push(above);
                break Fault::OrdinalClash;
            }
            if node.presence != Presence::Here {
                break Fault::MissingParent;
            }
            if node.depth > 0 {
                break Fault::TooDeep; // This one is sound, so that the fault of the page below can only be its depth.
            }
            if !seen.insert(above) {
                break Fault::Cycle;
            }
            walked.push(above);
            match node.link {
                Link::Page(parent) => above = parent,
                Link::Workspace | Link::Unknown | Link::Waiting(_) => break Fault::MissingParent,
            }
        };
        known.extend(walked.into_iter().map(|page| (page, fault)));
        fault
    }
}
