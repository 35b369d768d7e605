//! Changes of access through the write side: a subtree of three quarters of the pages is moved, and half of a group of 10,000
//! taken out and put back. Measured is the time from sending the event until a mask made for a reader shows it; counted are
//! the passages that the commits wrote, by the write side and once more by the segments that are new on disk.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ::access::{Caller, Purpose};
use anyhow::{Context, Result, ensure};
use index::{Index, OpenMode};
use indexer::engine::{Engine, Wait};
use models::embed::Embedder;
use schemas::event::{Change, Event};
use schemas::grant::Principal;
use schemas::ids::{PageId, RegionId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::version::{Timestamp, Version};
use serde::{Deserialize, Serialize};

use crate::build::{EVERYONE, Shape, everyone, everyone_group, workspace_of};
use crate::process::{for_each_file, link_tree, load};
use crate::search::{caller_of, open_indexer};
use crate::{DIMENSIONS, Plan, ask, corpus, percentiles};

/// How often each change is made, back and forth.
const ROUNDS: usize = 10;
const PATIENCE: Duration = Duration::from_mins(2);

/// What a kind of change took and wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Changes {
    name: String,
    /// Pages that the reader found before and did not find after, or the other way.
    pages: u64,
    /// Until what it takes away is gone; p50, p95, p99 in ms.
    narrowed: [f64; 3],
    /// Until what it gives is there, which waits for the commit.
    widened: [f64; 3],
    /// By all commits of it.
    passages_written: u64,
    records_written: u64,
    /// Documents in segments that were not there before.
    new_documents: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Access {
    scopes: u32,
    changes: Vec<Changes>,
}

pub(crate) fn print(plan: &Plan) -> Result<()> {
    let found: Access = ask(plan, "access")?;
    println!("\nchanges of access, {} scopes, {ROUNDS} times back and forth; load {}", found.scopes, load());
    for change in &found.changes {
        println!(
            "{}, {} pages: taken away after {:.1} ms (p50), {:.1} (p99), goal < 50; given after {:.1}, {:.1}; \
             passages written {}, records {}, documents in new segments {}",
            change.name,
            change.pages,
            change.narrowed[0],
            change.narrowed[2],
            change.widened[0],
            change.widened[2],
            change.passages_written,
            change.records_written,
            change.new_documents,
        );
    }
    Ok(())
}

pub(crate) fn run(plan: &Plan) -> Result<Access> {
    let dir = plan.work_dir();
    link_tree(&plan.index_dir(Shape::One), &dir.join("index"))?;
    let config = index::Config { dir: dir.join("index"), ..plan.index_config(Shape::One) };
    let index = Index::open(&config, OpenMode::ReadWrite)?;
    let engine = open_indexer(plan, &index, &Embedder::fake(DIMENSIONS))?;
    let workspace = workspace_of(Shape::One, 0)?;
    let state = index.catalog().get(&workspace).context("the workspace is there")?;
    let scopes = state.read().access.counters().scopes;
    let mut product =
        Product { index, engine, workspace, dir: dir.join("index"), caller: caller_of(plan, Shape::One, 0)?, sent: 0 };
    // The first commit takes the blocks of its files into the cache.
    product.change(move_to("vault")?)?;
    product.change(move_to("library")?)?;
    let moves = product.measure("a subtree moved", &move_to("vault")?, &move_to("library")?)?;
    let half = product.measure("half of a group of 10,000 taken out", &members(EVERYONE / 2)?, &members(0)?)?;
    ensure!(product.engine.close(), "the last commit failed");
    Ok(Access { scopes, changes: vec![moves, half] })
}

/// The shelf, moved below another page.
fn move_to(place: &str) -> Result<Change> {
    let parent = Parent::Page { id: PageId::new(place)? };
    let patch = PagePatch { parent: Some(parent), ..PagePatch::default() };
    Ok(Change::PageUpserted { page: PageId::new("shelf")?, patch: Box::new(patch) })
}

/// The group without its first members, the reader among them.
fn members(without: usize) -> Result<Change> {
    let members = everyone()?.into_iter().skip(without).map(Principal::User).collect();
    Ok(Change::GroupChanged { group: everyone_group()?, members: Some(members) })
}

/// Sends events and looks at what they did.
struct Product {
    index: Index,
    engine: Engine,
    workspace: WorkspaceId,
    dir: std::path::PathBuf,
    caller: Caller,
    sent: u64,
}

impl Product {
    fn measure(&mut self, name: &str, narrow: &Change, widen: &Change) -> Result<Changes> {
        let all = self.allowed()?;
        let before = (self.engine.status(), segments(&self.dir)?);
        let (mut narrowed, mut widened) = (Vec::new(), Vec::new());
        let mut left = all;
        for _ in 0..ROUNDS {
            let started = Instant::now();
            self.send(narrow.clone())?;
            left = self.allowed()?;
            narrowed.push(started.elapsed());
            ensure!(left < all, "{name}: the reader still finds everything");
            ensure!(self.engine.wait_idle(PATIENCE), "a change was not committed");
            let started = Instant::now();
            self.send(widen.clone())?;
            while self.allowed()? < all {
                ensure!(started.elapsed() < PATIENCE, "{name}: what was given is not there");
                std::thread::sleep(Duration::from_micros(200));
            }
            widened.push(started.elapsed());
            ensure!(self.engine.wait_idle(PATIENCE), "a change was not committed");
        }
        let (status, known) = before;
        let now = self.engine.status();
        let new = segments(&self.dir)?.into_iter().filter(|(id, _)| !known.contains_key(id));
        Ok(Changes {
            name: name.to_owned(),
            pages: all - left,
            narrowed: percentiles(narrowed),
            widened: percentiles(widened),
            passages_written: now.passages_written_total - status.passages_written_total,
            records_written: now.pages_written_total - status.pages_written_total,
            new_documents: new.map(|(_, documents)| documents).sum(),
        })
    }

    /// Sends a change and waits until it is searchable.
    fn change(&mut self, change: Change) -> Result<()> {
        self.send(change)?;
        ensure!(self.engine.wait_idle(PATIENCE), "a change was not committed");
        Ok(())
    }

    /// Sends a change; when it returns, it is merged.
    fn send(&mut self, change: Change) -> Result<()> {
        self.sent += 1;
        let region = RegionId::new("editor")?;
        let mut clock = corpus::version().clock.clone();
        clock.0.insert(region.clone(), self.sent);
        let version = Version { clock, timestamp: Timestamp { wall_ms: self.sent + 1, logical: 0 }, region };
        let event = Event {
            id: self.sent.to_string(),
            source: "/scale".to_owned(),
            workspace: self.workspace.clone(),
            time: None,
            version,
            change,
        };
        let submitted = self.engine.submit(&[event], Wait::Applied)?;
        ensure!(submitted.accepted == 1, "a change of access changed nothing");
        Ok(())
    }

    /// Pages that the reader finds, by a mask made now.
    fn allowed(&self) -> Result<u64> {
        let workspace = self.index.catalog().get(&self.workspace).context("the workspace is there")?;
        let mask = workspace.read().access.mask(&self.caller, Purpose::Discover);
        Ok(mask.allowed_count())
    }
}

#[derive(Deserialize)]
struct Meta {
    segments: Vec<SegmentMeta>,
}

#[derive(Deserialize)]
struct SegmentMeta {
    segment_id: String,
    max_doc: u64,
}

/// The segments of an index on disk, with their documents.
fn segments(dir: &Path) -> Result<HashMap<String, u64>> {
    let mut segments = HashMap::new();
    for_each_file(dir, &mut |path| {
        if path.file_name().is_some_and(|name| name == "meta.json") {
            let meta: Meta = serde_json::from_slice(&std::fs::read(path)?)?;
            segments.extend(meta.segments.into_iter().map(|segment| (segment.segment_id, segment.max_doc)));
        }
        Ok(())
    })?;
    Ok(segments)
}
