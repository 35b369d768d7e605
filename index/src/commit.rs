//! The writer: records, passages, vectors and the payload move in one commit.
//!
//! It alone can read records and vectors without a mask, for the write side needs them to merge; the read side has no
//! writer. Nothing written is seen before [`Writer::commit`] and [`crate::Index::reload`]. After a failure everything
//! since the last commit is dropped and has to be written again.

mod payload;
mod purge;
mod reads;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::{PageOrdinal, WorkspaceNumber};
use roaring::RoaringTreemap;
use schemas::ids::{GroupId, PageId, UserId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::Serialize;
use tantivy::{IndexWriter, TantivyDocument};

use crate::analysis::Tokens;
use crate::catalog::Catalog;
use crate::compaction;
use crate::directory::Merges;
use crate::documents::properties_text;
use crate::error::{Doing, IndexError};
use crate::fields::{Fields, NO_PAGE, block_key, group_key, member_key, page_key, page_record_key, workspace_key};
use crate::generation::Generation;
use crate::open::{Slot, Snapshot, held};
use crate::passages::PassageWrite;
use crate::records::{Head, PageHead};
use crate::rests;

pub use payload::{CommitPayload, Follows};
pub use purge::{PurgeExtent, Purged};
pub use reads::{RecordId, WrittenRecord};
pub(crate) use reads::{live_docs, stored, stored_passage, stored_record};

/// The one writer of an index. Cloning is cheap.
#[derive(Clone)]
pub struct Writer(Arc<Parts>);

struct Parts {
    current: Slot,
    catalog: Catalog,
    memory_bytes: usize,
    state: Mutex<State>,
}

struct State {
    /// None while it could not be opened again after a failure.
    engine: Option<Engine>,
    fields: Fields,
    /// Number of the first commit that may hold what is written now.
    written: u64,
    /// Pages that are stored or will be: only those have something to delete.
    stored_pages: RoaringTreemap,
    /// Workspaces of which it is known that they have their own record.
    stored_workspaces: HashSet<WorkspaceNumber>,
    /// Counts to take over in the catalog once they are committed.
    counted: Vec<(WorkspaceNumber, PageHead)>,
    failed: bool,
    tokens: Tokens,
}

/// The engine's writer, whose merges end with it.
struct Engine {
    /// There until it is dropped.
    writer: Option<IndexWriter>,
    merges: Merges,
}

impl Drop for Engine {
    /// Stops the merges and waits for them: they would write on in a folder that is not locked any more.
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        self.merges.stop();
        if let Err(error) = writer.wait_merging_threads() {
            tracing::debug!(error = &error as &dyn std::error::Error, "what was not committed is given up");
        }
        self.merges.resume();
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// Opens the writer of the generation in `current`, which takes the lock of its folder.
    pub(crate) fn new(current: Slot, catalog: Catalog, memory_bytes: usize) -> Result<Self, IndexError> {
        let generation = held(&current);
        let mut state = State {
            engine: None,
            fields: generation.fields,
            written: 0,
            stored_pages: RoaringTreemap::new(),
            stored_workspaces: HashSet::new(),
            counted: Vec::new(),
            failed: false,
            tokens: Tokens::new(),
        };
        state.open_engine(&generation, memory_bytes)?;
        Ok(Self(Arc::new(Parts { current, catalog, memory_bytes, state: Mutex::new(state) })))
    }

    /// Gives each writer the generation of the other. What was not committed is lost.
    pub(crate) fn exchange(&self, other: &Self) {
        let mut mine = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut theirs = other.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *mine, &mut *theirs);
    }

    /// Replaces the record and the passages of a page. `passages` are in order; a deleted page has none.
    pub fn put_page(
        &self,
        workspace: WorkspaceNumber,
        head: &PageHead,
        record: &PageRecord,
        passages: &[PassageWrite],
    ) -> Result<(), IndexError> {
        let mut state = self.state()?;
        let key = page_key(workspace, head.ordinal.0);
        if !state.stored_pages.insert(key) {
            let term = state.fields.page_term(workspace, head.ordinal);
            state.engine()?.delete_term(term);
        }
        let mut head = head.clone();
        head.passages = passages.iter().filter(|write| !write.passage.is_title()).count() as u32;
        head.embeddable = passages.iter().filter(|write| write.passage.has_text()).count() as u32;
        head.vectors = passages.iter().filter(|write| write.vector.is_some()).count() as u32;
        head.tokens = 0;
        head.languages = 0;
        let properties = properties_text(record);
        let fields = state.fields;
        for write in passages {
            head.languages |= 1 << write.passage.language.code();
            let (document, tokens) =
                fields.passage_document(&mut state.tokens, workspace, &head, &properties, write)?;
            head.tokens += tokens;
            Self::add(&mut state, document)?;
        }
        self.add_page_record(&mut state, workspace, head, record)
    }

    /// Replaces the record of a page whose passages stay as they are.
    pub fn put_record(
        &self,
        workspace: WorkspaceNumber,
        head: &PageHead,
        record: &PageRecord,
    ) -> Result<(), IndexError> {
        let mut state = self.state()?;
        if !state.stored_pages.insert(page_key(workspace, head.ordinal.0)) {
            let term = state.fields.key_term(&page_record_key(workspace, &head.page));
            state.engine()?.delete_term(term);
        }
        let mut head = head.clone();
        let pending = state.counted.iter().rev().find(|(n, h)| *n == workspace && h.ordinal == head.ordinal);
        let former = pending.map(|(_, former)| former.clone());
        let known = self.0.catalog.numbered(workspace);
        let former = former.or_else(|| known?.read().head(head.ordinal).cloned());
        if let Some(former) = former {
            head.keep_counts(&former);
        }
        self.add_page_record(&mut state, workspace, head, record)
    }

    /// Replaces the record of a group.
    pub fn put_group(&self, workspace: WorkspaceNumber, id: &GroupId, record: &GroupRecord) -> Result<(), IndexError> {
        let mut state = self.state()?;
        self.replace_record(&mut state, workspace, &group_key(workspace, id), &Head::group(id, record), record)
    }

    /// Replaces the record of a person.
    pub fn put_member(&self, workspace: WorkspaceNumber, id: &UserId, record: &MemberRecord) -> Result<(), IndexError> {
        let mut state = self.state()?;
        self.replace_record(&mut state, workspace, &member_key(workspace, id), &Head::member(id, record), record)
    }

    /// Deletes everything of a workspace but that it was erased.
    pub fn erase_workspace(&self, workspace: WorkspaceNumber) -> Result<(), IndexError> {
        let mut state = self.state()?;
        let term = state.fields.workspace_term(workspace);
        state.engine()?.delete_term(term);
        state.stored_workspaces.insert(workspace);
        state.stored_pages.remove_range(page_key(workspace, 0)..=page_key(workspace, u32::MAX));
        state.counted.retain(|(number, _)| *number != workspace);
        self.add_workspace_record(&mut state, workspace, true)
    }

    /// Removes all that is stored under the number of a page, whatever it is: what a repair finds without a record.
    pub fn remove_page(&self, workspace: WorkspaceNumber, page: PageOrdinal) -> Result<(), IndexError> {
        let mut state = self.state()?;
        let term = state.fields.page_term(workspace, page);
        state.engine()?.delete_term(term);
        state.stored_pages.remove(page_key(workspace, page.0));
        Ok(())
    }

    /// Removes the records of a page, wherever they are, and leaves its passages: for a repair that writes the page next.
    pub fn remove_page_records(&self, workspace: WorkspaceNumber, page: &PageId) -> Result<(), IndexError> {
        let mut state = self.state()?;
        let term = state.fields.key_term(&page_record_key(workspace, page));
        state.engine()?.delete_term(term);
        Ok(())
    }

    /// Commits all that was written, with its payload. On an error nothing of it is kept.
    pub fn commit(&self, payload: &CommitPayload) -> Result<(), IndexError> {
        let mut state = self.state()?;
        let committed = state.engine()?.prepare_commit().and_then(|mut prepared| {
            prepared.set_payload(&payload.encode());
            prepared.commit()
        });
        if committed.is_err() {
            state.failed = true;
        }
        committed.doing("commit")?;
        state.written = payload.index_seq + 1;
        for (number, head) in std::mem::take(&mut state.counted) {
            if let Some(workspace) = self.0.catalog.numbered(number) {
                workspace.write().count(&head);
            }
        }
        Ok(())
    }

    /// What was committed last, with the fields of its generation.
    pub(crate) fn committed(&self) -> (Arc<Snapshot>, Fields) {
        let generation = held(&self.0.current);
        (generation.snapshot(), generation.fields)
    }

    /// The state, after undoing what a failure left half done.
    fn state(&self) -> Result<MutexGuard<'_, State>, IndexError> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed || state.engine.is_none() {
            // Opened anew rather than rolled back: that works after whatever made the writer fail, a full disk included.
            state.engine = None;
            let generation = held(&self.0.current);
            generation.reload()?;
            state.open_engine(&generation, self.0.memory_bytes)?;
        }
        Ok(state)
    }

    fn add(state: &mut State, document: TantivyDocument) -> Result<(), IndexError> {
        let engine = state.engine()?;
        let Err(error) = engine.add_document(document) else { return Ok(()) };
        // It says no more than that a worker died. What the worker died of, the next commit hands over.
        let cause = engine.prepare_commit().err().unwrap_or(error);
        state.failed = true;
        Err(cause).doing("add a document")
    }

    fn add_page_record(
        &self,
        state: &mut State,
        workspace: WorkspaceNumber,
        head: PageHead,
        record: &PageRecord,
    ) -> Result<(), IndexError> {
        self.add_workspace_once(state, workspace)?;
        let key = page_record_key(workspace, &head.page);
        let stored = Head::Page(Box::new(head.clone()));
        let fields = state.fields;
        let mut document = fields.record_document(workspace, head.ordinal.0, &key, &stored, record, state.written);
        for block in record.blocks.keys() {
            document.add_text(fields.key, block_key(workspace, block));
        }
        state.counted.push((workspace, head));
        Self::add(state, document)
    }

    fn replace_record(
        &self,
        state: &mut State,
        workspace: WorkspaceNumber,
        key: &str,
        head: &Head,
        record: &impl Serialize,
    ) -> Result<(), IndexError> {
        self.add_workspace_once(state, workspace)?;
        let fields = state.fields;
        state.engine()?.delete_term(fields.key_term(key));
        let document = fields.record_document(workspace, NO_PAGE, key, head, record, state.written);
        Self::add(state, document)
    }

    fn add_workspace_once(&self, state: &mut State, workspace: WorkspaceNumber) -> Result<(), IndexError> {
        if !state.stored_workspaces.insert(workspace) {
            return Ok(());
        }
        let (snapshot, fields) = self.committed();
        if !live_docs(&snapshot, &fields.key_term(&workspace_key(workspace)), 1)?.is_empty() {
            return Ok(());
        }
        self.add_workspace_record(state, workspace, false)
    }

    fn add_workspace_record(
        &self,
        state: &mut State,
        workspace: WorkspaceNumber,
        erased: bool,
    ) -> Result<(), IndexError> {
        let Some(known) = self.0.catalog.numbered(workspace) else { return Ok(()) };
        let head = Head::Workspace { workspace: known.id.clone(), erased };
        let key = workspace_key(workspace);
        let document = state.fields.record_document(workspace, NO_PAGE, &key, &head, &(), state.written);
        Self::add(state, document)
    }
}

