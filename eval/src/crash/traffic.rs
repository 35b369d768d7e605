//! A product with a few workspaces of bounded size, whose pages are changed for ever: by two regions that learn of each
//! other's writes now and then, so that some are concurrent.
//!
//! It keeps a source's promise about versions. An erased workspace is followed by a new one under another id.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::{BlockId, GroupId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent, PropertyValue};
use schemas::version::{Timestamp, VectorClock, Version};

/// Workspaces that are written to at a time.
const WORKSPACES: usize = 3;
const PAGES: u32 = 40;
const BLOCKS: u32 = 400;
const USERS: u32 = 6;
const GROUPS: u32 = 4;
/// Different words.
const WORDS: u32 = 500;
/// Events of which one erases a workspace.
const EVENTS_AN_ERASURE: u32 = 3_000;

/// The product.
#[derive(Debug)]
pub struct Traffic {
    rng: SmallRng,
    /// Those written to; the rest of [`Traffic::workspaces`] is erased.
    live: Vec<Workspace>,
    workspaces: Vec<WorkspaceId>,
    written: u32,
}

/// What the two regions have seen of a workspace.
#[derive(Debug)]
struct Workspace {
    id: WorkspaceId,
    regions: [(RegionId, BTreeMap<String, VectorClock>); 2],
}

impl Traffic {
    /// A product of which nothing is written yet.
    pub fn new(seed: u64) -> Self {
        let rng = SmallRng::seed_from_u64(seed);
        let mut traffic = Self { rng, live: Vec::new(), workspaces: Vec::new(), written: 0 };
        for _ in 0..WORKSPACES {
            let workspace = traffic.new_workspace();
            traffic.live.push(workspace);
        }
        traffic
    }

    /// All workspaces that were ever written to.
    pub fn workspaces(&self) -> &[WorkspaceId] {
        &self.workspaces
    }

    /// The next changes, `len` of them.
    pub fn batch(&mut self, len: usize) -> Vec<Event> {
        (0..len).map(|_| self.event()).collect()
    }

    /// Some word that texts may hold.
    pub fn word(&mut self) -> String {
        word(&mut self.rng)
    }

    /// People who ask, one that has no role among them.
    pub fn users() -> impl Iterator<Item = UserId> {
        (0..=USERS).map(user)
    }

    /// The groups.
    pub fn groups() -> impl Iterator<Item = GroupId> {
        (0..GROUPS).map(group)
    }

    fn new_workspace(&mut self) -> Workspace {
        let id = WorkspaceId::new(format!("w{}", self.workspaces.len())).expect("letters and digits");
        self.workspaces.push(id.clone());
        let region = |name: &str| (RegionId::new(name).expect("letters"), BTreeMap::new());
        Workspace { id, regions: [region("eu"), region("us")] }
    }

    fn event(&mut self) -> Event {
        let at = self.rng.random_range(0..self.live.len());
        let change =
            if self.rng.random_ratio(1, EVENTS_AN_ERASURE) { Change::WorkspaceErased } else { change(&mut self.rng) };
        let is_erased = change == Change::WorkspaceErased;
        let event = self.write(at, change);
        if is_erased {
            self.live[at] = self.new_workspace();
        }
        event
    }

    fn write(&mut self, at: usize, change: Change) -> Event {
        self.written += 1;
        let workspace = &mut self.live[at];
        let entity = entity(&change);
        let (from, other) = if self.rng.random() { (0, 1) } else { (1, 0) };
        let seen = workspace.regions[other].1.get(&entity).filter(|_| self.rng.random_bool(0.7)).cloned();
        let (region, clocks) = &mut workspace.regions[from];
        let clock = clocks.entry(entity).or_default();
        clock.join(&seen.unwrap_or_default());
        *clock.0.entry(region.clone()).or_default() += 1;
        Event {
            id: format!("{region}-{}", self.written),
            source: "/product".to_owned(),
            workspace: workspace.id.clone(),
            time: None,
            version: Version {
                clock: clock.clone(),
                timestamp: Timestamp { wall_ms: 1, logical: self.written },
                region: region.clone(),
            },
            change,
        }
    }
}

