//! Measures writing, text first: passages and their pages, beside the bare engine that is given the same words.
//!
//! Corpus: a sample of the pages of docs-win32, cut at blank lines into passages of about 180 words, in one workspace.
//! The bare engine holds one field of words, stemmed with the same library, with positions; it stores nothing. A second
//! one stores the text too, once. The index holds the words twice (stems with positions, words as written), the passages,
//! the records of the pages with the text once more, access and heads. All three are written a quarter at a time, one
//! after the other, with one writing thread each, and committed at the same points. Embeddings are left to later, as the
//! write side does. Of each contestant the best of the rounds counts, since other load only ever adds time.
//!
//! Then the same pages are written again at random, a few a commit, while the index merges as it sees fit: how long commits
//! take beside merges and without, how many segments and deleted documents there are, how many bytes on disk for each of the
//! fresh index; and what it takes to purge all that is deleted.
//!
//! `cargo bench -p index --bench writing -- --pages 12000 --edits 20000 --corpus FOLDER`; all are optional. Merges and memory
//! are told by `/proc`.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use index::analysis::{Language, detect_language};
use index::generation::generation_dir;
use index::passages::{BlockRange, PassageWrite};
use index::records::PageHead;
use index::{CommitPayload, Config, Index, OpenMode, Passage, PurgeExtent, Writer};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, index::sample};
use rand::{Rng, SeedableRng};
use rust_stemmers::{Algorithm, Stemmer};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change};
use schemas::ids::{BlockId, PageId, RegionId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::record::PageRecord;
use schemas::version::{Timestamp, VectorClock, Version};
use serde::Deserialize;
use tantivy::merge_policy::NoMergePolicy;
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{
    LowerCaser, RemoveLongFilter, SimpleTokenizer, TextAnalyzer, Token, TokenFilter, TokenStream, Tokenizer,
};
use tantivy::{IndexWriter, TantivyDocument};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SEED: u64 = 11;
const PAGES: usize = 12_000;
const PASSAGE_WORDS: usize = 180;
/// Words from which a passage ends in the middle of a paragraph, at a line.
const PASSAGE_WORDS_MAX: usize = 300;
const ROUNDS: usize = 3;
const COMMITS: usize = 4;
/// Enough for a quarter of the corpus, so that each commit leaves one segment with all contestants.
const WRITER_BYTES: usize = 1 << 30;
const EDITS: usize = 20_000;
/// Pages of one commit, of the import and of the edits.
const IMPORT_PAGES: usize = 500;
const EDITED_PAGES: usize = 20;
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

fn main() -> Result<()> {
    let (mut pages_len, mut edits) = (PAGES, EDITS);
    let mut folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/docs-win32");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--pages" => pages_len = arguments.next().ok_or("--pages takes a number")?.parse()?,
            "--edits" => edits = arguments.next().ok_or("--edits takes a number")?.parse()?,
            "--corpus" => folder = PathBuf::from(arguments.next().ok_or("--corpus takes a folder")?),
            _ => {}
        }
    }
    println!("machine: {}", machine());
    let mut rng = SmallRng::seed_from_u64(SEED);
    let pages = if folder.join("pages.jsonl.zst").is_file() {
        println!("corpus: docs-win32, {pages_len} pages drawn with seed {SEED}");
        read(&folder, pages_len, &mut rng)?
    } else {
        println!("SKIPPED: {} is not there; words drawn with seed {SEED} stand for it", folder.display());
        (0..pages_len).map(|_| draw(&mut rng)).collect()
    };
    let records: Vec<Written> = pages.iter().enumerate().map(|(at, page)| written(at, page)).collect::<Result<_>>()?;
    first_writing(&pages, &records)?;
    updates(&records, edits, &mut rng)
}

struct Page {
    title: String,
    texts: Vec<String>,
}

#[derive(Deserialize)]
struct PageLine {
    title: String,
    markdown: String,
}

