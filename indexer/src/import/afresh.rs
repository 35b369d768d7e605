//! The target of an import whose events go elsewhere: a topic, for one.
//!
//! It holds the records that the events add up to in memory, all of them, so that each event follows from those before, as
//! in a workspace that began empty. Nothing is stored.

use std::sync::Arc;

use schemas::event::Event;
use schemas::ids::{GroupId, PageId, UserId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};

use super::{Target, TargetError};
use crate::state::{NoRecords, Pending};

/// Takes the events of one import.
pub type Take<'a> = dyn FnMut(&Event) -> Result<(), TargetError> + 'a;

/// An import into a workspace that holds nothing yet.
pub struct Afresh<'a> {
    records: Pending,
    take: &'a mut Take<'a>,
}

impl std::fmt::Debug for Afresh<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Afresh").finish_non_exhaustive()
    }
}

impl<'a> Afresh<'a> {
    /// Gives each event to `take`, in order.
    pub fn new(take: &'a mut Take<'a>) -> Self {
        Self { records: Pending::default(), take }
    }
}

impl Target for Afresh<'_> {
    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, TargetError> {
        Ok(self.records.page(page).map(|record| PageRecord::clone(record)))
    }

    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, TargetError> {
        Ok(self.records.group(group).map(|record| GroupRecord::clone(record)))
    }

    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, TargetError> {
        Ok(self.records.member(user).map(|record| MemberRecord::clone(record)))
    }

    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError> {
        for event in events {
            let Ok(_) = self.records.apply(&NoRecords, &event.change, &Arc::new(event.version.clone()));
            (self.take)(&event)?;
        }
        Ok(())
    }
}
