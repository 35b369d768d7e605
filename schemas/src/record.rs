//! Records: the merged state of a page (its blocks included), a group, a member and a workspace, as they are stored.
//!
//! A record is what all events about an entity add up to, in whatever order they came: `apply` merges one change and
//! says whether anything a reader could notice may have changed. The format of these types is part of the stored index.
//!
//! Rules of merging: each attribute is a [`Register`]. A delete also joins its clock into `cleared`, and words written
//! by versions within that clock are dropped for good, so that the text of a deleted block is gone and only its
//! tombstone stays. Both are the same for every order and duplication of the same events.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block::BlockContent;
use crate::event::{BlockPatch, Change};
use crate::grant::{Grant, Principal, Role};
use crate::ids::{BlockId, PageId, UserId};
use crate::page::{PageKind, PagePatch, Parent, PropertyValue};
use crate::register::{Outcome, Register};
use crate::version::{VectorClock, Version};

/// Where a block stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockPlace {
    /// Its page.
    pub page: PageId,
    /// The block it is nested in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BlockId>,
    /// Its order among its siblings, compared byte by byte.
    pub position: String,
}

/// All that is known of one block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// True while it is not deleted.
    pub live: Register<bool>,
    /// Where it stands.
    pub place: Register<BlockPlace>,
    /// Its type and content.
    pub content: Register<BlockContent>,
    /// What its deletes had seen.
    #[serde(default, skip_serializing_if = "VectorClock::is_empty")]
    pub cleared: VectorClock,
}

impl BlockRecord {
    /// Its place and content, when it is live and both are known.
    pub fn shown(&self) -> Option<(&BlockPlace, &BlockContent)> {
        if self.live.value() != Some(&true) {
            return None;
        }
        Some((self.place.value()?, self.content.value()?))
    }

    /// Merges an upsert.
    pub fn upsert(&mut self, version: &Arc<Version>, patch: BlockPatch) -> Outcome {
        let place = BlockPlace { page: patch.page, parent: patch.parent, position: patch.position };
        let mut outcome = self.live.write(version, true).max(self.place.write(version, place));
        if let Some(content) = patch.content {
            outcome = outcome.max(self.content.write(version, content));
        }
        self.forget_cleared();
        outcome
    }

    /// Merges a delete.
    pub fn delete(&mut self, version: &Arc<Version>) -> Outcome {
        let outcome = self.live.write(version, false);
        self.cleared.join(&version.clock);
        self.forget_cleared();
        outcome
    }

    fn forget_cleared(&mut self) {
        self.content.retain(|version| !self.cleared.covers(&version.clock));
    }
}

/// All that is known of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageRecord {
    /// True while it is not deleted.
    pub live: Register<bool>,
    /// Whether it is in the trash.
    pub trashed: Register<bool>,
    /// Its title.
    pub title: Register<String>,
    /// Where it hangs.
    pub parent: Register<Parent>,
    /// What kind it is.
    pub kind: Register<PageKind>,
    /// Its icon.
    pub icon: Register<Option<String>>,
    /// Its properties.
    pub properties: BTreeMap<String, Register<Option<PropertyValue>>>,
    /// Who made it.
    pub created_by: Register<UserId>,
    /// When it was made.
    pub created_at: Register<jiff::Timestamp>,
    /// Who changed it last.
    pub edited_by: Register<UserId>,
    /// When it was changed last.
    pub edited_at: Register<jiff::Timestamp>,
    /// Who was given what.
    pub grants: Register<Vec<Grant>>,
    /// Whether it takes nothing from its parent.
    pub restricted: Register<bool>,
    /// What its deletes had seen.
    pub cleared: VectorClock,
    /// Its blocks, tombstones included.
    pub blocks: BTreeMap<BlockId, BlockRecord>,
}

impl PageRecord {
    /// True when the page exists: it was upserted and not deleted since.
    pub fn exists(&self) -> bool {
        self.live.value() == Some(&true)
    }

