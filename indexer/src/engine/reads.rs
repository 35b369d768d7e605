//! Reading records: what is pending before what is committed.

use access::WorkspaceNumber;
use index::{IndexError, Writer};
use schemas::ids::{BlockId, GroupId, PageId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};

use super::backlog::Tenant;
use super::shared::Core;
use crate::state::Stored;

impl Core {
    /// A page's record, the newest there is.
    pub(super) fn page_record(&self, workspace: &WorkspaceId, page: &PageId) -> Result<Option<PageRecord>, IndexError> {
        let Some(workspace) = self.index.catalog().get(workspace) else { return Ok(None) };
        let held = |tenant: &Tenant| tenant.pending.page(page).cloned();
        if let Some(record) = self.lock().tenants.get(&workspace.number).and_then(held) {
            return Ok(Some((*record).clone()));
        }
        self.writer.page_record(workspace.number, page)
    }

    pub(super) fn group_record(
        &self,
        workspace: &WorkspaceId,
        group: &GroupId,
    ) -> Result<Option<GroupRecord>, IndexError> {
        let Some(workspace) = self.index.catalog().get(workspace) else { return Ok(None) };
        let held = |tenant: &Tenant| tenant.pending.group(group).cloned();
        if let Some(record) = self.lock().tenants.get(&workspace.number).and_then(held) {
            return Ok(Some((*record).clone()));
        }
        self.writer.group_record(workspace.number, group)
    }

    pub(super) fn member_record(
        &self,
        workspace: &WorkspaceId,
        user: &UserId,
    ) -> Result<Option<MemberRecord>, IndexError> {
        let Some(workspace) = self.index.catalog().get(workspace) else { return Ok(None) };
        let held = |tenant: &Tenant| tenant.pending.member(user).cloned();
        if let Some(record) = self.lock().tenants.get(&workspace.number).and_then(held) {
            return Ok(Some((*record).clone()));
        }
        self.writer.member_record(workspace.number, user)
    }
}

/// The committed records of one workspace.
pub(super) struct Committed<'a> {
    pub(super) writer: &'a Writer,
    pub(super) number: WorkspaceNumber,
}

impl Stored for Committed<'_> {
    type Error = IndexError;

    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, IndexError> {
        self.writer.page_record(self.number, page)
    }

    fn block_home(&self, block: &BlockId) -> Result<Option<PageId>, IndexError> {
        self.writer.block_home(self.number, block)
    }

    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, IndexError> {
        self.writer.group_record(self.number, group)
    }

    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, IndexError> {
        self.writer.member_record(self.number, user)
    }
}
