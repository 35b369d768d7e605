//! Erasing a page, a person or a workspace when somebody asks for it, until nothing of it is left in the files.
//!
//! ```text
//! events that have seen everything of it -> searchable -> former generation -> segments that hold what was deleted -> dead letters
//! ```
//!
//! What it does is what events would do, and a purge: it can be cut short anywhere, and done again from its beginning. What stays is a tombstone, an
//! id with the clocks of its writes, so that a write that comes late brings nothing back. Of a person the index holds no more than ids: the
//! one of the tombstone, and those on pages that the person wrote or was given, which are shown to nobody any more.

use std::path::Path;
use std::time::Duration;

use index::catalog::Workspace;
use index::records::PageHead;
use index::{Index, IndexError, PurgeExtent, Writer};
use schemas::event::{Change, Event};
use schemas::ids::{PageId, RegionId, UserId, WorkspaceId};
use schemas::record::{MemberRecord, PageRecord};
use thiserror::Error;

use super::purge::{Outcome, purge_former_generation};
use super::{Engine, Wait};
use crate::dead_letters::{self, may_concern};
use crate::error::IngestError;
use crate::import::diff::{Seen, Stamp};

/// Counts the writes of erasures.
const REGION: &str = "tessera-erasure";
/// Where its events come from.
const SOURCE: &str = "/tessera/erasure";
/// Events submitted together.
const CHUNK_EVENTS: usize = 2_000;
/// How long a purge of a workspace is waited for before it is said that it goes on.
const PURGE_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be erased of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erasing {
    /// A page with its blocks. Pages below it stay, and belong to nobody any more.
    Page(PageId),
    /// A person.
    User(UserId),
    /// All of it.
    Workspace,
}

