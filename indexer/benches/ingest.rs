//! What the write side costs: a bulk load by text, edits until they are searchable, revocations until they hold.
//!
//! Corpus: one workspace of pages of 20 paragraphs of 40 words drawn from 20,000, in 20 subtrees; no embedding model, so that
//! the model's own time stays out. Seed 7. `PAGES` in the first argument, 5,000 by default. Edits change one block of a
//! random page, one after another, each waited for until it is searchable; `under load` has a second import running beside.
//! Commits are gathered for 250 ms as by default, which is in every edit's time.
//!
//! `cargo bench -p indexer -- 5000`

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![expect(clippy::unwrap_used, reason = "what the benchmark writes itself is valid")]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use access::{Caller, Purpose, Subject};
use index::{Index, OpenMode};
use indexer::config::Config;
use indexer::engine::{Engine, Wait};
use indexer::error::IngestError;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::grant::Role;
use schemas::ids::{BlockId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::version::{Timestamp, VectorClock, Version};

const SEED: u64 = 7;
const BLOCKS: usize = 20;
const WORDS: usize = 40;
const EDITS: usize = 40;

fn main() {
    let pages = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(5_000);
    let dir = tempfile::tempdir().unwrap();
    let index_config = index::Config { dir: dir.path().join("index"), ..index::Config::default() };
    let index = Index::open(&index_config, OpenMode::ReadWrite).unwrap();
    let config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    let engine = Engine::open(index.clone(), None, config).unwrap();
    let mut product = Product { rng: SmallRng::seed_from_u64(SEED), written: 0 };

    println!("{pages} pages of {BLOCKS} blocks of {WORDS} words");
    load(&engine, &mut product, "p", pages);
    replay(&engine, pages);
    edits(&engine, &mut product, pages, "idle");
    revocations(&engine, &index, &mut product);

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut other = Product { rng: SmallRng::seed_from_u64(SEED + 1), written: 1 << 40 };
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                submit_all(&engine, &other.pages(&format!("load{round}-"), 0..200));
            }
        });
        edits(&engine, &mut product, pages, "under load");
        stop.store(true, Ordering::Relaxed);
    });
    assert!(engine.close());
    println!("peak memory {} MiB", peak_memory_kib() / 1024);
}

/// Writes events as a product would.
struct Product {
    rng: SmallRng,
    written: u64,
}

impl Product {
    fn write(&mut self, change: Change) -> Event {
        self.written += 1;
        let region = RegionId::new("bench").unwrap();
        let clock = VectorClock::of(&region, self.written);
        let timestamp = Timestamp { wall_ms: self.written, logical: 0 };
        Event {
            id: self.written.to_string(),
            source: "/bench".to_owned(),
            workspace: workspace(),
            time: None,
            version: Version { clock, timestamp, region },
            change,
        }
    }

    fn block(&mut self, page: &PageId, block: usize) -> Event {
        let words: Vec<_> = (0..WORDS).map(|_| format!("w{}", self.rng.random_range(0..20_000_u32))).collect();
        let patch = BlockPatch {
            page: page.clone(),
            parent: None,
            position: format!("{block:04}"),
            content: Some(BlockContent::text(BlockType::Paragraph, words.join(" "))),
        };
        self.write(Change::BlockUpserted { block: BlockId::new(format!("{page}-{block}")).unwrap(), patch })
    }

    fn pages(&mut self, prefix: &str, numbers: Range<usize>) -> Vec<Event> {
        let mut events = Vec::with_capacity(numbers.len() * (BLOCKS + 1));
        for number in numbers {
            let page = page_id(prefix, number);
            let above = (number >= 20).then(|| page_id(prefix, number % 20));
            let parent = above.map_or(Parent::Workspace, |id| Parent::Page { id });
            let patch =
                PagePatch { title: Some(format!("Page {number}")), parent: Some(parent), ..PagePatch::default() };
            events.push(self.write(Change::PageUpserted { page: page.clone(), patch: Box::new(patch) }));
            events.extend((0..BLOCKS).map(|block| self.block(&page, block)));
        }
        events
    }

