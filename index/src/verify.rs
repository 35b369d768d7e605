//! Verifying: compares what a commit holds with what its records say it should hold.
//!
//! Like the writer it reads without a mask, so it is for the write side alone: no search, answer or message to a caller may
//! come from here, and the read side never names it. It changes nothing, and knows not how pages are cut: whoever asks
//! compares the passages of each page with those that they should be.
//!
//! Invariants: what is reported names ids and files, never text; memory is that of one page, and eight bytes a document.

mod documents;
mod files;
mod terms;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use access::{PageOrdinal, WorkspaceNumber};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::record::PageRecord;
use tantivy::{DocAddress, DocId};

use crate::error::IndexError;
use crate::fields::{Fields, NO_PAGE, page_key};
use crate::generation::Description;
use crate::open::{Index, Snapshot};
use crate::passages::Passage;
use crate::records::PageHead;
use crate::vectors::StoredVector;
pub(crate) use files::{first_damaged, state_of};
use terms::TermDigests;

/// One way in which what is stored is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is wrong.
    pub kind: Kind,
    /// Where.
    pub place: Place,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A file does not hold what was written.
    FileDamaged,
    /// A file is not there.
    FileMissing,
    /// A record or its head cannot be read.
    RecordUnreadable,
    /// Two live records have one identity.
    RecordTwice,
    /// Two pages have one number.
    OrdinalTwice,
    /// What is kept in memory of a record does not follow from it, other than its access.
    Head,
    /// Who may read the page, or who is in the group, does not follow from the record.
    Access,
    /// The counts kept of a page are not those of its passages.
    Counts,
    /// A passage cannot be read, or is not on the page more.
    Passages,
    /// A vector is of another model, of another size, or not of unit length.
    Vector,
    /// What a document is found by (its page, its workspace, the hash of its text, its blocks) is not what it says.
    Keys,
    /// The words under which a passage is found are not those of its text.
    Words,
    /// There are passages of a page that has no record.
    Orphans,
    /// There are records or passages of a workspace that has no record.
    WorkspaceUnknown,
    /// A workspace was erased, and something of it is still there.
    ErasedNotEmpty,
}

impl Kind {
    /// A short name for tables and machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::FileDamaged => "file_damaged",
            Self::FileMissing => "file_missing",
            Self::RecordUnreadable => "record_unreadable",
            Self::RecordTwice => "record_twice",
            Self::OrdinalTwice => "ordinal_twice",
            Self::Head => "head",
            Self::Access => "access",
            Self::Counts => "counts",
            Self::Passages => "passages",
            Self::Vector => "vector",
            Self::Keys => "keys",
            Self::Words => "words",
            Self::Orphans => "orphans",
            Self::WorkspaceUnknown => "workspace_unknown",
            Self::ErasedNotEmpty => "erased_not_empty",
        }
    }

    /// True when the records say enough to set it right.
    pub fn is_repairable(self) -> bool {
        !matches!(self, Self::FileDamaged | Self::FileMissing | Self::RecordUnreadable | Self::WorkspaceUnknown)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileDamaged => "the file does not hold what was written",
            Self::FileMissing => "the file is missing",
            Self::RecordUnreadable => "the record cannot be read",
            Self::RecordTwice => "there are two live records of it",
            Self::OrdinalTwice => "another page has its number",
            Self::Head => "what is kept in memory does not follow from the record",
            Self::Access => "its access does not follow from the record",
            Self::Counts => "the counts of its passages are wrong",
            Self::Passages => "its passages are not those of its record",
            Self::Vector => "a vector is not one of the model",
            Self::Keys => "it is not found by what it is",
            Self::Words => "it is not found by its words",
            Self::Orphans => "passages without a record",
            Self::WorkspaceUnknown => "records without that of their workspace",
            Self::ErasedNotEmpty => "it was erased, and something of it is left",
        })
    }
}

/// A workspace as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its number in this index.
    pub number: WorkspaceNumber,
    /// Its id; none when its record is gone.
    pub id: Option<WorkspaceId>,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, by its path.
    File(PathBuf),
    /// A workspace.
    Workspace(Tenant),
    /// A group.
    Group(Tenant, GroupId),
    /// A person.
    Member(Tenant, UserId),
    /// A page, by its number, and by its id if that is known.
    Page(Tenant, PageOrdinal, Option<PageId>),
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{id}"),
            None => write!(f, "#{}", self.number),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Workspace(tenant) => write!(f, "workspace {tenant}"),
            Self::Group(tenant, id) => write!(f, "workspace {tenant}, group {id}"),
            Self::Member(tenant, id) => write!(f, "workspace {tenant}, member {id}"),
            Self::Page(tenant, _, Some(id)) => write!(f, "workspace {tenant}, page {id}"),
            Self::Page(tenant, ordinal, None) => write!(f, "workspace {tenant}, page number {}", ordinal.0),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)
    }
}

