//! Convergence: whatever the order, the duplicates and the commits in between, one set of events ends in one state.

use std::collections::BTreeMap;
use std::convert::Infallible;

use rand::prelude::*;
use rand::rngs::SmallRng;
use schemas::block::{BlockContent, BlockType};
use schemas::event::BlockPatch;
use schemas::ids::RegionId;
use schemas::page::{PagePatch, Parent};
use schemas::version::{Timestamp, VectorClock};

use super::*;

/// Committed records in maps.
#[derive(Debug, Default, PartialEq)]
struct Memory {
    pages: BTreeMap<PageId, PageRecord>,
    groups: BTreeMap<GroupId, GroupRecord>,
    members: BTreeMap<UserId, MemberRecord>,
}

impl Stored for Memory {
    type Error = Infallible;

    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, Infallible> {
        Ok(self.pages.get(page).cloned())
    }

    fn block_home(&self, block: &BlockId) -> Result<Option<PageId>, Infallible> {
        let homes: Vec<_> = self.pages.iter().filter(|(_, record)| record.blocks.contains_key(block)).collect();
        assert!(homes.len() <= 1, "block {block} has several homes");
        Ok(homes.first().map(|(page, _)| (*page).clone()))
    }

    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, Infallible> {
        Ok(self.groups.get(group).cloned())
    }

    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, Infallible> {
        Ok(self.members.get(user).cloned())
    }
}

impl Memory {
    /// Commits what is pending. An emptied record counts as none.
    fn commit(&mut self, pending: &mut Pending) {
        let taken = pending.take();
        self.pages.extend(taken.pages.into_iter().map(|taken| (taken.page, (*taken.record).clone())));
        self.groups.extend(taken.groups.into_iter().map(|(id, record)| (id, (*record).clone())));
        self.members.extend(taken.members.into_iter().map(|(id, record)| (id, (*record).clone())));
        self.pages.retain(|_, record| *record != PageRecord::default());
        pending.committed();
        assert!(pending.is_empty() && pending.held_blocks() == 0);
    }
}

type Write = (Change, Arc<Version>);

fn page_id(number: usize) -> PageId {
    PageId::new(format!("p{number}")).unwrap()
}

fn block_id(number: usize) -> BlockId {
    BlockId::new(format!("b{number}")).unwrap()
}

/// Regions that write to a few entities, see each other's writes now and then, and have unreliable clocks.
struct World {
    rng: SmallRng,
    /// What each region has seen of each entity.
    seen: [BTreeMap<String, VectorClock>; 3],
}

impl World {
    fn version(&mut self, region: usize, entity: &str) -> Arc<Version> {
        let id = RegionId::new(format!("r{region}")).unwrap();
        let clock = self.seen[region].entry(entity.to_owned()).or_default();
        *clock.0.entry(id.clone()).or_insert(0) += 1;
        let timestamp = Timestamp { wall_ms: self.rng.random_range(0..6), logical: self.rng.random_range(0..2) };
        Arc::new(Version { clock: clock.clone(), timestamp, region: id })
    }

    fn write(&mut self) -> Write {
        let region = self.rng.random_range(0..3);
        if self.rng.random_bool(0.4) {
            let other = self.seen[self.rng.random_range(0..3)].clone();
            for (entity, clock) in other {
                self.seen[region].entry(entity).or_default().join(&clock);
            }
        }
        let change = self.change();
        let entity = match &change {
            Change::BlockUpserted { block, .. } | Change::BlockDeleted { block, .. } => format!("block {block}"),
            Change::GroupChanged { group, .. } => format!("group {group}"),
            Change::MemberChanged { user, .. } | Change::UserErased { user } => format!("user {user}"),
            Change::PageUpserted { page, .. }
            | Change::PageTrashed { page }
            | Change::PageRestored { page }
            | Change::PageDeleted { page }
            | Change::PageAccessChanged { page, .. } => format!("page {page}"),
            Change::WorkspaceErased => unreachable!("not written here"),
        };
        let version = self.version(region, &entity);
        (change, version)
    }