fn read(folder: &Path, pages_len: usize, rng: &mut SmallRng) -> Result<Vec<Page>> {
    let mut decoder = zstd::Decoder::new(fs::File::open(folder.join("pages.jsonl.zst"))?)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    let lines: Vec<String> = BufReader::new(decoder).lines().collect::<std::result::Result<_, _>>()?;
    let mut drawn = sample(rng, lines.len(), pages_len.min(lines.len())).into_vec();
    drawn.sort_unstable();
    let page = |at: usize| -> Result<Page> {
        let PageLine { title, markdown } = serde_json::from_str(&lines[at])?;
        Ok(Page { title, texts: cut(body(&markdown)) })
    };
    drawn.into_iter().map(page).collect()
}

/// A page of words of a few thousand, the frequent ones far more often than the rest.
fn draw(rng: &mut SmallRng) -> Page {
    let text = |rng: &mut SmallRng, len| {
        let word = |_| format!("word{}", (20_000.0_f64.powf(rng.random::<f64>())) as u32);
        (0..len).map(word).collect::<Vec<_>>().join(" ")
    };
    let passages = rng.random_range(1..6);
    Page { title: text(rng, 4), texts: (0..passages).map(|_| text(rng, PASSAGE_WORDS)).collect() }
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

/// What one contestant took: the fastest of its rounds, and what it left on disk.
struct Taken {
    name: &'static str,
    best: Duration,
    bytes: u64,
}

fn first_writing(pages: &[Page], records: &[Written]) -> Result<()> {
    let taken = |name| Taken { name, best: Duration::MAX, bytes: 0 };
    let mut all = [taken("index"), taken("bare tantivy"), taken("and its text")];
    for _ in 0..ROUNDS {
        let ours = Ours::new(WRITER_BYTES)?;
        let writer = ours.index.writer()?;
        let mut bare = [Bare::new(false)?, Bare::new(true)?];
        let mut times = [Duration::ZERO; 3];
        for (seq, quarter) in (1..).zip(quarters(pages.len())) {
            let started = Instant::now();
            for page in &records[quarter.clone()] {
                ours.put(&writer, page)?;
            }
            writer.commit(&CommitPayload { index_seq: seq, ..CommitPayload::default() })?;
            times[0] += started.elapsed();
            for (bare, time) in bare.iter_mut().zip(&mut times[1..]) {
                let started = Instant::now();
                for text in pages[quarter.clone()].iter().flat_map(|page| &page.texts) {
                    bare.add(text)?;
                }
                bare.writer.commit()?;
                *time += started.elapsed();
            }
        }
        let dirs = [&ours.dir, &bare[0].dir, &bare[1].dir];
        for ((taken, time), dir) in all.iter_mut().zip(times).zip(dirs) {
            taken.best = taken.best.min(time);
            taken.bytes = bytes_in(dir.path())?;
        }
    }
    let passages = pages.iter().map(|page| page.texts.len()).sum::<usize>() as f64;
    let text_bytes = pages.iter().flat_map(|page| &page.texts).map(String::len).sum::<usize>() as f64;
    println!("{} pages, {passages} passages of {:.0} bytes, best of {ROUNDS}", pages.len(), text_bytes / passages);
    println!("{:>14} {:>12} {:>9} {:>14} {:>10}", "", "passages/s", "MB/s", "bytes/passage", "rate");
    for taken in &all {
        let (seconds, beside) = (taken.best.as_secs_f64(), all[1].best.as_secs_f64());
        println!(
            "{:>14} {:>12.0} {:>9.2} {:>14.0} {:>9.2}x",
            taken.name,
            passages / seconds,
            text_bytes / seconds / 1e6,
            taken.bytes as f64 / passages,
            beside / seconds
        );
    }
    Ok(())
}

/// Imports the pages, then writes them again at random.
fn updates(records: &[Written], edits: usize, rng: &mut SmallRng) -> Result<()> {
    let ours = Ours::new(Config::default().writer_memory_bytes)?;
    let writer = ours.index.writer()?;
    let mut seq = 0;
    let mut commit = || -> Result<Duration> {
        seq += 1;
        let started = Instant::now();
        writer.commit(&CommitPayload { index_seq: seq, ..CommitPayload::default() })?;
        ours.index.reload()?;
        Ok(started.elapsed())
    };
    for part in records.chunks(IMPORT_PAGES) {
        part.iter().try_for_each(|page| ours.put(&writer, page))?;
        commit()?;
    }
    writer.purge(PurgeExtent::Deleted, &|| true)?;
    let fresh = bytes_in(ours.dir.path())?;
    let (mut alone, mut beside_merges) = (Vec::new(), Vec::new());
    let (mut most, mut deleted, mut bytes) = (0, 0.0_f64, 0);
    for _ in 0..edits / EDITED_PAGES {
        for page in records.choose_multiple(rng, EDITED_PAGES) {
            ours.put(&writer, page)?;
        }
        let before = merging();
        let took = commit()?;
        if merging() > before {
            beside_merges.push(took);
        } else {
            alone.push(took);
        }
        let (segments, share) = ours.segments()?;
        (most, deleted) = (most.max(segments), deleted.max(share));
        bytes = bytes.max(bytes_in(ours.dir.path())?);
    }
    println!("\n{edits} pages written again, {EDITED_PAGES} a commit; milliseconds from commit to searchable");
    println!("{:>16} {:>9} {:>9} {:>9} {:>9}", "", "commits", "p50", "p99", "longest");
    for (name, times) in [("no merge", &mut alone), ("beside a merge", &mut beside_merges)] {
        times.sort_unstable();
        let percentile = |percent: usize| {
            times.get((times.len().max(1) - 1) * percent / 100).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        println!(
            "{name:>16} {:>9} {:>9.1} {:>9.1} {:>9.1}",
            times.len(),
            percentile(50),
            percentile(99),
            percentile(100)
        );
    }
    let now = bytes_in(ours.dir.path())?;
    println!("segments {most} at most, deleted {:.0} % at most", deleted * 1e2);
    println!(
        "bytes for each of the fresh index: {:.2} at the end, {:.2} at most, files being merged included",
        now as f64 / fresh as f64,
        bytes as f64 / fresh as f64
    );
    let (purged, peak) = with_peak_memory(|| {
        let started = Instant::now();
        Ok((writer.purge(PurgeExtent::Deleted, &|| true)?, started.elapsed()))
    })?;
    println!(
        "purge: {} segments written again in {:.1} s, {:.0} MiB of memory more at most; then {:.2} bytes",
        purged.0.rewritten,
        purged.1.as_secs_f64(),
        peak as f64 / f64::from(1 << 20),
        bytes_in(ours.dir.path())? as f64 / fresh as f64
    );
    Ok(())
}

/// Clock ticks that merges have run for.
fn merging() -> u64 {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return 0 };
    let ticks = |task: std::io::Result<fs::DirEntry>| -> Option<u64> {
        let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse::<u64>().unwrap_or(0));
        name.starts_with("merge_thread").then(|| fields.next().unwrap_or(0) + fields.next().unwrap_or(0))
    };
    tasks.filter_map(ticks).sum()
}

