//! Scopes: each distinct effective access is stored once, and pages name it by number.
//!
//! A scope is a set of effective grants and whether it is in the trash. A workspace of a million pages has some
//! hundreds of them, so a caller's rights are a few words of bits. Invariants: a number keeps its meaning as long
//! as a page of the newest view, or a view that may still be published, names it; [`NOBODY`] and [`EMPTY`] always
//! keep theirs.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use roaring::RoaringBitmap;
use schemas::grant::Level;

use crate::caller::{Decision, Purpose};
use crate::directory::{PUBLIC, PrincipalIndex};

/// The number of a scope in its workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ScopeId(pub(crate) u32);

/// The scope of pages that nobody has access to, whatever the grants: gaps, deleted and broken pages.
pub(crate) const NOBODY: ScopeId = ScopeId(0);
/// The scope of no grants: what the root of the workspace hands down.
pub(crate) const EMPTY: ScopeId = ScopeId(1);

/// Grants by number, sorted by principal, one for each.
pub(crate) type Grants = [(PrincipalIndex, Level)];

#[derive(Debug)]
struct Scope {
    grants: Arc<Grants>,
    trashed: bool,
    /// Pages of the newest view that name it.
    pages: u32,
    /// The `seq` of the change that took its last page.
    unused_since: Option<u64>,
}

/// Which scopes a principal reaches.
#[derive(Debug, Default)]
struct Reach {
    /// Live scopes that it can view.
    live: RoaringBitmap,
    /// Trashed scopes that it can edit.
    trash: RoaringBitmap,
}

/// All scopes in use.
#[derive(Debug)]
pub(crate) struct ScopeTable {
    scopes: Vec<Scope>,
    /// Numbers by grants, live and trashed.
    numbers: [HashMap<Arc<Grants>, ScopeId>; 2],
    /// By [`PrincipalIndex`], as long as needed.
    reach: Vec<Reach>,
    unused: VecDeque<(u64, ScopeId)>,
    free: Vec<ScopeId>,
    /// Scratch for merging grants.
    merged: Vec<(PrincipalIndex, Level)>,
}

impl ScopeTable {
    pub(crate) fn new() -> Self {
        let mut table = Self {
            // NOBODY is no key of `numbers`: no grants lead to it.
            scopes: vec![Scope { grants: Arc::new([]), trashed: false, pages: 0, unused_since: None }],
            numbers: [HashMap::new(), HashMap::new()],
            reach: Vec::new(),
            unused: VecDeque::new(),
            free: Vec::new(),
            merged: Vec::new(),
        };
        let empty = table.intern(&[], false);
        debug_assert_eq!(empty, EMPTY);
        table.scopes[EMPTY.0 as usize].pages = 1; // Held by the table itself.
        table
    }

    /// The scope of a page, from that of its parent and its own.
    pub(crate) fn derive(&mut self, base: ScopeId, own: &Grants, restricted: bool, trashed: bool) -> ScopeId {
        debug_assert_ne!(base, NOBODY, "what hangs under a broken page is broken");
        let parent = &self.scopes[base.0 as usize];
        let trashed = trashed || parent.trashed;
        if own.is_empty() && !restricted && trashed == parent.trashed {
            return base;
        }
        if restricted {
            return self.intern(own, trashed);
        }
        let mut merged = std::mem::take(&mut self.merged);
        merged.clear();
        merge(&parent.grants, own, &mut merged);
        let scope = self.intern(&merged, trashed);
        self.merged = merged;
        scope
    }

    fn intern(&mut self, grants: &Grants, trashed: bool) -> ScopeId {
        if let Some(&scope) = self.numbers[usize::from(trashed)].get(grants) {
            return scope;
        }
        let grants: Arc<Grants> = Arc::from(grants);
        let scope = Scope { grants: Arc::clone(&grants), trashed, pages: 0, unused_since: None };
        let number = if let Some(number) = self.free.pop() {
            self.scopes[number.0 as usize] = scope;
            number
        } else {
            self.scopes.push(scope);
            ScopeId(self.scopes.len() as u32 - 1)
        };
        for &(principal, level) in grants.iter() {
            if self.reach.len() <= principal.at() {
                self.reach.resize_with(principal.at() + 1, Reach::default);
            }
            let reach = &mut self.reach[principal.at()];
            if !trashed {
                reach.live.insert(number.0);
            } else if level >= Level::Edit {
                reach.trash.insert(number.0);
            }
        }
        self.numbers[usize::from(trashed)].insert(grants, number);
        number
    }

