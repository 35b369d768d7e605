//! Page state: what all events add up to, as far as it is not committed yet.
//!
//! [`Pending`] merges one change after another into the records of one workspace, over what is [`Stored`]. It commits
//! nothing, decides no access and cuts no text. Invariant: whatever the order and duplication of the events, and whatever
//! was committed in between, the records end up the same.
//!
//! The registers of a block live in exactly one page's record, its *home*: the page of its winning place. Events find the
//! home by the block, not by the page they name, and a block whose place changes takes its whole history along. A block of
//! which only deletes are known has no place; its home is the smallest page named by them, so that order does not matter.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;

use schemas::event::{Change, InvalidCode, InvalidEvent};
use schemas::grant::Role;
use schemas::ids::{BlockId, GroupId, PageId, UserId};
use schemas::limits::PAGE_BLOCKS_MAX;
use schemas::page::PropertyValue;
use schemas::record::{BlockRecord, GroupRecord, MemberRecord, PageRecord};
use schemas::register;
use schemas::version::Version;

/// The committed records of one workspace.
pub trait Stored {
    /// Why a record could not be read.
    type Error;
    /// A page with its blocks.
    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, Self::Error>;
    /// The page whose record holds a block.
    fn block_home(&self, block: &BlockId) -> Result<Option<PageId>, Self::Error>;
    /// A group.
    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, Self::Error>;
    /// A person.
    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, Self::Error>;
}

/// The records of a workspace of which nothing is stored.
#[derive(Clone, Copy, Debug)]
pub struct NoRecords;

impl Stored for NoRecords {
    type Error = Infallible;

    fn page(&self, _: &PageId) -> Result<Option<PageRecord>, Infallible> {
        Ok(None)
    }

    fn block_home(&self, _: &BlockId) -> Result<Option<PageId>, Infallible> {
        Ok(None)
    }

    fn group(&self, _: &GroupId) -> Result<Option<GroupRecord>, Infallible> {
        Ok(None)
    }

    fn member(&self, _: &UserId) -> Result<Option<MemberRecord>, Infallible> {
        Ok(None)
    }
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied,
    /// It took effect beside a concurrent write; the one with the higher precedence holds.
    Conflict,
    /// It was known already, or is older than what is there.
    Unchanged,
    /// It cannot be taken in.
    Rejected(InvalidEvent),
}

/// Whose record an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Nobody's.
    Nothing,
    /// Of one page, or of two when a block moved.
    Pages(Vec<PageId>),
    /// Of a group.
    Group(GroupId),
    /// Of a person.
    Member(UserId),
}

/// How much of a page must be written again, in growing order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dirt {
    /// Nothing.
    #[default]
    Clean,
    /// The record: its passages are as they were.
    Record,
    /// The record and its passages.
    Passages,
}

/// A record on its way into a commit.
#[derive(Clone, Debug)]
struct Entry<R> {
    record: Arc<R>,
    /// What changed since it was last taken for a commit.
    dirt: Dirt,
    /// What was taken for the commit under way.
    taken: Dirt,
}

impl<R> Entry<R> {
    fn clean(record: R) -> Self {
        Self { record: Arc::new(record), dirt: Dirt::Clean, taken: Dirt::Clean }
    }

    fn is_on_its_way(&self) -> bool {
        self.dirt != Dirt::Clean || self.taken != Dirt::Clean
    }
}

/// A page taken for a commit.
#[derive(Clone, Debug)]
pub struct TakenPage {
    /// The page.
    pub page: PageId,
    /// Its record.
    pub record: Arc<PageRecord>,
    /// What of it must be written.
    pub dirt: Dirt,
}

/// All that one commit must write of a workspace.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// Pages, in no order.
    pub pages: Vec<TakenPage>,
    /// Groups, in no order.
    pub groups: Vec<(GroupId, Arc<GroupRecord>)>,
    /// Persons, in no order.
    pub members: Vec<(UserId, Arc<MemberRecord>)>,
}

