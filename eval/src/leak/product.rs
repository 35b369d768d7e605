//! A product with one random workspace: it writes events, and delivers them late, twice and out of order.
//!
//! It keeps a source's promise about versions: each write counts its region up. Pages are not revived and blocks do not
//! change their page, so that the words of a page are its own for good.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::{BlockId, GroupId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PageKind, PagePatch, Parent, PropertyValue};
use schemas::version::{Timestamp, VectorClock, Version};

use super::known::Known;

/// Words that many pages share.
pub const SHARED_WORDS: [&str; 6] = ["harbour", "lantern", "meadow", "copper", "violet", "timber"];
/// The tag that many pages share.
pub const SHARED_TAG: &str = "crew";
/// People who get a role; one more is only ever named.
const USERS: u32 = 5;
const GROUPS: u32 = 3;
/// Most blocks of a page.
const BLOCKS: u32 = 4;
/// Letters of the words of one page: no vowels, so that no language has an ending in them.
const LETTERS: &[u8] = b"bcdfghkmpqvwxz";

/// One workspace and its source of events.
#[derive(Debug)]
pub struct Product {
    /// Its workspace.
    pub workspace: WorkspaceId,
    number: u32,
    page_count: u32,
    region: RegionId,
    counters: BTreeMap<String, u64>,
    written: u32,
    waiting: Vec<Event>,
    delivered: Vec<Event>,
    known: Known,
}

/// What of a page a word stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its title.
    Title,
    /// Its blocks.
    Text,
    /// Its tags.
    Tag,
}

impl Place {
    /// What the words of this place begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Title => "tq",
            Self::Text => "bq",
            Self::Tag => "gq",
        }
    }
}

impl Product {
    /// A workspace whose pages, people and groups are written but not delivered yet.
    pub fn new(number: u32, rng: &mut SmallRng) -> Self {
        let mut product = Self {
            workspace: WorkspaceId::new(format!("workspace{number}")).expect("letters and digits"),
            number,
            page_count: rng.random_range(5..13),
            region: RegionId::new("eu").expect("letters"),
            counters: BTreeMap::new(),
            written: 0,
            waiting: Vec::new(),
            delivered: Vec::new(),
            known: Known::default(),
        };
        for user in 0..USERS {
            let role = *[Role::Member, Role::Member, Role::Guest].choose(rng).expect("it is not empty");
            product.write(Change::MemberChanged { user: user_id(user), role });
        }
        for group in 0..GROUPS {
            product.change_group(group, rng);
        }
        for page in 0..product.page_count {
            product.make_page(page, rng);
            if rng.random_bool(0.8) {
                product.change_access(page, rng);
            }
            for block in 0..rng.random_range(0..BLOCKS) {
                product.write_block(page, block, rng);
            }
        }
        product
    }

    /// What was delivered so far.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Writes some changes.
    pub fn change(&mut self, changes: usize, rng: &mut SmallRng) {
        for _ in 0..changes {
            self.change_once(rng);
        }
    }

    /// Takes some of what was written and not delivered yet, at least this share, with some of what was delivered before.
    pub fn deliver(&mut self, share: f64, rng: &mut SmallRng) -> Vec<Event> {
        self.waiting.shuffle(rng);
        let len = (self.waiting.len() as f64 * share).ceil() as usize;
        let new = self.waiting.split_off(self.waiting.len() - len.min(self.waiting.len()));
        let again = self.delivered.choose_multiple(rng, new.len() / 4).cloned().collect::<Vec<_>>();
        for event in &new {
            self.known.tell(event);
        }
        self.delivered.extend(new.iter().cloned());
        let mut batch = [new, again].concat();
        batch.shuffle(rng);
        batch
    }

    /// Erases the workspace, and delivers that.
    pub fn erase(&mut self) -> Event {
        self.write(Change::WorkspaceErased);
        let event = self.waiting.pop().expect("it was just written");
        self.known.tell(&event);
        event
    }

