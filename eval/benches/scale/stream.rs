//! Edits through Kafka on a large index: how soon they are found before, during and after a surge.
//!
//! One workspace, and so one partition: 200 edits a second, ten times that for a while, then 200 again until nothing is behind
//! any more and some time longer. Edits come when their time has come, whether or not those before are through. An edit is
//! found when searches read a commit whose offset is past it. One caller searches all the time.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use index::{Index, OpenMode};
use indexer::engine::CommitStatus;
use indexer::engine::Engine;
use indexer::kafka::Source;
use indexer::kafka::config::{Config, Secrets};
use indexer::kafka::produce::{Options, Producer, create_topic};
use models::embed::Embedder;
use schemas::api::search::Mode;
use schemas::block::RichText;
use schemas::event::{Change, Event};
use schemas::ids::{RegionId, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::build::{Shape, workspace_of};
use crate::edits::{PATIENCE, draw};
use crate::process::{Memory, link_tree, load};
use crate::search::{ask_one, caller_of, open_indexer, queries};
use crate::{DIMENSIONS, Plan, ask, neighbour, percentiles};

/// Names the brokers.
const BROKERS: &str = "TESSERA_BENCH_KAFKA";
const STEADY_PER_SECOND: f64 = 200.0;
const SURGE_PER_SECOND: f64 = 2_000.0;
/// How long it is steady before the surge, and after what it left is merged.
const STEADY: Duration = Duration::from_secs(20);
/// Edits that differ in more than a word.
const DRAWN: usize = 4_000;
/// How often commits are looked for: the error of what is measured.
const LOOK: Duration = Duration::from_micros(500);
/// How far behind it is no more when nothing of the surge waits.
const CAUGHT_UP: Duration = Duration::from_secs(1);
const SEARCH_PAUSE: Duration = Duration::from_millis(20);
/// What a process is allowed by default, which is what it is measured against.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// Times of one part of the run: p50, p95, p99 in ms.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) count: usize,
    pub(crate) took_ms: [f64; 3],
}

impl Times {
    pub(crate) fn of(times: Vec<Duration>) -> Self {
        Self { count: times.len(), took_ms: percentiles(times) }
    }

