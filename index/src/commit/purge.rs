//! Purging: segments that hold deleted documents are written again, so that nothing of those stays in any file.
//!
//! Deleting marks documents; their text, terms, heads and vectors leave the disk when their segment is merged. The merge
//! policy does that in its own time; this does it now, for erased workspaces or for all that is deleted. One segment at a time,
//! in a merge thread: writing and committing go on, and it takes the memory of one merge. What stays of an erased workspace is
//! its tombstone: its id and that it was erased.

use tantivy::index::SegmentId;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, SegmentReader, TERMINATED, Term};

use super::Writer;
use crate::error::{Doing, IndexError};
use crate::open::{Snapshot, held};

/// Rounds after which it is left to a later call: what is deleted meanwhile adds to it.
const ROUNDS_MAX: usize = 8;

/// What a purge is to take out of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeExtent {
    /// Everything of erased workspaces, with whatever else is deleted in the same segments.
    Erased,
    /// Everything deleted.
    Deleted,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Segments that were written again.
    pub rewritten: usize,
    /// Segments that still hold what was to go: because it was stopped, or because of deletes meanwhile.
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
        let collecting = self.state()?.engine()?.garbage_collect_files();
        collecting.wait().doing("remove the files of former segments")?;
        purged.is_held = held(&self.0.current).is_former_read();
        match failure {
            Some(error) if purged.left > 0 && goes_on() => Err(error).doing("write a segment again"),
            _ => Ok(purged),
        }
    }

    /// Whether segments hold documents of erased workspaces, as the last commit taken in left them.
    pub fn has_erased_left(&self) -> Result<bool, IndexError> {
        let snapshot = held(&self.0.current).snapshot();
        Ok(!self.to_purge(&snapshot, PurgeExtent::Erased)?.is_empty())
    }

    fn to_purge(&self, snapshot: &Snapshot, extent: PurgeExtent) -> Result<Vec<SegmentId>, IndexError> {
        let fields = held(&self.0.current).fields;
        let erased: Vec<Term> = match extent {
            PurgeExtent::Deleted => Vec::new(),
            PurgeExtent::Erased => {
                let workspaces = self.0.catalog.workspaces();
                let erased = workspaces.iter().filter(|workspace| workspace.read().erased);
                erased.map(|workspace| fields.workspace_term(workspace.number)).collect()
            }
        };
        let mut found = Vec::new();
        for reader in snapshot.engine.segment_readers().iter().filter(|reader| reader.has_deletes()) {
            let mut holds = extent == PurgeExtent::Deleted;
            for term in &erased {
                holds = holds || has_deleted(reader, term)?;
            }
            if holds {
                found.push(reader.segment_id());
            }
        }
        Ok(found)
    }
}

/// Whether a deleted document of a segment holds a term.
fn has_deleted(reader: &SegmentReader, term: &Term) -> Result<bool, IndexError> {
    let inverted = reader.inverted_index(term.field()).doing("open the terms of a segment")?;
    let postings = inverted.read_postings(term, IndexRecordOption::Basic).doing("look up a term")?;
    let Some(mut postings) = postings else { return Ok(false) };
    while postings.doc() != TERMINATED {
        if reader.is_deleted(postings.doc()) {
            return Ok(true);
        }
        postings.advance();
    }
    Ok(false)
}
