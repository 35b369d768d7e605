//! Opens what killed workers left, and compares it with a clean installation: what is stored, who may see what, what is found.
//!
//! It runs in a process of its own: merges that an engine leaves to themselves when it is closed end with it, and write to no
//! folder that the next worker has opened. Workspaces and pages have other numbers in the two installations, so everything
//! is compared by id.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use access::{Caller, Mask, Purpose, Subject};
use anyhow::{Context, ensure};
use index::catalog::WorkspaceState;
use index::generation::{Current, generation_dir};
use indexer::engine::Wait;
use schemas::ids::{PageId, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::site::{PATIENCE, Site, verify, verify_snapshots};
use super::traffic::Traffic;
use super::worker::{PARTITION, containing, decode};

/// What to check. Stored beside the folders, so that a failed check can be done again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The folder that workers were killed over.
    pub crashed: PathBuf,
    /// The folder of the clean installation.
    pub clean: PathBuf,
    /// All that workers were given since the last check.
    pub batches: Vec<Batch>,
    /// How far the stream is committed for certain.
    pub committed: i64,
    /// Where the stream goes on after all this.
    pub next_offset: i64,
    /// All workspaces there ever were.
    pub workspaces: Vec<WorkspaceId>,
    /// Words to search for.
    pub words: Vec<String>,
}

/// Events that a worker was given.
#[derive(Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The worker.
    pub worker: u64,
    /// Where the stream is read on after it; `None` when it was sent.
    pub offset: Option<i64>,
    /// The events.
    pub events: Vec<String>,
    /// Whether the worker said that they are on disk.
    pub is_acknowledged: bool,
}

/// Opens the crashed installation, looks for what was acknowledged, sends the rest again, and compares the two.
///
/// Gives the number of events that were known to be on disk.
pub fn check(order: &mut Order) -> anyhow::Result<usize> {
    verify(&order.crashed).context("as it was killed")?;
    verify_snapshots(&order.crashed)?;
    let crashed = Site::open(&order.crashed).context("it does not open after a kill")?;
    let committed = crashed.engine.committed_offsets().get(PARTITION).copied().unwrap_or(0);
    ensure!(committed >= order.committed, "the stream went back from {} to {committed}", order.committed);
    acknowledge_stream(&mut order.batches, committed);
    let mut acknowledged = 0;
    for batch in order.batches.iter().filter(|batch| batch.is_acknowledged) {
        acknowledged += batch.events.len();
        for event in &batch.events {
            let again = crashed.engine.submit(&decode(std::slice::from_ref(event))?, Wait::Applied)?;
            ensure!(again.unchanged == 1, "an acknowledged event of worker {} is new again: {event}", batch.worker);
        }
    }
    let clean = Site::open(&order.clean)?;
    if clean.recipe() != crashed.recipe() {
        clean.reindex(crashed.recipe()).context("in a clean run")?;
    }
    for batch in &order.batches {
        let events = decode(&batch.events)?;
        if !batch.is_acknowledged {
            crashed.engine.submit(&events, Wait::Applied)?;
        }
        clean.engine.submit(&events, Wait::Applied)?;
    }
    let offsets = BTreeMap::from([(PARTITION.to_owned(), order.next_offset)]);
    crashed.engine.submit_read_to(&[], &offsets, Wait::Applied)?;
    crashed.settle().context("after kills")?;
    clean.settle().context("in a clean run")?;
    same(&crashed, &clean, &order.workspaces, &order.words)?;
    ensure!(crashed.engine.wait_purged(PATIENCE), "what was erased is not purged");
    verify(&order.crashed).context("once all is sent again")?;
    ensure!(crashed.engine.close() && clean.engine.close(), "they do not close");
    Ok(acknowledged)
}

/// Each worker reads the stream in order, from where it was when the worker was started; what a dead one did not read is
/// sent when all is checked. So what the same worker read before is committed, too.
pub fn acknowledge_stream(batches: &mut [Batch], committed: i64) {
    let Some(last) = batches.iter().find(|batch| batch.offset == Some(committed)) else { return };
    let worker = last.worker;
    for batch in batches.iter_mut().filter(|batch| batch.worker == worker) {
        batch.is_acknowledged |= batch.offset.is_some_and(|offset| offset <= committed);
    }
}

/// Fails with the first difference between two installations that are at rest. `words` are searched for.
fn same(crashed: &Site, clean: &Site, workspaces: &[WorkspaceId], words: &[String]) -> anyhow::Result<()> {
    for workspace in workspaces {
        same_workspace(crashed, clean, workspace, words).with_context(|| format!("workspace {workspace}"))?;
    }
    Ok(())
}

