//! The events that turn what a workspace holds into what a source says: only what differs, nothing twice.
//!
//! Pure. Importing the same source again gives no events, and an import that was cut short goes on where it stopped,
//! because the stored records are the only memory. Each event has seen all of the record it was made against, so it
//! replaces what it found and loses nothing of what it did not find: sharing, properties and trash that others set
//! stay until the source itself speaks of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemas::block::BlockContent;
use schemas::event::{BlockPatch, Change, Event};
use schemas::ids::{BlockId, PageId, RegionId, WorkspaceId};
use schemas::page::{PagePatch, PropertyValue};
use schemas::record::{BlockRecord, GroupRecord, MemberRecord, PageRecord};
use schemas::register::Register;
use schemas::version::{Timestamp, VectorClock, Version};

use super::desired::{DesiredBlock, DesiredGroup, DesiredMember, DesiredPage};
use super::position;

/// What all events of one import have in common.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The workspace they are about.
    pub workspace: WorkspaceId,
    /// The region that counts their versions.
    pub region: RegionId,
    /// Their `source`, 1 to 512 bytes.
    pub source: String,
    /// When the change happened: the time of the import, or of the edit that is replayed.
    pub now: jiff::Timestamp,
}

impl Stamp {
    pub(crate) fn event(&self, name: &str, version: Version, change: Change) -> Event {
        let counter = version.clock.counter(&self.region);
        let id = format!("{}:{name}:{counter}", change.type_name());
        Event {
            id,
            source: self.source.clone(),
            workspace: self.workspace.clone(),
            time: Some(self.now),
            version,
            change,
        }
    }

    fn wrote<T>(&self, register: &Register<T>) -> bool {
        register.version().is_some_and(|version| version.region == self.region)
    }
}

/// What the writer of the next event has seen of one entity.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    clock: VectorClock,
    timestamp: Timestamp,
}

impl Seen {
    pub(crate) fn see<T>(&mut self, register: &Register<T>) {
        register.join_clock(&mut self.clock);
        if let Some(version) = register.version() {
            self.timestamp = self.timestamp.max(version.timestamp);
        }
    }

    pub(crate) fn page(record: &PageRecord) -> Self {
        let mut seen = Self { clock: record.clock(), timestamp: Timestamp::default() };
        seen.clock.join(&record.cleared);
        seen.see(&record.live);
        seen.see(&record.trashed);
        seen.see(&record.title);
        seen.see(&record.parent);
        seen.see(&record.kind);
        seen.see(&record.icon);
        seen.see(&record.created_by);
        seen.see(&record.created_at);
        seen.see(&record.edited_by);
        seen.see(&record.edited_at);
        seen.see(&record.grants);
        seen.see(&record.restricted);
        for register in record.properties.values() {
            seen.see(register);
        }
        seen
    }

    pub(crate) fn block(record: Option<&BlockRecord>) -> Self {
        let mut seen = Self::default();
        if let Some(record) = record {
            seen.see(&record.live);
            seen.see(&record.place);
            seen.see(&record.content);
            seen.clock.join(&record.cleared);
        }
        seen
    }

    /// The version of a write that has seen all this; later ones have seen it too.
    pub(crate) fn next(&mut self, stamp: &Stamp) -> Version {
        let counter = self.clock.counter(&stamp.region).saturating_add(1);
        self.clock.0.insert(stamp.region.clone(), counter);
        let wall_ms = u64::try_from(stamp.now.as_millisecond()).unwrap_or(0);
        self.timestamp = if wall_ms > self.timestamp.wall_ms {
            Timestamp { wall_ms, logical: 0 }
        } else {
            Timestamp { logical: self.timestamp.logical.saturating_add(1), ..self.timestamp }
        };
        Version { clock: self.clock.clone(), timestamp: self.timestamp, region: stamp.region.clone() }
    }
}