/// What has a clock of its own.
fn entity(change: &Change) -> String {
    match change {
        Change::BlockUpserted { block, .. } | Change::BlockDeleted { block, .. } => format!("block {block}"),
        Change::GroupChanged { group, .. } => format!("group {group}"),
        Change::MemberChanged { user, .. } | Change::UserErased { user } => format!("user {user}"),
        Change::PageUpserted { page, .. }
        | Change::PageTrashed { page }
        | Change::PageRestored { page }
        | Change::PageDeleted { page }
        | Change::PageAccessChanged { page, .. } => format!("page {page}"),
        Change::WorkspaceErased => "workspace".to_owned(),
    }
}

fn change(rng: &mut SmallRng) -> Change {
    let page = page(rng.random_range(0..PAGES));
    let block = BlockId::new(format!("b{}", rng.random_range(0..BLOCKS))).expect("letters and digits");
    match rng.random_range(0..100) {
        0..52 => {
            let len = if rng.random_bool(0.02) { rng.random_range(500..2_000) } else { rng.random_range(1..60) };
            let content = (!rng.random_bool(0.1)).then(|| BlockContent::text(BlockType::Paragraph, text(len, rng)));
            let position = format!("{:03}", rng.random_range(0..1_000));
            Change::BlockUpserted { block, patch: BlockPatch { page, parent: None, position, content } }
        }
        52..60 => Change::BlockDeleted { block, page },
        60..76 => {
            let parent = rng.random_bool(0.5).then(|| random_parent(rng));
            let patch = PagePatch { title: Some(text(3, rng)), parent, ..PagePatch::default() };
            Change::PageUpserted { page, patch: Box::new(patch) }
        }
        76..80 => {
            let name = *["Status", "Due", "Tags"].choose(rng).expect("it is not empty");
            let value = rng.random_bool(0.8).then(|| PropertyValue::Text(text(2, rng)));
            let patch = PagePatch { properties: [(name.to_owned(), value)].into(), ..PagePatch::default() };
            Change::PageUpserted { page, patch: Box::new(patch) }
        }
        80 | 81 => Change::PageTrashed { page },
        82..85 => Change::PageRestored { page },
        85 => Change::PageDeleted { page },
        86..93 => {
            let grants = (0..rng.random_range(0..3)).map(|_| grant(rng)).collect();
            Change::PageAccessChanged { page, grants, restricted: rng.random_bool(0.2) }
        }
        93..96 => {
            let members = rng.random_bool(0.9).then(|| (0..rng.random_range(0..4)).map(|_| member(rng)).collect());
            Change::GroupChanged { group: group(rng.random_range(0..GROUPS)), members }
        }
        _ => {
            let user = user(rng.random_range(0..USERS));
            if rng.random_bool(0.01) {
                return Change::UserErased { user };
            }
            let role = *[Role::Member, Role::Member, Role::Guest, Role::Removed].choose(rng).expect("it is not empty");
            Change::MemberChanged { user, role }
        }
    }
}

fn random_parent(rng: &mut SmallRng) -> Parent {
    if rng.random_bool(0.4) { Parent::Workspace } else { Parent::Page { id: page(rng.random_range(0..PAGES)) } }
}

fn grant(rng: &mut SmallRng) -> Grant {
    let principal = match rng.random_range(0..10) {
        0..4 => Principal::User(user(rng.random_range(0..USERS))),
        4..7 => Principal::Group(group(rng.random_range(0..GROUPS))),
        7..9 => Principal::Workspace,
        _ => Principal::Public,
    };
    let level = *[Level::View, Level::Comment, Level::Edit, Level::Full].choose(rng).expect("it is not empty");
    Grant { principal, level }
}

fn member(rng: &mut SmallRng) -> Principal {
    if rng.random_bool(0.7) {
        Principal::User(user(rng.random_range(0..USERS)))
    } else {
        Principal::Group(group(rng.random_range(0..GROUPS)))
    }
}

fn text(len: usize, rng: &mut SmallRng) -> String {
    (0..len).map(|_| word(rng)).collect::<Vec<_>>().join(" ")
}

fn word(rng: &mut SmallRng) -> String {
    format!("word{}", rng.random_range(0..WORDS))
}

fn page(number: u32) -> PageId {
    PageId::new(format!("page{number}")).expect("letters and digits")
}

fn user(number: u32) -> UserId {
    UserId::new(format!("user{number}")).expect("letters and digits")
}

fn group(number: u32) -> GroupId {
    GroupId::new(format!("group{number}")).expect("letters and digits")
}
