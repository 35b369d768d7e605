//! What the delivered events add up to, worked out apart from the records of `schemas`.
//!
//! One region writes, so the last write of an attribute is the one with the highest number: no clocks are compared here.

use std::collections::{BTreeMap, BTreeSet};

use schemas::event::{Change, Event};
use schemas::grant::{Grant, Principal, Role};
use schemas::ids::{BlockId, GroupId, PageId, UserId};
use schemas::page::{PageKind, Parent, PropertyValue};

/// An attribute with the number of the write that set it.
#[derive(Clone, Debug)]
pub struct Last<T>(Option<(u64, T)>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Last<T> {
    /// The value, if there was a write.
    pub fn value(&self) -> Option<&T> {
        self.0.as_ref().map(|(_, value)| value)
    }

    fn write(&mut self, number: u64, value: T) {
        if self.0.as_ref().is_none_or(|(last, _)| number > *last) {
            self.0 = Some((number, value));
        }
    }
}

/// A block.
#[derive(Clone, Debug, Default)]
pub struct Block {
    live: Last<bool>,
    text: Last<String>,
}

/// A page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    live: Last<bool>,
    /// Whether it is in the trash.
    pub trashed: Last<bool>,
    title: Last<String>,
    /// Where it hangs.
    pub parent: Last<Parent>,
    kind: Last<PageKind>,
    tags: Last<Vec<String>>,
    author: Last<UserId>,
    /// Its own grants.
    pub grants: Last<Vec<Grant>>,
    /// Whether it takes nothing from above.
    pub restricted: Last<bool>,
    blocks: BTreeMap<BlockId, Block>,
}

impl Page {
    /// Its title; empty when it has none.
    pub fn title(&self) -> &str {
        self.title.value().map_or("", String::as_str)
    }

    /// What kind it is.
    pub fn kind(&self) -> PageKind {
        self.kind.value().copied().unwrap_or_default()
    }

    /// Its tags.
    pub fn tags(&self) -> &[String] {
        self.tags.value().map_or(&[], Vec::as_slice)
    }

    /// Who made it.
    pub fn author(&self) -> Option<&UserId> {
        self.author.value()
    }

    /// The texts of its live blocks, sorted.
    pub fn block_texts(&self) -> Vec<&str> {
        let live = self.blocks.values().filter(|block| block.live.value() == Some(&true));
        let mut texts: Vec<&str> = live.filter_map(|block| block.text.value()).map(String::as_str).collect();
        texts.sort_unstable();
        texts
    }

    /// The words of its title.
    pub fn title_words(&self) -> BTreeSet<&str> {
        words(self.title()).collect()
    }

    /// The words of everything on it that is searched.
    pub fn all_words(&self) -> BTreeSet<&str> {
        let tags = self.tags().iter().flat_map(|tag| words(tag));
        words(self.title()).chain(tags).chain(self.block_texts().into_iter().flat_map(words)).collect()
    }

    /// Whether there is something to embed: neither the title nor the tags are.
    pub fn has_text(&self) -> bool {
        self.block_texts().iter().any(|text| !text.trim().is_empty())
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// A workspace, as far as its events were delivered.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pages: BTreeMap<PageId, Page>,
    groups: BTreeMap<GroupId, Last<Option<Vec<Principal>>>>,
    roles: BTreeMap<UserId, Last<Role>>,
    erased_users: BTreeSet<UserId>,
    is_erased: bool,
}

impl Known {
    /// Takes in one event; the same one again changes nothing.
    pub fn tell(&mut self, event: &Event) {
        if self.is_erased {
            return;
        }
        let at = u64::from(event.version.timestamp.logical);
        match &event.change {
            Change::BlockUpserted { block, patch } => {
                let block = self.page(&patch.page).blocks.entry(block.clone()).or_default();
                block.live.write(at, true);
                if let Some(content) = &patch.content {
                    block.text.write(at, content.plain_text());
                }
            }
            Change::BlockDeleted { block, page } => {
                self.page(page).blocks.entry(block.clone()).or_default().live.write(at, false);
            }
            Change::PageUpserted { page, patch } => {
                let page = self.page(page);
                page.live.write(at, true);
                patch.title.iter().for_each(|title| page.title.write(at, title.clone()));
                patch.parent.iter().for_each(|parent| page.parent.write(at, parent.clone()));
                patch.kind.iter().for_each(|kind| page.kind.write(at, *kind));
                patch.created_by.iter().for_each(|user| page.author.write(at, user.clone()));
                if let Some(Some(PropertyValue::List(tags))) = patch.properties.get("Tags") {
                    page.tags.write(at, tags.clone());
                }
            }
            Change::PageTrashed { page } => self.page(page).trashed.write(at, true),
            Change::PageRestored { page } => self.page(page).trashed.write(at, false),
            Change::PageDeleted { page } => self.page(page).live.write(at, false),
            Change::PageAccessChanged { page, grants, restricted } => {
                let page = self.page(page);
                page.grants.write(at, grants.clone());
                page.restricted.write(at, *restricted);
            }
            Change::GroupChanged { group, members } => {
                self.groups.entry(group.clone()).or_default().write(at, members.clone());
            }
            Change::MemberChanged { user, role } => self.roles.entry(user.clone()).or_default().write(at, *role),
            Change::UserErased { user } => {
                self.erased_users.insert(user.clone());
            }
            Change::WorkspaceErased => *self = Self { is_erased: true, ..Self::default() },
        }
    }

    fn page(&mut self, page: &PageId) -> &mut Page {
        self.pages.entry(page.clone()).or_default()
    }

    /// The pages that exist.
    pub fn pages(&self) -> impl Iterator<Item = (&PageId, &Page)> {
        self.pages.iter().filter(|(_, page)| page.live.value() == Some(&true))
    }

    /// A page that exists.
    pub fn page_of(&self, page: &PageId) -> Option<&Page> {
        self.pages.get(page).filter(|page| page.live.value() == Some(&true))
    }

    /// The groups that exist, with their members.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &Vec<Principal>)> {
        self.groups.iter().filter_map(|(group, members)| Some((group, members.value()?.as_ref()?)))
    }

    /// The role of everyone known; erased people have none left.
    pub fn roles(&self) -> impl Iterator<Item = (&UserId, Role)> {
        let role = |user| if self.erased_users.contains(user) { None } else { self.roles[user].value().copied() };
        self.roles.keys().map(move |user| (user, role(user).unwrap_or(Role::Removed)))
    }

    /// People who must not be named any more.
    pub fn erased_users(&self) -> &BTreeSet<UserId> {
        &self.erased_users
    }
}
