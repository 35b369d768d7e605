//! Measures search by words and by meaning under masks, beside the bare engine on the same passages.
//!
//! Corpus: a sample of the pages of docs-win32, cut at blank lines into passages of about 180 words, in one workspace of a
//! thousand sections. The same passages go into a plain tantivy index of one field, stemmed with the same library, with
//! positions, committed at the same points, so that both have the same segments. Queries: link texts of the same corpus, any
//! word may match; both sides start from the text of the query. The bare engine knows no mask, no workspace and one
//! language. It and each mask take turns, each for all queries, so that all find the caches in the same state. Of each query
//! the best of seven rounds counts, so that percentiles are those of the queries and not of other load on the machine.
//! Vectors are noise.
//!
//! Masks allow 0.1, 1, 10 and 100 % of the pages: drawn page by page, or sections that stand side by side.
//! `cargo bench -p index --bench search -- --pages 12000 --corpus FOLDER`; both are optional.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

mod bare;
mod corpus;
mod ours;
mod times;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use access::Mask;
use index::vectors::QueryVector;
use index::{Clause, ClauseKind, CommitPayload, Field, LexicalQuery, Occur, Searcher};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tantivy::collector::TopDocs;
use tantivy::merge_policy::NoMergePolicy;
use tantivy::{IndexWriter, TantivyDocument};

use bare::Bare;
use corpus::{Corpus, Page};
use ours::{Ours, Placed, model, noise, writes};
use times::Times;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const SEED: u64 = 11;
const PAGES: usize = 12_000;
const SECTIONS: usize = 1_000;
const VECTOR_QUERIES: usize = 200;
const ROUNDS: usize = 7;
const DEPTHS: [usize; 2] = [10, 200];
const VECTOR_DEPTH: usize = 100;
const COMMITS: usize = 4;
/// Folder of the first generation of an index.
const GENERATION: &str = "g000001";
/// Enough for a quarter of the corpus, so that each commit leaves one segment on both sides.
const WRITER_BYTES: usize = 1 << 30;

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
    let folders =
        [("index", ours.dir.path().join(GENERATION), of_ours), ("bare tantivy", bare.dir.path().to_owned(), of_bare)];
    for (name, dir, time) in folders {
        let bytes = bytes_in(&dir)? as f64 / passages;
        println!("{name:>14} {:>10} {bytes:>16.0} {:>12.0}", segments_in(&dir)?, passages / time.as_secs_f64());
    }
    println!("writing: {:.2} times as long as bare tantivy", of_ours.as_secs_f64() / of_bare.as_secs_f64());
    Ok(())
}

/// The pages in as many parts as there are commits.
fn quarters(pages_len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..COMMITS).map(move |part| part * pages_len / COMMITS..(part + 1) * pages_len / COMMITS)
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
        }
        for ((_, mask), times) in masks.iter().zip(&mut of_masks) {
            for (at, text) in queries.iter().enumerate() {
                let started = Instant::now();
                let clause = Clause { occur: Occur::Should, field: Field::All, kind: ClauseKind::Words(text.clone()) };
                let query = LexicalQuery { clauses: vec![clause], ..LexicalQuery::default() };
                black_box(searcher.lexical(mask, &query, depth)?);
                times.add(at, started);
            }
        }
    }
    println!(
        "\nby words, best {depth}, {} queries, the best of {ROUNDS} rounds, microseconds; {}",
        queries.len(),
        load_average()
    );
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

fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load {}", load.split(' ').next().unwrap_or("unknown"))
}
