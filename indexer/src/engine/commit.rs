//! The commit thread: writes what is pending, commits it, and says so.
//!
//! It alone writes to the index. Invariant: a page is written from one record, with the vectors of just those texts; what
//! has no vector yet is queued for the embedder only once it can be searched by words.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::PageOrdinal;
use index::catalog::Workspace;
use index::passages::{PassageWrite, TextHash};
use index::records::PageHead;
use index::vectors::StoredVector;
use index::{CommitPayload, IndexError, Passage};
use schemas::ids::PageId;
use schemas::record::PageRecord;
use tracing::Span;

use super::backlog::{Stop, Work};
use super::cutting::Cutting;
use super::embed::PageKey;
use super::pace::Told;
use super::recent::Cut;
use super::shared::Core;
use super::status::CommitStatus;
use crate::state::Dirt;
use crate::trace::{self, SPLITS_MAX};

/// First and longest pause after a commit failed.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Failures in a row after which a closing engine gives up.
const CLOSING_TRIES: u32 = 3;

/// Commits until the threads are to end.
pub(super) fn run(core: &Core) {
    let _ended = Ended(core);
    let mut failures = 0;
    while let Some(work) = core.next_commit() {
        match write_and_publish(core, &work) {
            Ok((status, told)) => {
                failures = 0;
                let erased = work.tenants.iter().filter(|tenant| tenant.erase);
                core.purges.add(erased.map(|tenant| tenant.workspace.id.clone()));
                core.searchable(&work, status, &told);
            }
            Err(error) => {
                let error = Arc::new(error);
                trace::failed(&work.span);
                core.recent.clear();
                core.lock().not_committed(work, Arc::clone(&error));
                core.counters.commit_failed();
                failures += 1;
                let pause = (RETRY_PAUSE * 2_u32.pow(failures.min(10) - 1)).min(RETRY_PAUSE_MAX);
                tracing::error!(
                    error = &*error as &dyn std::error::Error,
                    failures,
                    pause_ms = pause.as_millis() as u64,
                    "the commit failed; searches go on, and it is tried again"
                );
                if failures >= CLOSING_TRIES && core.lock().stop == Stop::AfterCommit {
                    return;
                }
                core.pause(pause);
            }
        }
    }
}

/// Tells all that wait when the thread ends, by a panic too.
struct Ended<'a>(&'a Core);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.commit_thread_ended();
    }
}

/// The flow of one commit: write, commit, reload, publish, queue what is to be embedded.
fn write_and_publish(core: &Core, work: &Work) -> Result<(CommitStatus, Told), IndexError> {
    let _held = core.hold_commits();
    let _traced = work.span.enter();
    let started = Instant::now();
    let cutting = core.cutting();
    let mut written = Written::default();
    trace::part("write").in_scope(|| write(core, &cutting, work, &mut written))?;
    let payload = CommitPayload {
        index_seq: work.number,
        offsets: work.offsets.clone(),
        model_id: cutting.model_id(),
        follows: None,
    };
    trace::part("commit").in_scope(|| core.writer.commit(&payload))?;
    written.tell(work);
    core.durable(work);
    trace::part("publish").in_scope(|| core.index.reload().map(|()| publish(work)))?;
    if cutting.embedding.is_some() {
        let mut backlog = core.lock();
        for (key, is_edited) in written.lacking_vectors {
            backlog.embedding.push(key, is_edited);
        }
        drop(backlog);
        core.wake_embed();
    }
    let told = Told {
        took: started.elapsed(),
        events: work.load().events as u64,
        passages: written.passages,
        for_vectors: written.for_vectors,
    };
    let took_ms = told.took.as_millis() as u64;
    tracing::debug!(index_seq = work.number, pages = written.pages, passages = written.passages, took_ms, "committed");
    let status = CommitStatus {
        index_seq: work.number,
        pages: written.pages,
        passages: written.passages,
        took_ms,
        at: jiff::Timestamp::now(),
    };
    core.counters.committed(&status, work);
    Ok((status, told))
}

/// What a commit wrote.
#[derive(Default)]
struct Written {
    /// Page records.
    pages: u64,
    /// Passages.
    passages: u64,
    /// Those of them that were written for nothing but their vectors.
    for_vectors: u64,
    /// Pages with passages without a vector, and whether someone edited them.
    lacking_vectors: Vec<(PageKey, bool)>,
    /// Pages that were cut, and what that took.
    split_pages: u64,
    split_took: Duration,
}

impl Written {
    /// Cuts a page.
    fn split(&mut self, cutting: &Cutting, page: &PageId, record: &PageRecord) -> Vec<Passage> {
        let started = Instant::now();
        self.split_pages += 1;
        let span = (self.split_pages <= SPLITS_MAX).then(|| trace::part("split"));
        let passages = span.unwrap_or_else(Span::none).in_scope(|| cutting.passages(page, record));
        self.split_took += started.elapsed();
        passages
    }

    /// Says in its trace what a commit came to.
    fn tell(&self, work: &Work) {
        work.span
            .record("tessera.events", work.load().events as u64)
            .record("tessera.pages", self.pages)
            .record("tessera.passages", self.passages)
            .record("tessera.split_ms", self.split_took.as_millis() as u64);
    }
}

