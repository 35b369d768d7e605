//! Repairing: what differs is written anew from its record.
//!
//! It decides nothing about what is right: the record is. What has no record, or one that cannot be read, is not made up.
//! Vectors are kept where they are sound, of the model, and of a text that the page still has; the embedder makes the others.

use std::collections::HashMap;

use access::{PageOrdinal, WorkspaceNumber};
use index::passages::PassageWrite;
use index::records::PageHead;
use index::vectors::StoredVector;
use index::verify::{Difference, Kind, Place, StoredPage};
use index::{CommitPayload, Index, IndexError, Writer};

use super::Standard;

/// Pages written anew between two commits.
const COMMIT_PAGES: usize = 2_000;

pub(super) struct Repair<'a> {
    index: &'a Index,
    writer: Writer,
    standard: &'a Standard,
    payload: CommitPayload,
    uncommitted: usize,
    /// The next free number in each workspace where one was given.
    free_ordinals: HashMap<WorkspaceNumber, PageOrdinal>,
}

impl<'a> Repair<'a> {
    /// Takes the lock of the index.
    pub(super) fn begin(index: &'a Index, standard: &'a Standard) -> Result<Self, IndexError> {
        Ok(Self {
            index,
            writer: index.writer()?,
            standard,
            payload: index.payload(),
            uncommitted: 0,
            free_ordinals: HashMap::new(),
        })
    }

    /// Writes a page anew, under a number of its own. Of several records of a page, the one written last is kept.
    pub(super) fn page(&mut self, page: &StoredPage, kinds: &[Kind]) -> Result<bool, IndexError> {
        if page.is_superseded {
            return Ok(true);
        }
        let number = page.tenant.number;
        let mut head = PageHead::of(&page.head.page, page.head.ordinal, &page.record);
        if kinds.contains(&Kind::OrdinalTwice) {
            head.ordinal = self.free_ordinal(number);
        }
        if kinds.contains(&Kind::OrdinalTwice) || kinds.contains(&Kind::RecordTwice) {
            self.writer.remove_page_records(number, &head.page)?;
        }
        let is_sound = |vector: &StoredVector| {
            Some(vector.model()) == self.standard.tag && StoredVector::from_bytes(vector.as_bytes().to_vec()).is_ok()
        };
        let known = page.passages.iter().filter_map(|stored| {
            let vector = stored.vector.as_ref().filter(|vector| is_sound(vector))?;
            Some((stored.passage.hash(), vector))
        });
        let known: HashMap<_, _> = known.collect();
        let passages = self.standard.cutting.passages(&head.page, &page.record);
        let writes = passages.into_iter().map(|passage| {
            let vector = known.get(&passage.hash()).filter(|_| passage.has_text());
            PassageWrite { vector: vector.map(|vector| (*vector).clone()), passage }
        });
        let writes: Vec<PassageWrite> = writes.collect();
        self.writer.put_page(number, &head, &page.record, &writes)?;
        self.wrote()?;
        Ok(true)
    }

    /// Sets right what is not of a page with a record. False when that cannot be done from records.
    pub(super) fn other(&mut self, difference: &Difference) -> Result<bool, IndexError> {
        if !difference.kind.is_repairable() {
            return Ok(false);
        }
        match &difference.place {
            Place::Group(tenant, id) => {
                let Some(record) = self.writer.group_record(tenant.number, id)? else { return Ok(false) };
                self.writer.put_group(tenant.number, id, &record)?;
            }
            Place::Member(tenant, id) => {
                let Some(record) = self.writer.member_record(tenant.number, id)? else { return Ok(false) };
                self.writer.put_member(tenant.number, id, &record)?;
            }
            Place::Page(tenant, ordinal, _) => self.writer.remove_page(tenant.number, *ordinal)?,
            Place::Workspace(tenant) if difference.kind == Kind::ErasedNotEmpty => {
                self.writer.erase_workspace(tenant.number)?;
            }
            Place::Workspace(_) | Place::File(_) => return Ok(false),
        }
        self.wrote()?;
        Ok(true)
    }

    /// A number that no page of the workspace has.
    fn free_ordinal(&mut self, number: WorkspaceNumber) -> PageOrdinal {
        let known = self.index.catalog().numbered(number);
        let next = self
            .free_ordinals
            .entry(number)
            .or_insert_with(|| known.map_or(PageOrdinal(0), |workspace| workspace.read().access.next_ordinal()));
        let free = *next;
        next.0 += 1;
        free
    }

    fn wrote(&mut self) -> Result<(), IndexError> {
        self.uncommitted += 1;
        if self.uncommitted >= COMMIT_PAGES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), IndexError> {
        self.payload.index_seq += 1;
        self.uncommitted = 0;
        self.writer.commit(&self.payload)
    }

    /// Commits what is left and takes it in.
    pub(super) fn finish(mut self) -> Result<(), IndexError> {
        if self.uncommitted > 0 {
            self.commit()?;
        }
        self.index.reload()
    }
}
