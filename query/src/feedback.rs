//! Feedback: a log of what was shown and what people did with it, for judging and comparing rankings.
//!
//! Off unless an operator switches it on. A search hands over what it showed, `POST /v1/feedback` what was done with it; both
//! go to one thread (`writer.rs` behind a `scribe`) through a bounded queue and are dropped and counted when it is full, so that no search ever
//! waits for it. Nobody reads the log here but to take out of it what was erased.
//!
//! Invariants: no line names a person or holds text of a page; feedback is taken only from the caller to whom the list was
//! shown, on pages of that list which the caller can still read, and everything else is answered as what does not exist.

mod config;
mod key;
mod lists;
pub mod record;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use access::Caller;
use index::Index;
use jiff::Timestamp;
use schemas::api::Consistency;
use schemas::api::feedback::{FeedbackEvent, FeedbackRequest};
use schemas::api::search::SearchRequest;
use schemas::ids::{PageId, UserId, WorkspaceId};

pub use config::FeedbackConfig;
use key::Key;
pub use key::{ListId, Pseudonym};
use lists::Lists;
use record::{Done, Record, Shown, hour};
use writer::Writer;

use crate::interleave::Team;
use crate::scribe::{Counts, Scribe, clean, sweep_once};

/// The folder of the log, below that of the data.
pub const FOLDER: &str = "feedback";
/// The key of the log, in that folder.
const KEY_FILE: &str = "key";
/// The name of its thread.
const THREAD: &str = "query-feedback";

/// The log of feedback. Cloning is cheap; the thread ends when all clones are gone or [`Feedback::close`] is called.
#[derive(Clone, Debug)]
pub struct Feedback(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    config: FeedbackConfig,
    key: Arc<Key>,
    lists: Lists,
    counts: Arc<Counts>,
    scribe: Scribe<Box<Record>>,
}

/// One page of a list as it was shown.
pub(crate) struct ShownPage {
    pub(crate) list: ListId,
    /// The hits with their ranks and teams, in the order shown.
    pub(crate) hits: Vec<(PageId, u32, Option<Team>)>,
    pub(crate) consistency: Consistency,
}

impl Feedback {
    /// Opens the log below the folder of all data, and starts its thread; `None` where it is off.
    ///
    /// A log of a time when it was on is still kept clean of what is erased, once at each start.
    pub fn open(data_dir: &Path, config: &FeedbackConfig, index: Index) -> io::Result<Option<Self>> {
        let folder = data_dir.join(FOLDER);
        if !config.enabled && !writer::is_left(&folder) {
            return Ok(None);
        }
        std::fs::create_dir_all(&folder)?;
        #[cfg(unix)]
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let key = Arc::new(Key::open(&folder.join(KEY_FILE))?);
        let counts = Arc::new(Counts::default());
        let writer = Writer::new(&folder, config.clone(), index, Arc::clone(&key), Arc::clone(&counts));
        if !config.enabled {
            sweep_once(THREAD, writer)?;
            return Ok(None);
        }
        let scribe = Scribe::start(THREAD, config.queue_len_max, Arc::clone(&counts), writer)?;
        let lists = Lists::new(config.lists_bytes_max, Duration::from_hours(u64::from(config.list_hours)));
        Ok(Some(Self(Arc::new(Parts { config: config.clone(), key, lists, counts, scribe }))))
    }

    /// Lines that were written since the start.
    pub fn recorded_total(&self) -> u64 {
        self.0.counts.written.load(Ordering::Relaxed)
    }

    /// Lines that were lost since the start: the queue was full, or the disk failed.
    pub fn dropped_total(&self) -> u64 {
        self.0.counts.lost.load(Ordering::Relaxed)
    }

    /// Has everything of erased workspaces and people taken out of the log. Say so whenever one was erased; it is looked for
    /// once an hour and at each start anyway.
    pub fn look_for_erased(&self) {
        self.0.scribe.look_for_erased();
    }

    /// Waits until what was handed over so far is in the files and what was erased is out of them; false when the time ran
    /// out first.
    pub fn settle(&self, timeout: Duration) -> bool {
        self.0.scribe.settle(timeout)
    }