fn write(core: &Core, cutting: &Cutting, work: &Work, written: &mut Written) -> Result<(), IndexError> {
    let mut with_passages = HashSet::new();
    let none = HashMap::new();
    for tenant in &work.tenants {
        let number = tenant.workspace.number;
        if tenant.erase {
            core.writer.erase_workspace(number)?;
            core.recent.forget_workspace(number);
            continue;
        }
        for taken in &tenant.taken.pages {
            let Some(ordinal) = tenant.workspace.read().access.ordinal_of(&taken.page) else { continue };
            let key = PageKey { workspace: number, page: ordinal };
            let vectors = work.vectors.get(&key);
            let head = PageHead::of(&taken.page, ordinal, &taken.record);
            written.pages += 1;
            if taken.dirt == Dirt::Record && vectors.is_none() {
                core.writer.put_record(number, &head, &taken.record)?;
                core.recent.forget(key);
                continue;
            }
            with_passages.insert(key);
            let passages = written.split(cutting, &taken.page, &taken.record);
            let page = Page { workspace: &tenant.workspace, head, record: &taken.record };
            let is_edited = tenant.interactive.contains(&taken.page);
            write_page(core, cutting, &page, passages, vectors.unwrap_or(&none), is_edited, written)?;
        }
        for (group, record) in &tenant.taken.groups {
            core.writer.put_group(number, group, record)?;
        }
        for (user, record) in &tenant.taken.members {
            core.writer.put_member(number, user, record)?;
        }
        // Erased since it was taken: its pages have no number any more, and some were left out above. A commit may not hold
        // the offsets of events without either them or what made them void.
        if tenant.workspace.read().erased {
            core.writer.erase_workspace(number)?;
            core.recent.forget_workspace(number);
        }
    }
    let passages = written.passages;
    for (key, vectors) in work.vectors.iter().filter(|(key, _)| !with_passages.contains(key)) {
        write_vectors(core, cutting, *key, vectors, written)?;
    }
    written.for_vectors = written.passages - passages;
    Ok(())
}

/// Puts vectors to the passages of a page that is otherwise as it was.
fn write_vectors(
    core: &Core,
    cutting: &Cutting,
    key: PageKey,
    vectors: &HashMap<TextHash, StoredVector>,
    written: &mut Written,
) -> Result<(), IndexError> {
    let Some(workspace) = core.index.catalog().numbered(key.workspace) else { return Ok(()) };
    let Some(page) = workspace.read().access.page_of(key.page).cloned() else { return Ok(()) };
    let (record, passages) = if let Some(cut) = core.recent.get(key) {
        (Arc::clone(&cut.record), cut.passages.clone())
    } else {
        let Some(record) = core.writer.page_record(key.workspace, &page)? else { return Ok(()) };
        let passages = written.split(cutting, &page, &record);
        (Arc::new(record), passages)
    };
    let head = PageHead::of(&page, key.page, &record);
    written.pages += 1;
    let page = Page { workspace: &workspace, head, record: &record };
    write_page(core, cutting, &page, passages, vectors, false, written)
}

struct Page<'a> {
    workspace: &'a Arc<Workspace>,
    head: PageHead,
    record: &'a Arc<PageRecord>,
}

/// Writes a page with its passages, and the vectors known for them. It is kept as it was cut while it lacks some.
fn write_page(
    core: &Core,
    cutting: &Cutting,
    page: &Page<'_>,
    passages: Vec<Passage>,
    new_vectors: &HashMap<TextHash, StoredVector>,
    is_edited: bool,
    written: &mut Written,
) -> Result<(), IndexError> {
    let number = page.workspace.number;
    let ordinal: PageOrdinal = page.head.ordinal;
    let tag = cutting.tag();
    let had_vectors = page.workspace.read().head(ordinal).is_some_and(|head| head.vectors > 0);
    let former = if had_vectors { core.writer.page_vectors(number, ordinal)? } else { HashMap::new() };
    let mut writes = Vec::with_capacity(passages.len());
    let mut is_lacking = false;
    for passage in passages {
        if !passage.has_text() {
            writes.push(PassageWrite { passage, vector: None });
            continue;
        }
        let hash = passage.hash();
        // Without a model, vectors of whichever model stay with their text.
        let fits = |vector: &&StoredVector| tag.is_none_or(|tag| vector.model() == tag);
        let mut vector = new_vectors.get(&hash).or_else(|| former.get(&hash)).filter(fits).cloned();
        if let (None, Some(tag)) = (&vector, tag) {
            vector = core.writer.vector_of(number, hash, tag)?;
        }
        is_lacking |= vector.is_none();
        writes.push(PassageWrite { passage, vector });
    }
    core.writer.put_page(number, &page.head, page.record, &writes)?;
    written.passages += writes.len() as u64;
    let key = PageKey { workspace: number, page: ordinal };
    if is_lacking && cutting.embedding.is_some() {
        let passages = writes.into_iter().map(|write| write.passage).collect();
        core.recent.keep(key, Cut { record: Arc::clone(page.record), passages });
        written.lacking_vectors.push((key, is_edited));
    } else {
        core.recent.forget(key);
    }
    Ok(())
}

/// Gives the access that was waiting for this commit.
fn publish(work: &Work) {
    for tenant in &work.tenants {
        let mut state = tenant.workspace.write();
        // The graph of an erased workspace is another one; nobody has access to anything in it.
        if !state.erased {
            state.access.publish_at(tenant.fence.clone());
        }
    }
}
