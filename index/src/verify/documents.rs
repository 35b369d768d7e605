//! Going through the documents of a commit: records first, then pages with their passages, then what belongs to none.

use std::collections::BTreeMap;
use std::iter::once;

use access::{PageOrdinal, WorkspaceNumber};
use roaring::RoaringTreemap;
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::de::DeserializeOwned;
use tantivy::columnar::{BytesColumn, Column as NumberColumn};
use tantivy::{DocAddress, DocId, TantivyError};

use super::terms::TermDigests;
use super::{Counts, Difference, Found, Kind, Place, StoredPage, StoredPassage, Tenant, is_of_page, live_docs_of};
use crate::analysis::Tokens;
use crate::commit::{live_docs, stored_passage, stored_record};
use crate::documents::properties_text;
use crate::error::{Doing, IndexError};
use crate::fields::{
    Fields, NO_PAGE, block_key, group_key, hash_key, member_key, page_key, page_record_key, workspace_key,
};
use crate::open::Snapshot;
use crate::passages::PassageWrite;
use crate::records::{Head, PageHead};
use crate::vectors::StoredVector;

/// The columns of a segment that records have.
pub(super) struct Column {
    heads: Option<BytesColumn>,
    written: NumberColumn<u64>,
}

impl Column {
    pub(super) fn of(snapshot: &Snapshot, segment: usize) -> Result<Self, IndexError> {
        let fast = snapshot.engine.segment_reader(segment as u32).fast_fields();
        let heads = fast.bytes("head").doing("read the heads of a segment")?;
        let written = fast.u64("written").doing("read the commits of a segment")?;
        Ok(Self { heads, written })
    }

    /// The head of a record; `None` when it cannot be read.
    fn head(&self, doc: DocId) -> Result<Option<Head>, IndexError> {
        let Some(heads) = &self.heads else { return Ok(None) };
        let (mut json, mut piece) = (Vec::new(), Vec::new());
        for ord in heads.term_ords(doc) {
            let read = heads.dictionary().ord_to_term(ord, &mut piece);
            read.map_err(TantivyError::from).doing("read a head")?;
            json.append(&mut piece);
        }
        Ok(serde_json::from_slice(&json).ok())
    }
}

type Report<'a> = &'a mut dyn FnMut(Found) -> Result<(), IndexError>;

/// One pass over the documents.
pub(super) struct Audit<'a> {
    snapshot: &'a Snapshot,
    fields: Fields,
    digests: TermDigests,
    tokens: Tokens,
    /// The workspaces that have a record, and whether they were erased.
    tenants: BTreeMap<WorkspaceNumber, (Tenant, bool)>,
    /// Keys of pages that have a record.
    recorded: RoaringTreemap,
    pub(super) counts: Counts,
}

