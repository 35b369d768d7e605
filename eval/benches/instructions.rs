//! The hot paths, one at a time and on a fixed corpus, to count the instructions that they take.
//!
//! `scripts/instructions.sh` runs this under callgrind, which counts inside the functions called `measured_…` and nowhere
//! else, and compares with `eval/baselines/instructions.json`. A count does not depend on what else the machine does, on
//! its clock or its caches; so it tells of work added, not of memory that is waited for. Run by itself it only does the
//! work: nothing here is timed.
//!
//! Corpus: everything is drawn with seed 17. `prepare FOLDER` writes an index of 36,000 pages of one passage in 400
//! sections, with vectors of 384 dimensions, all in one segment; `PATH FOLDER` opens it and runs one of:
//!
//! | path | what is counted |
//! | --- | --- |
//! | `mask` | the mask of a caller in a tenth of 400 teams, and asking it about 36,000 pages |
//! | `lexical` | 20 queries of three words, the best 10, under that mask |
//! | `semantic` | 4 queries, the nearest 100 of all pages, by way of the sign codes |
//! | `fusion` | 100 times joining and fusing two lists of 200 candidates |
//! | `decode` | a batch of 2,000 events |

#![expect(clippy::print_stdout, reason = "a bench says what it did")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use access::{Caller, Mask, PageOrdinal, Purpose, Subject};
use anyhow::{Context, Result, bail};
use index::analysis::Language;
use index::passages::{BlockRange, PassageWrite};
use index::records::PageHead;
use index::vectors::{ModelTag, QueryVector, StoredVector};
use index::{
    Clause, ClauseKind, CommitPayload, Config, Field, Index, LexicalQuery, Occur, OpenMode, Passage, Searcher,
};
use indexer::decode::{Batch, decode};
use query::fuse::{Legs, fuse, join};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::api::search::FusionMethod;
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::grant::{Principal, Role};
use schemas::ids::{BlockId, GroupId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::record::PageRecord;
use schemas::version::{Timestamp, VectorClock, Version};

const SEED: u64 = 17;
const SECTIONS: usize = 400;
const PAGES: usize = 36_000;
const PAGE_WORDS: usize = 24;
/// Words of which the frequent ones come far more often than the rest.
const VOCABULARY: f64 = 5_000.0;
const DIMENSIONS: usize = 384;
/// Of the teams, one for each section, the share that the narrow reader is in: one of so many.
const TEAMS_OF_READER: usize = 10;
const WRITER_BYTES: usize = 512 << 20;
const WORKSPACE: &str = "bench";
/// In a tenth of the teams, and in all.
const NARROW: &str = "narrow";
const WIDE: &str = "wide";
const LEXICAL_QUERIES: usize = 20;
const LEXICAL_DEPTH: usize = 10;
const SEMANTIC_QUERIES: usize = 4;
const SEMANTIC_DEPTH: usize = 100;
const FUSIONS: usize = 100;
const CANDIDATES: u32 = 200;
const EVENTS: usize = 2_000;
/// The clock of the writer and of the receiver, in milliseconds since 1970.
const NOW_MS: u64 = 1_780_000_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [path, folder] = arguments.as_slice() else {
        println!("SKIPPED: scripts/instructions.sh says what to run");
        return Ok(());
    };
    let folder = Path::new(folder);
    let rng = &mut SmallRng::seed_from_u64(SEED);
    match path.as_str() {
        "prepare" => prepare(folder, rng)?,
        "mask" => mask(folder)?,
        "lexical" => lexical(folder, rng)?,
        "semantic" => semantic(folder, rng)?,
        "fusion" => fusion(rng),
        "decode" => decode_batch(rng)?,
        other => bail!("there is no path {other}"),
    }
    Ok(())
}

fn mask(folder: &Path) -> Result<()> {
    let index = open(folder)?;
    let workspace = index.catalog().get_or_create(&WorkspaceId::new(WORKSPACE)?);
    let state = workspace.read();
    let caller = caller(NARROW)?;
    let allowed = measured_mask(|| state.access.mask(&caller, Purpose::Discover));
    println!("{allowed} of {PAGES} pages allowed");
    Ok(())
}

#[inline(never)]
fn measured_mask(build: impl Fn() -> Mask) -> usize {
    let mask = build();
    (0..PAGES as u32).filter(|page| mask.allows(PageOrdinal(*page))).count()
}

