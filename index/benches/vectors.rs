//! Measures the vector search: time against the memory bandwidth of the same run, and recall on real embeddings.
//!
//! Time: synthetic clustered vectors of 384 dimensions (seed printed) in one merged segment on disk, warm; 10,000,
//! 100,000 and 1,000,000 rows under masks that allow 1, 10 and 100 % of the documents at random; the nearest 10 and 100;
//! one thread.
//!
//! The bound is the time in which the same thread reads as many bytes as the search cannot do without, in sequence:
//! adding up the words of a buffer of that size, between the searches, so that both meet the same load and the same
//! caches. These bytes are the sign codes of the allowed rows (48 each), or, where there are at most 16,384 of them,
//! their components and scales (388 each). Rows that the sign codes choose for scoring come on top and are not part of
//! the bound. Percentiles are of the clock on the wall, which other load on the machine stretches; the ratio is that of
//! the mean times on the processor, of the reading by the search: 100 % is as fast as memory.
//!
//! Recall: against full-precision cosines over the same embeddings, when a folder is named that holds `passages.f32` and
//! `queries.f32`, little-endian rows of 384: `cargo bench -p index --bench vectors -- --embeddings FOLDER`.
//! `--rows 10000,100000` chooses other sizes, and `--rows 0` leaves the timing out.

#![expect(clippy::print_stdout, reason = "a bench prints its findings")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use index::vectors::{ModelTag, QueryVector, SegmentVectors, StoredVector, VectorField, VectorPlugin, search};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::Schema;
use tantivy::{DocId, Index, IndexWriter, SegmentOrdinal, TantivyDocument};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DIMENSIONS: usize = 384;
const SEED: u64 = 42;
const CLUSTERS: usize = 2_000;
const DEPTHS: [usize; 2] = [10, 100];
/// Up to this many rows are scored without a look at their signs.
const EXACT_ROWS_MAX: usize = 16_384;
const TIMED_QUERIES: usize = 200;
const ALLOWED_PERCENTS: [u64; 3] = [1, 10, 100];
const WRITER_BYTES: usize = 300_000_000;
const MEASURED_AT_LEAST: Duration = Duration::from_secs(2);
const NEVER: &dyn Fn() -> bool = &|| false;

fn main() -> Result<()> {
    let mut sizes = vec![10_000, 100_000, 1_000_000];
    let mut embeddings = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--embeddings" => embeddings = arguments.next(),
            "--rows" => {
                let list = arguments.next().ok_or("--rows takes a list of numbers")?;
                sizes = list.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
            }
            _ => {}
        }
    }
    println!("machine: {}", machine());
    println!("seed {SEED}, {DIMENSIONS} dimensions, {TIMED_QUERIES} queries, one thread");
    for size in sizes.into_iter().filter(|size| *size > 0) {
        time_searches(size)?;
    }
    match embeddings {
        Some(folder) => recall(Path::new(&folder))?,
        None => println!("SKIPPED: recall on real embeddings; name their folder with --embeddings"),
    }
    Ok(())
}

/// An index of nothing but vectors, in one segment.
struct Corpus {
    /// Held for the memory map.
    _folder: tempfile::TempDir,
    segments: Vec<SegmentVectors>,
}

impl Corpus {
    fn build(vectors: impl Iterator<Item = Vec<f32>>) -> Result<Self> {
        let mut schema = Schema::builder();
        let vector_field = VectorField::add_to_schema(&mut schema, "vector", DIMENSIONS)?;
        let folder = tempfile::tempdir()?;
        let index =
            Index::builder().schema(schema.build()).register_plugin(Arc::new(VectorPlugin)).create_in_dir(&folder)?;
        let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_BYTES)?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        for values in vectors {
            let mut document = TantivyDocument::new();
            vector_field.add_to_document(&mut document, &StoredVector::encode(&values, model())?)?;
            writer.add_document(document)?;
        }
        writer.commit()?;
        let segment_ids = index.searchable_segment_ids()?;
        let started = Instant::now();
        writer.merge(&segment_ids).wait()?;
        println!("merge of {} segments: {:.2} s", segment_ids.len(), started.elapsed().as_secs_f64());
        writer.wait_merging_threads()?;
        let searcher = index.reader()?.searcher();
        let started = Instant::now();
        let segments =
            searcher.segment_readers().iter().map(SegmentVectors::open).collect::<std::result::Result<_, _>>()?;
        println!("open: {:.2} ms", milliseconds(started.elapsed()));
        Ok(Self { _folder: folder, segments })
    }
}

