//! Measures search by words and by meaning under masks, beside the bare engine on the same passages.
//!
//! Corpus: a sample of the pages of docs-win32, cut at blank lines into passages of about 180 words, in one workspace of a
//! thousand sections. The same passages go into a plain tantivy index of one field, stemmed with the same library, with
//! positions, committed at the same points, so that both have the same segments. Queries: link texts of the same corpus, any
//! word may match; both sides start from the text of the query. The bare engine knows no mask, no workspace and one
//! language; its time is taken between those of the masks, query by query. Of each query the best of five rounds counts, so
//! that percentiles are those of the queries and not of other load on the machine. Vectors are noise.
//!
//! Masks allow 0.1, 1, 10 and 100 % of the pages: drawn page by page, or sections that stand side by side.
//! `cargo bench -p index --bench search -- --pages 12000 --corpus FOLDER`; both are optional.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::{Caller, Mask, Purpose, Subject};
use index::analysis::{Language, detect_language};
use index::passages::{BlockRange, PassageWrite};
use index::records::PageHead;
use index::vectors::{ModelTag, QueryVector, StoredVector};
use index::{
    Clause, ClauseKind, CommitPayload, Config, Field, Index, LexicalQuery, Occur, OpenMode, Passage, Searcher, Writer,
};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, index::sample};
use rand::{Rng, SeedableRng};
use rust_stemmers::{Algorithm, Stemmer};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change};
use schemas::grant::{Grant, Role};
use schemas::ids::{BlockId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::record::PageRecord;
use schemas::version::{Timestamp, VectorClock, Version};
use serde::Deserialize;
use tantivy::collector::TopDocs;
use tantivy::merge_policy::NoMergePolicy;
use tantivy::query::{BooleanQuery, Occur as EngineOccur, Query, TermQuery};
use tantivy::schema::{Field as EngineField, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{
    LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer, Token, TokenFilter, TokenStream, Tokenizer,
};
use tantivy::{IndexWriter, TantivyDocument, Term};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SEED: u64 = 11;
const DIMENSIONS: usize = 384;
const PAGES: usize = 12_000;
const PASSAGE_WORDS: usize = 180;
/// Words from which a passage ends in the middle of a paragraph, at a line.
const PASSAGE_WORDS_MAX: usize = 300;
const SECTIONS: usize = 1_000;
const QUERIES: usize = 500;
const VECTOR_QUERIES: usize = 200;
const ROUNDS: usize = 5;
const DEPTHS: [usize; 2] = [10, 200];
const VECTOR_DEPTH: usize = 100;
const COMMITS: usize = 4;
/// Enough for a quarter of the corpus, so that each commit leaves one segment on both sides.
const WRITER_BYTES: usize = 1 << 30;
/// Shares of the pages that masks allow, in thousandths.
const SHARES: [usize; 3] = [1, 10, 100];
const WORKSPACE: &str = "bench";
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

fn main() -> Result<()> {
    let mut pages_len = PAGES;
    let mut folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/docs-win32");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pages" => pages_len = arguments.next().ok_or("--pages takes a number")?.parse()?,
            "--corpus" => folder = PathBuf::from(arguments.next().ok_or("--corpus takes a folder")?),
            _ => {}
        }
    }
    println!("machine: {}", machine());
    let mut rng = SmallRng::seed_from_u64(SEED);
    let Corpus { pages, queries } = if folder.join("pages.jsonl.zst").is_file() {
        println!("corpus: docs-win32, {pages_len} pages drawn with seed {SEED}");
        Corpus::read(&folder, pages_len, &mut rng)?
    } else {
        println!("SKIPPED: {} is not there; words drawn with seed {SEED} stand for it", folder.display());
        Corpus::draw(pages_len, &mut rng)
    };
    let ours = Ours::new()?;
    let bare = Bare::new()?;
    load(&ours, &bare, &pages, &mut rng)?;
    let masks = ours.masks()?;
    let searcher = ours.index.searcher();
    for depth in DEPTHS {
        by_words(&searcher, &masks, &bare, &queries, depth)?;
    }
    by_meaning(&searcher, &masks, &mut rng)
}

struct Page {
    title: String,
    texts: Vec<String>,
}

struct Corpus {
    pages: Vec<Page>,
    queries: Vec<String>,
}

#[derive(Deserialize)]
struct PageLine {
    title: String,
    markdown: String,
}

#[derive(Deserialize)]
struct QueryLine {
    text: String,
}