    /// All pages that were ever written, delivered or not, and one that was not.
    pub fn page_ids(&self) -> Vec<PageId> {
        (0..=self.page_count).map(|page| self.page_id(page)).collect()
    }

    /// Everyone who asks: those with a role, one without, and nobody in particular.
    pub fn users(&self) -> Vec<Option<UserId>> {
        (0..=USERS).map(|user| Some(user_id(user))).chain([None]).collect()
    }

    /// The word that stands on this page alone, by its place in [`Product::page_ids`].
    pub fn own_word(&self, page: usize, place: Place) -> String {
        let mut word = place.prefix().to_owned();
        let mut rest = self.number as usize * 64 + page;
        for _ in 0..4 {
            word.push(char::from(LETTERS[rest % LETTERS.len()]));
            rest /= LETTERS.len();
        }
        word
    }

    fn page_id(&self, page: u32) -> PageId {
        PageId::new(format!("w{}p{page}x", self.number)).expect("letters and digits")
    }

    fn change_once(&mut self, rng: &mut SmallRng) {
        let page = rng.random_range(0..self.page_count);
        let id = self.page_id(page);
        match rng.random_range(0..40) {
            0..9 => self.change_access(page, rng),
            9..15 => {
                let parent = Some(self.random_parent(rng));
                self.upsert(page, PagePatch { parent, ..PagePatch::default() });
            }
            15..18 => {
                let title = Some(self.title(page, rng));
                self.upsert(page, PagePatch { title, ..PagePatch::default() });
            }
            18..23 => self.write_block(page, rng.random_range(0..BLOCKS), rng),
            23 | 24 => {
                let block = self.block_id(page, rng.random_range(0..BLOCKS));
                self.write(Change::BlockDeleted { block, page: id });
            }
            25 | 26 => self.write(Change::PageTrashed { page: id }),
            27..30 => self.write(Change::PageRestored { page: id }),
            30 => self.write(Change::PageDeleted { page: id }),
            31..35 => self.change_group(rng.random_range(0..GROUPS), rng),
            35..39 => {
                let roles = [Role::Member, Role::Member, Role::Guest, Role::Removed];
                let role = *roles.choose(rng).expect("it is not empty");
                self.write(Change::MemberChanged { user: user_id(rng.random_range(0..USERS)), role });
            }
            _ if rng.random_bool(0.3) => self.write(Change::UserErased { user: user_id(rng.random_range(0..USERS)) }),
            _ => {}
        }
    }

    fn make_page(&mut self, page: u32, rng: &mut SmallRng) {
        let mut tags = vec![self.own_word(page as usize, Place::Tag)];
        if rng.random_bool(0.5) {
            tags.push(SHARED_TAG.to_owned());
        }
        let kinds = [PageKind::Page, PageKind::Row, PageKind::Database, PageKind::Teamspace];
        let patch = PagePatch {
            title: Some(self.title(page, rng)),
            parent: Some(self.random_parent(rng)),
            kind: kinds.choose(rng).copied(),
            properties: if rng.random_bool(0.7) {
                [("Tags".to_owned(), Some(PropertyValue::List(tags)))].into()
            } else {
                BTreeMap::new()
            },
            created_by: Some(user_id(rng.random_range(0..USERS))),
            ..PagePatch::default()
        };
        self.upsert(page, patch);
    }

    fn title(&self, page: u32, rng: &mut SmallRng) -> String {
        format!("{} {}", self.own_word(page as usize, Place::Title), shared_word(rng))
    }

    fn random_parent(&self, rng: &mut SmallRng) -> Parent {
        if rng.random_bool(0.3) {
            return Parent::Workspace;
        }
        // Itself, one below, and one that never comes to be are among them.
        Parent::Page { id: self.page_id(rng.random_range(0..=self.page_count)) }
    }