/// Runs something, and tells by how many bytes it needed more memory than before at the worst, mapped files apart.
fn with_peak_memory<T>(run: impl FnOnce() -> Result<T>) -> Result<(T, u64)> {
    let before = memory();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        let mut peak = memory();
        while is_done.recv_timeout(Duration::from_millis(5)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            peak = peak.max(memory());
        }
        peak
    });
    let result = run();
    drop(done);
    let peak = watcher.join().map_err(|_| "watching memory failed")?;
    Ok((result?, peak.saturating_sub(before)))
}

/// Bytes of memory that are not of files.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// The pages in as many parts as there are commits.
fn quarters(pages_len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..COMMITS).map(move |part| part * pages_len / COMMITS..(part + 1) * pages_len / COMMITS)
}

/// A page as the write side hands it over.
struct Written {
    id: PageId,
    record: PageRecord,
    passages: Vec<PassageWrite>,
}

fn written(at: usize, page: &Page) -> Result<Written> {
    let id = PageId::new(format!("page-{at}"))?;
    let mut record = PageRecord::default();
    let patch = PagePatch { title: Some(page.title.clone()), parent: Some(Parent::Workspace), ..PagePatch::default() };
    record.apply(&Change::PageUpserted { page: id.clone(), patch: Box::new(patch) }, &version());
    let language = detect_language(&page.texts.join("\n"), Language::default());
    let mut passages = Vec::new();
    for (number, text) in page.texts.iter().enumerate() {
        let block = BlockId::new(format!("page-{at}-{number}"))?;
        let content = Some(BlockContent::text(BlockType::Paragraph, text.clone()));
        let patch = BlockPatch { page: id.clone(), parent: None, position: format!("{number:04}"), content };
        record.blocks.entry(block.clone()).or_default().upsert(&version(), patch);
        let passage = Passage {
            number: number as u32,
            headings: Vec::new(),
            text: text.clone(),
            blocks: vec![BlockRange { block, start: 0, end: text.len() as u32 }],
            language: detect_language(text, language),
        };
        passages.push(PassageWrite { passage, vector: None });
    }
    Ok(Written { id, record, passages })
}