/// The events that make a page what it should be. In order: sharing, trash, the page itself, blocks that go, blocks
/// that come or change (parents first), restoring; so that nothing is readable before its sharing is known.
pub fn events(desired: &DesiredPage, current: Option<&PageRecord>, stamp: &Stamp) -> Vec<Event> {
    let empty = PageRecord::default();
    let current = current.unwrap_or(&empty);
    let mut seen = Seen::page(current);
    let mut events = Vec::new();
    let page = &desired.id;
    if let Some(change) = access_change(desired, current, stamp) {
        events.push(stamp.event(page.as_str(), seen.next(stamp), change));
    }
    let trashed = current.trashed.value() == Some(&true);
    if desired.trashed && !trashed {
        events.push(stamp.event(page.as_str(), seen.next(stamp), Change::PageTrashed { page: page.clone() }));
    }
    let patch = page_patch(desired, current, stamp);
    if !current.exists() || patch != PagePatch::default() {
        let change = Change::PageUpserted { page: page.clone(), patch: Box::new(patch) };
        events.push(stamp.event(page.as_str(), seen.next(stamp), change));
    }
    block_events(desired, current, stamp, &mut events);
    if !desired.trashed && trashed && stamp.wrote(&current.trashed) {
        events.push(stamp.event(page.as_str(), seen.next(stamp), Change::PageRestored { page: page.clone() }));
    }
    events
}

/// The events that take a page away: its blocks first, so that a removal cut short is taken up again.
pub fn removal(page: &PageId, current: &PageRecord, stamp: &Stamp) -> Vec<Event> {
    if !current.exists() {
        return Vec::new();
    }
    let mut events: Vec<_> = live_blocks(page, current).map(|(id, block)| deletion(page, id, block, stamp)).collect();
    let version = Seen::page(current).next(stamp);
    events.push(stamp.event(page.as_str(), version, Change::PageDeleted { page: page.clone() }));
    events
}

/// The event that makes a person what the source says; none for a person who was erased.
pub fn member(desired: &DesiredMember, current: Option<&MemberRecord>, stamp: &Stamp) -> Option<Event> {
    let empty = MemberRecord::default();
    let current = current.unwrap_or(&empty);
    if current.role.value() == Some(&desired.role) || current.erased.value() == Some(&true) {
        return None;
    }
    let mut seen = Seen::default();
    seen.see(&current.role);
    seen.see(&current.erased);
    let change = Change::MemberChanged { user: desired.user.clone(), role: desired.role };
    Some(stamp.event(desired.user.as_str(), seen.next(stamp), change))
}

/// The event that makes a group what the source says. The order of its members does not matter.
pub fn group(desired: &DesiredGroup, current: Option<&GroupRecord>, stamp: &Stamp) -> Option<Event> {
    let empty = GroupRecord::default();
    let current = current.unwrap_or(&empty);
    let mut members = desired.members.clone();
    members.sort();
    members.dedup();
    let mut held = current.members.value().cloned().flatten();
    if let Some(held) = &mut held {
        held.sort();
    }
    if held.as_ref() == Some(&members) {
        return None;
    }
    let mut seen = Seen::default();
    seen.see(&current.members);
    let change = Change::GroupChanged { group: desired.id.clone(), members: Some(members) };
    Some(stamp.event(desired.id.as_str(), seen.next(stamp), change))
}

fn access_change(desired: &DesiredPage, current: &PageRecord, stamp: &Stamp) -> Option<Change> {
    let held = current.grants.value().map_or(&[][..], Vec::as_slice);
    let held_restricted = current.restricted.value() == Some(&true);
    let (mut grants, restricted) = match &desired.access {
        Some(access) => (access.grants.clone(), access.restricted),
        None if stamp.wrote(&current.grants) => (Vec::new(), false),
        None => return None,
    };
    grants.sort();
    grants.dedup();
    let same = held == grants && held_restricted == restricted;
    (!same).then(|| Change::PageAccessChanged { page: desired.id.clone(), grants, restricted })
}

