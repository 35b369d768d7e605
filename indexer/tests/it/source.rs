//! A product that writes events: it keeps the two promises of a source about versions.

use std::collections::BTreeMap;

use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::grant::Role;
use schemas::ids::{BlockId, GroupId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent, PropertyValue};
use schemas::version::{Timestamp, VectorClock, Version};

/// One region of a product.
pub(crate) struct Source {
    pub(crate) workspace: WorkspaceId,
    region: RegionId,
    /// What it has seen of each entity.
    seen: BTreeMap<String, VectorClock>,
    written: u64,
}

pub(crate) fn page(id: &str) -> PageId {
    PageId::new(id).unwrap()
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

impl Source {
    pub(crate) fn new(workspace: &str, region: &str) -> Self {
        let (workspace, region) = (WorkspaceId::new(workspace).unwrap(), RegionId::new(region).unwrap());
        Self { workspace, region, seen: BTreeMap::new(), written: 0 }
    }

    /// Learns of everything that another region has written or seen.
    pub(crate) fn learn_from(&mut self, other: &Self) {
        for (entity, clock) in &other.seen {
            self.seen.entry(entity.clone()).or_default().join(clock);
        }
    }

    /// Writes a change now.
    pub(crate) fn write(&mut self, change: Change) -> Event {
        self.write_at(change, self.written)
    }

    /// Writes a change by a clock that shows `wall_ms`.
    pub(crate) fn write_at(&mut self, change: Change, wall_ms: u64) -> Event {
        let entity = match &change {
            Change::BlockUpserted { block, .. } | Change::BlockDeleted { block, .. } => {
                format!("block {block}")
            }
            Change::GroupChanged { group, .. } => format!("group {group}"),
            Change::MemberChanged { user, .. } | Change::UserErased { user } => {
                format!("user {user}")
            }
            Change::PageUpserted { page, .. }
            | Change::PageTrashed { page }
            | Change::PageRestored { page }
            | Change::PageDeleted { page }
            | Change::PageAccessChanged { page, .. } => format!("page {page}"),
            Change::WorkspaceErased => "workspace".to_owned(),
        };
        self.written += 1;
        let clock = self.seen.entry(entity).or_default();
        *clock.0.entry(self.region.clone()).or_insert(0) += 1;
        let version = Version {
            clock: clock.clone(),
            timestamp: Timestamp { wall_ms, logical: self.written as u32 },
            region: self.region.clone(),
        };
        let id = format!("{}-{}", self.region, self.written);
        Event { id, source: "/test".to_owned(), workspace: self.workspace.clone(), time: None, version, change }
    }

    pub(crate) fn page(&mut self, id: &str, title: &str, parent: Option<&str>) -> Event {
        let parent = Some(parent.map_or(Parent::Workspace, |parent| Parent::Page { id: page(parent) }));
        let patch = PagePatch { title: Some(title.to_owned()), parent, ..PagePatch::default() };
        self.write(Change::PageUpserted { page: page(id), patch: Box::new(patch) })
    }

    pub(crate) fn property(&mut self, id: &str, name: &str, value: &str) -> Event {
        let properties = [(name.to_owned(), Some(PropertyValue::Text(value.to_owned())))].into();
        let patch = PagePatch { properties, ..PagePatch::default() };
        self.write(Change::PageUpserted { page: page(id), patch: Box::new(patch) })
    }

    pub(crate) fn block(&mut self, on: &str, id: &str, text: &str) -> Event {
        let content = Some(BlockContent::text(BlockType::Paragraph, text));
        let patch = BlockPatch { page: page(on), parent: None, position: id.to_owned(), content };
        self.write(Change::BlockUpserted { block: BlockId::new(id).unwrap(), patch })
    }

    pub(crate) fn delete_block(&mut self, on: &str, id: &str) -> Event {
        self.write(Change::BlockDeleted { block: BlockId::new(id).unwrap(), page: page(on) })
    }

    pub(crate) fn grant(&mut self, id: &str, grants: &[&str]) -> Event {
        let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        self.write(Change::PageAccessChanged { page: page(id), grants, restricted: false })
    }

    pub(crate) fn member(&mut self, id: &str, role: Role) -> Event {
        self.write(Change::MemberChanged { user: user(id), role })
    }

    pub(crate) fn group(&mut self, id: &str, members: &[&str]) -> Event {
        let members = Some(members.iter().map(|member| member.parse().unwrap()).collect());
        self.write(Change::GroupChanged { group: GroupId::new(id).unwrap(), members })
    }
}

/// A body of events, one a line.
pub(crate) fn ndjson(events: &[Event]) -> String {
    events.iter().map(Event::encode).collect::<Vec<_>>().join("\n") + "\n"
}
