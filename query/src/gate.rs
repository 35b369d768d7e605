//! The gate: every text that leaves this crate passes it, checked against the newest access state.
//!
//! Retrieval runs under a mask that was taken when the request began; meanwhile access may have been lost. So hits,
//! breadcrumbs, facets, suggestions and pages are made from a [`Permit`] alone, and only a gate gives one. It is opened
//! after all reading is done, holds the state of the workspace still for the moment in which the response is put
//! together, and does no I/O. What it turns away is counted: a rising count is an alarm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLockReadGuard};

use access::{Caller, Mask, PageOrdinal, Purpose};
use index::catalog::{Workspace, WorkspaceState};
use index::records::PageHead;
use schemas::api::{Crumb, PageSummary};
use schemas::ids::{PageId, UserId};

/// How addresses of pages are made, with `{page}` and `{workspace}` in it; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageUrl(pub String);

/// What gates turned away since the start.
#[derive(Debug, Default)]
pub struct Dropped(AtomicU64);

impl Dropped {
    /// How many pages were turned away.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The newest access state of one workspace, for one caller and purpose.
pub struct Gate<'a> {
    state: RwLockReadGuard<'a, WorkspaceState>,
    workspace: &'a Workspace,
    mask: Mask,
    readable: Mask,
    purpose: Purpose,
    url: &'a PageUrl,
    dropped: &'a Dropped,
}

impl<'a> Gate<'a> {
    /// Opens the gate. The workspace cannot change until it is dropped: do so soon, and read nothing meanwhile.
    pub fn open(
        workspace: &'a Workspace,
        caller: &Caller,
        purpose: Purpose,
        url: &'a PageUrl,
        dropped: &'a Dropped,
    ) -> Self {
        let state = workspace.read();
        let mask = state.access.mask(caller, purpose);
        let readable = state.access.mask(caller, Purpose::Read);
        Self { state, workspace, mask, readable, purpose, url, dropped }
    }

    /// Lets a page out, if the caller may see it now. A refusal is counted.
    pub fn permit(&self, page: PageOrdinal) -> Option<Permit<'_>> {
        let permit = self.look(page);
        if permit.is_none() {
            self.dropped.0.fetch_add(1, Ordering::Relaxed);
        }
        permit
    }

    /// As [`Gate::permit`], for pages that nothing was promised about: a refusal is ordinary and not counted.
    pub fn look(&self, page: PageOrdinal) -> Option<Permit<'_>> {
        let head = self.mask.allows(page).then(|| self.state.head(page)).flatten()?;
        (!head.deleted && !self.state.erased).then_some(Permit { gate: self, head })
    }

    /// As [`Gate::look`], by the id of the page.
    pub fn look_by_id(&self, page: &PageId) -> Option<Permit<'_>> {
        self.look(self.state.access.ordinal_of(page)?)
    }

    /// What the caller may see now for the purpose the gate was opened for.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Whether access is as it was when a mask was taken.
    pub fn is_as(&self, mask: &Mask) -> bool {
        let now = (self.mask.access_seq(), self.mask.published_seq());
        now == (mask.access_seq(), mask.published_seq())
    }

    /// The address of the page that an address names, if the caller can read that page now.
    pub fn page_address(&self, address: &str) -> Option<String> {
        let page = self.url.page_at(address, self.workspace)?;
        let head = self.state.head_of(&page).filter(|head| !head.deleted && self.readable.allows(head.ordinal))?;
        self.url.of(head, self.workspace)
    }

    /// The number of the newest access state.
    pub fn access_seq(&self) -> u64 {
        self.state.access.seq()
    }

    /// Whether some of the pages the caller may see have passages that still wait for their vector.
    pub fn semantic_pending(&self) -> bool {
        let stats = self.state.stats();
        // The quick answer for the ordinary case; the exact one says nothing about pages the caller does not see.
        stats.vectors < stats.embeddable
            && self.state.heads().any(|head| head.vectors < head.embeddable && self.mask.allows(head.ordinal))
    }

    /// How a page above another one is named, if the caller can read it.
    pub fn crumb(&self, page: PageOrdinal) -> Option<Crumb> {
        let head = self.state.head(page).filter(|head| !head.deleted)?;
        let named = self.readable.allows(page) || self.mask.allows(page);
        named.then(|| Crumb { id: head.page.clone(), title: head.title.clone() })
    }
}

/// Follows access to the pages that a text rests on, for as long as it is written.
///
/// What is written piece by piece cannot be let out by one gate, which holds the workspace still. So each piece asks here; access
/// is looked up again only when it changed since the last piece.
#[derive(Debug)]
pub struct Watch {
    workspace: Arc<Workspace>,
    caller: Caller,
    purpose: Purpose,
    pages: Vec<PageOrdinal>,
    dropped: Arc<Dropped>,
    /// The access state under which all pages were last found allowed: newest and published.
    seen: Option<(u64, u64)>,
}

impl Watch {
    /// Follows these pages for a caller. Nothing is taken for granted: the first piece is checked, too.
    pub fn new(
        workspace: Arc<Workspace>,
        caller: Caller,
        purpose: Purpose,
        pages: Vec<PageOrdinal>,
        dropped: Arc<Dropped>,
    ) -> Self {
        Self { workspace, caller, purpose, pages, dropped, seen: None }
    }

