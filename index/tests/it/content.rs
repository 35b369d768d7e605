//! Writes pages into an index in a temporary folder, and asks for them by their ids.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::{Caller, Mask, Purpose, Subject};
use index::analysis::{Language, detect_language};
use index::passages::{BlockRange, PassageWrite};
use index::records::PageHead;
use index::vectors::{ModelTag, QueryVector, StoredVector};
use index::{
    Candidate, Clause, ClauseKind, CommitPayload, Config, Field, Index, LexicalQuery, Occur, OpenMode, Passage, Writer,
};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change};
use schemas::grant::Role;
use schemas::ids::{BlockId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::record::{MemberRecord, PageRecord};
use schemas::version::{Timestamp, VectorClock, Version};

pub(crate) const DIMENSIONS: usize = 8;
pub(crate) const MODEL: &str = "a model of eight numbers";

/// An index and the folder that goes with it.
pub(crate) struct Content {
    pub(crate) index: Index,
    pub(crate) writer: Writer,
    pub(crate) config: Config,
    seq: u64,
    dir: tempfile::TempDir,
}

pub(crate) fn workspace(id: &str) -> WorkspaceId {
    WorkspaceId::new(id).unwrap()
}

pub(crate) fn page(id: &str) -> PageId {
    PageId::new(id).unwrap()
}

pub(crate) fn block(id: &str) -> BlockId {
    BlockId::new(id).unwrap()
}

pub(crate) fn version(counter: u64) -> Arc<Version> {
    let region = RegionId::new("eu").unwrap();
    let timestamp = Timestamp { wall_ms: counter, logical: 0 };
    Arc::new(Version { clock: VectorClock::of(&region, counter), timestamp, region })
}

/// A record with one block for each text, named after the page and counted from 0.
pub(crate) fn record(id: &str, title: &str, texts: &[&str], counter: u64) -> PageRecord {
    let mut record = PageRecord::default();
    let patch = PagePatch { title: Some(title.to_owned()), parent: Some(Parent::Workspace), ..PagePatch::default() };
    record.apply(&Change::PageUpserted { page: page(id), patch: Box::new(patch) }, &version(counter));
    for (at, text) in texts.iter().enumerate() {
        let content = Some(BlockContent::text(BlockType::Paragraph, *text));
        let patch = BlockPatch { page: page(id), parent: None, position: format!("{at:03}"), content };
        record.blocks.entry(block(&format!("{id}-{at}"))).or_default().upsert(&version(counter), patch);
    }
    record
}

/// A vector that only depends on a text.
pub(crate) fn vector(text: &str) -> [f32; DIMENSIONS] {
    let mut values = [0.1; DIMENSIONS];
    text.bytes().for_each(|byte| values[byte as usize % DIMENSIONS] += 1.0);
    values
}

/// One passage for each text, with the vector of the text.
pub(crate) fn passages(id: &str, texts: &[&str]) -> Vec<PassageWrite> {
    let write = |(at, text): (usize, &&str)| PassageWrite {
        passage: Passage {
            number: at as u32,
            headings: Vec::new(),
            text: (*text).to_owned(),
            blocks: vec![BlockRange { block: block(&format!("{id}-{at}")), start: 0, end: text.len() as u32 }],
            language: detect_language(text, Language::English),
        },
        vector: Some(StoredVector::encode(&vector(text), ModelTag::of(MODEL)).unwrap()),
    };
    texts.iter().enumerate().map(write).collect()
}

/// Words of which any may match.
pub(crate) fn words(text: &str) -> LexicalQuery {
    LexicalQuery { clauses: vec![clause(Occur::Should, text)], ..LexicalQuery::default() }
}

pub(crate) fn clause(occur: Occur, text: &str) -> Clause {
    Clause { occur, field: Field::All, kind: ClauseKind::Words(text.to_owned()) }
}

/// Words side by side.
pub(crate) fn phrase(text: &str) -> LexicalQuery {
    let clause = Clause { occur: Occur::Must, field: Field::All, kind: ClauseKind::Phrase(text.to_owned()) };
    LexicalQuery { clauses: vec![clause], ..LexicalQuery::default() }
}

pub(crate) fn query_vector(text: &str) -> QueryVector {
    QueryVector::new(&vector(text), ModelTag::of(MODEL)).unwrap()
}

impl Content {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            dir: dir.path().join("index"),
            dimensions: DIMENSIONS,
            writer_memory_bytes: 15 << 20,
            ..Config::default()
        };
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        let writer = index.writer().unwrap();
        Self { index, writer, config, seq: 0, dir }
    }

    /// Closes the index and opens it again.
    pub(crate) fn reopened(self) -> Self {
        let Self { index, writer, config, seq, dir } = self;
        drop(writer);
        drop(index);
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        let writer = index.writer().unwrap();
        Self { index, writer, config, seq, dir }
    }

    /// Number of a workspace, made with `ada` as its member when it is new.
    pub(crate) fn number(&self, id: &str) -> u32 {
        if let Some(known) = self.index.catalog().get(&workspace(id)) {
            return known.number;
        }
        let known = self.index.catalog().get_or_create(&workspace(id));
        let mut member = MemberRecord::default();
        member.role.write(&version(1), Role::Member);
        let ada = UserId::new("ada").unwrap();
        known.write().put_member(&ada, Some(Role::Member), false);
        self.writer.put_member(known.number, &ada, &member).unwrap();
        known.number
    }

    /// The head of a page whose record this is, readable for members, put in memory.
    pub(crate) fn head(&self, workspace_id: &str, id: &str, record: &PageRecord) -> PageHead {
        self.number(workspace_id);
        let known = self.index.catalog().get(&workspace(workspace_id)).unwrap();
        let mut state = known.write();
        let mut head = PageHead::of(&page(id), state.ordinal_for(&page(id)), record);
        head.grants = vec!["workspace:view".parse().unwrap()];
        state.put_head(head.clone());
        head
    }

    /// Writes a page with a passage for each text. Nothing is committed.
    pub(crate) fn put(&self, workspace_id: &str, id: &str, title: &str, texts: &[&str]) {
        let record = record(id, title, texts, self.seq + 1);
        let head = self.head(workspace_id, id, &record);
        let number = self.number(workspace_id);
        self.writer.put_page(number, &head, &record, &passages(id, texts)).unwrap();
    }

    /// Commits and takes the commit in, for reading and for access.
    pub(crate) fn commit(&mut self) {
        self.seq += 1;
        self.writer.commit(&CommitPayload { index_seq: self.seq, ..CommitPayload::default() }).unwrap();
        self.index.reload().unwrap();
        self.index.catalog().workspaces().iter().for_each(|known| known.write().access.publish());
    }

    /// What `ada` may find.
    pub(crate) fn mask(&self, workspace_id: &str) -> Mask {
        mask_in(&self.index, workspace_id)
    }

    /// A mask that allows these pages alone.
    pub(crate) fn only(&self, workspace_id: &str, pages: &[&str]) -> Mask {
        let known = self.index.catalog().get(&workspace(workspace_id)).unwrap();
        let state = known.read();
        let ordinals = pages.iter().map(|id| state.access.ordinal_of(&page(id)).unwrap().0).collect();
        drop(state);
        self.mask(workspace_id).narrow(&ordinals)
    }

    /// Ids of the pages that match, under a mask.
    pub(crate) fn found_under(&self, mask: &Mask, query: &LexicalQuery) -> Vec<String> {
        let searcher = self.index.searcher();
        let found = searcher.lexical(mask, query, 100).unwrap();
        let listed = self.named(mask, found);
        let known = self.index.catalog().numbered(mask.workspace_number()).unwrap();
        let matching = searcher.matching_pages(mask, query).unwrap();
        let matching: BTreeSet<String> =
            matching.iter().map(|at| known.read().head(access::PageOrdinal(at)).unwrap().page.to_string()).collect();
        assert_eq!(matching, listed.iter().cloned().collect(), "hits and counts are of the same pages");
        listed
    }

    pub(crate) fn named(&self, mask: &Mask, candidates: Vec<Candidate>) -> Vec<String> {
        let known = self.index.catalog().numbered(mask.workspace_number()).unwrap();
        let state = known.read();
        let mut seen = BTreeSet::new();
        let names = candidates.into_iter().map(|found| state.head(found.page).unwrap().page.to_string());
        names.filter(|name| seen.insert(name.clone())).collect()
    }

    /// Ids of the pages of `acme` that match, sorted.
    pub(crate) fn found(&self, query: &LexicalQuery) -> Vec<String> {
        let mut found = self.found_under(&self.mask("acme"), query);
        found.sort();
        found
    }
}

/// What `ada` may find.
pub(crate) fn mask_in(index: &Index, workspace_id: &str) -> Mask {
    let caller = Caller { workspace: workspace(workspace_id), subject: Subject::User(UserId::new("ada").unwrap()) };
    let known = index.catalog().get(&workspace(workspace_id)).unwrap();
    let state = known.read();
    state.access.mask(&caller, Purpose::Discover)
}