fn model() -> ModelTag {
    ModelTag::of("bench")
}

fn time_searches(rows: usize) -> Result<()> {
    println!("\n{rows} rows");
    let mut random = SmallRng::seed_from_u64(SEED);
    let centres: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| noise(&mut random)).collect();
    let mut queries = Vec::with_capacity(TIMED_QUERIES);
    for _ in 0..TIMED_QUERIES {
        queries.push(QueryVector::new(&near_a_centre(&centres, &mut random), model())?);
    }
    let corpus = Corpus::build((0..rows).map(|_| near_a_centre(&centres, &mut random)))?;
    println!(
        "{:>8} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "allowed", "depth", "p50 ms", "p95 ms", "p99 ms", "cpu ms", "bound MB", "bound ms", "ratio"
    );
    for percent in ALLOWED_PERCENTS {
        let mask = Mask::random(&mut random, rows, percent);
        for depth in DEPTHS {
            time_one(&corpus, &queries, &mask, percent, depth)?;
        }
    }
    Ok(())
}

fn time_one(corpus: &Corpus, queries: &[QueryVector], mask: &Mask, percent: u64, depth: usize) -> Result<()> {
    let bytes = bytes_needed(mask.allowed);
    let buffer = vec![1_u64; bytes / size_of::<u64>()];
    let (mut searches, mut readings) = (Vec::new(), 0);
    let (mut of_searches, mut of_readings) = (Duration::ZERO, Duration::ZERO);
    let started_all = Instant::now();
    while started_all.elapsed() < MEASURED_AT_LEAST {
        let before = thread_cpu()?;
        for query in queries {
            let started = Instant::now();
            black_box(search(&corpus.segments, query, |_, doc| mask.allows(doc), depth, NEVER)?);
            searches.push(started.elapsed());
        }
        let between = thread_cpu()?;
        for _ in queries {
            black_box(black_box(&buffer).iter().fold(0_u64, |sum, word| sum.wrapping_add(*word)));
            readings += 1;
        }
        of_searches += between.saturating_sub(before);
        of_readings += thread_cpu()?.saturating_sub(between);
    }
    searches.sort_unstable();
    let [p50, p95, p99] = [50, 95, 99].map(|percent| milliseconds(searches[(searches.len() - 1) * percent / 100]));
    let cpu = milliseconds(of_searches) / searches.len() as f64;
    let bound = milliseconds(of_readings) / f64::from(readings);
    let (megabytes, ratio) = (bytes as f64 / 1e6, bound / cpu * 100.0);
    print!("{percent:>6} % {depth:>6} {p50:>9.3} {p95:>9.3} {p99:>9.3} {cpu:>9.3}");
    println!(" {megabytes:>9.2} {bound:>9.3} {ratio:>5.0} %");
    Ok(())
}

