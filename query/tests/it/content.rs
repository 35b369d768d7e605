//! Writes small workspaces into an index, as the write side would.

use std::collections::BTreeMap;
use std::sync::Arc;

use index::analysis::{Language, detect_language};
use index::passages::{BlockRange, PassageWrite};
use index::records::PageHead;
use index::vectors::{ModelTag, StoredVector};
use index::{CommitPayload, Config, Index, OpenMode, Passage, Writer};
use models::embed::Embedder;
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change};
use schemas::grant::{Grant, Role};
use schemas::ids::{BlockId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PageKind, PagePatch, Parent, PropertyValue};
use schemas::record::PageRecord;
use schemas::version::{Timestamp, VectorClock, Version};
use tempfile::TempDir;

/// A page, in few words.
#[derive(Clone, Copy)]
pub struct PageSpec {
    pub title: &'static str,
    pub kind: &'static str,
    pub parent: Option<&'static str>,
    /// One block and one passage for each.
    pub text: &'static [&'static str],
    /// What all its blocks are.
    pub blocks: &'static str,
    /// What its first blocks are instead; a heading among them is no passage, and stands above those after it.
    pub kinds: &'static [&'static str],
    pub grants: &'static [&'static str],
    pub restricted: bool,
    pub trashed: bool,
    pub tags: &'static [&'static str],
    pub by: &'static str,
    /// The day of March 2026 on which it was changed last.
    pub day: i8,
}

impl Default for PageSpec {
    fn default() -> Self {
        Self {
            title: "",
            kind: "page",
            parent: None,
            text: &[],
            blocks: "paragraph",
            kinds: &[],
            grants: &[],
            restricted: false,
            trashed: false,
            tags: &[],
            by: "ada",
            day: 2,
        }
    }
}

/// What is done to a page that is written once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// Nothing to its blocks.
    Page,
    /// A block is written anew.
    Block(usize),
    /// A block goes.
    Without(usize),
}

/// An index with workspaces in it, in a folder that goes with it.
pub struct Content {
    index: Index,
    writer: Writer,
    embedder: Embedder,
    counter: u64,
    /// The versions that pages were written with last, by workspace and page.
    versions: BTreeMap<(String, String), Arc<Version>>,
    _dir: TempDir,
}

/// Numbers in one embedding.
const DIMENSIONS: usize = 64;

impl Content {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = Config { dir: dir.path().join("index"), dimensions: DIMENSIONS, ..Config::default() };
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        let writer = index.writer().unwrap();
        Self { index, writer, embedder: Embedder::fake(DIMENSIONS), counter: 0, versions: BTreeMap::new(), _dir: dir }
    }

    pub fn index(&self) -> Index {
        self.index.clone()
    }

    pub fn embedder(&self) -> Embedder {
        self.embedder.clone()
    }

    fn version(&mut self) -> Arc<Version> {
        self.counter += 1;
        let region = RegionId::new("test").unwrap();
        let timestamp = Timestamp { wall_ms: self.counter, logical: 0 };
        Arc::new(Version { clock: VectorClock::of(&region, self.counter), timestamp, region })
    }

    /// Says what a person is in a workspace.
    pub fn member(&mut self, workspace: &str, user: &str, role: &str) {
        let workspace = self.index.catalog().get_or_create(&WorkspaceId::new(workspace).unwrap());
        let role = match role {
            "member" => Role::Member,
            "guest" => Role::Guest,
            _ => Role::Removed,
        };
        workspace.write().put_member(&UserId::new(user).unwrap(), Some(role), false);
    }

    /// Erases a person.
    pub fn erase_member(&mut self, workspace: &str, user: &str) {
        let workspace = self.index.catalog().get_or_create(&WorkspaceId::new(workspace).unwrap());
        workspace.write().put_member(&UserId::new(user).unwrap(), None, true);
    }

    /// Writes a page in place of what was there.
    pub fn page(&mut self, workspace: &str, id: &str, spec: PageSpec) {
        let version = self.version();
        self.versions.insert((workspace.to_owned(), id.to_owned()), version);
        self.edit(workspace, id, spec, Edit::Page);
    }

    /// Writes a page once more, with the versions that it was written with last but for what is edited.
    pub fn edit(&mut self, workspace: &str, id: &str, spec: PageSpec, edit: Edit) {
        let page = PageId::new(id).unwrap();
        let version = Arc::clone(&self.versions[&(workspace.to_owned(), id.to_owned())]);
        let newer = if matches!(edit, Edit::Block(_)) { self.version() } else { Arc::clone(&version) };
        let record = record(&page, spec, edit, &version, &newer);
        let workspace = self.index.catalog().get_or_create(&WorkspaceId::new(workspace).unwrap());
        let ordinal = workspace.read().ordinal_for(&page);
        let head = PageHead::of(&page, ordinal, &record);
        let passages = passages(id, spec, edit);
        let tag = ModelTag::of(self.embedder.model_id().as_str());
        let texts: Vec<String> = passages.iter().map(Passage::embedded_text).collect();
        let vectors = self.embedder.embed_passages(texts).unwrap();
        let writes: Vec<PassageWrite> = passages
            .into_iter()
            .zip(vectors)
            .map(|(passage, vector)| {
                let vector = passage.has_text().then(|| StoredVector::encode(&vector, tag).unwrap());
                PassageWrite { passage, vector }
            })
            .collect();
        workspace.write().put_head(head.clone());
        self.writer.put_page(workspace.number, &head, &record, &writes).unwrap();
    }

    /// Makes visible what was written, and gives the access that waits for it.
    pub fn commit(&mut self) {
        let model_id = Some(self.embedder.model_id().as_str().to_owned());
        let index_seq = self.index.payload().index_seq + 1;
        let payload = CommitPayload { index_seq, model_id, ..CommitPayload::default() };
        self.writer.commit(&payload).unwrap();
        self.index.reload().unwrap();
        for workspace in self.index.catalog().workspaces() {
            workspace.write().access.publish();
        }
    }
}

