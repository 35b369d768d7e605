//! Purging: segments that hold deleted documents are written again, so that nothing of those stays in any file.
//!
//! Deleting marks documents; their text, terms, heads and vectors leave the disk when their segment is merged. The merge
//! policy does that in its own time; this does it now, for erased workspaces, for one page or for all that is deleted. One segment at a time,
//! in a merge thread: writing and committing go on, and it takes the memory of one merge. What stays of an erased workspace is
//! its tombstone: its id and that it was erased.
//!
//! A segment of which nothing is left is dropped by the commit that emptied it, while a merge that began before still reads its
//! files and writes its text on. So it begins by waiting until such merges have ended.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use access::{PageOrdinal, WorkspaceNumber};
use schemas::record::PageRecord;
use tantivy::index::SegmentId;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, SegmentReader, TERMINATED, Term};

use super::{Writer, live_docs, stored_record};
use crate::catalog::Catalog;
use crate::error::{Doing, IndexError};
use crate::fields::{Fields, block_key};
use crate::open::{Index, Snapshot, held};

/// Rounds after which it is left to a later call: what is deleted meanwhile adds to it.
const ROUNDS_MAX: usize = 8;
/// How long it waits for merges that began before, and how often it looks meanwhile.
const GONE_MAX: Duration = Duration::from_secs(5);
const GONE_LOOK: Duration = Duration::from_millis(5);

/// What a purge is to take out of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeExtent {
    /// Everything of erased workspaces, with whatever else is deleted in the same segments.
    Erased,
    /// What was deleted of one page, and of others that its blocks stood on before, with whatever else is deleted in the same segments.
    Page(WorkspaceNumber, PageOrdinal),
    /// Everything deleted.
    Deleted,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Segments that were written again.
    pub rewritten: usize,
    /// Segments that still hold what was to go, or may: because it was stopped, of deletes meanwhile, or of a long merge.
    pub left: usize,
    /// Whether searches that began before still read former files. These have no name any more, and their bytes go with the
    /// last such search.
    pub is_held: bool,
}

impl Writer {
    /// Writes the segments again that hold deleted documents, waits until that is done and their files are gone, and takes
    /// the new segments in. Between two segments it asks whether to go on.
    ///
    /// It concerns what is committed, of the generation in use. On an error what was done is kept; call it again.
    pub fn purge(&self, extent: PurgeExtent, goes_on: &dyn Fn() -> bool) -> Result<Purged, IndexError> {
        let mut purged = Purged::default();
        let mut failure = None;
        let held_by_merges = self.wait_for_merges(goes_on)?;
        for _ in 0..ROUNDS_MAX {
            let generation = held(&self.0.current);
            generation.reload()?;
            let snapshot = generation.snapshot();
            let targets = self.to_purge(&snapshot, extent)?;
            purged.left = targets.len();
            drop(snapshot);
            if targets.is_empty() || !goes_on() {
                break;
            }
            for segment in targets {
                if !goes_on() {
                    break;
                }
                let rewriting = self.state()?.engine()?.merge(&[segment]);
                match rewriting.wait() {
                    Ok(_) => purged.rewritten += 1,
                    // As a rule it was merged meanwhile; if not, it is there again in the next round.
                    Err(error) => failure = Some(error),
                }
            }
        }
        self.collect_garbage()?;
        purged.is_held = held(&self.0.current).is_former_read();
        match failure {
            Some(error) if purged.left > 0 && goes_on() => Err(error).doing("write a segment again"),
            _ => Ok(Purged { left: purged.left + held_by_merges, ..purged }),
        }
    }

    /// Segments with files in the folder that its last commit does not name: those being written, and those that a commit dropped
    /// and a merge still reads.
    fn segments_without_commit(&self) -> Result<HashSet<SegmentId>, IndexError> {
        let generation = held(&self.0.current);
        let unreadable = |source| IndexError::File { path: generation.dir.clone(), source };
        let mut segments = HashSet::new();
        // Files first: what is committed between the two looks is named then.
        for entry in std::fs::read_dir(&generation.dir).map_err(unreadable)? {
            // All files of a segment begin with its id.
            let name = entry.map_err(unreadable)?.file_name();
            let id = name.to_str().and_then(|name| name.split('.').next());
            segments.extend(id.and_then(|id| SegmentId::from_uuid_string(id).ok()));
        }
        for committed in generation.committed_segments()? {
            segments.remove(&committed);
        }
        Ok(segments)
    }

    /// Waits for a while until merges that began before have ended, and says how many segments some still hold.
    fn wait_for_merges(&self, goes_on: &dyn Fn() -> bool) -> Result<usize, IndexError> {
        let until = Instant::now() + GONE_MAX;
        // Twice: a merge lets go of what it reads before what it wrote is taken in, or given up.
        for _ in 0..2 {
            let mut segments = self.segments_without_commit()?;
            while !segments.is_empty() {
                self.collect_garbage()?;
                let still_there = self.segments_without_commit()?;
                segments.retain(|segment| still_there.contains(segment));
                if !segments.is_empty() {
                    if !goes_on() || Instant::now() >= until {
                        return Ok(segments.len());
                    }
                    #[expect(clippy::disallowed_methods, reason = "the engine tells nobody when a merge has ended")]
                    std::thread::sleep(GONE_LOOK);
                }
            }
        }
        Ok(0)
    }