    /// A further one over the same pages, which takes nothing for granted.
    #[must_use]
    pub fn anew(&self) -> Self {
        let Self { workspace, caller, purpose, pages, dropped, .. } = self;
        Self::new(Arc::clone(workspace), caller.clone(), *purpose, pages.clone(), Arc::clone(dropped))
    }

    /// Follows these pages too, from the next piece on.
    pub fn follow(&mut self, pages: impl IntoIterator<Item = PageOrdinal>) {
        self.pages.extend(pages);
        self.seen = None;
    }

    /// Lets something out that was made of all the pages, if the caller may see every one of them now. A refusal is counted.
    pub fn let_out<T>(&mut self, value: T) -> Option<T> {
        self.allows_all().then_some(value)
    }

    fn allows_all(&mut self) -> bool {
        let state = self.workspace.read();
        let now = (state.access.seq(), state.access.published_seq());
        if state.erased {
            return false;
        }
        if self.seen == Some(now) {
            return true;
        }
        let mask = state.access.mask(&self.caller, self.purpose);
        let is_lost = |page: &&PageOrdinal| !mask.allows(**page) || state.head(**page).is_none_or(|head| head.deleted);
        let lost = self.pages.iter().filter(is_lost).count();
        self.dropped.0.fetch_add(lost as u64, Ordering::Relaxed);
        self.seen = (lost == 0).then_some(now);
        lost == 0
    }
}

/// Something made of a page's text, that cannot be had without a permit for that page.
///
/// Excerpts are made before the gate is opened, because that takes time, and let out after.
#[derive(Debug)]
pub struct Held<T> {
    page: PageOrdinal,
    value: T,
}

impl<T> Held<T> {
    /// Holds back what was made of a page.
    pub fn new(page: PageOrdinal, value: T) -> Self {
        Self { page, value }
    }

    /// The page it was made of.
    pub fn page(&self) -> PageOrdinal {
        self.page
    }

    /// Lets it out; nothing, if the permit is for another page.
    pub fn let_out(self, permit: Permit<'_>) -> Option<T> {
        debug_assert_eq!(self.page, permit.ordinal(), "a permit is for one page");
        (self.page == permit.ordinal()).then_some(self.value)
    }
}

/// Proof that the caller may see a page now.
#[derive(Clone, Copy)]
pub struct Permit<'a> {
    gate: &'a Gate<'a>,
    head: &'a PageHead,
}

impl<'a> Permit<'a> {
    /// The page's number.
    pub fn ordinal(self) -> PageOrdinal {
        self.head.ordinal
    }

    /// What is kept in memory of the page.
    pub fn head(self) -> &'a PageHead {
        self.head
    }

    /// What lists show of the page.
    pub fn summary(self) -> PageSummary {
        let Self { gate, head } = self;
        let named = |user: &Option<UserId>| user.clone().filter(|user| gate.state.may_name(user));
        PageSummary {
            id: head.page.clone(),
            title: head.title.clone(),
            icon: head.icon.clone(),
            kind: head.kind,
            url: gate.url.of(head, gate.workspace),
            tags: head.tags.clone(),
            created_by: named(&head.created_by),
            created_at: head.created_at,
            edited_by: named(&head.edited_by),
            edited_at: head.edited_at,
            trashed: gate.purpose == Purpose::Trash,
        }
    }

    /// The pages above it that the caller can read, from the root down.
    pub fn breadcrumb(self) -> Vec<Crumb> {
        let above = self.gate.state.access.ancestors(self.head.ordinal);
        let mut crumbs: Vec<_> = above.filter_map(|page| self.gate.crumb(page)).collect();
        crumbs.reverse();
        crumbs
    }

    /// The page directly above it, if the caller can read that one.
    pub fn parent(self) -> Option<Crumb> {
        let parent = self.gate.state.access.parent_of(self.head.ordinal)?;
        self.gate.crumb(parent)
    }

    /// The page at the root of the workspace that it is in, itself included. See [`Gate::crumb`] for whether it may be
    /// named.
    pub fn root(self) -> PageOrdinal {
        self.gate.state.access.ancestors(self.head.ordinal).last().unwrap_or(self.head.ordinal)
    }

    /// Who made the page, if that person may be named.
    pub fn author(self) -> Option<&'a UserId> {
        self.head.created_by.as_ref().filter(|user| self.gate.state.may_name(user))
    }
}

impl PageUrl {
    /// The page that an address made here names.
    pub fn page_at(&self, address: &str, workspace: &Workspace) -> Option<PageId> {
        let pattern = self.0.replace("{workspace}", &encoded(workspace.id.as_str()));
        let (before, after) = pattern.split_once("{page}")?;
        let page = address.strip_prefix(before)?.strip_suffix(after)?;
        PageId::new(decoded(page)?).ok()
    }

    fn of(&self, head: &PageHead, workspace: &Workspace) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let address = self.0.replace("{workspace}", &encoded(workspace.id.as_str()));
        Some(address.replace("{page}", &encoded(head.page.as_str())))
    }
}

/// What a percent-encoded text stands for, if it is UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
