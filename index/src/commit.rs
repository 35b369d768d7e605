//! The writer: records, passages, vectors and the payload move in one commit.
//!
//! It alone can read records and vectors without a mask, for the write side needs them to merge; the read side has no
//! writer. Nothing written is seen before [`Writer::commit`] and [`crate::Index::reload`]. After a failure everything
//! since the last commit is dropped and has to be written again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::{PageOrdinal, WorkspaceNumber};
use roaring::RoaringTreemap;
use schemas::ids::{BlockId, GroupId, PageId, UserId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tantivy::merge_policy::LogMergePolicy;
use tantivy::schema::{IndexRecordOption, Value};
use tantivy::{DocAddress, DocSet, IndexWriter, TERMINATED, TantivyDocument, Term};

use crate::analysis::Tokens;
use crate::documents::properties_text;
use crate::error::{Doing, IndexError};
use crate::fields::{
    FORMAT, Fields, NO_PAGE, block_key, group_key, hash_key, member_key, page_key, page_record_key, workspace_key,
};
use crate::open::{Index, Snapshot, WeakIndex};
use crate::passages::{Passage, PassageWrite, TextHash};
use crate::records::{Head, PageHead};
use crate::vectors::{ModelTag, StoredVector};

/// Share of deleted documents from which a segment is rewritten.
const DELETED_RATIO_MAX: f32 = 0.25;
/// Segments of about one size from which they are merged.
const MERGE_SEGMENTS_MIN: usize = 6;

/// What a commit says of itself: how far the source was read, under which number, with which model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPayload {
    /// Number of the commit, growing by one.
    pub index_seq: u64,
    /// The next position to read in each stream.
    #[serde(default)]
    pub offsets: BTreeMap<String, i64>,
    /// The embedding model that new passages were embedded with.
    #[serde(default)]
    pub model_id: Option<String>,
}

/// The payload as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredPayload {
    format: u32,
    #[serde(flatten)]
    payload: CommitPayload,
}

impl CommitPayload {
    fn encode(&self) -> String {
        let stored = StoredPayload { format: FORMAT, payload: self.clone() };
        serde_json::to_string(&stored).expect("numbers and text are JSON")
    }

    /// Reads a payload and the format it says.
    pub(crate) fn decode(json: &str) -> Result<(u32, Self), IndexError> {
        let stored: StoredPayload = serde_json::from_str(json)
            .map_err(|error| IndexError::Damaged { what: "commit payload", source: Box::new(error) })?;
        Ok((stored.format, stored.payload))
    }
}

/// The one writer of an index. Cloning is cheap.
#[derive(Clone)]
pub struct Writer(Arc<Parts>);

struct Parts {
    fields: Fields,
    index: WeakIndex,
    state: Mutex<State>,
}