    /// Merges a `page.*` change. Other changes leave it as it is.
    pub fn apply(&mut self, change: &Change, version: &Arc<Version>) -> Outcome {
        match change {
            Change::PageUpserted { patch, .. } => self.upsert(patch, version),
            Change::PageTrashed { .. } => self.trashed.write(version, true),
            Change::PageRestored { .. } => self.trashed.write(version, false),
            Change::PageDeleted { .. } => {
                let outcome = self.live.write(version, false);
                self.cleared.join(&version.clock);
                self.forget_cleared();
                outcome
            }
            Change::PageAccessChanged { grants, restricted, .. } => {
                let mut grants = grants.clone();
                grants.sort();
                grants.dedup();
                self.grants.write(version, grants).max(self.restricted.write(version, *restricted))
            }
            _ => Outcome::Stale,
        }
    }

    fn upsert(&mut self, patch: &PagePatch, version: &Arc<Version>) -> Outcome {
        fn set<T: Clone + Serialize>(register: &mut Register<T>, value: Option<&T>, version: &Arc<Version>) -> Outcome {
            value.map_or(Outcome::Stale, |value| register.write(version, value.clone()))
        }
        let mut outcome = self.live.write(version, true);
        outcome = outcome.max(set(&mut self.title, patch.title.as_ref(), version));
        outcome = outcome.max(set(&mut self.parent, patch.parent.as_ref(), version));
        outcome = outcome.max(set(&mut self.kind, patch.kind.as_ref(), version));
        outcome = outcome.max(set(&mut self.icon, patch.icon.as_ref(), version));
        outcome = outcome.max(set(&mut self.created_by, patch.created_by.as_ref(), version));
        outcome = outcome.max(set(&mut self.created_at, patch.created_at.as_ref(), version));
        outcome = outcome.max(set(&mut self.edited_by, patch.edited_by.as_ref(), version));
        outcome = outcome.max(set(&mut self.edited_at, patch.edited_at.as_ref(), version));
        for (name, value) in &patch.properties {
            outcome = outcome.max(self.properties.entry(name.clone()).or_default().write(version, value.clone()));
        }
        self.forget_cleared();
        outcome
    }

    /// Blocks have clocks of their own and are deleted by their own events.
    fn forget_cleared(&mut self) {
        let kept = |version: &Version| !self.cleared.covers(&version.clock);
        self.title.retain(kept);
        self.icon.retain(kept);
        for register in self.properties.values_mut() {
            register.retain(kept);
        }
        self.properties.retain(|_, register| !register.is_empty());
    }

    /// The clock of the page itself: everything its kept writes had seen.
    pub fn clock(&self) -> VectorClock {
        let mut clock = VectorClock::default();
        self.live.join_clock(&mut clock);
        self.trashed.join_clock(&mut clock);
        self.title.join_clock(&mut clock);
        self.parent.join_clock(&mut clock);
        self.kind.join_clock(&mut clock);
        self.icon.join_clock(&mut clock);
        self.created_by.join_clock(&mut clock);
        self.created_at.join_clock(&mut clock);
        self.edited_by.join_clock(&mut clock);
        self.edited_at.join_clock(&mut clock);
        self.grants.join_clock(&mut clock);
        self.restricted.join_clock(&mut clock);
        for register in self.properties.values() {
            register.join_clock(&mut clock);
        }
        clock
    }

    /// Its live blocks in reading order: children after their parent, siblings by position, then by id.
    ///
    /// `page` is this page's id: a block that has moved away is left out. Blocks whose parent is missing, deleted or
    /// in a cycle come at the end, at depth zero, so that no text is lost. The number is the nesting depth.
    pub fn blocks_in_order<'a>(&'a self, page: &PageId) -> Vec<(&'a BlockId, &'a BlockContent, usize)> {
        let shown = self.blocks.iter().filter_map(|(id, block)| {
            let (place, content) = block.shown()?;
            Some((id, place, content))
        });
        in_reading_order(shown, page)
    }
}