    fn change(&mut self) -> Change {
        let rng = &mut self.rng;
        let page = page_id(rng.random_range(0..3));
        let block = block_id(rng.random_range(0..4));
        let user = UserId::new(format!("u{}", rng.random_range(0..2))).unwrap();
        let word = format!("word{}", rng.random_range(0..100));
        let members = ["user:u0", "user:u1", "group:g"].map(|name| name.parse().unwrap());
        match rng.random_range(0..20) {
            0..8 => {
                let content = rng.random_bool(0.8).then(|| BlockContent::text(BlockType::Paragraph, word));
                let parent = rng.random_bool(0.2).then(|| block_id(rng.random_range(0..4)));
                Change::BlockUpserted { block, patch: BlockPatch { page, parent, position: "a".to_owned(), content } }
            }
            8..11 => Change::BlockDeleted { block, page },
            11..14 => {
                let patch = PagePatch {
                    title: rng.random_bool(0.7).then(|| word.clone()),
                    parent: rng.random_bool(0.5).then_some(Parent::Workspace),
                    icon: rng.random_bool(0.3).then_some(None),
                    properties: [("Due".to_owned(), rng.random_bool(0.7).then_some(PropertyValue::Text(word)))].into(),
                    ..PagePatch::default()
                };
                Change::PageUpserted { page, patch: Box::new(patch) }
            }
            14 => Change::PageTrashed { page },
            15 => Change::PageRestored { page },
            16 => Change::PageDeleted { page },
            17 => {
                let grants = vec!["workspace:view".parse().unwrap(), "user:u0:edit".parse().unwrap()];
                Change::PageAccessChanged { page, grants, restricted: rng.random_bool(0.5) }
            }
            18 => {
                let members = rng.random_bool(0.8).then(|| members.into_iter().collect::<Vec<_>>());
                Change::GroupChanged { group: GroupId::new("g").unwrap(), members }
            }
            _ if rng.random_bool(0.3) => Change::UserErased { user },
            _ => Change::MemberChanged { user, role: *[Role::Member, Role::Guest, Role::Removed].choose(rng).unwrap() },
        }
    }
}

fn state_after<'a>(writes: impl IntoIterator<Item = &'a Write>, mut commits: impl FnMut() -> bool) -> Memory {
    let mut memory = Memory::default();
    let mut pending = Pending::default();
    for (change, version) in writes {
        let (outcome, touched) = pending.apply(&memory, change, version).unwrap();
        assert_eq!(outcome == Outcome::Unchanged, touched == Touched::Nothing);
        let held: usize = pending.pages.values().map(|entry| entry.record.blocks.len()).sum();
        assert_eq!(pending.held_blocks(), held);
        if commits() {
            memory.commit(&mut pending);
        }
    }
    memory.commit(&mut pending);
    for (page, record) in &memory.pages {
        for block in record.blocks.values() {
            assert!(block.place.value().is_none_or(|place| place.page == *page), "a block lies at its place");
        }
    }
    memory
}

#[test]
fn ten_thousand_permutations_with_duplicates_end_in_the_same_records() {
    const SETS: u64 = 250;
    const PERMUTATIONS: usize = 40;
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    for set in 0..SETS {
        let mut world = World { rng: SmallRng::seed_from_u64(seed ^ set), seen: Default::default() };
        let writes: Vec<Write> = (0..24).map(|_| world.write()).collect();
        let expected = state_after(&writes, || false);
        for _ in 0..PERMUTATIONS {
            let mut shuffled = writes.clone();
            let repeated = world.rng.random_range(0..8);
            shuffled.extend((0..repeated).map(|_| writes.choose(&mut world.rng).unwrap().clone()));
            shuffled.shuffle(&mut world.rng);
            let mut commits = SmallRng::seed_from_u64(world.rng.random());
            let found = state_after(&shuffled, || commits.random_bool(0.2));
            assert_eq!(found, expected, "seed {seed}, set {set}, events {shuffled:#?}");
        }
    }
}

fn version(region: &str, counter: u64, wall_ms: u64) -> Arc<Version> {
    let region = RegionId::new(region).unwrap();
    let timestamp = Timestamp { wall_ms, logical: 0 };
    Arc::new(Version { clock: VectorClock::of(&region, counter), timestamp, region })
}

fn block_on(page: usize, block: usize, text: &str) -> Change {
    let content = Some(BlockContent::text(BlockType::Paragraph, text));
    let patch = BlockPatch { page: page_id(page), parent: None, position: "a".to_owned(), content };
    Change::BlockUpserted { block: block_id(block), patch }
}