    fn change_access(&mut self, page: u32, rng: &mut SmallRng) {
        let grants = (0..rng.random_range(0..3)).map(|_| random_grant(rng)).collect();
        let restricted = rng.random_bool(0.25);
        self.write(Change::PageAccessChanged { page: self.page_id(page), grants, restricted });
    }

    fn change_group(&mut self, group: u32, rng: &mut SmallRng) {
        let member = |rng: &mut SmallRng| {
            if rng.random_bool(0.7) {
                Principal::User(user_id(rng.random_range(0..=USERS)))
            } else {
                Principal::Group(group_id(rng.random_range(0..=GROUPS)))
            }
        };
        let members = rng.random_bool(0.9).then(|| (0..rng.random_range(0..4)).map(|_| member(rng)).collect());
        self.write(Change::GroupChanged { group: group_id(group), members });
    }

    fn write_block(&mut self, page: u32, block: u32, rng: &mut SmallRng) {
        let own = self.own_word(page as usize, Place::Text);
        let text = format!("{} {own} {}", shared_word(rng), shared_word(rng));
        let patch = BlockPatch {
            page: self.page_id(page),
            parent: None,
            position: format!("{block}"),
            content: Some(BlockContent::text(BlockType::Paragraph, &text)),
        };
        self.write(Change::BlockUpserted { block: self.block_id(page, block), patch });
    }

    fn block_id(&self, page: u32, block: u32) -> BlockId {
        BlockId::new(format!("w{}p{page}x-b{block}", self.number)).expect("letters and digits")
    }

    fn upsert(&mut self, page: u32, patch: PagePatch) {
        self.write(Change::PageUpserted { page: self.page_id(page), patch: Box::new(patch) });
    }

    fn write(&mut self, change: Change) {
        let entity = match &change {
            Change::BlockUpserted { block, .. } | Change::BlockDeleted { block, .. } => block.as_str(),
            Change::GroupChanged { group, .. } => group.as_str(),
            Change::MemberChanged { user, .. } | Change::UserErased { user } => user.as_str(),
            Change::PageUpserted { page, .. }
            | Change::PageTrashed { page }
            | Change::PageRestored { page }
            | Change::PageDeleted { page }
            | Change::PageAccessChanged { page, .. } => page.as_str(),
            Change::WorkspaceErased => self.workspace.as_str(),
        };
        let counter = self.counters.entry(entity.to_owned()).or_default();
        // A page or block that is gone is not written to any more.
        if *counter == u64::MAX {
            return;
        }
        *counter += 1;
        self.written += 1;
        let version = Version {
            clock: VectorClock::of(&self.region, *counter),
            timestamp: Timestamp { wall_ms: 1, logical: self.written },
            region: self.region.clone(),
        };
        if matches!(change, Change::PageDeleted { .. } | Change::BlockDeleted { .. } | Change::UserErased { .. }) {
            *counter = u64::MAX;
        }
        self.waiting.push(Event {
            id: format!("{}-{}", self.number, self.written),
            source: "/product".to_owned(),
            workspace: self.workspace.clone(),
            time: None,
            version,
            change,
        });
    }
}

fn shared_word(rng: &mut SmallRng) -> &'static str {
    SHARED_WORDS.choose(rng).expect("it is not empty")
}

fn user_id(user: u32) -> UserId {
    UserId::new(format!("user{user}")).expect("letters and digits")
}

fn group_id(group: u32) -> GroupId {
    GroupId::new(format!("group{group}")).expect("letters and digits")
}

fn random_grant(rng: &mut SmallRng) -> Grant {
    let principal = match rng.random_range(0..10) {
        0..4 => Principal::User(user_id(rng.random_range(0..=USERS))),
        4..7 => Principal::Group(group_id(rng.random_range(0..=GROUPS))),
        7 | 8 => Principal::Workspace,
        _ => Principal::Public,
    };
    let level = *[Level::View, Level::Comment, Level::Edit, Level::Full].choose(rng).expect("it is not empty");
    Grant { principal, level }
}