impl Corpus {
    fn read(folder: &Path, pages_len: usize, rng: &mut SmallRng) -> Result<Self> {
        let mut decoder = zstd::Decoder::new(fs::File::open(folder.join("pages.jsonl.zst"))?)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        let lines: Vec<String> = BufReader::new(decoder).lines().collect::<std::result::Result<_, _>>()?;
        let mut drawn = sample(rng, lines.len(), pages_len.min(lines.len())).into_vec();
        // Neighbours stay neighbours, so that a section is about one subject.
        drawn.sort_unstable();
        let mut pages = Vec::with_capacity(drawn.len());
        for at in drawn {
            let PageLine { title, markdown } = serde_json::from_str(&lines[at])?;
            pages.push(Page { title, texts: cut(body(&markdown)) });
        }
        let queries = fs::read_to_string(folder.join("anchor-queries/queries.jsonl"))?;
        let queries: Vec<&str> = queries.lines().collect();
        let drawn = queries.choose_multiple(rng, QUERIES);
        let texts = drawn.map(|line| Ok(serde_json::from_str::<QueryLine>(line)?.text));
        Ok(Self { pages, queries: texts.collect::<Result<_>>()? })
    }

    /// Words of a few thousand, the frequent ones far more often than the rest.
    fn draw(pages_len: usize, rng: &mut SmallRng) -> Self {
        let word = |rng: &mut SmallRng| format!("word{}", (20_000.0_f64.powf(rng.random::<f64>())) as u32);
        let text = |rng: &mut SmallRng, len| (0..len).map(|_| word(rng)).collect::<Vec<_>>().join(" ");
        let page = |rng: &mut SmallRng| Page {
            title: text(rng, 4),
            texts: (0..rng.random_range(1..6)).map(|_| text(rng, PASSAGE_WORDS)).collect(),
        };
        let pages = (0..pages_len).map(|_| page(rng)).collect();
        Self { pages, queries: (0..QUERIES).map(|_| text(rng, 3)).collect() }
    }
}

/// A page without its front matter.
fn body(markdown: &str) -> &str {
    let Some(rest) = markdown.strip_prefix("---\n") else { return markdown };
    rest.split_once("\n---\n").map_or(markdown, |(_, body)| body)
}

fn cut(text: &str) -> Vec<String> {
    let mut passages = Vec::new();
    let (mut passage, mut words) = (String::new(), 0);
    for line in text.lines() {
        let is_end = if line.trim().is_empty() { words >= PASSAGE_WORDS } else { words >= PASSAGE_WORDS_MAX };
        if is_end {
            passages.push(std::mem::take(&mut passage));
            words = 0;
        }
        words += line.split_whitespace().count();
        passage.push_str(line);
        passage.push('\n');
    }
    if words > 0 || passages.is_empty() {
        passages.push(passage);
    }
    passages
}

/// Writes the pages to both, a quarter at a time, one after the other.
fn load(ours: &Ours, bare: &Bare, pages: &[Page], rng: &mut SmallRng) -> Result<()> {
    let mut engine: IndexWriter = bare.engine.writer_with_num_threads(1, WRITER_BYTES)?;
    engine.set_merge_policy(Box::new(NoMergePolicy));
    let writer = ours.index.writer()?;
    let placed = Placed::draw(pages.len(), rng);
    let (mut of_ours, mut of_bare) = (Duration::ZERO, Duration::ZERO);
    ours.add_sections(&writer, &placed)?;
    for (seq, quarter) in (1..).zip(quarters(pages.len())) {
        let writes: Vec<_> = quarter.clone().map(|at| writes(at, &pages[at], rng)).collect::<Result<_>>()?;
        let started = Instant::now();
        for (at, writes) in quarter.clone().zip(&writes) {
            ours.add(&writer, at, &pages[at], writes, &placed)?;
        }
        writer.commit(&CommitPayload { index_seq: seq, ..CommitPayload::default() })?;
        of_ours += started.elapsed();
        let started = Instant::now();
        for text in quarter.flat_map(|at| &pages[at].texts) {
            let mut document = TantivyDocument::new();
            document.add_text(bare.field, text);
            engine.add_document(document)?;
        }
        engine.commit()?;
        of_bare += started.elapsed();
    }
    ours.index.reload()?;
    ours.index.catalog().workspaces().iter().for_each(|workspace| workspace.write().access.publish());
    let passages = pages.iter().map(|page| page.texts.len()).sum::<usize>() as f64;
    let text_bytes = pages.iter().flat_map(|page| &page.texts).map(String::len).sum::<usize>() as f64;
    println!("{} pages, {passages} passages of {:.0} bytes, sections {SECTIONS}", pages.len(), text_bytes / passages);
    println!("{:>14} {:>10} {:>16} {:>12}", "", "segments", "bytes/passage", "passages/s");
    for (name, dir, time) in [("index", ours.dir.path(), of_ours), ("bare tantivy", bare.dir.path(), of_bare)] {
        let bytes = bytes_in(dir)? as f64 / passages;
        println!("{name:>14} {:>10} {bytes:>16.0} {:>12.0}", segments_in(dir)?, passages / time.as_secs_f64());
    }
    println!("writing: {:.2} times as long as bare tantivy", of_ours.as_secs_f64() / of_bare.as_secs_f64());
    Ok(())
}

