//! What a mask allows of one segment: asked of a document, or listed.

use std::ops::Range;

use access::{Mask, PageOrdinal};
use tantivy::{DocId, DocSet, TERMINATED};

use crate::pages::Pages;

/// The decision of a mask for the documents of one segment. Deleted documents are not told apart.
#[derive(Clone)]
pub(super) struct Allowed<'a> {
    pages: &'a Pages,
    /// The runs of the mask's workspace.
    runs: Range<u32>,
    mask: &'a Mask,
}

impl<'a> Allowed<'a> {
    pub(super) fn new(pages: &'a Pages, mask: &'a Mask) -> Self {
        Self { pages, runs: pages.runs_of(mask.workspace_number()), mask }
    }

    /// Whether a document may be found: its run is one of the workspace, and its page is allowed.
    #[inline]
    pub(super) fn allows(&self, doc: DocId) -> bool {
        let run = self.pages.run_of(doc);
        self.runs.contains(&run) && self.mask.allows(self.pages.page_of_run(run))
    }

    /// The page of a document.
    pub(super) fn page_of(&self, doc: DocId) -> PageOrdinal {
        self.pages.page_of(doc)
    }

    /// How many runs of documents the workspace has in this segment.
    pub(super) fn runs_len(&self) -> usize {
        self.runs.len()
    }

    /// About how many documents it has.
    pub(super) fn docs_len(&self) -> f64 {
        self.pages.docs_len() as f64 * self.runs.len() as f64 / self.pages.runs_len().max(1) as f64
    }

    /// The allowed documents, ascending. Cost: the pages of the workspace in this segment, and what comes out.
    pub(super) fn listed(&self) -> Vec<DocId> {
        let allowed = self.runs.clone().filter(|run| self.mask.allows(self.pages.page_of_run(*run)));
        let mut docs: Vec<DocId> = allowed.flat_map(|run| self.pages.docs_of_run(run)).collect();
        // Nearly sorted: numbers are given to pages as they are written.
        docs.sort_unstable();
        docs
    }
}

/// Listed documents as the engine takes them.
pub(super) struct Listed {
    docs: Vec<DocId>,
    at: usize,
}

impl Listed {
    /// Of ascending documents.
    pub(super) fn new(docs: Vec<DocId>) -> Self {
        Self { docs, at: 0 }
    }
}

impl DocSet for Listed {
    fn advance(&mut self) -> DocId {
        self.at += 1;
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.at += self.docs[self.at.min(self.docs.len())..].partition_point(|doc| *doc < target);
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.docs.get(self.at).copied().unwrap_or(TERMINATED)
    }

    fn size_hint(&self) -> u32 {
        self.docs.len() as u32
    }
}