struct State {
    engine: IndexWriter,
    /// Pages that are stored or will be: only those have something to delete.
    stored_pages: RoaringTreemap,
    stored_workspaces: HashSet<WorkspaceNumber>,
    /// Counts to take over in the catalog once they are committed.
    counted: Vec<(WorkspaceNumber, PageHead)>,
    failed: bool,
    tokens: Tokens,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(engine: IndexWriter, fields: Fields, index: WeakIndex) -> Self {
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(MERGE_SEGMENTS_MIN);
        policy.set_del_docs_ratio_before_merge(DELETED_RATIO_MAX);
        engine.set_merge_policy(Box::new(policy));
        let mut state = State {
            engine,
            stored_pages: RoaringTreemap::new(),
            stored_workspaces: HashSet::new(),
            counted: Vec::new(),
            failed: false,
            tokens: Tokens::new(),
        };
        if let Some(index) = index.upgrade() {
            state.recall(&index);
        }
        Self(Arc::new(Parts { fields, index, state: Mutex::new(state) }))
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
            state.engine.delete_term(self.0.fields.page_term(workspace, head.ordinal));
        }
        let mut head = head.clone();
        head.passages = passages.len() as u32;
        head.embeddable = passages.iter().filter(|write| write.passage.has_text()).count() as u32;
        head.vectors = passages.iter().filter(|write| write.vector.is_some()).count() as u32;
        head.tokens = 0;
        head.languages = 0;
        let properties = properties_text(record);
        for write in passages {
            head.languages |= 1 << write.passage.language.code();
            let (document, tokens) =
                self.0.fields.passage_document(&mut state.tokens, workspace, &head, &properties, write)?;
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
            let key = page_record_key(workspace, &head.page);
            state.engine.delete_term(self.0.fields.key_term(&key));
        }
        let mut head = head.clone();
        let index = self.index()?;
        let pending = state.counted.iter().rev().find(|(n, h)| *n == workspace && h.ordinal == head.ordinal);
        let former = pending.map(|(_, former)| former.clone());
        let known = index.catalog().numbered(workspace);
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
        state.engine.delete_term(self.0.fields.workspace_term(workspace));
        state.stored_workspaces.insert(workspace);
        state.stored_pages.remove_range(page_key(workspace, 0)..=page_key(workspace, u32::MAX));
        state.counted.retain(|(number, _)| *number != workspace);
        self.add_workspace_record(&mut state, workspace, true)
    }

    /// Commits all that was written, with its payload. On an error nothing of it is kept.
    pub fn commit(&self, payload: &CommitPayload) -> Result<(), IndexError> {
        let mut state = self.state()?;
        let committed = state.engine.prepare_commit().and_then(|mut prepared| {
            prepared.set_payload(&payload.encode());
            prepared.commit()
        });
        if committed.is_err() {
            state.failed = true;
        }
        committed.doing("commit")?;
        let index = self.index()?;
        for (number, head) in std::mem::take(&mut state.counted) {
            if let Some(workspace) = index.catalog().numbered(number) {
                workspace.write().count(&head);
            }
        }
        Ok(())
    }

    /// The record of a page as it was committed last.
    pub fn page_record(&self, workspace: WorkspaceNumber, page: &PageId) -> Result<Option<PageRecord>, IndexError> {
        self.record(&page_record_key(workspace, page), "page record")
    }

    /// The record of a group as it was committed last.
    pub fn group_record(&self, workspace: WorkspaceNumber, id: &GroupId) -> Result<Option<GroupRecord>, IndexError> {
        self.record(&group_key(workspace, id), "group record")
    }

    /// The record of a person as it was committed last.
    pub fn member_record(&self, workspace: WorkspaceNumber, id: &UserId) -> Result<Option<MemberRecord>, IndexError> {
        self.record(&member_key(workspace, id), "member record")
    }

    /// The page whose record holds a block, as it was committed last. Cost: one look into the terms of each segment.
    pub fn block_home(&self, workspace: WorkspaceNumber, block: &BlockId) -> Result<Option<PageId>, IndexError> {
        let index = self.index()?;
        let snapshot = index.snapshot();
        let term = self.0.fields.key_term(&block_key(workspace, block));
        let Some(address) = live_docs(&snapshot, &term, 1)?.pop() else { return Ok(None) };
        let key = snapshot.segments[address.segment_ord as usize].page_keys[address.doc_id as usize];
        let Some(workspace) = index.catalog().numbered(workspace) else { return Ok(None) };
        let page = workspace.read().access.page_of(PageOrdinal(key as u32)).cloned();
        Ok(page)
    }

    /// The embeddings of a page's passages as they were committed last, of any model.
    pub fn page_vectors(
        &self,
        workspace: WorkspaceNumber,
        page: PageOrdinal,
    ) -> Result<HashMap<TextHash, StoredVector>, IndexError> {
        let index = self.index()?;
        let snapshot = index.snapshot();
        let mut vectors = HashMap::new();
        for address in live_docs(&snapshot, &self.0.fields.page_term(workspace, page), usize::MAX)? {
            let Some(vector) = snapshot.vectors[address.segment_ord as usize].vector_of(address.doc_id) else {
                continue;
            };
            if let Some(passage) = stored_passage(&snapshot, self.0.fields, address)? {
                vectors.insert(passage.hash(), vector);
            }
        }
        Ok(vectors)
    }

    /// An embedding of a text by a model, if some passage of the workspace has it.
    pub fn vector_of(
        &self,
        workspace: WorkspaceNumber,
        hash: TextHash,
        model: ModelTag,
    ) -> Result<Option<StoredVector>, IndexError> {
        let index = self.index()?;
        let snapshot = index.snapshot();
        let term = self.0.fields.key_term(&hash_key(workspace, &hash));
        let vector_at = |at: DocAddress| snapshot.vectors[at.segment_ord as usize].vector_of(at.doc_id);
        let found = live_docs(&snapshot, &term, VECTORS_TRIED_MAX)?.into_iter().filter_map(vector_at);
        Ok(found.into_iter().find(|vector| vector.model() == model))
    }

    fn index(&self) -> Result<Index, IndexError> {
        self.0.index.upgrade().ok_or(IndexError::Closed)
    }

    /// The state, after undoing what a failure left half done.
    fn state(&self) -> Result<MutexGuard<'_, State>, IndexError> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.failed {
            state.engine.rollback().doing("undo a failed commit")?;
            state.counted.clear();
            let index = self.index()?;
            state.recall(&index);
            state.failed = false;
        }
        Ok(state)
    }

    fn record<T: DeserializeOwned>(&self, key: &str, what: &'static str) -> Result<Option<T>, IndexError> {
        let snapshot = self.index()?.snapshot();
        let Some(address) = live_docs(&snapshot, &self.0.fields.key_term(key), 1)?.pop() else { return Ok(None) };
        stored_record(&snapshot, self.0.fields, address, what)
    }

    fn add(state: &mut State, document: TantivyDocument) -> Result<(), IndexError> {
        let added = state.engine.add_document(document);
        state.failed |= added.is_err();
        added.doing("add a document")?;
        Ok(())
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
        let mut document = self.0.fields.record_document(workspace, head.ordinal.0, &key, &stored, record);
        for block in record.blocks.keys() {
            document.add_text(self.0.fields.key, block_key(workspace, block));
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
        state.engine.delete_term(self.0.fields.key_term(key));
        let document = self.0.fields.record_document(workspace, NO_PAGE, key, head, record);
        Self::add(state, document)
    }

    fn add_workspace_once(&self, state: &mut State, workspace: WorkspaceNumber) -> Result<(), IndexError> {
        if !state.stored_workspaces.insert(workspace) {
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
        let Some(known) = self.index()?.catalog().numbered(workspace) else { return Ok(()) };
        let head = Head::Workspace { workspace: known.id.clone(), erased };
        let document = self.0.fields.record_document(workspace, NO_PAGE, &workspace_key(workspace), &head, &());
        Self::add(state, document)
    }
}

/// Most passages with one text that are looked at for a vector.
const VECTORS_TRIED_MAX: usize = 16;

impl State {
    /// What is stored, as the last commit left it.
    fn recall(&mut self, index: &Index) {
        self.stored_pages.clear();
        for segment in &index.snapshot().segments {
            self.stored_pages.extend(segment.page_keys.iter().filter(|key| **key as u32 != NO_PAGE));
        }
        match index.stored_workspaces() {
            Ok(stored) => self.stored_workspaces = stored.into_keys().collect(),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "stored heads cannot be read"),
        }
    }
}

