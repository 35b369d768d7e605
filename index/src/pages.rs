//! The pages of a segment: which page each document belongs to, and which documents a page has.
//!
//! Kept in memory for every segment. The documents of a page that were written together lie side by side, and merging
//! leaves them so: they are one *run*. A run costs 8 bytes and a document 4 and a bit, so that nothing is kept per document
//! that can be kept per page. Deleted documents are still among those of their page; who asks looks at that.

use std::ops::Range;

use access::{PageOrdinal, WorkspaceNumber};
use tantivy::{DocId, SegmentReader};

use crate::error::{Doing, IndexError};

/// Documents whose columns are read at a time when a segment is opened.
const DOCS_READ: usize = 1 << 16;

/// The pages of one segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages {
    /// The run of each document.
    run_of: Vec<u32>,
    /// Runs in the order of workspaces, pages and documents.
    runs: Vec<Run>,
    /// Each workspace and the end of its runs, ascending.
    workspaces: Vec<(WorkspaceNumber, u32)>,
    /// One bit for each document: whether it is a record.
    records: Vec<u64>,
    /// One bit for each document: whether it is a title.
    titles: Vec<u64>,
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocKind {
    /// A passage that was cut from a page.
    Passage,
    /// The title of a page, as a text of its own.
    Title,
    /// The record of a page, or of something without one.
    Record,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    page: PageOrdinal,
    first: DocId,
}

impl Pages {
    /// Reads the pages of a segment from its columns.
    pub(crate) fn read(segment: &SegmentReader) -> Result<Self, IndexError> {
        let keys = segment.fast_fields().column_first_or_default::<u64>("page");
        let keys = keys.doing("read the pages of a segment")?;
        let heads = segment.fast_fields().bytes("head").doing("read the heads of a segment")?;
        // Older formats know no commits of documents, and have no titles.
        let written = match segment.schema().get_field("written") {
            Ok(_) => Some(segment.fast_fields().u64("written").doing("read the commits of a segment")?),
            Err(_) => None,
        };
        let mut builder = Builder::default();
        let mut read = vec![0; DOCS_READ.min(segment.max_doc() as usize)];
        for start in (0..segment.max_doc()).step_by(DOCS_READ) {
            let len = read.len().min((segment.max_doc() - start) as usize);
            keys.get_range(u64::from(start), &mut read[..len]);
            for (doc, key) in (start..).zip(&read[..len]) {
                let kind = if heads.as_ref().is_some_and(|heads| heads.ords().index.has_value(doc)) {
                    DocKind::Record
                } else if written.as_ref().is_some_and(|written| written.index.has_value(doc)) {
                    DocKind::Title
                } else {
                    DocKind::Passage
                };
                builder.push(*key, kind);
            }
        }
        Ok(builder.finish())
    }

    /// Number of documents, deleted ones included.
    pub(crate) fn docs_len(&self) -> usize {
        self.run_of.len()
    }

    /// Number of runs.
    pub(crate) fn runs_len(&self) -> usize {
        self.runs.len()
    }

    /// The workspace of a document. Not for a loop over documents: searches a list of workspaces.
    pub(crate) fn workspace_of(&self, doc: DocId) -> WorkspaceNumber {
        let run = self.run_of(doc);
        self.workspaces[self.workspaces.partition_point(|(_, end)| *end <= run)].0
    }

    /// The page of a document; that of records without a page is [`crate::fields::NO_PAGE`].
    pub(crate) fn page_of(&self, doc: DocId) -> PageOrdinal {
        self.page_of_run(self.run_of(doc))
    }

    /// Whether a document is a record, and no passage.
    pub(crate) fn is_record(&self, doc: DocId) -> bool {
        bit(&self.records, doc)
    }

    /// What a document is.
    pub(crate) fn kind_of(&self, doc: DocId) -> DocKind {
        if bit(&self.records, doc) {
            DocKind::Record
        } else if bit(&self.titles, doc) {
            DocKind::Title
        } else {
            DocKind::Passage
        }
    }

    /// Every page that has a document, with its workspace; a page may come more than once.
    pub(crate) fn all(&self) -> impl Iterator<Item = (WorkspaceNumber, PageOrdinal)> {
        let starts = std::iter::once(0).chain(self.workspaces.iter().map(|(_, end)| *end));
        self.workspaces.iter().zip(starts).flat_map(|((workspace, end), start)| {
            self.runs[start as usize..*end as usize].iter().map(|run| (*workspace, run.page))
        })
    }

    /// The documents of a page.
    pub(crate) fn docs_of(&self, workspace: WorkspaceNumber, page: PageOrdinal) -> impl Iterator<Item = DocId> {
        let runs = self.runs_of(workspace);
        let start = runs.start + self.slice(&runs).partition_point(|run| run.page < page) as u32;
        (start..runs.end).take_while(move |run| self.page_of_run(*run) == page).flat_map(|run| self.docs_of_run(run))
    }

    /// The runs of a workspace.
    pub(crate) fn runs_of(&self, workspace: WorkspaceNumber) -> Range<u32> {
        match self.workspaces.binary_search_by_key(&workspace, |(number, _)| *number) {
            Ok(at) => at.checked_sub(1).map_or(0, |before| self.workspaces[before].1)..self.workspaces[at].1,
            Err(_) => 0..0,
        }
    }