fn lexical(folder: &Path, rng: &mut SmallRng) -> Result<()> {
    let index = open(folder)?;
    let mask = mask_of(&index, NARROW)?;
    let query = |_| {
        let words = ClauseKind::Words(words(rng, 3));
        let clause = Clause { occur: Occur::Should, field: Field::All, kind: words };
        LexicalQuery { clauses: vec![clause], ..LexicalQuery::default() }
    };
    let queries: Vec<LexicalQuery> = (0..LEXICAL_QUERIES).map(query).collect();
    let found = measured_lexical(&index.searcher(), &mask, &queries)?;
    println!("{found} passages found");
    Ok(())
}

#[inline(never)]
fn measured_lexical(searcher: &Searcher, mask: &Mask, queries: &[LexicalQuery]) -> Result<usize> {
    let mut found = 0;
    for query in queries {
        found += searcher.lexical(mask, query, LEXICAL_DEPTH)?.len();
    }
    Ok(found)
}

fn semantic(folder: &Path, rng: &mut SmallRng) -> Result<()> {
    let index = open(folder)?;
    let mask = mask_of(&index, WIDE)?;
    let queries: Vec<QueryVector> =
        (0..SEMANTIC_QUERIES).map(|_| QueryVector::new(&noise(rng), model())).collect::<Result<_, _>>()?;
    let found = measured_semantic(&index.searcher(), &mask, &queries)?;
    println!("{found} passages found");
    Ok(())
}

#[inline(never)]
fn measured_semantic(searcher: &Searcher, mask: &Mask, queries: &[QueryVector]) -> Result<usize> {
    let mut found = 0;
    for query in queries {
        found += searcher.semantic(mask, query, SEMANTIC_DEPTH)?.len();
    }
    Ok(found)
}

fn fusion(rng: &mut SmallRng) {
    let mut list = |from: u32| -> Vec<(u32, f32)> {
        let mut scores: Vec<f32> = (0..CANDIDATES).map(|_| rng.random_range(0.0..1.0)).collect();
        scores.sort_by(|one, next| next.total_cmp(one));
        // Addresses in no order, half of them in both lists.
        (from..).map(|address| address.wrapping_mul(0x9e37_79b9)).zip(scores).collect()
    };
    let (lexical, semantic) = (list(0), list(CANDIDATES / 2));
    println!("{} candidates fused", measured_fusion(&lexical, &semantic));
}

#[inline(never)]
fn measured_fusion(lexical: &[(u32, f32)], semantic: &[(u32, f32)]) -> usize {
    let mut fused = 0;
    for _ in 0..FUSIONS {
        let candidates = join(black_box(lexical), black_box(semantic));
        fused += black_box(fuse(&candidates, Legs::Both, FusionMethod::Weighted, 0.6)).len();
    }
    fused
}

fn decode_batch(rng: &mut SmallRng) -> Result<()> {
    let mut body = String::new();
    for number in 0..EVENTS {
        let (_, patch) = block(number, words(rng, PAGE_WORDS))?;
        let event = Event {
            id: format!("event-{number}"),
            source: "/bench".to_owned(),
            workspace: WorkspaceId::new(WORKSPACE)?,
            time: None,
            version: Version::clone(&version()),
            change: Change::BlockUpserted { block: BlockId::new(format!("block-{number}"))?, patch },
        };
        body += &event.encode();
        body.push('\n');
    }
    let batch = measured_decode(body.as_bytes()).context("the batch is within the limits")?;
    println!("{} events decoded, {} bad", batch.events.len(), batch.bad.len());
    Ok(())
}

#[inline(never)]
fn measured_decode(body: &[u8]) -> Option<Batch> {
    decode(body, None, NOW_MS).ok()
}