    /// Notes that a page names another scope.
    pub(crate) fn move_page(&mut self, from: ScopeId, to: ScopeId, seq: u64) {
        self.add_page(to);
        let scope = &mut self.scopes[from.0 as usize];
        scope.pages -= 1;
        if scope.pages == 0 && from > EMPTY {
            scope.unused_since = Some(seq);
            self.unused.push_back((seq, from));
        }
    }

    /// Notes that a new page names a scope.
    pub(crate) fn add_page(&mut self, to: ScopeId) {
        let scope = &mut self.scopes[to.0 as usize];
        scope.pages += 1;
        scope.unused_since = None;
    }

    /// Frees the numbers that no page has named since `published_seq` or before.
    ///
    /// A view published later was taken at that sequence number or after it, so it cannot name them either. Masks
    /// carry their own bits, so that they do not care.
    pub(crate) fn reclaim(&mut self, published_seq: u64) {
        while let Some(&(seq, number)) = self.unused.front() {
            if seq > published_seq {
                break;
            }
            self.unused.pop_front();
            let scope = &self.scopes[number.0 as usize];
            if scope.unused_since != Some(seq) {
                continue; // Used again meanwhile; if unused again, a later entry says so.
            }
            self.numbers[usize::from(scope.trashed)].remove(&scope.grants);
            for &(principal, _) in scope.grants.iter() {
                let reach = &mut self.reach[principal.at()];
                reach.live.remove(number.0);
                reach.trash.remove(number.0);
            }
            self.scopes[number.0 as usize].unused_since = None;
            self.free.push(number);
        }
    }

    /// The scopes that these principals reach for a purpose, as bits: word `n / 64`, bit `n % 64`.
    pub(crate) fn allowed(&self, principals: &[PrincipalIndex], purpose: Purpose) -> Vec<u64> {
        let mut words = vec![0u64; self.scopes.len().div_ceil(64)];
        let public = (purpose == Purpose::Read).then_some(&PUBLIC);
        for reach in principals.iter().chain(public).filter_map(|principal| self.reach.get(principal.at())) {
            for scope in if purpose == Purpose::Trash { &reach.trash } else { &reach.live } {
                words[scope as usize / 64] |= 1 << (scope % 64);
            }
        }
        words
    }

    /// What a caller with these principals, `public` not among them, may do with pages of a scope.
    pub(crate) fn decide(&self, scope: ScopeId, principals: &[PrincipalIndex]) -> Decision {
        let Scope { grants, trashed, .. } = &self.scopes[scope.0 as usize];
        let highest = |wanted: &dyn Fn(PrincipalIndex) -> bool| {
            grants.iter().filter(|(principal, _)| wanted(*principal)).map(|(_, level)| *level).max()
        };
        let named = highest(&|principal| principals.contains(&principal));
        if *trashed {
            return Decision { discover: false, read: false, level: named, trashed: true };
        }
        let level = named.max(highest(&|principal| principal == PUBLIC));
        Decision { discover: named.is_some(), read: level.is_some(), level, trashed: false }
    }

    pub(crate) fn grants(&self, scope: ScopeId) -> &Grants {
        &self.scopes[scope.0 as usize].grants
    }

    /// Pages of the newest view in a scope.
    pub(crate) fn pages(&self, scope: ScopeId) -> u32 {
        self.scopes[scope.0 as usize].pages
    }

    /// Pages of the newest view in the scopes whose bits are set.
    pub(crate) fn pages_in(&self, words: &[u64]) -> u64 {
        let set = |number: &usize| words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1);
        (2..self.scopes.len()).filter(set).map(|number| u64::from(self.scopes[number].pages)).sum()
    }

    /// Scopes in use or not yet freed, without the two that are always there.
    pub(crate) fn len(&self) -> usize {
        self.scopes.len() - self.free.len() - 2
    }

    /// Whether a scope that is in use or not yet freed has a grant to a principal.
    pub(crate) fn names(&self, principal: PrincipalIndex) -> bool {
        self.reach.get(principal.at()).is_some_and(|reach| !(reach.live.is_empty() && reach.trash.is_empty()))
    }
}

/// Merges two sorted lists; the higher level wins.
fn merge(a: &Grants, b: &Grants, into: &mut Vec<(PrincipalIndex, Level)>) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match a[i].0.cmp(&b[j].0) {
            Ordering::Less => {
                into.push(a[i]);
                i += 1;
            }
            Ordering::Greater => {
                into.push(b[j]);
                j += 1;
            }
            Ordering::Equal => {
                into.push((a[i].0, a[i].1.max(b[j].1)));
                i += 1;
                j += 1;
            }
        }
    }
    into.extend_from_slice(&a[i..]);
    into.extend_from_slice(&b[j..]);
}