#[test]
fn an_event_seen_before_changes_nothing_and_dirties_nothing() {
    let mut memory = Memory::default();
    let mut pending = Pending::default();
    let change = block_on(0, 0, "text");
    assert_eq!(pending.apply(&memory, &change, &version("eu", 1, 1)).unwrap().0, Outcome::Applied);
    assert_eq!(pending.apply(&memory, &change, &version("eu", 1, 1)).unwrap().0, Outcome::Unchanged);
    memory.commit(&mut pending);
    assert_eq!(pending.apply(&memory, &change, &version("eu", 1, 1)).unwrap().0, Outcome::Unchanged);
    assert!(pending.take().pages.is_empty());
    assert_eq!(pending.apply(&memory, &change, &version("us", 1, 1)).unwrap().0, Outcome::Conflict);
}

#[track_caller]
fn check_dirt(memory: &mut Memory, pending: &mut Pending, change: &Change, counter: u64, expected: Dirt) {
    pending.apply(memory, change, &version("eu", counter, counter)).unwrap();
    assert_eq!(pending.take().pages.iter().map(|taken| taken.dirt).max(), Some(expected));
    pending.not_committed();
    memory.commit(pending);
}

#[test]
fn only_what_is_searched_with_the_text_dirties_passages() {
    let mut memory = Memory::default();
    let mut pending = Pending::default();
    let upsert = |patch: PagePatch| Change::PageUpserted { page: page_id(0), patch: Box::new(patch) };
    let title = |title: &str| upsert(PagePatch { title: Some(title.to_owned()), ..PagePatch::default() });
    check_dirt(&mut memory, &mut pending, &title("T"), 1, Dirt::Passages);
    check_dirt(
        &mut memory,
        &mut pending,
        &upsert(PagePatch { parent: Some(Parent::Workspace), ..PagePatch::default() }),
        2,
        Dirt::Record,
    );
    check_dirt(&mut memory, &mut pending, &title("T"), 3, Dirt::Record);
    check_dirt(&mut memory, &mut pending, &Change::PageTrashed { page: page_id(0) }, 4, Dirt::Record);
    let access = Change::PageAccessChanged { page: page_id(0), grants: Vec::new(), restricted: true };
    check_dirt(&mut memory, &mut pending, &access, 5, Dirt::Record);
    check_dirt(&mut memory, &mut pending, &block_on(0, 0, "text"), 1, Dirt::Passages);
    check_dirt(&mut memory, &mut pending, &block_on(0, 0, "text"), 2, Dirt::Record);
    check_dirt(&mut memory, &mut pending, &block_on(0, 0, "new text"), 3, Dirt::Passages);
    check_dirt(&mut memory, &mut pending, &Change::PageDeleted { page: page_id(0) }, 6, Dirt::Passages);
}

#[test]
fn what_changes_while_a_commit_runs_stays_pending() {
    let memory = Memory::default();
    let mut pending = Pending::default();
    pending.apply(&memory, &block_on(0, 0, "one"), &version("eu", 1, 1)).unwrap();
    pending.apply(&memory, &block_on(1, 1, "one"), &version("eu", 1, 1)).unwrap();
    assert_eq!(pending.take().pages.len(), 2);
    pending.apply(&memory, &block_on(0, 0, "two"), &version("eu", 2, 2)).unwrap();
    pending.committed();
    assert!(pending.page(&page_id(1)).is_none());
    let taken = pending.take();
    assert_eq!(taken.pages.len(), 1);
    assert_eq!(taken.pages[0].record.blocks_in_order(&page_id(0))[0].1.plain_text(), "two");
}

#[test]
fn a_block_over_the_limit_of_its_page_is_rejected_and_a_tombstone_makes_room() {
    let memory = Memory::default();
    let mut pending = Pending::default();
    for block in 0..PAGE_BLOCKS_MAX {
        pending.apply(&memory, &block_on(0, block, ""), &version("eu", 1, 1)).unwrap();
    }
    let excess = block_on(0, PAGE_BLOCKS_MAX, "");
    let (outcome, touched) = pending.apply(&memory, &excess, &version("eu", 1, 1)).unwrap();
    let Outcome::Rejected(error) = outcome else { panic!("{outcome:?}") };
    assert_eq!((error.code, touched), (InvalidCode::LimitExceeded, Touched::Nothing));
    // A change to one that is there already is none too many, nor is a move within the limit.
    assert_eq!(pending.apply(&memory, &block_on(0, 3, "x"), &version("eu", 2, 2)).unwrap().0, Outcome::Applied);
    let delete = Change::BlockDeleted { block: block_id(7), page: page_id(0) };
    pending.apply(&memory, &delete, &version("eu", 2, 2)).unwrap();
    assert_eq!(pending.apply(&memory, &excess, &version("eu", 1, 1)).unwrap().0, Outcome::Applied);
}