/// Documents that hold a term and are not deleted, at most `limit`.
pub(crate) fn live_docs(snapshot: &Snapshot, term: &Term, limit: usize) -> Result<Vec<DocAddress>, IndexError> {
    let mut found = Vec::new();
    for (segment_ord, reader) in snapshot.engine.segment_readers().iter().enumerate() {
        let inverted = reader.inverted_index(term.field()).doing("open the terms of a segment")?;
        let postings = inverted.read_postings(term, IndexRecordOption::Basic);
        let Some(mut postings) = postings.doing("look up a term")? else { continue };
        while postings.doc() != TERMINATED && found.len() < limit {
            if !reader.is_deleted(postings.doc()) {
                found.push(DocAddress::new(segment_ord as u32, postings.doc()));
            }
            postings.advance();
        }
    }
    Ok(found)
}

/// The passage stored in a document; `None` when it is a record.
pub(crate) fn stored_passage(
    snapshot: &Snapshot,
    fields: Fields,
    address: DocAddress,
) -> Result<Option<Passage>, IndexError> {
    stored(snapshot, fields.passage, address, "passage")
}

/// The record stored in a document; `None` when it is a passage.
pub(crate) fn stored_record<T: DeserializeOwned>(
    snapshot: &Snapshot,
    fields: Fields,
    address: DocAddress,
    what: &'static str,
) -> Result<Option<T>, IndexError> {
    stored(snapshot, fields.record, address, what)
}

fn stored<T: DeserializeOwned>(
    snapshot: &Snapshot,
    field: tantivy::schema::Field,
    address: DocAddress,
    what: &'static str,
) -> Result<Option<T>, IndexError> {
    let document: TantivyDocument = snapshot.engine.doc(address).doing("read a document")?;
    let Some(bytes) = document.get_first(field).and_then(|value| value.as_bytes()) else { return Ok(None) };
    serde_json::from_slice(bytes).map(Some).map_err(|error| IndexError::Damaged { what, source: Box::new(error) })
}