/// The pages in as many parts as there are commits.
fn quarters(pages_len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..COMMITS).map(move |part| part * pages_len / COMMITS..(part + 1) * pages_len / COMMITS)
}

/// Which pages and sections each reader may see.
struct Placed {
    /// For each share, the pages drawn for it.
    scattered: [Vec<bool>; SHARES.len()],
    /// For each share, the sections that stand side by side.
    side_by_side: [Range<usize>; SHARES.len()],
    pages_len: usize,
}

impl Placed {
    fn draw(pages_len: usize, rng: &mut SmallRng) -> Self {
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
struct Ours {
    dir: tempfile::TempDir,
    index: Index,
}

impl Ours {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = Config { dir: dir.path().to_owned(), writer_memory_bytes: WRITER_BYTES, dimensions: DIMENSIONS };
        let index = Index::open(&config, OpenMode::ReadWrite)?;
        let workspace = index.catalog().get_or_create(&WorkspaceId::new(WORKSPACE)?);
        let mut state = workspace.write();
        for user in readers() {
            state.put_member(&UserId::new(user)?, Some(Role::Member), false);
        }
        drop(state);
        Ok(Self { dir, index })
    }

    fn add_sections(&self, writer: &Writer, placed: &Placed) -> Result<()> {
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

    fn add(&self, writer: &Writer, at: usize, page: &Page, writes: &[PassageWrite], placed: &Placed) -> Result<()> {
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

    fn masks(&self) -> Result<Vec<(String, Mask)>> {
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
fn writes(at: usize, page: &Page, rng: &mut SmallRng) -> Result<Vec<PassageWrite>> {
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

fn model() -> ModelTag {
    ModelTag::of("bench")
}

fn noise(rng: &mut SmallRng) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| rng.random_range(-1.0..1.0_f32)).collect()
}

/// A plain index of the same passages.
struct Bare {
    dir: tempfile::TempDir,
    engine: tantivy::Index,
    field: EngineField,
    analyzer: TextAnalyzer,
}

impl Bare {
    fn new() -> Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("stemmed")
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let field = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
        let dir = tempfile::tempdir()?;
        let engine = tantivy::Index::create_in_dir(&dir, schema.build())?;
        let analyzer = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(40))
            .filter(LowerCaser)
            .filter(Stemmed)
            .build();
        engine.tokenizers().register("stemmed", analyzer.clone());
        Ok(Self { dir, engine, field, analyzer })
    }

    fn query(&self, text: &str) -> BooleanQuery {
        let mut parts: Vec<(EngineOccur, Box<dyn Query>)> = Vec::new();
        let mut analyzer = self.analyzer.clone();
        analyzer.token_stream(text).process(&mut |token| {
            let term = Term::from_field_text(self.field, &token.text);
            parts.push((EngineOccur::Should, Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))));
        });
        BooleanQuery::new(parts)
    }
}

/// Brings English words to their stems.
#[derive(Clone)]
struct Stemmed;

impl TokenFilter for Stemmed {
    type Tokenizer<T: Tokenizer> = StemmedTokenizer<T>;

    fn transform<T: Tokenizer>(self, tokenizer: T) -> StemmedTokenizer<T> {
        StemmedTokenizer(tokenizer)
    }
}

#[derive(Clone)]
struct StemmedTokenizer<T>(T);

impl<T: Tokenizer> Tokenizer for StemmedTokenizer<T> {
    type TokenStream<'a> = StemmedStream<T::TokenStream<'a>>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Self::TokenStream<'a> {
        StemmedStream { tail: self.0.token_stream(text), stemmer: Stemmer::create(Algorithm::English) }
    }
}

