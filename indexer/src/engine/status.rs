//! How the write side stands: counters, and what they and the catalog say.
//!
//! Counts only: no id, no text.

use std::sync::atomic::{AtomicU64, Ordering};

use access::WorkspaceNumber;
use index::IndexError;
use index::catalog::WorkspaceStats;
use schemas::ids::WorkspaceId;
use serde::Serialize;

use super::backlog::Work;
use super::shared::Core;
use super::take_in::Taken;
use crate::dead_letters::DeadLetter;
use crate::metrics::Metrics;

/// How the write side stands. Totals count from the start of the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether events are taken.
    pub accepting: bool,
    /// Events that wait to be committed.
    pub pending_events: u64,
    /// About how many bytes they take.
    pub pending_bytes: u64,
    /// Age of the oldest change that is not searchable yet, in milliseconds.
    pub lag_ms: u64,
    /// Number of the last commit on disk.
    pub index_seq: u64,
    /// The last commit since the start.
    pub last_commit: Option<CommitStatus>,
    /// Passages of all workspaces that wait for their vector.
    pub semantic_pending: u64,
    /// Pages that wait for the embedder.
    pub embed_queue_pages: u64,
    /// Events that changed something.
    pub accepted_total: u64,
    /// Events that were seen before, or are older than what is there.
    pub unchanged_total: u64,
    /// Events that met a concurrent write.
    pub conflicts_total: u64,
    /// Events that were turned down; they are in the file of dead letters.
    pub rejected_total: u64,
    /// Batches turned away because too much was waiting.
    pub overloaded_total: u64,
    /// Commits.
    pub commits_total: u64,
    /// Commits that failed and were tried again.
    pub commit_failures_total: u64,
    /// Page records written.
    pub pages_written_total: u64,
    /// Passages written, those written anew for their vectors included.
    pub passages_written_total: u64,
    /// Passages given to the model.
    pub embedded_passages_total: u64,
    /// Times the model failed.
    pub embed_failures_total: u64,
}

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommitStatus {
    /// Its number.
    pub index_seq: u64,
    /// Page records written.
    pub pages: u64,
    /// Passages written.
    pub passages: u64,
    /// From taking the changes until they were searchable, in milliseconds.
    pub took_ms: u64,
    /// When it became searchable.
    pub at: jiff::Timestamp,
}

