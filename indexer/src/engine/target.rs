//! The engine as the target of an import into one workspace.

use std::time::Duration;

use schemas::event::Event;
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};

use super::{Engine, Wait};
use crate::error::IngestError;
use crate::import::{Target, TargetError};

/// Longest wait for room before an import gives up: many commits.
const ROOM_WAIT: Duration = Duration::from_mins(10);

/// Takes an import in. It waits for room where others are turned away, and for no commit: call [`Engine::wait_idle`] or
/// [`Engine::close`] when the import is done.
#[derive(Clone, Debug)]
pub struct ImportTarget {
    engine: Engine,
    workspace: WorkspaceId,
    rejected: u64,
}

impl ImportTarget {
    /// Imports into a workspace.
    pub fn new(engine: Engine, workspace: WorkspaceId) -> Self {
        Self { engine, workspace, rejected: 0 }
    }

    /// Events that were turned down so far; they are in the file of dead letters.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }
}

impl Target for ImportTarget {
    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, TargetError> {
        Ok(self.engine.page_record(&self.workspace, page)?)
    }

    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, TargetError> {
        Ok(self.engine.group_record(&self.workspace, group)?)
    }

    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, TargetError> {
        Ok(self.engine.member_record(&self.workspace, user)?)
    }

    fn pages(&self) -> Result<Option<Vec<PageId>>, TargetError> {
        Ok(Some(self.engine.pages(&self.workspace)))
    }

    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError> {
        loop {
            match self.engine.submit(&events, Wait::Applied) {
                Ok(submitted) => {
                    self.rejected += submitted.rejected.len() as u64;
                    return Ok(());
                }
                Err(error @ IngestError::Overloaded { .. }) => {
                    if !self.engine.wait_for_room(events.len(), ROOM_WAIT) {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