impl<'a> Audit<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, fields: Fields, digests: TermDigests) -> Self {
        Self {
            snapshot,
            fields,
            digests,
            tokens: Tokens::new(),
            tenants: BTreeMap::new(),
            recorded: RoaringTreemap::new(),
            counts: Counts::default(),
        }
    }

    /// The records of workspaces, then those of groups and people.
    pub(super) fn directory(&mut self, found: Report<'_>) -> Result<(), IndexError> {
        for are_workspaces in [true, false] {
            for segment in 0..self.snapshot.segments.len() {
                let column = Column::of(self.snapshot, segment)?;
                for (doc, key) in live_docs_of(self.snapshot, segment).filter(|(_, key)| !is_of_page(*key)) {
                    let number = (key >> 32) as WorkspaceNumber;
                    let at = DocAddress::new(segment as u32, doc);
                    match column.head(doc)? {
                        Some(Head::Workspace { workspace, erased }) if are_workspaces => {
                            let tenant = Tenant { number, id: Some(workspace) };
                            self.workspace(at, &tenant, erased, found)?;
                        }
                        Some(head @ (Head::Group { .. } | Head::Member { .. })) if !are_workspaces => {
                            self.group_or_member(at, number, &head, found)?;
                        }
                        Some(Head::Page(_)) | None if are_workspaces => {
                            report(found, Kind::RecordUnreadable, Place::Workspace(Tenant { number, id: None }))?;
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn workspace(
        &mut self,
        at: DocAddress,
        tenant: &Tenant,
        erased: bool,
        found: Report<'_>,
    ) -> Result<(), IndexError> {
        self.counts.workspaces += 1;
        let place = || Place::Workspace(tenant.clone());
        if self.tenants.insert(tenant.number, (tenant.clone(), erased)).is_some() {
            report(found, Kind::RecordTwice, place())?;
        }
        if !self.digests.has_keys(at, page_key(tenant.number, NO_PAGE), once(workspace_key(tenant.number))) {
            report(found, Kind::Keys, place())?;
        }
        Ok(())
    }

    fn group_or_member(
        &mut self,
        at: DocAddress,
        number: WorkspaceNumber,
        head: &Head,
        found: Report<'_>,
    ) -> Result<(), IndexError> {
        let Some((tenant, false)) = self.tenants.get(&number) else { return Ok(()) };
        let (place, key, expected) = match head {
            Head::Group { group, .. } => {
                self.counts.groups += 1;
                let record: Option<GroupRecord> = self.record(at);
                let expected = record.map(|record| Head::group(group, &record));
                (Place::Group(tenant.clone(), group.clone()), group_key(number, group), expected)
            }
            Head::Member { user, .. } => {
                self.counts.members += 1;
                let record: Option<MemberRecord> = self.record(at);
                let expected = record.map(|record| Head::member(user, &record));
                (Place::Member(tenant.clone(), user.clone()), member_key(number, user), expected)
            }
            _ => return Ok(()),
        };
        let Some(expected) = expected else { return report(found, Kind::RecordUnreadable, place) };
        if json(&expected) != json(head) {
            report(found, Kind::Access, place.clone())?;
        }
        if live_docs(self.snapshot, &self.fields.key_term(&key), 2)?.len() > 1 {
            report(found, Kind::RecordTwice, place.clone())?;
        }
        if !self.digests.has_keys(at, page_key(number, NO_PAGE), once(key)) {
            report(found, Kind::Keys, place)?;
        }
        Ok(())
    }

    /// The records of pages in the order in which they are stored, each with its passages.
    pub(super) fn pages(&mut self, found: Report<'_>) -> Result<(), IndexError> {
        for segment in 0..self.snapshot.segments.len() {
            let column = Column::of(self.snapshot, segment)?;
            for (doc, key) in live_docs_of(self.snapshot, segment) {
                if is_of_page(key) && self.snapshot.segments[segment].pages.is_record(doc) {
                    self.page(DocAddress::new(segment as u32, doc), key, &column, found)?;
                }
            }
        }
        Ok(())
    }

    fn page(&mut self, at: DocAddress, key: u64, column: &Column, found: Report<'_>) -> Result<(), IndexError> {
        let (number, ordinal) = ((key >> 32) as WorkspaceNumber, PageOrdinal(key as u32));
        let is_first = self.recorded.insert(key);
        let Some((tenant, false)) = self.tenants.get(&number).cloned() else { return Ok(()) };
        self.counts.pages += 1;
        let Some(Head::Page(head)) = column.head(at.doc_id)? else {
            return report(found, Kind::RecordUnreadable, Place::Page(tenant, ordinal, None));
        };
        let place = Place::Page(tenant.clone(), ordinal, Some(head.page.clone()));
        let Some(record) = self.record::<PageRecord>(at) else {
            return report(found, Kind::RecordUnreadable, place);
        };
        let mut kinds = Vec::new();
        let mut wrong = |kind: Kind, is_wrong: bool| {
            if is_wrong && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        };
        let own_key = page_record_key(number, &head.page);
        let of_same_page = live_docs(self.snapshot, &self.fields.key_term(&own_key), usize::MAX)?;
        let of_same_number = live_docs(self.snapshot, &self.fields.page_term(number, ordinal), usize::MAX)?;
        wrong(Kind::RecordTwice, of_same_page.len() > 1);
        wrong(Kind::Keys, !of_same_page.contains(&at) || !of_same_number.contains(&at));
        wrong(Kind::OrdinalTwice, !is_first && of_same_page.len() < 2);
        let is_superseded = of_same_page.len() > 1 && self.latest(&of_same_page)? != Some(at);
        let mut stored = StoredPage { tenant, head: *head, record, is_superseded, passages: Vec::new() };
        let blocks = stored.record.blocks.keys().map(|block| block_key(number, block));
        wrong(Kind::Keys, !self.digests.has_keys(at, key, once(own_key).chain(blocks)));
        for at in of_same_number {
            let pages = &self.snapshot.segments[at.segment_ord as usize].pages;
            if (pages.workspace_of(at.doc_id), pages.page_of(at.doc_id)) != (number, ordinal) {
                wrong(Kind::Keys, true);
            } else if let Ok(Some(passage)) = stored_passage(self.snapshot, self.fields, at) {
                let vector = self.snapshot.vectors[at.segment_ord as usize].vector_of(at.doc_id);
                wrong(Kind::Vector, vector.as_ref().is_some_and(|vector| !self.is_sound(vector)));
                stored.passages.push(StoredPassage { passage, vector, at });
            } else if !pages.is_record(at.doc_id) {
                wrong(Kind::Passages, true);
            }
        }
        stored.passages.sort_by_key(|stored| stored.passage.number);
        let cut = stored.passages.iter().filter(|stored| !stored.passage.is_title());
        let are_numbered = cut.zip(0..).all(|(stored, number)| stored.passage.number == number);
        let titles = stored.passages.iter().filter(|stored| stored.passage.is_title()).count();
        wrong(Kind::Passages, titles > 1);
        wrong(Kind::Passages, !are_numbered);
        self.counts.passages += stored.passages.len() as u64;
        self.counts.vectors += stored.passages.iter().filter(|stored| stored.vector.is_some()).count() as u64;

        let tokens = self.compare_terms(&stored, &mut wrong)?;
        let expected = expected_head(&stored, tokens);
        let has_access = expected.access_change() == stored.head.access_change();
        wrong(Kind::Access, !has_access);
        wrong(Kind::Head, has_access && with_counts_of(&expected, &stored.head) != stored.head);
        wrong(Kind::Counts, with_counts_of(&stored.head, &expected) != stored.head);
        found(Found::Page(Box::new(stored), kinds))
    }

    /// Compares what the passages of a page are found by with what they say; gives the number of their tokens if words are
    /// compared.
    fn compare_terms(
        &mut self,
        page: &StoredPage,
        wrong: &mut impl FnMut(Kind, bool),
    ) -> Result<Option<u64>, IndexError> {
        let number = page.tenant.number;
        let key = page_key(number, page.head.ordinal.0);
        for stored in &page.passages {
            let hash = once(hash_key(number, &stored.passage.hash()));
            wrong(Kind::Keys, !self.digests.has_keys(stored.at, key, hash));
        }
        if !self.digests.with_words() {
            return Ok(None);
        }
        let properties = properties_text(&page.record);
        let head = expected_head(page, None);
        let mut counted = 0;
        for stored in &page.passages {
            let write = PassageWrite { passage: stored.passage.clone(), vector: None };
            let (document, tokens) =
                self.fields.passage_document(&mut self.tokens, number, &head, &properties, &write)?;
            counted += tokens;
            wrong(Kind::Words, !self.digests.has_words(self.snapshot, stored.at, &document));
        }
        Ok(Some(counted))
    }

    /// What has no record above it.
    pub(super) fn rest(&mut self, found: Report<'_>) -> Result<(), IndexError> {
        let mut orphans = RoaringTreemap::new();
        let mut unknown = RoaringTreemap::new();
        let mut erased = RoaringTreemap::new();
        for segment in 0..self.snapshot.segments.len() {
            let column = Column::of(self.snapshot, segment)?;
            for (doc, key) in live_docs_of(self.snapshot, segment) {
                let number = (key >> 32) as WorkspaceNumber;
                match self.tenants.get(&number) {
                    None => _ = unknown.insert(u64::from(number)),
                    Some((_, true)) if is_of_page(key) || !is_workspace(&column, doc)? => {
                        erased.insert(u64::from(number));
                    }
                    Some((_, false)) if is_of_page(key) && !self.recorded.contains(key) => _ = orphans.insert(key),
                    Some(_) => {}
                }
            }
        }
        for number in unknown {
            let tenant = Tenant { number: number as WorkspaceNumber, id: None };
            report(found, Kind::WorkspaceUnknown, Place::Workspace(tenant))?;
        }
        for number in erased {
            let (tenant, _) = self.tenants[&(number as WorkspaceNumber)].clone();
            report(found, Kind::ErasedNotEmpty, Place::Workspace(tenant))?;
        }
        for key in orphans {
            let (tenant, _) = self.tenants[&((key >> 32) as WorkspaceNumber)].clone();
            report(found, Kind::Orphans, Place::Page(tenant, PageOrdinal(key as u32), None))?;
        }
        // The upper half of a page's key is its workspace, so there is one bitmap for each.
        for (_, used) in self.recorded.bitmaps() {
            self.counts.free_ordinals += used.max().map_or(0, |highest| u64::from(highest) + 1) - used.len();
        }
        Ok(())
    }

    /// A record; `None` when it cannot be read.
    fn record<T: DeserializeOwned>(&self, at: DocAddress) -> Option<T> {
        stored_record(self.snapshot, self.fields, at, "record").ok().flatten()
    }

    /// The record that was written last.
    fn latest(&self, records: &[DocAddress]) -> Result<Option<DocAddress>, IndexError> {
        let mut latest = None;
        for at in records {
            let written = Column::of(self.snapshot, at.segment_ord as usize)?.written.first(at.doc_id);
            latest = latest.max(Some((written, *at)));
        }
        Ok(latest.map(|(_, at)| at))
    }

    /// Whether a vector has the size of this index and unit length.
    fn is_sound(&self, vector: &StoredVector) -> bool {
        vector.dimensions() == self.fields.vector.dimensions()
            && StoredVector::from_bytes(vector.as_bytes().to_vec()).is_ok()
    }
}

fn report(found: Report<'_>, kind: Kind, place: Place) -> Result<(), IndexError> {
    found(Found::Difference(Difference { kind, place }))
}

fn json(head: &Head) -> Vec<u8> {
    serde_json::to_vec(head).expect("heads have text keys and finite numbers")
}

/// True for the record of a workspace itself.
fn is_workspace(column: &Column, doc: DocId) -> Result<bool, IndexError> {
    Ok(matches!(column.head(doc)?, Some(Head::Workspace { .. })))
}

/// The head that a page should have by its record and its stored passages. Tokens that were not counted are taken to be right.
fn expected_head(page: &StoredPage, tokens: Option<u64>) -> PageHead {
    let mut head = PageHead::of(&page.head.page, page.head.ordinal, &page.record);
    let count =
        |is_counted: &dyn Fn(&StoredPassage) -> bool| page.passages.iter().filter(|at| is_counted(at)).count() as u32;
    head.passages = count(&|stored| !stored.passage.is_title());
    head.embeddable = count(&|stored| stored.passage.has_text());
    head.vectors = count(&|stored| stored.vector.is_some());
    head.languages = page.passages.iter().fold(0, |seen, stored| seen | 1 << stored.passage.language.code());
    head.tokens = tokens.unwrap_or(page.head.tokens);
    head
}

fn with_counts_of(head: &PageHead, other: &PageHead) -> PageHead {
    let mut head = head.clone();
    head.keep_counts(other);
    head
}