/// How the write side stands with one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceStatus {
    /// Its id.
    pub workspace: WorkspaceId,
    /// Its number in this index.
    pub number: WorkspaceNumber,
    /// The last change of access.
    pub access_seq: u64,
    /// The last change of access that gives what it gives.
    pub access_published_seq: u64,
    /// What is stored of it.
    pub stats: WorkspaceStats,
    /// Passages that wait for their vector.
    pub semantic_pending: u64,
    /// True once everything of it was erased.
    pub erased: bool,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Those of the process, which others may count in, too.
    pub(super) metrics: Metrics,
    accepted: AtomicU64,
    unchanged: AtomicU64,
    conflicts: AtomicU64,
    rejected: AtomicU64,
    overloaded: AtomicU64,
    commits: AtomicU64,
    commit_failures: AtomicU64,
    pages_written: AtomicU64,
    passages_written: AtomicU64,
    embedded_passages: AtomicU64,
    embed_failures: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn within(metrics: Metrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    pub(super) fn merged(&self, taken: &Taken) {
        add(&self.accepted, taken.accepted);
        add(&self.unchanged, taken.unchanged);
        add(&self.conflicts, taken.conflicts);
        self.metrics.taken(taken.accepted, taken.unchanged, taken.conflicts);
    }

    pub(super) fn rejected(&self, letters: &[DeadLetter<'_>]) {
        add(&self.rejected, letters.len() as u64);
        self.metrics.rejected(letters.iter().map(|letter| letter.error));
    }

    pub(super) fn overloaded(&self) {
        add(&self.overloaded, 1);
        self.metrics.overloaded();
    }

    pub(super) fn committed(&self, commit: &CommitStatus, work: &Work) {
        add(&self.commits, 1);
        add(&self.pages_written, commit.pages);
        add(&self.passages_written, commit.passages);
        self.metrics.committed(commit, work.load(), work.records());
        self.metrics.found(&work.written_ms, commit.at.as_millisecond());
    }

    pub(super) fn commit_failed(&self) {
        add(&self.commit_failures, 1);
        self.metrics.commit_failed();
    }

    pub(super) fn embedded(&self, passages: usize) {
        add(&self.embedded_passages, passages as u64);
        self.metrics.embedded(passages);
    }

    pub(super) fn embedding_failed(&self) {
        add(&self.embed_failures, 1);
        self.metrics.embedding_failed();
    }
}

pub(super) fn status(core: &Core) -> Status {
    let pending_vectors = |stats: WorkspaceStats| stats.embeddable - stats.vectors;
    let semantic_pending =
        core.index.catalog().workspaces().iter().map(|workspace| pending_vectors(workspace.read().stats())).sum();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &core.counters;
    let backlog = core.lock();
    Status {
        accepting: backlog.accepts(),
        pending_events: backlog.load.events as u64,
        pending_bytes: backlog.load.bytes as u64,
        lag_ms: backlog.oldest().map_or(0, |since| since.elapsed().as_millis() as u64),
        index_seq: backlog.durable_number,
        last_commit: backlog.last_commit.clone(),
        semantic_pending,
        embed_queue_pages: backlog.embedding.len() as u64,
        accepted_total: count(&counters.accepted),
        unchanged_total: count(&counters.unchanged),
        conflicts_total: count(&counters.conflicts),
        rejected_total: count(&counters.rejected),
        overloaded_total: count(&counters.overloaded),
        commits_total: count(&counters.commits),
        commit_failures_total: count(&counters.commit_failures),
        pages_written_total: count(&counters.pages_written),
        passages_written_total: count(&counters.passages_written),
        embedded_passages_total: count(&counters.embedded_passages),
        embed_failures_total: count(&counters.embed_failures),
    }
}

pub(super) fn workspace_status(core: &Core, workspace: &WorkspaceId) -> Option<WorkspaceStatus> {
    let workspace = core.index.catalog().get(workspace)?;
    let state = workspace.read();
    let stats = state.stats();
    Some(WorkspaceStatus {
        workspace: workspace.id.clone(),
        number: workspace.number,
        access_seq: state.access.seq(),
        access_published_seq: state.access.published_seq(),
        stats,
        semantic_pending: stats.embeddable - stats.vectors,
        erased: state.erased,
    })
}

/// Hashes the committed pages of a workspace, sorted by id: each with its record, and its passages' texts and vectors.
pub(super) fn content_digest(core: &Core, workspace: &WorkspaceId) -> Result<String, IndexError> {
    let mut hasher = blake3::Hasher::new();
    let Some(workspace) = core.index.catalog().get(workspace) else { return Ok(hasher.finalize().to_string()) };
    let mut heads: Vec<_> = workspace.read().heads().cloned().collect();
    heads.sort_by(|a, b| a.page.cmp(&b.page));
    for head in heads {
        let Some(record) = core.writer.page_record(workspace.number, &head.page)? else { continue };
        // Blocks may have passed through a page that nothing else was ever said about.
        if record == schemas::record::PageRecord::default() {
            continue;
        }
        let mut line = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        };
        line(head.page.as_str().as_bytes());
        line(&serde_json::to_vec(&record).expect("records have text keys"));
        let mut vectors: Vec<_> = core.writer.page_vectors(workspace.number, head.ordinal)?.into_iter().collect();
        vectors.sort_by_key(|(hash, _)| *hash);
        for (hash, vector) in vectors {
            line(&hash.0);
            line(vector.as_bytes());
        }
        line(&[head.passages, head.embeddable, head.vectors].map(u32::to_le_bytes).concat());
    }
    let state = workspace.read();
    hasher.update(&[u8::from(state.erased)]);
    Ok(hasher.finalize().to_string())
}