struct StemmedStream<S> {
    tail: S,
    stemmer: Stemmer,
}

impl<S: TokenStream> TokenStream for StemmedStream<S> {
    fn advance(&mut self) -> bool {
        if !self.tail.advance() {
            return false;
        }
        let token = self.tail.token_mut();
        let stem = self.stemmer.stem(&token.text).into_owned();
        token.text = stem;
        true
    }

    fn token(&self) -> &Token {
        self.tail.token()
    }

    fn token_mut(&mut self) -> &mut Token {
        self.tail.token_mut()
    }
}

fn by_words(
    searcher: &Searcher,
    masks: &[(String, Mask)],
    bare: &Bare,
    queries: &[String],
    depth: usize,
) -> Result<()> {
    let engine = bare.engine.reader()?.searcher();
    let mut of_bare = Times::default();
    let mut of_masks = vec![Times::default(); masks.len()];
    for _ in 0..ROUNDS {
        for (at, text) in queries.iter().enumerate() {
            let started = Instant::now();
            let top = TopDocs::with_limit(depth).order_by_score();
            black_box(engine.search(&bare.query(text), &top)?);
            of_bare.add(at, started);
            for ((_, mask), times) in masks.iter().zip(&mut of_masks) {
                let started = Instant::now();
                let clause = Clause { occur: Occur::Should, field: Field::All, kind: ClauseKind::Words(text.clone()) };
                let query = LexicalQuery { clauses: vec![clause], ..LexicalQuery::default() };
                black_box(searcher.lexical(mask, &query, depth)?);
                times.add(at, started);
            }
        }
    }
    println!("\nby words, best {depth}, {} queries, the best of {ROUNDS} rounds, microseconds", queries.len());
    println!("{:>20} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11}", "", "p50", "p95", "p99", "mean", "p50/bare", "mean/bare");
    of_bare.print("bare tantivy", None);
    for ((name, _), times) in masks.iter().zip(&of_masks) {
        times.print(name, Some(&of_bare));
    }
    Ok(())
}

fn by_meaning(searcher: &Searcher, masks: &[(String, Mask)], rng: &mut SmallRng) -> Result<()> {
    let queries: Vec<QueryVector> =
        (0..VECTOR_QUERIES).map(|_| QueryVector::new(&noise(rng), model())).collect::<std::result::Result<_, _>>()?;
    println!("\nby meaning, best {VECTOR_DEPTH}, {VECTOR_QUERIES} queries, the best of {ROUNDS} rounds, microseconds");
    println!("{:>20} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p95", "p99", "mean");
    for (name, mask) in masks {
        let mut times = Times::default();
        for _ in 0..ROUNDS {
            for (at, query) in queries.iter().enumerate() {
                let started = Instant::now();
                black_box(searcher.semantic(mask, query, VECTOR_DEPTH)?);
                times.add(at, started);
            }
        }
        times.print(name, None);
    }
    Ok(())
}

/// The shortest time of each query.
#[derive(Clone, Default)]
struct Times(Vec<Duration>);

impl Times {
    fn add(&mut self, query: usize, started: Instant) {
        let time = started.elapsed();
        if query == self.0.len() {
            self.0.push(time);
        }
        self.0[query] = self.0[query].min(time);
    }

    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1e6
    }

    fn mean(&self) -> f64 {
        self.0.iter().sum::<Duration>().as_secs_f64() * 1e6 / self.0.len() as f64
    }

    fn print(&self, name: &str, beside: Option<&Self>) {
        let (p50, p95, p99, mean) = (self.percentile(50), self.percentile(95), self.percentile(99), self.mean());
        let ratios = beside.map(|other| format!(" {:>11.2} {:>11.2}", p50 / other.percentile(50), mean / other.mean()));
        println!("{name:>20} {p50:>9.0} {p95:>9.0} {p99:>9.0} {mean:>9.0}{}", ratios.unwrap_or_default());
    }
}

fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn segments_in(dir: &Path) -> Result<usize> {
    let meta: serde_json::Value = serde_json::from_str(&fs::read_to_string(dir.join("meta.json"))?)?;
    Ok(meta["segments"].as_array().map_or(0, Vec::len))
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", name.trim_start_matches([' ', '\t', ':']), std::env::consts::ARCH)
}