    fn grants(&mut self, page: &PageId, grants: &[&str]) -> Event {
        let grants = grants.iter().map(|grant| grant.parse().unwrap()).collect();
        self.write(Change::PageAccessChanged { page: page.clone(), grants, restricted: false })
    }
}

fn workspace() -> WorkspaceId {
    WorkspaceId::new("bench").unwrap()
}

fn page_id(prefix: &str, number: usize) -> PageId {
    PageId::new(format!("{prefix}{number}")).unwrap()
}

fn submit_all(engine: &Engine, events: &[Event]) {
    for batch in events.chunks(2_000) {
        while let Err(error) = engine.submit(batch, Wait::Applied) {
            assert!(matches!(error, IngestError::Overloaded { .. }), "{error}");
            assert!(engine.wait_for_room(batch.len(), Duration::from_mins(10)));
        }
    }
}

fn load(engine: &Engine, product: &mut Product, prefix: &str, pages: usize) {
    let started = Instant::now();
    let mut making = Duration::ZERO;
    let mut events_len = 0;
    for from in (0..pages).step_by(500) {
        let made = Instant::now();
        let events = product.pages(prefix, from..pages.min(from + 500));
        making += made.elapsed();
        events_len += events.len();
        submit_all(engine, &events);
    }
    assert!(engine.wait_idle(Duration::from_hours(1)));
    let seconds = started.elapsed().saturating_sub(making).as_secs_f64();
    let passages = engine.workspace_status(&workspace()).unwrap().stats.passages;
    println!(
        "load: {events_len} events in {seconds:.1} s, {:.0} events/s, {:.0} passages/s ({passages} passages)",
        events_len as f64 / seconds,
        passages as f64 / seconds
    );
}

/// The same events once more: what a consumer does after a restart.
fn replay(engine: &Engine, pages: usize) {
    let mut again = Product { rng: SmallRng::seed_from_u64(SEED), written: 0 };
    let events = again.pages("p", 0..pages.min(1_000));
    let started = Instant::now();
    submit_all(engine, &events);
    println!("replay: {:.0} events/s", events.len() as f64 / started.elapsed().as_secs_f64());
}

fn edits(engine: &Engine, product: &mut Product, pages: usize, label: &str) {
    let times = (0..EDITS).map(|_| {
        let page = page_id("p", product.rng.random_range(0..pages));
        let block = product.rng.random_range(0..BLOCKS);
        let edit = product.block(&page, block);
        let started = Instant::now();
        while let Err(error) = engine.submit(std::slice::from_ref(&edit), Wait::Searchable) {
            assert!(matches!(error, IngestError::Overloaded { .. }), "{error}");
            assert!(engine.wait_for_room(1, Duration::from_mins(1)));
        }
        started.elapsed()
    });
    report(&format!("edit until searchable, {label}"), times.collect());
}

fn revocations(engine: &Engine, index: &Index, product: &mut Product) {
    let user = UserId::new("ada").unwrap();
    let member = product.write(Change::MemberChanged { user: user.clone(), role: Role::Member });
    let caller = Caller { workspace: workspace(), subject: Subject::User(user) };
    let page = page_id("p", 0);
    let events = [member, product.grants(&page, &["user:ada:view"])];
    engine.submit(&events, Wait::Searchable).unwrap();
    let allowed = || {
        let workspace = index.catalog().get(&workspace()).unwrap();
        let state = workspace.read();
        state.access.mask(&caller, Purpose::Discover).allowed_count()
    };
    let mut times = Vec::new();
    for _ in 0..EDITS {
        let grant = product.grants(&page, &["user:ada:view"]);
        engine.submit(&[grant], Wait::Searchable).unwrap();
        assert!(allowed() > 0);
        let revocation = product.grants(&page, &[]);
        let started = Instant::now();
        engine.submit(&[revocation], Wait::Applied).unwrap();
        assert_eq!(allowed(), 0);
        times.push(started.elapsed());
    }
    report("revocation until it holds", times);
}

fn report(label: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("{label}: p50 {:.1} ms, p95 {:.1} ms, max {:.1} ms", at(0.5), at(0.95), at(1.0));
}

/// The most memory this process had at once; 0 where the system does not say.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
