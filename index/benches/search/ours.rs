//! The index under test, with readers who may see shares of it.

use std::ops::Range;
use std::sync::Arc;

use access::{Caller, Mask, Purpose, Subject};
use index::analysis::{Language, detect_language};
use index::passages::{BlockRange, PassageWrite};
use index::records::PageHead;
use index::vectors::{ModelTag, StoredVector};
use index::{Config, Index, OpenMode, Passage, Writer};
use rand::Rng;
use rand::rngs::SmallRng;
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change};
use schemas::grant::{Grant, Role};
use schemas::ids::{BlockId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::record::PageRecord;
use schemas::version::{Timestamp, VectorClock, Version};

use crate::corpus::Page;
use crate::{Result, SECTIONS, WRITER_BYTES};

const DIMENSIONS: usize = 384;
/// Shares of the pages that masks allow, in thousandths.
const SHARES: [usize; 3] = [1, 10, 100];
const WORKSPACE: &str = "bench";

/// Which pages and sections each reader may see.
pub(crate) struct Placed {
    /// For each share, the pages drawn for it.
    scattered: [Vec<bool>; SHARES.len()],
    /// For each share, the sections that stand side by side.
    side_by_side: [Range<usize>; SHARES.len()],
    pages_len: usize,
}

impl Placed {
    pub(crate) fn draw(pages_len: usize, rng: &mut SmallRng) -> Self {
        let scattered = SHARES.map(|share| (0..pages_len).map(|_| rng.random_range(0..1_000) < share).collect());
        let side_by_side = SHARES.map(|share| {
            let len = SECTIONS * share / 1_000;
            let start = rng.random_range(0..=SECTIONS - len);
            start..start + len
        });
        Self { scattered, side_by_side, pages_len }
    }

    fn section_of(&self, page: usize) -> usize {
        page * SECTIONS / self.pages_len
    }
}

/// The index under test.
pub(crate) struct Ours {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) index: Index,
}

impl Ours {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = Config {
            dir: dir.path().to_owned(),
            writer_memory_bytes: WRITER_BYTES,
            dimensions: DIMENSIONS,
            ..Config::default()
        };
        let index = Index::open(&config, OpenMode::ReadWrite)?;
        let workspace = index.catalog().get_or_create(&WorkspaceId::new(WORKSPACE)?);
        let mut state = workspace.write();
        for user in readers() {
            state.put_member(&UserId::new(user)?, Some(Role::Member), false);
        }
        drop(state);
        Ok(Self { dir, index })
    }

    pub(crate) fn add_sections(&self, writer: &Writer, placed: &Placed) -> Result<()> {
        for section in 0..SECTIONS {
            let mut grants = vec!["user:all:view".parse()?];
            for (share, sections) in SHARES.iter().zip(&placed.side_by_side) {
                if sections.contains(&section) {
                    grants.push(format!("user:side-by-side-{share}:view").parse()?);
                }
            }
            let id = PageId::new(format!("section-{section}"))?;
            self.put(writer, &id, &record(&id, "", Parent::Workspace), grants, &[])?;
        }
        Ok(())
    }

    pub(crate) fn add(
        &self,
        writer: &Writer,
        at: usize,
        page: &Page,
        writes: &[PassageWrite],
        placed: &Placed,
    ) -> Result<()> {
        let id = PageId::new(format!("page-{at}"))?;
        let section = PageId::new(format!("section-{}", placed.section_of(at)))?;
        let mut grants = Vec::new();
        for (share, _) in SHARES.iter().zip(&placed.scattered).filter(|(_, pages)| pages[at]) {
            grants.push(format!("user:scattered-{share}:view").parse()?);
        }
        let mut record = record(&id, &page.title, Parent::Page { id: section });
        for write in writes {
            let block = write.passage.blocks[0].block.clone();
            let content = Some(BlockContent::text(BlockType::Paragraph, write.passage.text.clone()));
            let position = format!("{:04}", write.passage.number);
            let patch = BlockPatch { page: id.clone(), parent: None, position, content };
            record.blocks.entry(block).or_default().upsert(&version(), patch);
        }
        self.put(writer, &id, &record, grants, writes)
    }

    fn put(
        &self,
        writer: &Writer,
        id: &PageId,
        record: &PageRecord,
        grants: Vec<Grant>,
        writes: &[PassageWrite],
    ) -> Result<()> {
        let workspace = self.index.catalog().get_or_create(&WorkspaceId::new(WORKSPACE)?);
        let mut state = workspace.write();
        let mut head = PageHead::of(id, state.ordinal_for(id), record);
        head.grants = grants;
        state.put_head(head.clone());
        drop(state);
        Ok(writer.put_page(workspace.number, &head, record, writes)?)
    }

    pub(crate) fn masks(&self) -> Result<Vec<(String, Mask)>> {
        let workspace = WorkspaceId::new(WORKSPACE)?;
        let known = self.index.catalog().get_or_create(&workspace);
        let state = known.read();
        let mut masks = Vec::new();
        for user in readers() {
            let caller = Caller { workspace: workspace.clone(), subject: Subject::User(UserId::new(user.clone())?) };
            let name = match user.rsplit_once('-') {
                Some((name, share)) => format!("{} % {name}", share.parse::<f64>()? / 10.0),
                None => "100 %".to_owned(),
            };
            masks.push((name, state.access.mask(&caller, Purpose::Discover)));
        }
        Ok(masks)
    }
}

fn readers() -> Vec<String> {
    let mut readers = Vec::new();
    for name in ["scattered", "side-by-side"] {
        readers.extend(SHARES.iter().map(|share| format!("{name}-{share}")));
    }
    readers.push("all".to_owned());
    readers
}

fn version() -> Arc<Version> {
    let region = RegionId::new("bench").expect("letters are an id");
    let timestamp = Timestamp { wall_ms: 1, logical: 0 };
    Arc::new(Version { clock: VectorClock::of(&region, 1), timestamp, region })
}

fn record(id: &PageId, title: &str, parent: Parent) -> PageRecord {
    let mut record = PageRecord::default();
    let patch = PagePatch { title: Some(title.to_owned()), parent: Some(parent), ..PagePatch::default() };
    record.apply(&Change::PageUpserted { page: id.clone(), patch: Box::new(patch) }, &version());
    record
}

/// The passages of a page as the write side hands them over: with their language, and with vectors.
pub(crate) fn writes(at: usize, page: &Page, rng: &mut SmallRng) -> Result<Vec<PassageWrite>> {
    let language = detect_language(&page.texts.join("\n"), Language::default());
    let write = |(number, text): (usize, &String)| -> Result<PassageWrite> {
        let block = BlockId::new(format!("page-{at}-{number}"))?;
        let passage = Passage {
            number: number as u32,
            headings: Vec::new(),
            text: text.clone(),
            blocks: vec![BlockRange { block, start: 0, end: text.len() as u32 }],
            language: detect_language(text, language),
        };
        Ok(PassageWrite { passage, vector: Some(StoredVector::encode(&noise(rng), model())?) })
    };
    page.texts.iter().enumerate().map(write).collect()
}

pub(crate) fn model() -> ModelTag {
    ModelTag::of("bench")
}

pub(crate) fn noise(rng: &mut SmallRng) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| rng.random_range(-1.0..1.0_f32)).collect()
}