/// Time that this thread has spent on a processor, to a few milliseconds; zero where the system does not say.
fn thread_cpu() -> Result<Duration> {
    let Ok(statistics) = fs::read_to_string("/proc/thread-self/schedstat") else {
        return Ok(Duration::ZERO);
    };
    let nanoseconds = statistics.split_whitespace().next().ok_or("schedstat is empty")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

/// The bytes of the columns that a search over so many allowed rows cannot do without.
fn bytes_needed(allowed: usize) -> usize {
    let row_bytes = if allowed > EXACT_ROWS_MAX { DIMENSIONS / 8 } else { DIMENSIONS + size_of::<f32>() };
    allowed * row_bytes
}

struct Mask {
    words: Vec<u64>,
    allowed: usize,
}

impl Mask {
    fn random(random: &mut SmallRng, documents: usize, percent: u64) -> Self {
        let mut words = vec![0_u64; documents.div_ceil(64)];
        for document in 0..documents {
            words[document / 64] |= u64::from(random.random_range(0..100) < percent) << (document % 64);
        }
        let allowed = words.iter().map(|word| word.count_ones() as usize).sum();
        Self { words, allowed }
    }

    fn allows(&self, doc: DocId) -> bool {
        self.words[doc as usize / 64] >> (doc % 64) & 1 == 1
    }
}

fn recall(folder: &Path) -> Result<()> {
    let passages = read_rows(&folder.join("passages.f32"))?;
    let queries = read_rows(&folder.join("queries.f32"))?;
    println!("\nrecall on real embeddings: {} passages, {} queries", passages.len(), queries.len());
    println!(
        "{:>8} {:>8} {:>8} {:>12} {:>12} {:>14}",
        "rows", "allowed", "depth", "recall", "best stored", "worst loss"
    );
    let all_rows = passages.len();
    let sizes = [2_000, 10_000, 20_000, 40_000].into_iter().filter(|rows| *rows < all_rows).chain([all_rows]);
    for rows in sizes {
        let passages = &passages[..rows];
        let corpus = Corpus::build(passages.iter().cloned())?;
        for percent in [10, 50, 100] {
            let mask = Mask::random(&mut SmallRng::seed_from_u64(SEED), rows, percent);
            for depth in [10, 100] {
                let measured = measure_recall(&corpus, passages, &queries, &mask, depth)?;
                let Recall { search, stored, worst_loss } = measured;
                println!("{rows:>8} {percent:>6} % {depth:>8} {search:>12.4} {stored:>12.4} {worst_loss:>14.5}");
            }
        }
    }
    Ok(())
}

struct Recall {
    /// Share of the true nearest that the search found.
    search: f64,
    /// The same for an exhaustive search over the stored rows.
    stored: f64,
    /// By how much the true cosine of the last one found falls short of the true last one's, at worst.
    worst_loss: f32,
}

fn measure_recall(
    corpus: &Corpus,
    passages: &[Vec<f32>],
    queries: &[Vec<f32>],
    mask: &Mask,
    depth: usize,
) -> Result<Recall> {
    let segment = corpus.segments.first().ok_or("the corpus is empty")?;
    let allowed = |_: SegmentOrdinal, doc: DocId| mask.allows(doc);
    let (mut of_search, mut of_stored, mut worst_loss) = (0, 0, 0.0_f32);
    for values in queries {
        let query = QueryVector::new(values, model())?;
        let documents = (0..passages.len() as DocId).filter(|doc| mask.allows(*doc));
        let mut exact: Vec<(f32, DocId)> =
            documents.clone().map(|doc| (dot(values, &passages[doc as usize]), doc)).collect();
        exact.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        let last = exact[depth - 1].0;
        // A passage that ties with the last one counts, whichever of the two was returned.
        let is_near = |doc: DocId| dot(values, &passages[doc as usize]) >= last - 1e-6;

        let found = search(&corpus.segments, &query, allowed, depth, NEVER)?;
        of_search += found.iter().filter(|neighbour| is_near(neighbour.address.doc_id)).count();
        let furthest = found.iter().map(|neighbour| dot(values, &passages[neighbour.address.doc_id as usize]));
        worst_loss = furthest.map(|cosine| last - cosine).fold(worst_loss, f32::max);

        let mut stored: Vec<(f32, DocId)> =
            documents.map(|doc| (segment.cosine(doc, &query).unwrap_or(f32::MIN), doc)).collect();
        stored.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        of_stored += stored[..depth].iter().filter(|(_, doc)| is_near(*doc)).count();
    }
    let wanted = (queries.len() * depth) as f64;
    Ok(Recall { search: of_search as f64 / wanted, stored: of_stored as f64 / wanted, worst_loss })
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (one, _) = one.as_chunks::<16>();
    let (other, _) = other.as_chunks::<16>();
    for (one, other) in one.iter().zip(other) {
        for lane in 0..16 {
            sums[lane] += one[lane] * other[lane];
        }
    }
    sums.iter().sum()
}

fn noise(random: &mut SmallRng) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| random.random_range(-1.0..1.0_f32)).collect()
}

fn near_a_centre(centres: &[Vec<f32>], random: &mut SmallRng) -> Vec<f32> {
    let centre = &centres[random.random_range(0..centres.len())];
    centre.iter().map(|value| value + random.random_range(-1.0..1.0_f32)).collect()
}

fn read_rows(path: &Path) -> Result<Vec<Vec<f32>>> {
    let bytes = fs::read(path)?;
    let (values, _) = bytes.as_chunks::<4>();
    let rows = values.chunks_exact(DIMENSIONS);
    Ok(rows.map(|row| row.iter().map(|value| f32::from_le_bytes(*value)).collect()).collect())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores, {}", name.trim_start_matches([' ', '\t', ':']), std::env::consts::ARCH)
}