/// Blocks as [`PageRecord::blocks_in_order`] orders them, of all whose places are given.
pub(crate) fn in_reading_order<'a, T: Copy>(
    blocks: impl Iterator<Item = (&'a BlockId, &'a BlockPlace, T)>,
    page: &PageId,
) -> Vec<(&'a BlockId, T, usize)> {
    let mut children: BTreeMap<Option<&BlockId>, Vec<(&str, &BlockId, T)>> = BTreeMap::new();
    for (id, place, content) in blocks {
        if place.page == *page {
            children.entry(place.parent.as_ref()).or_default().push((&place.position, id, content));
        }
    }
    let total: usize = children.values().map(Vec::len).sum();
    for siblings in children.values_mut() {
        siblings.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)));
    }
    let mut ordered = Vec::with_capacity(total);
    let mut stack: Vec<(&BlockId, T, usize)> = Vec::new();
    let mut next_root = Some(None);
    while let Some(root) = next_root {
        let roots = children.remove(&root).unwrap_or_default();
        stack.extend(roots.into_iter().map(|(_, id, content)| (id, content, 0)));
        while let Some((id, content, depth)) = stack.pop() {
            ordered.push((id, content, depth));
            let nested = children.remove(&Some(id)).unwrap_or_default();
            stack.extend(nested.into_iter().map(|(_, id, content)| (id, content, depth + 1)));
        }
        next_root = children.keys().next().copied();
    }
    ordered
}

/// All that is known of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Who is in it; absent once it is deleted.
    pub members: Register<Option<Vec<Principal>>>,
}

/// All that is known of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// What the person is in the workspace.
    pub role: Register<Role>,
    /// True once the person was erased: the name is shown nowhere any more.
    pub erased: Register<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockType;
    use crate::ids::RegionId;
    use crate::version::Timestamp;

    fn version(counter: u64) -> Arc<Version> {
        let region = RegionId::new("r").unwrap();
        let timestamp = Timestamp { wall_ms: counter, logical: 0 };
        Arc::new(Version { clock: VectorClock::of(&region, counter), timestamp, region })
    }

    fn place(page: &str, parent: Option<&str>, position: &str, text: &str) -> BlockPatch {
        BlockPatch {
            page: PageId::new(page).unwrap(),
            parent: parent.map(|id| BlockId::new(id).unwrap()),
            position: position.to_owned(),
            content: Some(BlockContent::text(BlockType::Paragraph, text)),
        }
    }

    #[test]
    fn blocks_come_in_reading_order_and_none_is_lost() {
        let page = PageId::new("p").unwrap();
        let mut record = PageRecord::default();
        for (id, patch) in [
            ("b", place("p", None, "2", "two")),
            ("a", place("p", None, "1", "one")),
            ("c", place("p", Some("a"), "1", "nested")),
            ("x", place("p", Some("y"), "1", "cycle x")),
            ("y", place("p", Some("x"), "1", "cycle y")),
            ("o", place("p", Some("gone"), "1", "orphan")),
            ("m", place("elsewhere", None, "1", "moved")),
        ] {
            record.blocks.entry(BlockId::new(id).unwrap()).or_default().upsert(&version(1), patch);
        }
        let texts: Vec<_> = record.blocks_in_order(&page).iter().map(|(_, c, d)| (c.plain_text(), *d)).collect();
        let texts: Vec<_> = texts.iter().map(|(t, d)| (t.as_str(), *d)).collect();
        assert_eq!(texts, [("one", 0), ("nested", 1), ("two", 0), ("orphan", 0), ("cycle y", 0), ("cycle x", 1)]);
    }

    #[test]
    fn a_deleted_block_keeps_no_text_and_a_late_older_write_brings_none_back() {
        let mut block = BlockRecord::default();
        block.upsert(&version(1), place("p", None, "1", "secret"));
        block.delete(&version(3));
        assert!(block.content.is_empty());
        block.upsert(&version(2), place("p", None, "1", "secret again"));
        assert!(block.content.is_empty() && block.shown().is_none());
        block.upsert(&version(5), BlockPatch { content: None, ..place("p", None, "1", "") });
        block.upsert(&version(1), place("p", None, "1", "secret"));
        assert!(block.content.is_empty(), "a revival without content brings none back either");
        block.upsert(&version(6), place("p", None, "1", "back"));
        assert_eq!(block.shown().unwrap().1.plain_text(), "back");
    }
}
