//! What the targets have in common: records kept in memory, and what must hold of ranges, pages and imports.
//!
//! Invariant: everything here goes through the same public functions as the product does; nothing is built for fuzzing.

use std::sync::Arc;

use index::passages::Passage;
use indexer::import::report::Report;
use indexer::import::{ImportError, Options, Source, Target, TargetError, run};
use indexer::split::{Rules, split};
use indexer::state::{NoRecords, Outcome, Pending};
use schemas::event::Event;
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};

/// The receiver's clock in all targets, in milliseconds since 1970: some day in 2033.
pub const NOW_MS: u64 = 2_000_000_000_000;

/// The records of one workspace, merged from events as the indexer merges them.
#[derive(Default)]
pub struct Records {
    pending: Pending,
}

impl Records {
    /// Sends each event over the wire and back, and merges it. An importer's events are never refused.
    pub fn take_in(&mut self, events: &[Event]) {
        for event in events {
            let again = Event::decode(event.encode().as_bytes(), NOW_MS).expect("importers make valid events");
            assert_eq!(again, *event, "an event changes on its way");
            let version = Arc::new(event.version.clone());
            let (outcome, _) = match self.pending.apply(&NoRecords, &event.change, &version) {
                Ok(done) => done,
                Err(never) => match never {},
            };
            assert!(!matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        }
    }

    /// All pages, in no order.
    fn pages(&mut self) -> Vec<(PageId, Arc<PageRecord>)> {
        let taken = self.pending.take();
        self.pending.not_committed();
        taken.pages.into_iter().map(|page| (page.page, page.record)).collect()
    }

    /// Cuts all pages into passages and checks each.
    pub fn check_passages(&mut self) {
        for (page, record) in self.pages() {
            for passage in passages(&page, &record) {
                check_passage(&passage);
            }
        }
    }
}

impl Target for Records {
    fn page(&self, page: &PageId) -> Result<Option<PageRecord>, TargetError> {
        Ok(self.pending.page(page).map(|record| PageRecord::clone(record)))
    }

    fn group(&self, group: &GroupId) -> Result<Option<GroupRecord>, TargetError> {
        Ok(self.pending.group(group).map(|record| GroupRecord::clone(record)))
    }

    fn member(&self, user: &UserId) -> Result<Option<MemberRecord>, TargetError> {
        Ok(self.pending.member(user).map(|record| MemberRecord::clone(record)))
    }

    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError> {
        self.take_in(&events);
        Ok(())
    }
}

/// How imports are done in all targets.
pub fn options() -> Options {
    let now = jiff::Timestamp::from_millisecond(NOW_MS as i64).expect("the year 2033 is a time");
    Options::new(workspace(), now)
}

/// The workspace in all targets.
pub fn workspace() -> WorkspaceId {
    WorkspaceId::new("w").expect("a letter is an id")
}

/// Imports a Notion export from bytes, checks what came of it, and that importing it again changes nothing.
pub fn import_notion(zip: &[u8]) {
    use std::io::Write as _;
    let folder = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("the temporary folder can be written");
    file.write_all(zip).expect("the temporary folder can be written");
    let mut records = Records::default();
    let mut import = || -> Result<Report, ImportError> {
        run(&Source::Notion(file.path().to_owned()), &options(), &mut records, &mut |_| {})
    };
    match import() {
        Err(ImportError::Archive { .. }) => return,
        Err(error) => panic!("only the archive can be at fault: {error:?}"),
        Ok(_) => {}
    }
    let again = import().expect("what was read once is read again");
    assert_eq!(again.events, 0, "importing the same again changes something");
    records.check_passages();
}

/// Checks that ranges ascend, do not overlap, hold something, and lie in the text on borders of characters.
pub fn check_ranges(text: &str, ranges: impl IntoIterator<Item = (u32, u32)>) {
    let mut end_before = 0;
    for (start, end) in ranges {
        assert!(start >= end_before && start < end, "{start}..{end} after {end_before}");
        let piece = text.get(start as usize..end as usize);
        assert!(piece.is_some(), "{start}..{end} is no piece of the {} bytes", text.len());
        end_before = end;
    }
}

fn passages(page: &PageId, record: &PageRecord) -> Vec<Passage> {
    let count = |text: &str| text.split_whitespace().count();
    split(page, record, &Rules { count: &count, target_tokens: 100, max_tokens: 128 })
}

fn check_passage(passage: &Passage) {
    let ranges: Vec<(u32, u32)> = passage.blocks.iter().map(|range| (range.start, range.end)).collect();
    check_ranges(&passage.text, ranges);
    let has_words = !passage.text.trim().is_empty();
    assert_eq!(passage.block_at(0).is_some(), !passage.blocks.is_empty());
    assert!(!has_words || !passage.blocks.is_empty(), "text of no block");
}
