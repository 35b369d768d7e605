//! Brings what a source says to a target: asks what is stored, finds what differs, applies it in bounded batches.
//!
//! Invariant: no record is read while events about it are pending.

use std::collections::HashSet;

use schemas::event::{Change, Event};
use schemas::ids::PageId;
use schemas::limits;

use super::desired::{DesiredGroup, DesiredMember, DesiredPage};
use super::diff::{self, Stamp};
use super::fit::fit;
use super::report::{Progress, Report, Stage};
use super::{ImportError, Target};

/// Most events of one batch.
pub(super) const BATCH_EVENTS_MAX: usize = 5_000;
/// Most bytes of one batch, about.
pub(super) const BATCH_BYTES_MAX: usize = 8 << 20;

const _: () = assert!(BATCH_EVENTS_MAX <= limits::BATCH_EVENTS_MAX && BATCH_BYTES_MAX <= limits::BATCH_BYTES_MAX);

/// An import under way.
pub(super) struct Feed<'a> {
    target: &'a mut dyn Target,
    progress: &'a mut dyn FnMut(Progress),
    /// What all its events have in common.
    pub(super) stamp: Stamp,
    /// What it did so far.
    pub(super) report: Report,
    /// True once a part of the source could not be read, so that what is missing may still be there.
    incomplete: bool,
    pending: Vec<Event>,
    pending_bytes: usize,
    pending_pages: HashSet<PageId>,
}

impl<'a> Feed<'a> {
    pub(super) fn new(target: &'a mut dyn Target, progress: &'a mut dyn FnMut(Progress), stamp: Stamp) -> Self {
        Self {
            target,
            progress,
            stamp,
            report: Report::default(),
            incomplete: false,
            pending: Vec::new(),
            pending_bytes: 0,
            pending_pages: HashSet::new(),
        }
    }

    pub(super) fn progress(&mut self, stage: Stage, done: u64, total: Option<u64>) {
        let events = self.report.events + self.pending.len() as u64;
        (self.progress)(Progress { stage, done, total, events });
    }

    pub(super) fn warn(&mut self, file: &str, reason: impl Into<String>) {
        self.report.warn(file, None, reason.into());
    }

    /// Notes a part of the source that could not be read.
    pub(super) fn unread(&mut self, file: &str, line: Option<u64>, reason: String) {
        self.incomplete = true;
        self.report.warn(file, line, reason);
    }

    /// Makes a page what it should be. `file` is what warnings name.
    pub(super) fn page(&mut self, mut desired: DesiredPage, file: &str) -> Result<(), ImportError> {
        let report = &mut self.report;
        fit(&mut desired, &mut |reason| report.warn(file, None, reason));
        report.pages_seen += 1;
        self.settle(&desired.id)?;
        let current = self.target.page(&desired.id).map_err(ImportError::Target)?;
        let events = diff::events(&desired, current.as_ref(), &self.stamp);
        self.report.pages_changed += u64::from(!events.is_empty());
        self.push_page(&desired.id, events)
    }

    /// True when the target holds the page.
    pub(super) fn page_exists(&mut self, page: &PageId) -> Result<bool, ImportError> {
        self.settle(page)?;
        Ok(self.target.page(page).map_err(ImportError::Target)?.is_some_and(|record| record.exists()))
    }

    /// Takes a page away.
    pub(super) fn remove(&mut self, page: &PageId) -> Result<(), ImportError> {
        self.settle(page)?;
        if let Some(current) = self.target.page(page).map_err(ImportError::Target)? {
            let events = diff::removal(page, &current, &self.stamp);
            self.report.pages_removed += u64::from(!events.is_empty());
            self.push_page(page, events)?;
        }
        Ok(())
    }

    /// Makes a person what the source says.
    pub(super) fn member(&mut self, desired: &DesiredMember) -> Result<(), ImportError> {
        let current = self.target.member(&desired.user).map_err(ImportError::Target)?;
        match diff::member(desired, current.as_ref(), &self.stamp) {
            Some(event) => self.push(event),
            None => Ok(()),
        }
    }

