//! What the write side reads of what was committed last: records, where blocks live, vectors. No mask is asked for here, and
//! so all of it belongs to the writer.

use std::collections::HashMap;

use access::{PageOrdinal, WorkspaceNumber};
use schemas::ids::{BlockId, GroupId, PageId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::de::DeserializeOwned;
use tantivy::schema::{IndexRecordOption, Value};
use tantivy::{DocAddress, DocSet, TERMINATED, TantivyDocument, Term};

use super::Writer;
use crate::error::{Doing, IndexError};
use crate::fields::{Fields, block_key, group_key, hash_key, member_key, page_record_key};
use crate::open::Snapshot;
use crate::passages::{Passage, TextHash};
use crate::records::Head;
use crate::vectors::{ModelTag, StoredVector};

/// Most passages with one text that are looked at for a vector.
const VECTORS_TRIED_MAX: usize = 16;

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRecord {
    /// Its workspace.
    pub workspace: WorkspaceNumber,
    /// Which it is.
    pub record: RecordId,
}

/// Names a record within its workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordId {
    /// The workspace itself.
    Workspace {
        /// Its id.
        id: WorkspaceId,
        /// True once erased.
        erased: bool,
    },
    /// A group.
    Group(GroupId),
    /// A person.
    Member(UserId),
    /// A page.
    Page(PageOrdinal, PageId),
}

impl WrittenRecord {
    fn of(workspace: WorkspaceNumber, head: Head) -> Self {
        let record = match head {
            Head::Workspace { workspace: id, erased } => RecordId::Workspace { id, erased },
            Head::Group { group, .. } => RecordId::Group(group),
            Head::Member { user, .. } => RecordId::Member(user),
            Head::Page(head) => RecordId::Page(head.ordinal, head.page),
        };
        Self { workspace, record }
    }
}

impl Writer {
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
        let (snapshot, fields) = self.committed();
        let term = fields.key_term(&block_key(workspace, block));
        let Some(address) = live_docs(&snapshot, &term, 1)?.pop() else { return Ok(None) };
        let ordinal = snapshot.segments[address.segment_ord as usize].pages.page_of(address.doc_id);
        let Some(workspace) = self.0.catalog.numbered(workspace) else { return Ok(None) };
        let page = workspace.read().access.page_of(ordinal).cloned();
        Ok(page)
    }

    /// The records that were written after a commit, in the order of workspaces; of each the workspace first, then groups and
    /// people, then pages by their number. Some that were not may be among them. Cost: a pass over all documents.
    pub fn written_since(&self, index_seq: u64) -> Result<Vec<WrittenRecord>, IndexError> {
        let (snapshot, _) = self.committed();
        let heads = snapshot.heads_written_since(index_seq)?;
        let mut records: Vec<_> =
            heads.into_iter().map(|(workspace, head)| WrittenRecord::of(workspace, head)).collect();
        records.sort_unstable_by(|a, b| (a.workspace, &a.record).cmp(&(b.workspace, &b.record)));
        Ok(records)
    }

    /// The embeddings of a page's passages as they were committed last, of any model.
    pub fn page_vectors(
        &self,
        workspace: WorkspaceNumber,
        page: PageOrdinal,
    ) -> Result<HashMap<TextHash, StoredVector>, IndexError> {
        let (snapshot, fields) = self.committed();
        let mut vectors = HashMap::new();
        for address in live_docs(&snapshot, &fields.page_term(workspace, page), usize::MAX)? {
            let Some(vector) = snapshot.vectors[address.segment_ord as usize].vector_of(address.doc_id) else {
                continue;
            };
            if let Some(passage) = stored_passage(&snapshot, fields, address)? {
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
        let (snapshot, fields) = self.committed();
        let term = fields.key_term(&hash_key(workspace, &hash));
        let vector_at = |at: DocAddress| snapshot.vectors[at.segment_ord as usize].vector_of(at.doc_id);
        let found = live_docs(&snapshot, &term, VECTORS_TRIED_MAX)?.into_iter().filter_map(vector_at);
        Ok(found.into_iter().find(|vector| vector.model() == model))
    }

    fn record<T: DeserializeOwned>(&self, key: &str, what: &'static str) -> Result<Option<T>, IndexError> {
        let (snapshot, fields) = self.committed();
        let Some(address) = live_docs(&snapshot, &fields.key_term(key), 1)?.pop() else { return Ok(None) };
        stored_record(&snapshot, fields, address, what)
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

/// What a field of a stored document holds; `None` when it is of another kind.
pub(crate) fn stored<T: DeserializeOwned>(
    snapshot: &Snapshot,
    field: tantivy::schema::Field,
    address: DocAddress,
    what: &'static str,
) -> Result<Option<T>, IndexError> {
    let document: TantivyDocument = snapshot.engine.doc(address).doing("read a document")?;
    let Some(bytes) = document.get_first(field).and_then(|value| value.as_bytes()) else { return Ok(None) };
    serde_json::from_slice(bytes).map(Some).map_err(|error| IndexError::Damaged { what, source: Box::new(error) })
}