fn record(page: &PageId, spec: PageSpec, edit: Edit, version: &Arc<Version>, newer: &Arc<Version>) -> PageRecord {
    let at: jiff::Timestamp = format!("2026-03-{:02}T12:00:00Z", spec.day).parse().unwrap();
    let tags = spec.tags.iter().map(|tag| (*tag).to_owned()).collect();
    let kind = match spec.kind {
        "teamspace" => PageKind::Teamspace,
        "database" => PageKind::Database,
        "row" => PageKind::Row,
        _ => PageKind::Page,
    };
    let patch = PagePatch {
        title: Some(spec.title.to_owned()),
        parent: Some(match spec.parent {
            None => Parent::Workspace,
            Some(parent) => Parent::Page { id: PageId::new(parent).unwrap() },
        }),
        kind: Some(kind),
        properties: [("Tags".to_owned(), Some(PropertyValue::List(tags)))].into(),
        created_by: Some(UserId::new(spec.by).unwrap()),
        edited_at: Some(at),
        ..PagePatch::default()
    };
    let mut record = PageRecord::default();
    record.apply(&Change::PageUpserted { page: page.clone(), patch: Box::new(patch) }, version);
    let grants: Vec<Grant> = spec.grants.iter().map(|grant| grant.parse().unwrap()).collect();
    let access = Change::PageAccessChanged { page: page.clone(), grants, restricted: spec.restricted };
    record.apply(&access, version);
    if spec.trashed {
        record.apply(&Change::PageTrashed { page: page.clone() }, version);
    }
    for (at, text) in spec.text.iter().enumerate().filter(|(at, _)| edit != Edit::Without(*at)) {
        let kind = spec.kinds.get(at).copied().unwrap_or(spec.blocks);
        let version = if edit == Edit::Block(at) { newer } else { version };
        let patch = BlockPatch {
            page: page.clone(),
            parent: None,
            position: format!("{at:04}"),
            content: Some(BlockContent::text(BlockType::from(kind.to_owned()), *text)),
        };
        record.blocks.entry(block_id(page.as_str(), at)).or_default().upsert(version, patch);
    }
    record
}

fn block_id(page: &str, at: usize) -> BlockId {
    BlockId::new(format!("{page}-{at}")).unwrap()
}

/// One passage for each text but for headings above others, or one without text.
fn passages(page: &str, spec: PageSpec, edit: Edit) -> Vec<Passage> {
    let texts = if spec.text.is_empty() { &[""] } else { spec.text };
    let (mut passages, mut above): (Vec<Passage>, Vec<(&str, &str)>) = (Vec::new(), Vec::new());
    for (at, text) in texts.iter().enumerate().filter(|(at, _)| edit != Edit::Without(*at)) {
        let kind = spec.kinds.get(at).copied().unwrap_or_default();
        if kind.starts_with("heading") {
            above.retain(|(of, _)| *of < kind);
            above.push((kind, text));
            continue;
        }
        passages.push(Passage {
            number: at as u32,
            headings: above.iter().map(|(_, heading)| (*heading).to_owned()).collect(),
            text: (*text).to_owned(),
            blocks: vec![BlockRange { block: block_id(page, at), start: 0, end: text.len() as u32 }],
            language: detect_language(text, Language::English),
        });
    }
    passages
}