/// The records of one workspace that are ahead of the last commit.
#[derive(Debug, Default)]
pub struct Pending {
    pages: HashMap<PageId, Entry<PageRecord>>,
    groups: HashMap<GroupId, Entry<GroupRecord>>,
    members: HashMap<UserId, Entry<MemberRecord>>,
    /// Homes of blocks that were given one, or another one, since the last commit.
    homes: HashMap<BlockId, Home>,
    /// Blocks of all pages held, tombstones included: what most of the memory goes to.
    held_blocks: usize,
}

#[derive(Debug)]
struct Home {
    page: PageId,
    taken: bool,
}

impl Pending {
    /// Merges one change. `WorkspaceErased` is not its business: whoever owns this drops it then.
    pub fn apply<S: Stored>(
        &mut self,
        stored: &S,
        change: &Change,
        version: &Arc<Version>,
    ) -> Result<(Outcome, Touched), S::Error> {
        match change {
            Change::BlockUpserted { block, patch } => {
                self.apply_block(stored, block, &patch.page, |record| record.upsert(version, patch.clone()))
            }
            Change::BlockDeleted { block, page } => {
                self.apply_block(stored, block, page, |record| record.delete(version))
            }
            Change::PageUpserted { page, .. }
            | Change::PageTrashed { page }
            | Change::PageRestored { page }
            | Change::PageDeleted { page }
            | Change::PageAccessChanged { page, .. } => self.apply_page(stored, page, change, version),
            Change::GroupChanged { group, members } => {
                let entry = entry(&mut self.groups, group, || stored.group(group))?;
                let mut members = members.clone();
                if let Some(members) = &mut members {
                    members.sort();
                    members.dedup();
                }
                let outcome = merge(entry, |record| record.members.write(version, members));
                Ok(touched(outcome, || Touched::Group(group.clone())))
            }
            Change::MemberChanged { user, role } => {
                let entry = entry(&mut self.members, user, || stored.member(user))?;
                let outcome = merge(entry, |record| record.role.write(version, *role));
                Ok(touched(outcome, || Touched::Member(user.clone())))
            }
            Change::UserErased { user } => {
                let entry = entry(&mut self.members, user, || stored.member(user))?;
                let outcome = merge(entry, |record| {
                    record.role.write(version, Role::Removed).max(record.erased.write(version, true))
                });
                Ok(touched(outcome, || Touched::Member(user.clone())))
            }
            Change::WorkspaceErased => Ok((Outcome::Unchanged, Touched::Nothing)),
        }
    }

    fn apply_page<S: Stored>(
        &mut self,
        stored: &S,
        page: &PageId,
        change: &Change,
        version: &Arc<Version>,
    ) -> Result<(Outcome, Touched), S::Error> {
        let entry = self.page_entry(stored, page)?;
        let record = Arc::make_mut(&mut entry.record);
        // The blocks are set aside: no page event changes them, and comparing 20,000 of them costs.
        let blocks = std::mem::take(&mut record.blocks);
        let before = record.clone();
        let merged = record.apply(change, version);
        let changed = *record != before;
        let text_changed = own_text(record) != own_text(&before);
        record.blocks = blocks;
        if changed {
            entry.dirt = entry.dirt.max(if text_changed { Dirt::Passages } else { Dirt::Record });
        }
        Ok(touched(outcome(merged, changed), || Touched::Pages(vec![page.clone()])))
    }