fn same_workspace(crashed: &Site, clean: &Site, workspace: &WorkspaceId, words: &[String]) -> anyhow::Result<()> {
    let stats = |site: &Site| site.engine.workspace_status(workspace).map(|status| (status.erased, status.stats));
    equal("counts", &stats(crashed), &stats(clean))?;
    if stats(clean).is_none_or(|(erased, _)| erased) {
        return equal("pages", &pages(crashed, workspace), &BTreeSet::new());
    }
    equal("pages", &pages(crashed, workspace), &pages(clean, workspace))?;
    for page in &pages(clean, workspace) {
        let record = |site: &Site| site.engine.page_record(workspace, page);
        equal(&format!("record of {page}"), &record(crashed)?, &record(clean)?)?;
    }
    let digest = |site: &Site| site.engine.content_digest(workspace);
    equal("content", &digest(crashed)?, &digest(clean)?)?;
    for group in Traffic::groups() {
        let record = |site: &Site| site.engine.group_record(workspace, &group);
        equal(&format!("record of {group}"), &record(crashed)?, &record(clean)?)?;
    }
    for user in Traffic::users() {
        let record = |site: &Site| site.engine.member_record(workspace, &user);
        equal(&format!("record of {user}"), &record(crashed)?, &record(clean)?)?;
        for purpose in [Purpose::Discover, Purpose::Read, Purpose::Trash] {
            let allowed = |site: &Site| allowed(site, workspace, &user, purpose);
            equal(&format!("pages that {user} may see to {purpose:?}"), &allowed(crashed), &allowed(clean))?;
        }
        for word in words {
            let found = |site: &Site| found(site, workspace, &user, word);
            equal(&format!("passages with {word} that {user} finds"), &found(crashed)?, &found(clean)?)?;
        }
    }
    Ok(())
}

fn equal<T: PartialEq + Debug>(what: &str, crashed: &T, clean: &T) -> anyhow::Result<()> {
    ensure!(crashed == clean, "{what} differ\n   after crashes: {crashed:?}\n   in a clean run: {clean:?}");
    Ok(())
}

fn pages(site: &Site, workspace: &WorkspaceId) -> BTreeSet<PageId> {
    site.engine.pages(workspace).into_iter().collect()
}

fn mask(state: &WorkspaceState, workspace: &WorkspaceId, user: &UserId, purpose: Purpose) -> Mask {
    state.access.mask(&Caller { workspace: workspace.clone(), subject: Subject::User(user.clone()) }, purpose)
}

fn allowed(site: &Site, workspace: &WorkspaceId, user: &UserId, purpose: Purpose) -> BTreeSet<PageId> {
    let Some(known) = site.index.catalog().get(workspace) else { return BTreeSet::new() };
    let state = known.read();
    mask(&state, workspace, user, purpose).iter().filter_map(|page| state.access.page_of(page).cloned()).collect()
}

/// How often each passage is found, by its page and its text.
type Found = BTreeMap<(PageId, String), usize>;

fn found(site: &Site, workspace: &WorkspaceId, user: &UserId, word: &str) -> anyhow::Result<Found> {
    let mut found = Found::new();
    let Some(known) = site.index.catalog().get(workspace) else { return Ok(found) };
    let state = known.read();
    let mask = mask(&state, workspace, user, Purpose::Discover);
    let searcher = site.index.searcher();
    for candidate in searcher.lexical(&mask, &containing(word.to_owned()), usize::from(u16::MAX))? {
        let (page, passage) = searcher.passage(&mask, candidate.address)?.context("what was found is not there")?;
        let page = state.access.page_of(page).context("a passage belongs to no page")?;
        *found.entry((page.clone(), passage.text)).or_default() += 1;
    }
    Ok(found)
}

/// Files of the generation in use that belong to nothing: rests of what was interrupted. They may stay until the next commit.
/// Those of other generations go with them.
pub fn strays(dir: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut strays = BTreeSet::new();
    let shard = dir.join("index");
    if let Some(current) = Current::read(&shard)? {
        let dir = generation_dir(&shard, current.generation);
        let described = std::fs::read_to_string(dir.join("meta.json")).unwrap_or_default();
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_known = matches!(name, "generation.json" | "meta.json" | ".managed.json")
                || Path::new(name).extension().is_some_and(|extension| extension == "lock" || extension == "new")
                || name.split_once('.').is_some_and(|(segment, _)| is_named(&described, segment));
            if !is_known {
                strays.insert(path);
            }
        }
    }
    Ok(strays)
}

/// Whether the description of an index names a segment, whose files have its id without dashes.
fn is_named(description: &str, segment: &str) -> bool {
    let Some(id) = uuid(segment) else { return false };
    description.contains(&id)
}

fn uuid(digits: &str) -> Option<String> {
    let parts = [digits.get(0..8)?, digits.get(8..12)?, digits.get(12..16)?, digits.get(16..20)?, digits.get(20..)?];
    Some(parts.join("-"))
}