/// A page as it is stored.
#[derive(Debug)]
pub struct StoredPage {
    /// Its workspace.
    pub tenant: Tenant,
    /// What is kept of it in memory.
    pub head: PageHead,
    /// Its record.
    pub record: PageRecord,
    /// True when another live record of the same page was written later.
    pub is_superseded: bool,
    /// Its passages that can be read, by their number.
    pub passages: Vec<StoredPassage>,
}

impl StoredPage {
    /// Where it is.
    pub fn place(&self) -> Place {
        Place::Page(self.tenant.clone(), self.head.ordinal, Some(self.head.page.clone()))
    }
}

/// A passage as it is stored.
#[derive(Debug)]
pub struct StoredPassage {
    /// The passage.
    pub passage: Passage,
    /// Its vector.
    pub vector: Option<StoredVector>,
    at: DocAddress,
}

/// What an audit comes across.
#[derive(Debug)]
pub enum Found {
    /// A page whose record can be read, with what is wrong with it, each once.
    Page(Box<StoredPage>, Vec<Kind>),
    /// Something else that is wrong.
    Difference(Difference),
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workspaces, erased ones included.
    pub workspaces: u64,
    /// Records of groups.
    pub groups: u64,
    /// Records of people.
    pub members: u64,
    /// Records of pages, deleted ones included.
    pub pages: u64,
    /// Passages.
    pub passages: u64,
    /// Vectors.
    pub vectors: u64,
    /// Numbers that no page has although higher ones do: pages whose first commit never came leave them. They do no harm.
    pub free_ordinals: u64,
}

/// Reads one commit of an index, without a mask.
pub struct Auditor {
    description: Description,
    fields: Fields,
    snapshot: Arc<Snapshot>,
    shard: PathBuf,
}

impl fmt::Debug for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auditor").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl Auditor {
    /// Looks at the commit that the index took in last; later ones are not seen, whoever makes them.
    pub fn new(index: &Index) -> Self {
        let generation = index.generation();
        let (description, fields) = (generation.description(), generation.fields);
        Self { description, fields, snapshot: generation.snapshot(), shard: index.dir().to_owned() }
    }

    /// What the generation says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Compares every file of the generation with its checksum.
    pub fn files(&self, report: &mut dyn FnMut(Difference)) -> Result<(), IndexError> {
        files::check(&self.shard, self.description.number, &self.snapshot, report)
    }

    /// How many records of pages there are.
    pub fn page_records(&self) -> u64 {
        let count = |segment: usize| {
            let pages = &self.snapshot.segments[segment].pages;
            let docs = live_docs_of(&self.snapshot, segment);
            docs.filter(|(doc, key)| is_of_page(*key) && pages.is_record(*doc)).count() as u64
        };
        (0..self.snapshot.segments.len()).map(count).sum()
    }

    /// Goes through all documents: the records of workspaces, groups and people, then the pages with their passages, then what
    /// belongs to none of them. `deep` compares also the words under which each passage is found with its text analysed anew.
    ///
    /// Cost: reads everything once; `deep` adds the analysis of all text.
    pub fn audit(
        &self,
        deep: bool,
        found: &mut dyn FnMut(Found) -> Result<(), IndexError>,
    ) -> Result<Counts, IndexError> {
        let digests = TermDigests::read(&self.snapshot, self.fields, deep)?;
        let mut audit = documents::Audit::new(&self.snapshot, self.fields, digests);
        audit.directory(found)?;
        audit.pages(found)?;
        audit.rest(found)?;
        Ok(audit.counts)
    }
}

/// The live documents of a segment with their page keys.
fn live_docs_of(snapshot: &Snapshot, segment: usize) -> impl Iterator<Item = (DocId, u64)> + '_ {
    let pages = &snapshot.segments[segment].pages;
    let docs = snapshot.engine.segment_reader(segment as u32).doc_ids_alive();
    docs.map(|doc| (doc, page_key(pages.workspace_of(doc), pages.page_of(doc).0)))
}

fn is_of_page(key: u64) -> bool {
    key as u32 != NO_PAGE
}