    /// Writes what is waiting and ends the thread. What comes later is dropped.
    pub fn close(&self) {
        self.0.scribe.close();
    }

    /// The tracking id of a list, for the caller it is shown to.
    pub(crate) fn tracking_id(&self, caller: &Caller, list: ListId) -> String {
        self.0.key.tracking_id(caller, list)
    }

    /// Records what a search showed.
    pub(crate) fn shown(&self, caller: &Caller, request: &SearchRequest, page: ShownPage) {
        let ShownPage { list, hits, consistency } = page;
        self.0.lists.show(list, hits.iter().map(|(page, rank, _)| (page, *rank)), Instant::now());
        let filters = serde_json::to_vec(&request.filters).expect("filters are text and lists of it");
        let is_interleaved = hits.iter().any(|(.., team)| team.is_some());
        self.0.scribe.offer(Box::new(Record::Shown(Shown {
            time: hour(Timestamp::now()),
            list,
            workspace: caller.workspace.clone(),
            person: self.0.key.caller(caller),
            query: self.0.key.query(&caller.workspace, &request.query, &filters),
            text: self.0.config.keep_text.then(|| request.query.clone()),
            filtered: request.filters != schemas::api::search::Filters::default(),
            prefix: request.prefix,
            first_rank: hits.first().map_or(0, |(_, rank, _)| *rank),
            teams: if is_interleaved { hits.iter().map(|(.., team)| *team).collect() } else { Vec::new() },
            pages: hits.into_iter().map(|(page, ..)| page).collect(),
            index_seq: consistency.index_seq,
            access_seq: consistency.access_seq,
        })));
    }

    /// The list that feedback is about and where its pages stood; `None` if this caller was not shown them, or too long ago.
    pub(crate) fn find(&self, caller: &Caller, request: &FeedbackRequest) -> Option<(ListId, Vec<u32>)> {
        let list = self.0.key.list_of(caller, &request.tracking_id)?;
        let pages = request.events.iter().map(|event| &event.page);
        Some((list, self.0.lists.ranks(list, pages, Instant::now())?))
    }

    /// Records an event on a page that was found to be of the list, unless it was recorded before.
    pub(crate) fn done(&self, caller: &Caller, list: ListId, event: &FeedbackEvent, rank: u32) {
        if !self.0.lists.note(list, &event.page, event.kind) {
            return;
        }
        let now = Timestamp::now();
        self.0.scribe.offer(Box::new(Record::Done(Done {
            time: hour(event.at.map_or(now, |at| at.min(now))),
            list,
            workspace: caller.workspace.clone(),
            person: self.0.key.caller(caller),
            kind: event.kind,
            page: event.page.clone(),
            rank: event.rank.unwrap_or(rank),
            dwell_ms: event.dwell_ms,
        })));
    }
}

/// Takes out of a log of a time when it was on whoever was erased, and waits until that is done. For a process that records nothing.
pub fn clean_left(data_dir: &Path, config: &FeedbackConfig, index: Index) -> io::Result<()> {
    let folder = data_dir.join(FOLDER);
    if writer::is_left(&folder) {
        let key = Arc::new(Key::open(&folder.join(KEY_FILE))?);
        clean(Writer::new(&folder, config.clone(), index, key, Arc::default()));
    }
    Ok(())
}

/// How many lines of the log are of a workspace, or of a person of it where one is named. Cost: reads the log.
pub fn lines_of(data_dir: &Path, workspace: &WorkspaceId, user: Option<&UserId>) -> io::Result<u64> {
    let folder = data_dir.join(FOLDER);
    if !writer::is_left(&folder) {
        return Ok(0);
    }
    let person = user.map(|user| Ok::<_, io::Error>(Key::open(&folder.join(KEY_FILE))?.person(workspace, user)));
    let person = person.transpose()?;
    let mut lines = 0;
    record::each(&folder, &mut |record| {
        let is_of = record.workspace() == workspace && person.as_ref().is_none_or(|person| record.person() == person);
        lines += u64::from(is_of);
    })?;
    Ok(lines)
}

#[cfg(test)]
mod tests;