    pub(crate) fn print(&self, name: &str) {
        let [p50, p95, p99] = self.took_ms;
        println!("{name:<34} {:>7} {p50:>9.1} {p95:>9.1} {p99:>9.1}", self.count);
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Surge {
    /// Of edits until they are found, of commits, and of searches: before, during and after.
    found: [Times; 3],
    commits: [Times; 3],
    /// Pages and passages that these commits wrote.
    written: [(u64, u64); 3],
    searches: [Times; 3],
    lag_events_max: u64,
    /// From the end of the surge until nothing was behind any more.
    drained_seconds: f64,
    allocated_bytes_max: u64,
    allocated_before: u64,
}

/// The configuration of a topic of its own; none where no broker is named.
pub(crate) fn topic(name: &str) -> Option<Config> {
    let brokers = std::env::var_os(BROKERS)?.into_string().ok()?;
    Some(Config { brokers, topic: format!("scale-{name}-{}", std::process::id()), ..Config::default() })
}

pub(crate) fn print(plan: &Plan) -> Result<()> {
    if topic("").is_none() {
        println!("SKIPPED: streams; {BROKERS} names no broker, scripts/bench-stream.sh starts one");
        return Ok(());
    }
    let surge: Surge = ask(plan, "surge")?;
    println!(
        "\n{STEADY_PER_SECOND} edits a second through Kafka, {SURGE_PER_SECOND} for {} s, and {STEADY_PER_SECOND} again; load {}",
        plan.seconds,
        load()
    );
    println!("in ms                                count       p50       p95       p99");
    for (at, name) in ["before", "during", "after"].into_iter().enumerate() {
        surge.found[at].print(&format!("{name}: an edit until it is found"));
        let (pages, passages) = surge.written[at];
        surge.commits[at].print(&format!("{name}: a commit"));
        println!("        they wrote {pages} pages with {passages} passages");
        surge.searches[at].print(&format!("{name}: a hybrid search"));
    }
    println!(
        "at most {} events behind, none {:.1} s after the surge; allocated {} MiB before it, {} MiB at most",
        surge.lag_events_max,
        surge.drained_seconds,
        surge.allocated_before >> 20,
        surge.allocated_bytes_max >> 20
    );
    let neighbour: neighbour::Neighbour = ask(plan, "neighbour")?;
    neighbour.print();
    let [calm, during, after] = surge.found.map(|times| times.took_ms);
    println!();
    row("edit until found before the surge, p50; p99, ms", &format!("{:.0}; {:.0}", calm[0], calm[2]), "p99 < 1000");
    row("during it, p50; p99, ms", &format!("{:.0}; {:.0}", during[0], during[2]), "bounded, and told");
    row("after it, p50; p99, ms", &format!("{:.0}; {:.0}", after[0], after[2]), "as before");
    row("nothing behind any more, s after the surge", &format!("{:.1}", surge.drained_seconds), "it drains");
    let mib = |bytes: u64| bytes >> 20;
    let allocated = format!("{} of {}", mib(surge.allocated_bytes_max), mib(MEMORY_BYTES_MAX));
    row("memory allocated at most, MiB", &allocated, "below its bound");
    let [calm, during, _] = surge.searches.map(|times| times.took_ms[2]);
    row("search p99 during the surge to before", &format!("{:.2}", during / calm), "<= 2");
    neighbour.print_row();
    Ok(())
}

/// A row of the table of `scripts/bench-stream.sh`.
pub(crate) fn row(what: &str, found: &str, goal: &str) {
    println!("| {what} | {found} | {goal} |");
}

/// A copy of the large index that may be written, with both of its sides.
pub(crate) struct Site {
    pub(crate) index: Index,
    pub(crate) engine: Engine,
    pub(crate) reader: query::engine::Engine,
    pub(crate) workspace: WorkspaceId,
}

impl Site {
    pub(crate) fn open(plan: &Plan) -> Result<Self> {
        let dir = plan.work_dir();
        link_tree(&plan.index_dir(Shape::One), &dir.join("index"))?;
        let config = index::Config { dir: dir.join("index"), ..plan.index_config(Shape::One) };
        let index = Index::open(&config, OpenMode::ReadWrite)?;
        let embedder = Embedder::fake(DIMENSIONS);
        let engine = open_indexer(plan, &index, &embedder)?;
        let reader = query::engine::Engine::new(index.clone(), Some(embedder), query::config::Config::default())?;
        Ok(Self { index, engine, reader, workspace: workspace_of(Shape::One, 0)? })
    }
}

/// Endless edits: of some blocks over and over in one order, each time with a word of its own.
pub(crate) struct Edits {
    drawn: Vec<Event>,
    region: RegionId,
    written: u64,
}

impl Edits {
    pub(crate) fn draw(engine: &Engine, workspace: &WorkspaceId) -> Result<Self> {
        let most = DRAWN.min(engine.pages(workspace).len());
        let mut drawn = draw(engine, workspace, most)?;
        // A block that is edited again before the first edit is found would never show that.
        let mut blocks = HashSet::new();
        drawn.retain(|event| match &event.change {
            Change::BlockUpserted { block, .. } => blocks.insert(block.clone()),
            _ => true,
        });
        Ok(Self { drawn, region: RegionId::new("editor")?, written: 0 })
    }

    /// How many there were.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// The next one, which adds a word.
    pub(crate) fn next_with(&mut self, word: String) -> Event {
        let mut event = self.drawn[self.written as usize % self.drawn.len()].clone();
        self.written += 1;
        event.id = self.written.to_string();
        event.version.clock.0.insert(self.region.clone(), self.written);
        event.version.timestamp.wall_ms = self.written + 1;
        if let Change::BlockUpserted { patch, .. } = &mut event.change
            && let Some(content) = &mut patch.content
        {
            content.rich_text.pop();
            content.rich_text.push(RichText::plain(word));
        }
        event
    }
}

/// When edits were due, in the order in which they were written.
type Due = Vec<Instant>;

pub(crate) fn run(plan: &Plan) -> Result<Surge> {
    let config = topic("surge").context("no broker is named")?;
    create_topic(&config, &Secrets::default(), 3, 1)?;
    let site = Site::open(plan)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut edits = Edits::draw(&site.engine, &site.workspace)?;
    let source = Source::start(&config, &Secrets::default(), site.engine.clone())?;
    let allocated_before = Memory::now()?.anon;
    let (stop, visible_offset) = (AtomicBool::new(false), AtomicU64::new(0));
    let (due, marks, seen, searched) = std::thread::scope(|scope| -> Result<_> {
        let seen = scope.spawn(|| watch(&site, &source, &visible_offset, &stop));
        let searched = scope.spawn(|| search_on(plan, &runtime, &site, &stop));
        let written = write(plan, &config, &mut edits, &visible_offset);
        stop.store(true, Ordering::Relaxed);
        let ended = "a thread that measures does not panic";
        let (due, marks) = written?;
        Ok((due, marks, seen.join().expect(ended)?, searched.join().expect(ended)?))
    })?;
    source.stop();
    ensure!(site.engine.close(), "the last commit failed");
    let mut found: [Vec<Duration>; 3] = Default::default();
    let phase = |at: Instant| usize::from(at >= marks.surged) + usize::from(at >= marks.drained);
    for (offset, due) in (0_u64..).zip(&due) {
        let (_, at) = seen.visible.range(offset + 1..).next().context("an edit was not found")?;
        // Edits written while the lag drained belong to the surge.
        found[phase(*due)].push(at.saturating_duration_since(*due));
    }
    let (mut commits, mut written): ([Vec<Duration>; 3], [(u64, u64); 3]) = Default::default();
    for (at, commit) in &seen.commits {
        commits[phase(*at)].push(Duration::from_millis(commit.took_ms));
        let (pages, passages) = &mut written[phase(*at)];
        (*pages, *passages) = (*pages + commit.pages, *passages + commit.passages);
    }
    let mut searches: [Vec<Duration>; 3] = Default::default();
    for (at, took) in searched {
        searches[phase(at)].push(took);
    }
    Ok(Surge {
        found: found.map(Times::of),
        commits: commits.map(Times::of),
        written,
        searches: searches.map(Times::of),
        lag_events_max: seen.lag_events_max,
        drained_seconds: (marks.drained - marks.calmed).as_secs_f64(),
        allocated_bytes_max: seen.allocated_bytes_max,
        allocated_before,
    })
}

/// When the surge began and ended, and when nothing was behind any more.
struct Marks {
    surged: Instant,
    calmed: Instant,
    drained: Instant,
}

fn write(plan: &Plan, config: &Config, edits: &mut Edits, visible: &AtomicU64) -> Result<(Due, Marks)> {
    let mut due = Due::new();
    let mut producer = Producer::open(config, &Secrets::default(), Options::default())?;
    let mut send = |per_second: f64, goes_on: &dyn Fn(Duration) -> bool, due: &mut Due| -> Result<()> {
        let started = Instant::now();
        for number in 0_u32.. {
            let at = started + Duration::from_secs_f64(f64::from(number) / per_second);
            if !goes_on(at - started) {
                break;
            }
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            producer.send(&edits.next_with(format!(" edit{}", due.len())))?;
            due.push(at);
        }
        Ok(())
    };
    send(STEADY_PER_SECOND, &|since| since < STEADY, &mut due)?;
    let surged = Instant::now();
    send(SURGE_PER_SECOND, &|since| since < Duration::from_secs(plan.seconds), &mut due)?;
    let (calmed, written) = (Instant::now(), due.len() as u64);
    // What is written meanwhile is behind as well. It is over when no more waits than before the surge.
    let is_behind = |since: Duration| {
        let in_time = written + (since.saturating_sub(CAUGHT_UP).as_secs_f64() * STEADY_PER_SECOND) as u64;
        visible.load(Ordering::Relaxed) < in_time
    };
    send(STEADY_PER_SECOND, &|since| since < PATIENCE && is_behind(since), &mut due)?;
    let drained = Instant::now();
    send(STEADY_PER_SECOND, &|since| since < STEADY, &mut due)?;
    producer.finish()?;
    let (started, all) = (Instant::now(), due.len() as u64);
    while visible.load(Ordering::Relaxed) < all {
        ensure!(started.elapsed() < PATIENCE, "the last edits were not committed");
        std::thread::sleep(LOOK);
    }
    Ok((due, Marks { surged, calmed, drained }))
}

/// What was seen of the commits.
#[derive(Default)]
struct Seen {
    /// When searches first read up to an offset.
    visible: BTreeMap<u64, Instant>,
    /// When they were seen, and what they took.
    commits: Vec<(Instant, CommitStatus)>,
    lag_events_max: u64,
    allocated_bytes_max: u64,
}

fn watch(site: &Site, source: &Source, visible_offset: &AtomicU64, stop: &AtomicBool) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut last = site.index.searcher().index_seq();
    let mut look_due = Instant::now();
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        let now = site.index.searcher().index_seq();
        if now != last || is_last {
            last = now;
            // There is one workspace, so that one partition alone moves.
            let offset: i64 = site.index.payload().offsets.values().sum();
            seen.visible.entry(offset as u64).or_insert_with(Instant::now);
            visible_offset.store(offset as u64, Ordering::Relaxed);
            let commit = site.engine.status().last_commit;
            if let Some(commit) =
                commit.filter(|commit| seen.commits.last().is_none_or(|(_, last)| last.index_seq < commit.index_seq))
            {
                seen.commits.push((Instant::now(), commit));
            }
        }
        if Instant::now() >= look_due {
            look_due = Instant::now() + Duration::from_millis(200);
            let lag = source.status().partitions.iter().filter_map(|partition| partition.lag_events).sum();
            seen.lag_events_max = seen.lag_events_max.max(lag);
            seen.allocated_bytes_max = seen.allocated_bytes_max.max(Memory::now()?.anon);
        }
        if is_last {
            return Ok(seen);
        }
        std::thread::sleep(LOOK);
    }
}

/// One caller; when each search began, and what it took.
fn search_on(
    plan: &Plan,
    runtime: &tokio::runtime::Runtime,
    site: &Site,
    stop: &AtomicBool,
) -> Result<Vec<(Instant, Duration)>> {
    let (queries, caller) = (queries(plan)?, caller_of(plan, Shape::One, 0)?);
    let mut times = Vec::new();
    for query in queries.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        runtime.block_on(ask_one(&site.reader, &caller, Mode::Hybrid, query))?;
        times.push((started, started.elapsed()));
        std::thread::sleep(SEARCH_PAUSE);
    }
    Ok(times)
}