    fn apply_block<S: Stored>(
        &mut self,
        stored: &S,
        block: &BlockId,
        named: &PageId,
        write: impl FnOnce(&mut BlockRecord) -> register::Outcome,
    ) -> Result<(Outcome, Touched), S::Error> {
        let home = self.home_of(stored, block)?.unwrap_or_else(|| named.clone());
        let former = self.page_entry(stored, &home)?.record.blocks.get(block).cloned();
        let mut merged = former.clone().unwrap_or_default();
        let written = write(&mut merged);
        let next = merged.place.value().map_or_else(|| home.clone().min(named.clone()), |place| place.page.clone());
        let moves = next != home;
        if former.as_ref() == Some(&merged) && !moves {
            return Ok((Outcome::Unchanged, Touched::Nothing));
        }

        let is_live = |record: &BlockRecord| record.live.value() == Some(&true);
        let comes_in = is_live(&merged) && (moves || !former.as_ref().is_some_and(is_live));
        let target = self.page_entry(stored, &next)?;
        if comes_in && target.record.blocks.len() >= PAGE_BLOCKS_MAX {
            let live = target.record.blocks.values().filter(|record| is_live(record)).count();
            if live >= PAGE_BLOCKS_MAX {
                return Ok((Outcome::Rejected(page_is_full()), Touched::Nothing));
            }
        }

        let shown_before = former.as_ref().and_then(BlockRecord::shown);
        let is_text_changed = shown_before != merged.shown();
        let dirt = if is_text_changed { Dirt::Passages } else { Dirt::Record };
        let is_new_here = moves || former.is_none();
        target.dirt = target.dirt.max(dirt);
        Arc::make_mut(&mut target.record).blocks.insert(block.clone(), merged);
        if is_new_here {
            self.held_blocks += 1;
            self.homes.insert(block.clone(), Home { page: next.clone(), taken: false });
        }
        let mut pages = vec![next];
        if moves {
            let left = self.page_entry(stored, &home)?;
            if Arc::make_mut(&mut left.record).blocks.remove(block).is_some() {
                left.dirt = left.dirt.max(dirt);
                self.held_blocks -= 1;
                pages.push(home);
            }
        }
        Ok((outcome(written, true), Touched::Pages(pages)))
    }

    fn page_entry<S: Stored>(&mut self, stored: &S, page: &PageId) -> Result<&mut Entry<PageRecord>, S::Error> {
        let held_blocks = &mut self.held_blocks;
        entry(&mut self.pages, page, || {
            let record = stored.page(page)?;
            *held_blocks += record.as_ref().map_or(0, |record| record.blocks.len());
            Ok(record)
        })
    }

    fn home_of<S: Stored>(&self, stored: &S, block: &BlockId) -> Result<Option<PageId>, S::Error> {
        match self.homes.get(block) {
            Some(home) => Ok(Some(home.page.clone())),
            None => stored.block_home(block),
        }
    }

    /// The record of a page, if it is held here.
    pub fn page(&self, page: &PageId) -> Option<&Arc<PageRecord>> {
        self.pages.get(page).map(|entry| &entry.record)
    }

    /// The record of a group, if it is held here.
    pub fn group(&self, group: &GroupId) -> Option<&Arc<GroupRecord>> {
        self.groups.get(group).map(|entry| &entry.record)
    }

    /// The record of a person, if it is held here.
    pub fn member(&self, user: &UserId) -> Option<&Arc<MemberRecord>> {
        self.members.get(user).map(|entry| &entry.record)
    }

