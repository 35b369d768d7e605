//! Edits at a steady rate on a large index: how soon they are found, what commits take, and what searches notice of it.
//!
//! An edit appends a word of its own to a block of a random page. Edits come when their time has come, whether or not those
//! before are through, so that a stall counts for all that it delays. An edit is found when searches read a commit that
//! holds it; at the end the words of some are searched for, so that none of this is taken on trust.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use index::Index;
use indexer::engine::{Engine, Wait};
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, index::sample};
use rand::{Rng, SeedableRng};
use schemas::api::search::Mode;
use schemas::block::RichText;
use schemas::event::{BlockPatch, Change, Event};
use schemas::ids::{PageId, RegionId, WorkspaceId};
use schemas::version::{Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::build::Shape;
use crate::process::{Memory, load, processor_seconds};
use crate::search::{ask_one, caller_of, queries};
use crate::stream::Site;
use crate::{Plan, SEED, ask, percentiles};

const EDITS_PER_SECOND: u32 = 200;
const SECONDS: u32 = 60;
/// How often commits are looked for: the error of what is measured.
const LOOK: Duration = Duration::from_micros(500);
/// Pause between two searches of the caller beside the edits.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);
/// Edits whose words are searched for at the end.
const CHECKED: usize = 50;
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Edits {
    count: usize,
    turned_away: u64,
    commits: usize,
    /// From the time an edit was due until searches find it; p50, p95, p99 in ms.
    freshness: [f64; 3],
    freshness_max: f64,
    commit: [f64; 3],
    search: [f64; 3],
    checked: usize,
    memory: Memory,
    /// Cores that all of it kept busy, the searches beside it included.
    cores: f64,
}

pub(crate) fn print(plan: &Plan) -> Result<()> {
    let found: Edits = ask(plan, "edits")?;
    println!(
        "\n{EDITS_PER_SECOND} edits a second for {SECONDS} s: {} edits in {} commits, {} turned away for a while; load {}",
        found.count,
        found.commits,
        found.turned_away,
        load()
    );
    println!("in ms                        p50      p95      p99");
    let row = |name: &str, [p50, p95, p99]: [f64; 3], more: String| {
        println!("{name:<22} {p50:>9.1} {p95:>8.1} {p99:>8.1} {more}");
    };
    row("until found", found.freshness, format!("most {:.1} (goal p99 < 1000)", found.freshness_max));
    row("a commit", found.commit, String::new());
    row("a hybrid search", found.search, "beside it, one caller".to_owned());
    println!(
        "{} edits were searched for and found; peak memory {} MiB; {:.2} cores busy",
        found.checked,
        found.memory.peak >> 20,
        found.cores
    );
    Ok(())
}

pub(crate) fn run(plan: &Plan) -> Result<Edits> {
    let Site { index, engine, reader, workspace } = Site::open(plan)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let edits = draw(&engine, &workspace, (EDITS_PER_SECOND * SECONDS) as usize)?;

    let (started, processor) = (Instant::now(), processor_seconds()?);
    let stop = AtomicBool::new(false);
    let (sent, seen, searched) = std::thread::scope(|scope| -> Result<_> {
        let seen = scope.spawn(|| watch(&index, &engine, &stop));
        let searched = scope.spawn(|| search_beside(plan, &runtime, &reader, &stop));
        let sent = send(&engine, &edits, EDITS_PER_SECOND, &stop);
        let is_through = engine.wait_idle(PATIENCE);
        stop.store(true, Ordering::Relaxed);
        ensure!(is_through, "the last edits were not committed");
        let ended = "a thread that measures does not panic";
        Ok((sent?, seen.join().expect(ended), searched.join().expect(ended)?))
    })?;
    let cores = (processor_seconds()? - processor) / started.elapsed().as_secs_f64();
    let mut fresh = Vec::with_capacity(sent.len());
    for edit in &sent {
        let (_, found) = seen.visible.range(edit.index_seq..).next().context("a commit was not seen")?;
        fresh.push(found.saturating_duration_since(edit.due));
    }
    let checked = check(plan, &runtime, &reader, sent.len())?;
    let freshness_max = fresh.iter().max().map_or(0.0, Duration::as_secs_f64) * 1e3;
    let memory = Memory::now()?;
    ensure!(engine.close(), "the last commit failed");
    Ok(Edits {
        count: sent.len(),
        turned_away: seen.turned_away,
        commits: seen.visible.len(),
        freshness: percentiles(fresh),
        freshness_max,
        commit: percentiles(seen.commits),
        search: percentiles(searched),
        checked,
        memory,
        cores,
    })
}

/// Edits of random blocks of random pages, each adding a word of its own.
pub(crate) fn draw(engine: &Engine, workspace: &WorkspaceId, edits: usize) -> Result<Vec<Event>> {
    let mut rng = SmallRng::seed_from_u64(SEED);
    let pages = engine.pages(workspace);
    let region = RegionId::new("editor")?;
    let mut events = Vec::with_capacity(edits);
    while events.len() < edits {
        let page: &PageId = pages.choose(&mut rng).context("there are no pages")?;
        let record = engine.page_record(workspace, page)?.context("a page has a record")?;
        let blocks: Vec<_> = record.blocks.iter().filter(|(_, block)| block.shown().is_some()).collect();
        let Some((id, block)) = blocks.get(rng.random_range(0..blocks.len().max(1))) else { continue };
        let (Some((place, content)), Some(version)) = (block.shown(), block.live.version()) else { continue };
        let number = events.len() as u64 + 1;
        let mut content = content.clone();
        content.rich_text.push(RichText::plain(format!(" {}", word_of(events.len()))));
        let patch = BlockPatch {
            page: page.clone(),
            parent: place.parent.clone(),
            position: place.position.clone(),
            content: Some(content),
        };
        let mut clock = version.clock.clone();
        clock.0.insert(region.clone(), number);
        let timestamp = Timestamp { wall_ms: number + 1, logical: 0 };
        events.push(Event {
            id: number.to_string(),
            source: "/scale".to_owned(),
            workspace: workspace.clone(),
            time: None,
            version: Version { clock, timestamp, region: region.clone() },
            change: Change::BlockUpserted { block: (*id).clone(), patch },
        });
    }
    Ok(events)
}

/// The word that an edit adds: letters alone, and no other word is like it.
fn word_of(edit: usize) -> String {
    let letters = edit.to_string().bytes().map(|digit| char::from(b'q' + digit - b'0')).collect::<String>();
    format!("zqx{letters}xqz")
}

/// An edit that was sent.
pub(crate) struct Sent {
    due: Instant,
    /// The commit that it is in, or an earlier one that it may be in.
    index_seq: u64,
}

/// Sends the edits, each when it is due, until they are all sent or it is over.
pub(crate) fn send(engine: &Engine, edits: &[Event], per_second: u32, over: &AtomicBool) -> Result<Vec<Sent>> {
    let started = Instant::now();
    let mut sent = Vec::with_capacity(edits.len());
    for (at, edit) in (0_u32..).zip(edits) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let due = started + Duration::from_secs(1) / per_second * at;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let index_seq = loop {
            match engine.submit(std::slice::from_ref(edit), Wait::Applied) {
                Ok(submitted) => {
                    ensure!(submitted.accepted == 1, "an edit changed nothing");
                    break submitted.index_seq;
                }
                Err(indexer::error::IngestError::Overloaded { .. }) => {
                    ensure!(engine.wait_for_room(1, PATIENCE), "there was no room for an edit");
                }
                Err(error) => return Err(error.into()),
            }
        };
        sent.push(Sent { due, index_seq });
    }
    Ok(sent)
}