    /// Makes a group what the source says.
    pub(super) fn group(&mut self, desired: &DesiredGroup) -> Result<(), ImportError> {
        let current = self.target.group(&desired.id).map_err(ImportError::Target)?;
        match diff::group(desired, current.as_ref(), &self.stamp) {
            Some(event) => self.push(event),
            None => Ok(()),
        }
    }

    /// Deletes the pages that this import's region made and that `seen` does not name.
    pub(super) fn prune(&mut self, seen: &HashSet<PageId>) -> Result<(), ImportError> {
        self.flush()?;
        if self.incomplete {
            self.warn("", "nothing was pruned, because parts of the source could not be read");
            return Ok(());
        }
        let Some(pages) = self.target.pages().map_err(ImportError::Target)? else {
            return Err(ImportError::CannotPrune);
        };
        let total = Some(pages.len() as u64);
        for (done, page) in pages.iter().enumerate() {
            self.progress(Stage::Prune, done as u64, total);
            if seen.contains(page) {
                continue;
            }
            let record = self.target.page(page).map_err(ImportError::Target)?;
            let made_here = record.and_then(|record| record.parent.version().map(|version| version.region.clone()));
            if made_here.as_ref() == Some(&self.stamp.region) {
                self.remove(page)?;
            }
        }
        Ok(())
    }

    /// Adds one event, and applies the batch when it is full.
    pub(super) fn push(&mut self, event: Event) -> Result<(), ImportError> {
        let bytes = about_bytes(&event);
        let full = self.pending.len() >= BATCH_EVENTS_MAX || self.pending_bytes + bytes > BATCH_BYTES_MAX;
        if full {
            self.flush()?;
        }
        self.pending_bytes += bytes;
        self.pending.push(event);
        Ok(())
    }

    /// Applies what is pending.
    pub(super) fn flush(&mut self) -> Result<(), ImportError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.pending_pages.clear();
        self.report.events += events.len() as u64;
        self.target.apply(events).map_err(ImportError::Target)
    }

    /// Applies what is pending and hands over the report.
    pub(super) fn finish(mut self) -> Result<Report, ImportError> {
        self.flush()?;
        Ok(self.report)
    }

    fn settle(&mut self, page: &PageId) -> Result<(), ImportError> {
        if self.pending_pages.contains(page) { self.flush() } else { Ok(()) }
    }

    /// Adds the events of one page, in one batch with nothing before them where they fit in no other way.
    fn push_page(&mut self, page: &PageId, events: Vec<Event>) -> Result<(), ImportError> {
        if events.is_empty() {
            return Ok(());
        }
        let bytes: usize = events.iter().map(about_bytes).sum();
        if self.pending.len() + events.len() > BATCH_EVENTS_MAX || self.pending_bytes + bytes > BATCH_BYTES_MAX {
            self.flush()?;
        }
        for event in events {
            self.push(event)?;
        }
        self.pending_pages.insert(page.clone());
        Ok(())
    }
}

/// About how long an event is in JSON, without writing it.
fn about_bytes(event: &Event) -> usize {
    const ENVELOPE: usize = 512;
    let text = match &event.change {
        Change::BlockUpserted { patch, .. } => patch.content.as_ref().map_or(0, |content| {
            let runs = content.rich_text.iter().chain(content.cells.iter().flatten()).chain(&content.caption);
            runs.map(|run| 48 + run.plain_text.len() + run.href.as_ref().map_or(0, String::len)).sum()
        }),
        Change::PageUpserted { patch, .. } => {
            let properties = patch.properties.iter();
            let properties = properties
                .map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.plain_text().len()) + 16);
            patch.title.as_ref().map_or(0, String::len) + properties.sum::<usize>()
        }
        Change::PageAccessChanged { grants, .. } => grants.len() * 64,
        Change::GroupChanged { members, .. } => members.as_ref().map_or(0, |members| members.len() * 64),
        _ => 0,
    };
    ENVELOPE + text
}