/// Why something could not be erased. Try it again.
#[derive(Debug, Error)]
pub enum EraseError {
    /// It could not be deleted.
    #[error("it cannot be deleted")]
    Delete(#[from] IngestError),
    /// The files of the index could not be rewritten or read.
    #[error("it cannot be taken out of the files of the index")]
    Purge(#[from] IndexError),
    /// The dead letters could not be rewritten or read.
    #[error("it cannot be taken out of the dead letters")]
    DeadLetters(#[source] std::io::Error),
}

/// What is left of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Whether it is not known as erased, or deleted.
    pub is_there: bool,
    /// Deleted documents that are still in files, of the generation in use and of the one before.
    pub documents: u64,
    /// Passages and texts of blocks that are not deleted.
    pub texts: u64,
    /// Dead letters that say something of it, or may.
    pub letters: u64,
}

impl Remains {
    /// Whether nothing is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Engine {
    /// Erases something from the index and the dead letters; false where a part of it has to be done again later: a generation is being built,
    /// or a search that began before still reads former files. Blocks, until it is in a commit and the purge is done.
    pub fn erase(&self, workspace: &WorkspaceId, what: &Erasing) -> Result<bool, EraseError> {
        for events in self.erasing_events(workspace, what)?.chunks(CHUNK_EVENTS) {
            self.submit(events, Wait::Searchable)?;
        }
        let is_purged = match what {
            Erasing::Page(page) => self.purge_page(workspace, page)?,
            Erasing::User(_) => true,
            Erasing::Workspace => self.wait_purged(PURGE_PATIENCE),
        };
        self.scrub_letters(workspace, what)?;
        Ok(is_purged)
    }

    fn erasing_events(&self, workspace: &WorkspaceId, what: &Erasing) -> Result<Vec<Event>, EraseError> {
        let region = RegionId::new(REGION).expect("it has no white space");
        let now = jiff::Timestamp::now();
        let stamp = Stamp { workspace: workspace.clone(), region, source: SOURCE.to_owned(), now };
        Ok(match what {
            Erasing::Page(page) => erasing_page(&stamp, page, &self.page_record(workspace, page)?.unwrap_or_default()),
            Erasing::User(user) => {
                erasing_user(&stamp, user, &self.member_record(workspace, user)?.unwrap_or_default())
            }
            Erasing::Workspace => {
                let version = Seen::default().next(&stamp);
                vec![stamp.event(workspace.as_str(), version, Change::WorkspaceErased)]
            }
        })
    }

    fn purge_page(&self, workspace: &WorkspaceId, page: &PageId) -> Result<bool, EraseError> {
        let core = &self.0.core;
        let tombstone = self.page_record(workspace, page)?.unwrap_or_default();
        let delete = |former: &Index, writer: &Writer| {
            let Some(known) = former.catalog().get(workspace) else { return Ok(None) };
            let Some(ordinal) = known.read().access.ordinal_of(page) else { return Ok(None) };
            writer.put_page(known.number, &PageHead::of(page, ordinal, &tombstone), &tombstone, &[])?;
            Ok(Some(PurgeExtent::Page(known.number, ordinal)))
        };
        if let Outcome::Later = purge_former_generation(core, &delete)? {
            return Ok(false);
        }
        let Some(extent) = extent_of(&core.index, workspace, page) else { return Ok(true) };
        let purged = core.writer.purge(extent, &|| !core.purges.is_stopped())?;
        tracing::info!(
            rewritten = purged.rewritten,
            left = purged.left,
            is_held = purged.is_held,
            "purged an erased page"
        );
        Ok(purged.left == 0 && !purged.is_held)
    }

    fn scrub_letters(&self, workspace: &WorkspaceId, what: &Erasing) -> Result<usize, EraseError> {
        let letters = &self.0.core.dead_letters;
        let scrubbed = match what {
            Erasing::Workspace => letters.scrub(&[workspace.clone()].into()),
            Erasing::Page(_) | Erasing::User(_) => letters.scrub_where(&|line| concerns(line, workspace, what)),
        };
        scrubbed.map_err(EraseError::DeadLetters)
    }

    /// What is left of something, as far as it is committed.
    pub fn remains(&self, workspace: &WorkspaceId, what: &Erasing) -> Result<Remains, EraseError> {
        remains(self.index(), &self.config().data_dir, workspace, what)
    }
}

/// What is left of something in an index and in the dead letters of a folder, as far as it is committed.
pub fn remains(index: &Index, data_dir: &Path, workspace: &WorkspaceId, what: &Erasing) -> Result<Remains, EraseError> {
    let mut remains = Remains { letters: count_letters(data_dir, workspace, what)?, ..Remains::default() };
    let former = index.previous_generation()?;
    for index in [Some(index), former.as_ref()].into_iter().flatten() {
        let Some(known) = index.catalog().get(workspace) else { continue };
        match what {
            Erasing::Page(page) => {
                let head = known.read().head_of(page).cloned();
                if let Some(head) = head {
                    remains.is_there |= !head.deleted;
                    remains.texts += u64::from(head.passages) + index.texts_in_record(known.number, head.ordinal)?;
                    remains.documents += index.deleted_documents(PurgeExtent::Page(known.number, head.ordinal))?;
                }
            }
            Erasing::Workspace => {
                remains.is_there |= !known.read().erased;
                remains.documents += index.deleted_documents(PurgeExtent::Erased)?;
            }
            Erasing::User(_) => {}
        }
    }
    if let Erasing::User(user) = what {
        let is_erased = |known: &Workspace| known.read().erased || !known.read().may_name(user);
        remains.is_there = !index.catalog().get(workspace).is_some_and(|known| is_erased(&known));
    }
    if let Erasing::Workspace = what {
        remains.is_there |= index.catalog().get(workspace).is_none();
    }
    Ok(remains)
}

fn count_letters(data_dir: &Path, workspace: &WorkspaceId, what: &Erasing) -> Result<u64, EraseError> {
    let mut letters = 0;
    let mut count = |line: &[u8]| letters += u64::from(concerns(line, workspace, what));
    dead_letters::each_line(data_dir, &mut count).map_err(EraseError::DeadLetters)?;
    Ok(letters)
}

fn concerns(line: &[u8], workspace: &WorkspaceId, what: &Erasing) -> bool {
    match what {
        Erasing::Page(page) => may_concern(line, workspace, Some(page.as_str())),
        Erasing::User(user) => may_concern(line, workspace, Some(user.as_str())),
        Erasing::Workspace => may_concern(line, workspace, None),
    }
}

fn extent_of(index: &Index, workspace: &WorkspaceId, page: &PageId) -> Option<PurgeExtent> {
    let known = index.catalog().get(workspace)?;
    let ordinal = known.read().access.ordinal_of(page)?;
    Some(PurgeExtent::Page(known.number, ordinal))
}

fn has_own_text(record: &PageRecord) -> bool {
    record.title.value().is_some() || record.icon.value().is_some_and(Option::is_some) || !record.properties.is_empty()
}

/// The events that leave nothing of a page but its tombstone. None where nothing else is left.
fn erasing_page(stamp: &Stamp, page: &PageId, record: &PageRecord) -> Vec<Event> {
    let mut events = Vec::new();
    for (block, written) in &record.blocks {
        if written.live.value() == Some(&false) && written.content.is_empty() {
            continue;
        }
        let version = Seen::block(Some(written)).next(stamp);
        let change = Change::BlockDeleted { block: block.clone(), page: page.clone() };
        events.push(stamp.event(block.as_str(), version, change));
    }
    if record.live.value() != Some(&false) || has_own_text(record) {
        let version = Seen::page(record).next(stamp);
        events.push(stamp.event(page.as_str(), version, Change::PageDeleted { page: page.clone() }));
    }
    events
}

fn erasing_user(stamp: &Stamp, user: &UserId, record: &MemberRecord) -> Vec<Event> {
    if record.erased.value() == Some(&true) {
        return Vec::new();
    }
    let mut seen = Seen::default();
    seen.see(&record.role);
    seen.see(&record.erased);
    vec![stamp.event(user.as_str(), seen.next(stamp), Change::UserErased { user: user.clone() })]
}