    /// Removes the files that no segment and no merge needs.
    fn collect_garbage(&self) -> Result<(), IndexError> {
        let collecting = self.state()?.engine()?.garbage_collect_files();
        collecting.wait().map(drop).doing("remove the files of former segments")
    }

    /// Whether segments hold documents of erased workspaces, as the last commit taken in left them.
    pub fn has_erased_left(&self) -> Result<bool, IndexError> {
        let snapshot = held(&self.0.current).snapshot();
        Ok(!self.to_purge(&snapshot, PurgeExtent::Erased)?.is_empty())
    }

    fn to_purge(&self, snapshot: &Snapshot, extent: PurgeExtent) -> Result<Vec<SegmentId>, IndexError> {
        let erased = terms_of(snapshot, held(&self.0.current).fields, &self.0.catalog, extent)?;
        let mut found = Vec::new();
        for reader in snapshot.engine.segment_readers().iter().filter(|reader| reader.has_deletes()) {
            let mut holds = extent == PurgeExtent::Deleted;
            for term in &erased {
                holds = holds || count_deleted(reader, term, 1)? > 0;
            }
            if holds {
                found.push(reader.segment_id());
            }
        }
        Ok(found)
    }
}

impl Index {
    /// How many deleted documents of an extent are still in the files of the generation that is open here, as its last commit that was taken in
    /// left them. Cost: a look-up for each segment and term, and the postings found.
    pub fn deleted_documents(&self, extent: PurgeExtent) -> Result<u64, IndexError> {
        let snapshot = self.snapshot();
        let terms = terms_of(&snapshot, self.generation().fields, self.catalog(), extent)?;
        let mut deleted = 0;
        for reader in snapshot.engine.segment_readers().iter().filter(|reader| reader.has_deletes()) {
            if extent == PurgeExtent::Deleted {
                deleted += u64::from(reader.num_deleted_docs());
            }
            for term in &terms {
                deleted += count_deleted(reader, term, u64::MAX)?;
            }
        }
        Ok(deleted)
    }

    /// How many texts the record of a page holds that is not deleted: its title, icon and properties, and the content of its blocks. None
    /// where there is no such page.
    pub fn texts_in_record(&self, workspace: WorkspaceNumber, page: PageOrdinal) -> Result<u64, IndexError> {
        let record = live_record(&self.snapshot(), self.generation().fields, workspace, page)?;
        Ok(record.map_or(0, |record| {
            let blocks = record.blocks.values().filter(|block| !block.content.is_empty()).count();
            let own = [record.title.is_empty(), record.icon.is_empty(), record.properties.is_empty()];
            (blocks + own.iter().filter(|is_empty| !**is_empty).count()) as u64
        }))
    }
}

/// What documents of an extent are found by; none for all that is deleted.
fn terms_of(
    snapshot: &Snapshot,
    fields: Fields,
    catalog: &Catalog,
    extent: PurgeExtent,
) -> Result<Vec<Term>, IndexError> {
    match extent {
        PurgeExtent::Deleted => Ok(Vec::new()),
        PurgeExtent::Page(workspace, page) => {
            let mut terms = vec![fields.page_term(workspace, page)];
            // A block that came from elsewhere left its text there, beside a record that it was in.
            if let Some(record) = live_record(snapshot, fields, workspace, page)? {
                terms.extend(record.blocks.keys().map(|block| fields.key_term(&block_key(workspace, block))));
            }
            Ok(terms)
        }
        PurgeExtent::Erased => {
            let workspaces = catalog.workspaces();
            let erased = workspaces.iter().filter(|workspace| workspace.read().erased);
            Ok(erased.map(|workspace| fields.workspace_term(workspace.number)).collect())
        }
    }
}

/// The record of a page, as it is not deleted.
fn live_record(
    snapshot: &Snapshot,
    fields: Fields,
    workspace: WorkspaceNumber,
    page: PageOrdinal,
) -> Result<Option<PageRecord>, IndexError> {
    for address in live_docs(snapshot, &fields.page_term(workspace, page), usize::MAX)? {
        if let Some(record) = stored_record(snapshot, fields, address, "page record")? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// How many deleted documents of a segment hold a term; it stops at `enough`.
fn count_deleted(reader: &SegmentReader, term: &Term, enough: u64) -> Result<u64, IndexError> {
    let inverted = reader.inverted_index(term.field()).doing("open the terms of a segment")?;
    let postings = inverted.read_postings(term, IndexRecordOption::Basic).doing("look up a term")?;
    let Some(mut postings) = postings else { return Ok(0) };
    let mut count = 0;
    while postings.doc() != TERMINATED && count < enough {
        count += u64::from(reader.is_deleted(postings.doc()));
        postings.advance();
    }
    Ok(count)
}