    /// How many records are held.
    pub fn len(&self) -> usize {
        self.pages.len() + self.groups.len() + self.members.len()
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many blocks the pages held here have, tombstones included.
    pub fn held_blocks(&self) -> usize {
        self.held_blocks
    }

    /// Takes everything that changed since the last take. It stays readable here until [`Pending::committed`].
    pub fn take(&mut self) -> Taken {
        fn changed<K, R>(entries: &mut HashMap<K, Entry<R>>) -> impl Iterator<Item = (&K, &Arc<R>, Dirt)> {
            entries.iter_mut().filter(|(_, entry)| entry.dirt != Dirt::Clean).map(|(key, entry)| {
                entry.taken = entry.taken.max(std::mem::take(&mut entry.dirt));
                (key, &entry.record, entry.taken)
            })
        }
        self.homes.values_mut().for_each(|home| home.taken = true);
        Taken {
            pages: changed(&mut self.pages)
                .map(|(page, record, dirt)| TakenPage { page: page.clone(), record: Arc::clone(record), dirt })
                .collect(),
            groups: changed(&mut self.groups).map(|(id, record, _)| (id.clone(), Arc::clone(record))).collect(),
            members: changed(&mut self.members).map(|(id, record, _)| (id.clone(), Arc::clone(record))).collect(),
        }
    }

    /// Says that what was taken is committed and can be read from the store: what has not changed since is let go.
    pub fn committed(&mut self) {
        fn settle<K, R>(entries: &mut HashMap<K, Entry<R>>) {
            for entry in entries.values_mut() {
                entry.taken = Dirt::Clean;
            }
        }
        settle(&mut self.pages);
        settle(&mut self.groups);
        settle(&mut self.members);
        self.homes.retain(|_, home| !home.taken);
        self.let_go_of_unchanged();
    }

    /// Says that what was taken could not be committed: it will be taken again.
    pub fn not_committed(&mut self) {
        fn restore<K, R>(entries: &mut HashMap<K, Entry<R>>) {
            for entry in entries.values_mut() {
                entry.dirt = entry.dirt.max(std::mem::take(&mut entry.taken));
            }
        }
        restore(&mut self.pages);
        restore(&mut self.groups);
        restore(&mut self.members);
        self.homes.values_mut().for_each(|home| home.taken = false);
    }

    /// Lets go of records that were only read.
    pub fn let_go_of_unchanged(&mut self) {
        let held_blocks = &mut self.held_blocks;
        self.pages.retain(|_, entry| {
            let is_kept = entry.is_on_its_way();
            *held_blocks -= if is_kept { 0 } else { entry.record.blocks.len() };
            is_kept
        });
        self.groups.retain(|_, entry| entry.is_on_its_way());
        self.members.retain(|_, entry| entry.is_on_its_way());
    }
}

/// Finds a record here, or brings it in from the store, or makes a new one.
fn entry<'a, K: Clone + Hash + Eq, R: Default, E>(
    entries: &'a mut HashMap<K, Entry<R>>,
    key: &K,
    load: impl FnOnce() -> Result<Option<R>, E>,
) -> Result<&'a mut Entry<R>, E> {
    if !entries.contains_key(key) {
        let record = load()?.unwrap_or_default();
        entries.insert(key.clone(), Entry::clean(record));
    }
    Ok(entries.get_mut(key).expect("it was there or was put there just now"))
}

/// Writes to a small record and notes whether that changed it.
fn merge<R: Clone + PartialEq>(entry: &mut Entry<R>, write: impl FnOnce(&mut R) -> register::Outcome) -> Outcome {
    let before = Arc::clone(&entry.record);
    let written = write(Arc::make_mut(&mut entry.record));
    let changed = *before != *entry.record;
    if changed {
        entry.dirt = entry.dirt.max(Dirt::Record);
    }
    outcome(written, changed)
}

/// A stale write may change a record still: a late delete clears words that its successors left.
fn outcome(written: register::Outcome, changed: bool) -> Outcome {
    match written {
        _ if !changed => Outcome::Unchanged,
        register::Outcome::Conflict => Outcome::Conflict,
        register::Outcome::Applied | register::Outcome::Stale => Outcome::Applied,
    }
}

fn touched(outcome: Outcome, of: impl FnOnce() -> Touched) -> (Outcome, Touched) {
    let touched = if outcome == Outcome::Unchanged { Touched::Nothing } else { of() };
    (outcome, touched)
}

/// What of the page itself is searched with its passages: whether it exists, its title and its properties.
fn own_text(record: &PageRecord) -> (bool, Option<&str>, Vec<(&str, &PropertyValue)>) {
    let properties = record.properties.iter();
    let shown = properties.filter_map(|(name, value)| Some((name.as_str(), value.value()?.as_ref()?)));
    (record.exists(), record.title.value().map(String::as_str), shown.collect())
}

fn page_is_full() -> InvalidEvent {
    let reason =
        format!("the page has {PAGE_BLOCKS_MAX} blocks already, which is the limit: move some to another page");
    InvalidEvent::new(InvalidCode::LimitExceeded, "data.page", reason)
}

#[cfg(test)]
mod tests;