fn page_patch(desired: &DesiredPage, current: &PageRecord, stamp: &Stamp) -> PagePatch {
    fn changed<T: Clone + PartialEq>(desired: &T, current: &Register<T>) -> Option<T> {
        (current.value() != Some(desired)).then(|| desired.clone())
    }
    fn said<T: Clone + PartialEq>(desired: Option<&T>, current: &Register<T>) -> Option<T> {
        desired.and_then(|desired| changed(desired, current))
    }
    let held_icon = current.icon.value().and_then(Option::as_ref);
    let icon_differs = held_icon != desired.icon.as_ref() && (desired.icon.is_some() || stamp.wrote(&current.icon));
    PagePatch {
        title: changed(&desired.title, &current.title),
        parent: changed(&desired.parent, &current.parent),
        kind: changed(&desired.kind, &current.kind),
        icon: icon_differs.then(|| desired.icon.clone()),
        properties: property_patch(desired, current, stamp),
        created_by: said(desired.created_by.as_ref(), &current.created_by),
        created_at: said(desired.created_at.as_ref(), &current.created_at),
        edited_by: said(desired.edited_by.as_ref(), &current.edited_by),
        edited_at: said(desired.edited_at.as_ref(), &current.edited_at),
    }
}

fn property_patch(
    desired: &DesiredPage,
    current: &PageRecord,
    stamp: &Stamp,
) -> BTreeMap<String, Option<PropertyValue>> {
    let held = |name: &str| current.properties.get(name).and_then(Register::value).and_then(Option::as_ref);
    let set = desired.properties.iter().filter(|(name, value)| held(name) != Some(*value));
    let set = set.map(|(name, value)| (name.clone(), Some(value.clone())));
    let gone = current.properties.iter().filter(|(name, register)| {
        held(name).is_some() && !desired.properties.contains_key(*name) && stamp.wrote(register)
    });
    set.chain(gone.map(|(name, _)| (name.clone(), None))).collect()
}

/// One desired block, out of its nesting.
struct Placed<'a> {
    id: BlockId,
    parent: Option<BlockId>,
    position: String,
    content: &'a BlockContent,
}

fn block_events(desired: &DesiredPage, current: &PageRecord, stamp: &Stamp, events: &mut Vec<Event>) {
    let page = &desired.id;
    let mut placed = Vec::new();
    place(page, None, &desired.blocks, current, &mut HashMap::new(), &mut placed);
    let wanted: HashSet<&BlockId> = placed.iter().map(|block| &block.id).collect();
    for (id, block) in live_blocks(page, current) {
        if !wanted.contains(id) {
            events.push(deletion(page, id, block, stamp));
        }
    }
    for block in &placed {
        let record = current.blocks.get(&block.id);
        let shown = record.and_then(BlockRecord::shown);
        let same_content = shown.is_some_and(|(_, content)| content == block.content);
        let same_place = shown.is_some_and(|(place, _)| {
            place.page == *page && place.parent == block.parent && place.position == block.position
        });
        if same_content && same_place {
            continue;
        }
        let patch = BlockPatch {
            page: page.clone(),
            parent: block.parent.clone(),
            position: block.position.clone(),
            content: (!same_content).then(|| block.content.clone()),
        };
        let change = Change::BlockUpserted { block: block.id.clone(), patch };
        events.push(stamp.event(block.id.as_str(), Seen::block(record).next(stamp), change));
    }
}

fn live_blocks<'a>(page: &'a PageId, current: &'a PageRecord) -> impl Iterator<Item = (&'a BlockId, &'a BlockRecord)> {
    current.blocks.iter().filter(move |(_, block)| {
        let here = block.place.value().is_none_or(|place| place.page == *page);
        here && block.live.value() == Some(&true)
    })
}

fn deletion(page: &PageId, id: &BlockId, block: &BlockRecord, stamp: &Stamp) -> Event {
    let change = Change::BlockDeleted { block: id.clone(), page: page.clone() };
    stamp.event(id.as_str(), Seen::block(Some(block)).next(stamp), change)
}