    /// The run of a document.
    #[inline]
    pub(crate) fn run_of(&self, doc: DocId) -> u32 {
        self.run_of[doc as usize]
    }

    /// The page of a run.
    #[inline]
    pub(crate) fn page_of_run(&self, run: u32) -> PageOrdinal {
        self.runs[run as usize].page
    }

    /// The documents of a run, side by side.
    pub(crate) fn docs_of_run(&self, run: u32) -> Range<DocId> {
        let first = self.runs[run as usize].first;
        let len = self.run_of[first as usize..].iter().take_while(|of| **of == run).count();
        first..first + len as DocId
    }

    fn slice(&self, runs: &Range<u32>) -> &[Run] {
        &self.runs[runs.start as usize..runs.end as usize]
    }
}

#[inline]
fn bit(words: &[u64], number: u32) -> bool {
    words[(number / 64) as usize] >> (number % 64) & 1 == 1
}

/// Takes in the page keys of documents, in their order.
#[derive(Default)]
struct Builder {
    run_of: Vec<u32>,
    /// Page key and first document of each run, in the order of documents.
    runs: Vec<(u64, DocId)>,
    records: Vec<u64>,
    titles: Vec<u64>,
}

impl Builder {
    fn push(&mut self, key: u64, kind: DocKind) {
        let doc = self.run_of.len();
        if self.runs.last().is_none_or(|(last, _)| *last != key) {
            self.runs.push((key, doc as DocId));
        }
        self.run_of.push(self.runs.len() as u32 - 1);
        if doc.is_multiple_of(64) {
            self.records.push(0);
            self.titles.push(0);
        }
        self.records[doc / 64] |= u64::from(kind == DocKind::Record) << (doc % 64);
        self.titles[doc / 64] |= u64::from(kind == DocKind::Title) << (doc % 64);
    }

    /// Brings the runs into their order.
    fn finish(mut self) -> Pages {
        let mut order: Vec<u32> = (0..self.runs.len() as u32).collect();
        order.sort_unstable_by_key(|run| self.runs[*run as usize]);
        let mut place_of = vec![0; order.len()];
        for (place, run) in (0..).zip(&order) {
            place_of[*run as usize] = place;
        }
        self.run_of.iter_mut().for_each(|run| *run = place_of[*run as usize]);
        let mut workspaces: Vec<(WorkspaceNumber, u32)> = Vec::new();
        let mut runs = Vec::with_capacity(order.len());
        for run in order {
            let (key, first) = self.runs[run as usize];
            let workspace = (key >> 32) as WorkspaceNumber;
            runs.push(Run { page: PageOrdinal(key as u32), first });
            match workspaces.last_mut() {
                Some((last, end)) if *last == workspace => *end += 1,
                _ => workspaces.push((workspace, runs.len() as u32)),
            }
        }
        self.run_of.shrink_to_fit();
        self.records.shrink_to_fit();
        self.titles.shrink_to_fit();
        Pages { run_of: self.run_of, runs, workspaces, records: self.records, titles: self.titles }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fields::page_key;

    fn pages(docs: &[(u64, DocKind)]) -> Pages {
        let mut builder = Builder::default();
        for (key, kind) in docs {
            builder.push(*key, *kind);
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn a_document_and_its_page_find_each_other(
            drawn in prop::collection::vec((0..3_u32, 0..6_u32, 1..4_usize, 0..3_usize), 0..40),
        ) {
            let kinds = [DocKind::Passage, DocKind::Title, DocKind::Record];
            let side_by_side = |(workspace, page, len, kind): &(u32, u32, usize, usize)| {
                vec![(page_key(*workspace, *page), kinds[*kind]); *len]
            };
            let docs: Vec<(u64, DocKind)> = drawn.iter().flat_map(side_by_side).collect();
            let pages = pages(&docs);
            prop_assert_eq!(pages.docs_len(), docs.len());
            for (doc, (key, kind)) in (0..).zip(&docs) {
                prop_assert_eq!(page_key(pages.workspace_of(doc), pages.page_of(doc).0), *key);
                prop_assert_eq!(pages.kind_of(doc), *kind);
                prop_assert_eq!(pages.is_record(doc), *kind == DocKind::Record);
                prop_assert!(pages.runs_of(pages.workspace_of(doc)).contains(&pages.run_of(doc)));
            }
            for workspace in 0..4 {
                for page in 0..7 {
                    let key = page_key(workspace, page);
                    let expected: Vec<DocId> = (0..).zip(&docs).filter(|(_, (of, _))| *of == key).map(|(doc, _)| doc).collect();
                    let found: Vec<DocId> = pages.docs_of(workspace, PageOrdinal(page)).collect();
                    prop_assert_eq!(found, expected, "seed is printed by proptest");
                }
            }
            let mut all: Vec<u64> = pages.all().map(|(workspace, page)| page_key(workspace, page.0)).collect();
            let mut expected: Vec<u64> = docs.iter().map(|(key, _)| *key).collect();
            all.dedup();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(all, expected);
        }
    }
}
