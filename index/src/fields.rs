//! The fields of the stored index: the only place where their names and the form of their terms are written.
//!
//! Three kinds of documents share one tantivy index, so that one commit moves them together:
//! a *passage* (what is searched), a *page record* (the page with its blocks and versions) and a *directory record*
//! (a group, a member, or the workspace itself). Every document has a `page` key and a `workspace` number.
//! Words are stored under the number of their workspace: a term of one workspace is another term in the next, so that
//! postings, statistics and suggestions of two workspaces never meet.

use schemas::ids::{BlockId, GroupId, PageId, UserId};
use tantivy::Term;
use tantivy::schema::{BytesOptions, Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions};

use access::{PageOrdinal, WorkspaceNumber};

use crate::passages::TextHash;
use crate::vectors::{VectorError, VectorField};

/// Format of the stored index; another number is not read.
pub(crate) const FORMAT: u32 = 2;

/// Names of the tokenizers registered with tantivy.
pub(crate) const ENCODED_TOKENS: &str = "tessera";
pub(crate) const WHOLE: &str = "raw";

/// The ordinal that directory records carry instead of a page's.
pub(crate) const NO_PAGE: u32 = u32::MAX;

/// The commit that titles carry, which is none: no other passage has one, so it tells them apart.
pub(crate) const WRITTEN_OF_TITLES: u64 = 0;

/// Handles of all fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    /// Workspace number. Indexed; on every document.
    pub(crate) workspace: Field,
    /// Workspace number and page ordinal. Indexed, fast; on every document.
    pub(crate) page: Field,
    /// Identity of records, text hashes of passages. Indexed.
    pub(crate) key: Field,
    /// Title, headings and text of a passage, analysed. Indexed with frequencies and positions.
    pub(crate) all: Field,
    /// Title of the page, analysed; on its first passage only. Indexed with positions.
    pub(crate) title: Field,
    /// Words as written, folded but not stemmed. Indexed without frequencies.
    pub(crate) words: Field,
    /// The passage itself. Stored.
    pub(crate) passage: Field,
    /// What is kept in memory of a record. Fast.
    pub(crate) head: Field,
    /// Number of the first commit that may hold a record. Fast; on records, and [`WRITTEN_OF_TITLES`] on titles.
    pub(crate) written: Field,
    /// The whole record. Stored.
    pub(crate) record: Field,
    /// The embedding of a passage.
    pub(crate) vector: VectorField,
}

impl Fields {
    /// The schema and its fields, for vectors of `dimensions`.
    pub(crate) fn schema(dimensions: usize) -> Result<(Schema, Self), VectorError> {
        let mut schema = Schema::builder();
        let text = |option: IndexRecordOption, norms: bool, tokenizer: &str| {
            let indexing = TextFieldIndexing::default();
            TextOptions::default()
                .set_indexing_options(indexing.set_index_option(option).set_fieldnorms(norms).set_tokenizer(tokenizer))
        };
        let fields = Self {
            workspace: schema.add_u64_field("workspace", NumericOptions::default().set_indexed()),
            page: schema.add_u64_field("page", NumericOptions::default().set_indexed().set_fast()),
            key: schema.add_text_field("key", text(IndexRecordOption::Basic, false, WHOLE)),
            all: schema.add_text_field("all", text(IndexRecordOption::WithFreqsAndPositions, true, ENCODED_TOKENS)),
            title: schema.add_text_field("title", text(IndexRecordOption::WithFreqsAndPositions, true, ENCODED_TOKENS)),
            words: schema.add_text_field("words", text(IndexRecordOption::Basic, false, ENCODED_TOKENS)),
            passage: schema.add_bytes_field("passage", BytesOptions::default().set_stored()),
            head: schema.add_bytes_field("head", BytesOptions::default().set_fast()),
            written: schema.add_u64_field("written", NumericOptions::default().set_fast()),
            record: schema.add_bytes_field("record", BytesOptions::default().set_stored()),
            vector: VectorField::add_to_schema(&mut schema, "vector", dimensions)?,
        };
        Ok((schema.build(), fields))
    }

    /// The term of all documents of a workspace.
    pub(crate) fn workspace_term(&self, workspace: WorkspaceNumber) -> Term {
        Term::from_field_u64(self.workspace, u64::from(workspace))
    }

    /// The term of a page's record and passages.
    pub(crate) fn page_term(&self, workspace: WorkspaceNumber, page: PageOrdinal) -> Term {
        Term::from_field_u64(self.page, page_key(workspace, page.0))
    }

    /// The term of something with an identity.
    pub(crate) fn key_term(&self, key: &str) -> Term {
        Term::from_field_text(self.key, key)
    }

    /// A word of a workspace in one of the analysed fields.
    pub(crate) fn word_term(field: Field, workspace: WorkspaceNumber, word: &str) -> Term {
        Term::from_field_text(field, &format!("{}{word}", word_prefix(workspace)))
    }
}

/// Workspace number and page ordinal in one number.
pub(crate) fn page_key(workspace: WorkspaceNumber, ordinal: u32) -> u64 {
    (u64::from(workspace) << 32) | u64::from(ordinal)
}

/// What stands before every word of a workspace.
pub(crate) fn word_prefix(workspace: WorkspaceNumber) -> String {
    format!("{workspace:x}:")
}

/// Key of a page record.
pub(crate) fn page_record_key(workspace: WorkspaceNumber, page: &PageId) -> String {
    format!("p{workspace:x}:{page}")
}

/// Key of a block, on the record that is its home.
pub(crate) fn block_key(workspace: WorkspaceNumber, block: &BlockId) -> String {
    format!("b{workspace:x}:{block}")
}

/// Key of a group record.
pub(crate) fn group_key(workspace: WorkspaceNumber, group: &GroupId) -> String {
    format!("g{workspace:x}:{group}")
}

/// Key of a member record.
pub(crate) fn member_key(workspace: WorkspaceNumber, user: &UserId) -> String {
    format!("m{workspace:x}:{user}")
}

/// Key of the workspace's own record.
pub(crate) fn workspace_key(workspace: WorkspaceNumber) -> String {
    format!("w{workspace:x}")
}

/// Key of passages with one text.
pub(crate) fn hash_key(workspace: WorkspaceNumber, hash: &TextHash) -> String {
    format!("h{workspace:x}:{hash}")
}