/// Writes the index and merges it into one segment.
fn prepare(folder: &Path, rng: &mut SmallRng) -> Result<()> {
    let index = Index::open(&config(folder), OpenMode::ReadWrite)?;
    let writer = index.writer()?;
    let workspace = index.catalog().get_or_create(&WorkspaceId::new(WORKSPACE)?);
    let put = |id: PageId, record: PageRecord, grant: Option<String>, writes: &[PassageWrite]| -> Result<()> {
        let mut state = workspace.write();
        let mut head = PageHead::of(&id, state.ordinal_for(&id), &record);
        head.grants = grant.iter().map(|grant| grant.parse()).collect::<Result<_, _>>()?;
        state.put_head(head.clone());
        drop(state);
        Ok(writer.put_page(workspace.number, &head, &record, writes)?)
    };
    for section in 0..SECTIONS {
        let id = section_id(section)?;
        put(id.clone(), record(&id, Parent::Workspace), Some(format!("group:team-{section}:view")), &[])?;
    }
    for page in 0..PAGES {
        let id = PageId::new(format!("page-{page}"))?;
        let mut record = record(&id, Parent::Page { id: section_id(page % SECTIONS)? });
        let text = words(rng, PAGE_WORDS);
        let (block, patch) = block(page, text.clone())?;
        record.blocks.entry(block.clone()).or_default().upsert(&version(), patch);
        let blocks = vec![BlockRange { block, start: 0, end: text.len() as u32 }];
        let passage = Passage { number: 0, headings: Vec::new(), text, blocks, language: Language::English };
        let vector = Some(StoredVector::encode(&noise(rng), model())?);
        put(id, record, None, &[PassageWrite { passage, vector }])?;
    }
    writer.commit(&CommitPayload { index_seq: 1, ..CommitPayload::default() })?;
    println!("{PAGES} pages written, seed {SEED}");
    Ok(())
}

/// Opens the index, with its people and their teams, which it does not store.
fn open(folder: &Path) -> Result<Index> {
    let index = Index::open(&config(folder), OpenMode::ReadOnly)?;
    let workspace = index.catalog().get_or_create(&WorkspaceId::new(WORKSPACE)?);
    let mut state = workspace.write();
    for user in [NARROW, WIDE] {
        state.put_member(&UserId::new(user)?, Some(Role::Member), false);
    }
    for section in 0..SECTIONS {
        let mut members = vec![Principal::User(UserId::new(WIDE)?)];
        if section % TEAMS_OF_READER == 0 {
            members.push(Principal::User(UserId::new(NARROW)?));
        }
        state.put_group(&GroupId::new(format!("team-{section}"))?, Some(&members));
    }
    state.access.publish();
    drop(state);
    Ok(index)
}

fn config(folder: &Path) -> Config {
    let dir = folder.to_owned();
    Config { dir, writer_memory_bytes: WRITER_BYTES, dimensions: DIMENSIONS, ..Config::default() }
}

fn mask_of(index: &Index, user: &str) -> Result<Mask> {
    let workspace = index.catalog().get_or_create(&WorkspaceId::new(WORKSPACE)?);
    let state = workspace.read();
    Ok(state.access.mask(&caller(user)?, Purpose::Discover))
}

fn caller(user: &str) -> Result<Caller> {
    Ok(Caller { workspace: WorkspaceId::new(WORKSPACE)?, subject: Subject::User(UserId::new(user)?) })
}

fn section_id(section: usize) -> Result<PageId> {
    Ok(PageId::new(format!("section-{section}"))?)
}

fn record(id: &PageId, parent: Parent) -> PageRecord {
    let mut record = PageRecord::default();
    let patch = PagePatch { title: Some("Untitled".to_owned()), parent: Some(parent), ..PagePatch::default() };
    record.apply(&Change::PageUpserted { page: id.clone(), patch: Box::new(patch) }, &version());
    record
}

fn block(page: usize, text: String) -> Result<(BlockId, BlockPatch)> {
    let content = Some(BlockContent::text(BlockType::Paragraph, text));
    let page_id = PageId::new(format!("page-{page}"))?;
    let patch = BlockPatch { page: page_id, parent: None, position: "a0".to_owned(), content };
    Ok((BlockId::new(format!("block-{page}"))?, patch))
}

fn version() -> Arc<Version> {
    let region = RegionId::new("bench").expect("letters are an id");
    let timestamp = Timestamp { wall_ms: NOW_MS, logical: 0 };
    Arc::new(Version { clock: VectorClock::of(&region, 1), timestamp, region })
}

fn words(rng: &mut SmallRng, len: usize) -> String {
    let mut word = || format!("word{}", VOCABULARY.powf(rng.random::<f64>()) as u32);
    (0..len).map(|_| word()).collect::<Vec<_>>().join(" ")
}

fn model() -> ModelTag {
    ModelTag::of("bench")
}

fn noise(rng: &mut SmallRng) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| rng.random_range(-1.0..1.0_f32)).collect()
}