/// What was seen of the commits.
#[derive(Default)]
struct Seen {
    /// When searches first read each commit.
    visible: BTreeMap<u64, Instant>,
    commits: Vec<Duration>,
    turned_away: u64,
}

fn watch(index: &Index, engine: &Engine, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut last = index.searcher().index_seq();
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        let now = index.searcher().index_seq();
        if now > last {
            seen.visible.insert(now, Instant::now());
            last = now;
        }
        let status = engine.status();
        if let Some(commit) = status.last_commit
            && seen.commits.len() < seen.visible.len()
            && commit.index_seq == last
        {
            seen.commits.push(Duration::from_millis(commit.took_ms));
        }
        seen.turned_away = status.overloaded_total;
        if is_last {
            return seen;
        }
        std::thread::sleep(LOOK);
    }
}

/// One caller who searches now and then.
pub(crate) fn search_beside(
    plan: &Plan,
    runtime: &tokio::runtime::Runtime,
    reader: &query::engine::Engine,
    stop: &AtomicBool,
) -> Result<Vec<Duration>> {
    let (queries, caller) = (queries(plan)?, caller_of(plan, Shape::One, 0)?);
    let mut times = Vec::new();
    for query in queries.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        runtime.block_on(ask_one(reader, &caller, Mode::Hybrid, query))?;
        times.push(started.elapsed());
        std::thread::sleep(SEARCH_PAUSE);
    }
    Ok(times)
}

/// Searches for the words of some of the first `edits`.
pub(crate) fn check(
    plan: &Plan,
    runtime: &tokio::runtime::Runtime,
    reader: &query::engine::Engine,
    edits: usize,
) -> Result<usize> {
    let caller = caller_of(plan, Shape::One, 0)?;
    for edit in sample(&mut SmallRng::seed_from_u64(SEED), edits, CHECKED.min(edits)) {
        let found = runtime.block_on(ask_one(reader, &caller, Mode::Lexical, &word_of(edit)))?;
        ensure!(found > 0, "edit {edit} is not found");
    }
    Ok(CHECKED)
}