/// Gives the blocks of one parent, and those in them, their ids and positions. Nests as deep as the blocks do.
fn place<'a>(
    page: &PageId,
    parent: Option<&BlockId>,
    blocks: &'a [DesiredBlock],
    current: &PageRecord,
    occurrences: &mut HashMap<[u8; 32], u32>,
    placed: &mut Vec<Placed<'a>>,
) {
    let ids: Vec<BlockId> = blocks.iter().map(|block| block_id(page, block, occurrences)).collect();
    let positions = positions(page, parent, &ids, current);
    for ((block, id), position) in blocks.iter().zip(ids).zip(positions) {
        placed.push(Placed { id: id.clone(), parent: parent.cloned(), position, content: &block.content });
        place(page, Some(&id), &block.children, current, occurrences, placed);
    }
}

/// The id of a block: its page, type and text, and the how-manieth of these it is. A block whose text is changed is
/// another block; one that is moved on its page, or whose links or ticks change, stays itself.
fn block_id(page: &PageId, block: &DesiredBlock, occurrences: &mut HashMap<[u8; 32], u32>) -> BlockId {
    let mut hasher = blake3::Hasher::new();
    for part in [page.as_str(), block.content.kind.as_str()] {
        hasher.update(part.as_bytes()).update(&[0]);
    }
    let text = block.content.plain_text();
    hasher.update(text.as_bytes()).update(&[0]);
    hasher.update(block.content.url.as_deref().unwrap_or("").as_bytes());
    if text.is_empty() {
        // A table has no text of its own: its head tells it from the others.
        let head = block.children.first().map(|child| child.content.plain_text());
        hasher.update(head.unwrap_or_default().as_bytes());
    }
    let occurrence = occurrences.entry(*hasher.finalize().as_bytes()).or_insert(0);
    hasher.update(&occurrence.to_le_bytes());
    *occurrence += 1;
    let hash = hasher.finalize().to_hex();
    BlockId::new(&hash[..BLOCK_ID_CHARS]).expect("hexadecimal digits are an id")
}

/// 96 bits: two of a billion blocks of one workspace share an id with a chance below 1 in 10^10.
const BLOCK_ID_CHARS: usize = 24;

/// Positions of siblings in their order: those that stand right keep theirs, the others come between.
fn positions(page: &PageId, parent: Option<&BlockId>, ids: &[BlockId], current: &PageRecord) -> Vec<String> {
    let held: Vec<Option<&str>> = ids
        .iter()
        .map(|id| {
            let (place, _) = current.blocks.get(id)?.shown()?;
            let usable = place.page == *page && place.parent.as_ref() == parent && position::is_key(&place.position);
            usable.then_some(place.position.as_str())
        })
        .collect();
    let kept = longest_ascent(&held);
    let mut positions = Vec::with_capacity(ids.len());
    let mut low = None;
    for next in kept.iter().copied().map(Some).chain([None]) {
        let high = next.and_then(|at| held[at]);
        let count = next.unwrap_or(ids.len()) - positions.len();
        let Some(between) = position::spread(low, high, count) else {
            return position::spread(None, None, ids.len()).expect("an open range has room for a page");
        };
        positions.extend(between);
        positions.extend(high.map(str::to_owned));
        low = high;
    }
    positions
}

/// Indices of a longest strictly ascending selection, in `n log n`; absent entries are passed over.
fn longest_ascent(held: &[Option<&str>]) -> Vec<usize> {
    // `ends[n]` is the entry with the smallest key that ends a selection of `n + 1`; `previous` leads back from each.
    let mut ends: Vec<usize> = Vec::new();
    let mut previous: Vec<Option<usize>> = vec![None; held.len()];
    for (at, key) in held.iter().enumerate() {
        let Some(key) = key else { continue };
        let length = ends.partition_point(|&end| held[end].is_some_and(|end| end < *key));
        previous[at] = length.checked_sub(1).map(|before| ends[before]);
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut selection: Vec<usize> = std::iter::successors(ends.last().copied(), |&at| previous[at]).collect();
    selection.reverse();
    selection
}

#[cfg(test)]
mod tests;