fn version() -> Arc<Version> {
    let region = RegionId::new("bench").expect("letters are an id");
    let timestamp = Timestamp { wall_ms: 1, logical: 0 };
    Arc::new(Version { clock: VectorClock::of(&region, 1), timestamp, region })
}

/// The index under test.
struct Ours {
    dir: tempfile::TempDir,
    index: Index,
    workspace: WorkspaceId,
}

impl Ours {
    fn new(writer_memory_bytes: usize) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let config = Config { dir: dir.path().to_owned(), writer_memory_bytes, ..Config::default() };
        let index = Index::open(&config, OpenMode::ReadWrite)?;
        Ok(Self { dir, index, workspace: WorkspaceId::new("bench")? })
    }

    fn put(&self, writer: &Writer, page: &Written) -> Result<()> {
        let workspace = self.index.catalog().get_or_create(&self.workspace);
        let mut state = workspace.write();
        let head = PageHead::of(&page.id, state.ordinal_for(&page.id), &page.record);
        state.put_head(head.clone());
        drop(state);
        Ok(writer.put_page(workspace.number, &head, &page.record, &page.passages)?)
    }
}

impl Ours {
    /// The segments of the last commit, and the share of deleted documents.
    fn segments(&self) -> Result<(usize, f64)> {
        let meta = fs::read_to_string(generation_dir(self.dir.path(), 1).join("meta.json"))?;
        let meta: serde_json::Value = serde_json::from_str(&meta)?;
        let segments = meta["segments"].as_array().ok_or("no segments")?;
        let documents: u64 = segments.iter().filter_map(|segment| segment["max_doc"].as_u64()).sum();
        let deleted: u64 = segments.iter().filter_map(|segment| segment["deletes"]["num_deleted_docs"].as_u64()).sum();
        Ok((segments.len(), deleted as f64 / documents as f64))
    }
}

/// A plain index of the same passages.
struct Bare {
    dir: tempfile::TempDir,
    writer: IndexWriter,
    field: Field,
}

impl Bare {
    fn new(stores_text: bool) -> Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("stemmed")
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let options = TextOptions::default().set_indexing_options(indexing);
        let options = if stores_text { options.set_stored() } else { options };
        let field = schema.add_text_field("text", options);
        let dir = tempfile::tempdir()?;
        let engine = tantivy::Index::create_in_dir(&dir, schema.build())?;
        let analyzer = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(40))
            .filter(LowerCaser)
            .filter(Stemmed)
            .build();
        engine.tokenizers().register("stemmed", analyzer);
        let writer: IndexWriter = engine.writer_with_num_threads(1, WRITER_BYTES)?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Ok(Self { dir, writer, field })
    }

    fn add(&mut self, text: &str) -> Result<()> {
        let mut document = TantivyDocument::new();
        document.add_text(self.field, text);
        self.writer.add_document(document)?;
        Ok(())
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

fn bytes_in(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // A merge may take files away meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", name.trim_start_matches([' ', '\t', ':']), std::env::consts::ARCH)
}