impl State {
    /// Opens the engine's writer over what was committed last.
    fn open_engine(&mut self, generation: &Generation, memory_bytes: usize) -> Result<(), IndexError> {
        let engine = generation.engine_writer(memory_bytes)?;
        engine.set_merge_policy(Box::new(compaction::policy()));
        self.engine = Some(Engine { writer: Some(engine), merges: generation.merges() });
        self.failed = false;
        self.counted.clear();
        self.stored_workspaces.clear();
        self.stored_pages.clear();
        let snapshot = generation.snapshot();
        self.written = snapshot.payload.index_seq + 1;
        for segment in &snapshot.segments {
            let pages = segment.pages.all().filter(|(_, page)| page.0 != NO_PAGE);
            self.stored_pages.extend(pages.map(|(workspace, page)| page_key(workspace, page.0)));
        }
        rests::remove(&generation.dir, self.engine()?);
        // The engine gives its first operation the number of the last commit, and so takes it for a part of that: a merge
        // would make a delete last before it is committed, or skip it for good.
        self.engine()?.run(std::iter::empty()).doing("number its operations")?;
        Ok(())
    }

    fn engine(&mut self) -> Result<&mut IndexWriter, IndexError> {
        self.engine.as_mut().and_then(|engine| engine.writer.as_mut()).ok_or(IndexError::WriterLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::{Config, Index, OpenMode};

    /// The crash test found a passage twice: the first delete after a restart had the number of the commit before it. A merge
    /// that began before the next commit left it out for the segments that knew deletes of that number already, and passed
    /// it by for good. Where it was applied, a crash would have lost what it was to replace.
    #[test]
    fn a_delete_after_a_restart_outlives_a_merge_and_does_not_precede_its_commit() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { dir: dir.path().to_owned(), ..Config::default() };
        let group = |number: u32| GroupId::new(format!("g{number}")).unwrap();
        let put = |writer: &Writer, numbers: std::ops::Range<u32>, index_seq| {
            for number in numbers {
                writer.put_group(0, &group(number), &GroupRecord::default()).unwrap();
            }
            writer.commit(&CommitPayload { index_seq, ..CommitPayload::default() }).unwrap();
        };
        {
            let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
            let writer = index.writer().unwrap();
            put(&writer, 0..20, 1);
            put(&writer, 20..40, 2);
            // The first segment has a delete of the last commit, and the second has none.
            put(&writer, 0..1, 3);
        }
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        let writer = index.writer().unwrap();
        writer.put_group(0, &group(1), &GroupRecord::default()).unwrap();
        {
            let mut state = writer.state().unwrap();
            let engine = state.engine().unwrap();
            let mut segments = engine.index().searchable_segment_metas().unwrap();
            segments.sort_by_key(tantivy::SegmentMeta::num_deleted_docs);
            let ids: Vec<_> = segments.iter().map(tantivy::SegmentMeta::id).collect();
            assert_eq!((ids.len(), segments[2].num_deleted_docs()), (3, 1));
            engine.merge(&ids).wait().unwrap();
        }
        index.reload().unwrap();
        let live = |number: u32| {
            let (snapshot, fields) = writer.committed();
            live_docs(&snapshot, &fields.key_term(&group_key(0, &group(number))), usize::MAX).unwrap().len()
        };
        assert_eq!(live(1), 1, "what is not committed takes nothing away");
        writer.commit(&CommitPayload { index_seq: 4, ..CommitPayload::default() }).unwrap();
        index.reload().unwrap();
        assert_eq!([0, 1, 2, 39].map(live), [1; 4], "the former record is gone");
    }
}
