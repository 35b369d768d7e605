//! What an import into one workspace does to the edits of another in the same partition.
//!
//! The topic has one partition, and the import is written as fast as Kafka takes it, so that edits stand behind much of it.
//! Twenty edits a second are made on the large index, each with a word of its own, first alone and then beside the import of
//! the corpus under other names. An edit is found when a search by words for its word finds it, looked for after each commit.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ::access::{Mask, Purpose};
use anyhow::{Context, Result, ensure};
use index::{Clause, ClauseKind, Field, LexicalQuery, Occur};
use indexer::import::{self, Source as Imported, Target, TargetError};
use indexer::kafka::Source;
use indexer::kafka::config::{Config, Secrets};
use indexer::kafka::produce::{Options, Producer, create_topic};
use schemas::event::{Change, Event};
use schemas::ids::{GroupId, PageId, UserId, WorkspaceId};
use schemas::record::{GroupRecord, MemberRecord, PageRecord};
use serde::{Deserialize, Serialize};

use crate::Plan;
use crate::build::Shape;
use crate::edits::PATIENCE;
use crate::process::{Memory, load};
use crate::search::caller_of;
use crate::stream::{Edits, Site, Times, row, topic};

const EDITS_PER_SECOND: f64 = 20.0;
/// How long edits are made alone.
const CALM: Duration = Duration::from_secs(30);
/// Pages of the import, or all there are when the plan has fewer.
const IMPORTED_PAGES: u64 = 50_000;
/// How long the import is watched; what is left of it then is told.
const WATCHED_MAX: Duration = Duration::from_mins(5);
const LOOK: Duration = Duration::from_millis(1);

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Neighbour {
    calm: Times,
    beside: Times,
    pages: u64,
    events: u64,
    /// Until the import was merged, or was watched no longer.
    seconds: f64,
    left_events: u64,
    allocated_bytes_max: u64,
}

impl Neighbour {
    pub(crate) fn print(&self) {
        println!(
            "\n{EDITS_PER_SECOND} edits a second, alone and behind an import of {} pages, {} events, in their partition; load {}",
            self.pages,
            self.events,
            load()
        );
        self.calm.print("alone: an edit until it is found");
        self.beside.print("beside the import");
        println!(
            "the import took {:.0} s, {} events were left; allocated at most {} MiB",
            self.seconds,
            self.left_events,
            self.allocated_bytes_max >> 20
        );
    }

    pub(crate) fn print_row(&self) {
        let ratio = self.beside.took_ms[2] / self.calm.took_ms[2];
        row("edit until found beside an import of 50,000 pages, p99 to alone", &format!("{ratio:.2}"), "<= 2");
        let events = (self.events - self.left_events) as f64 / self.seconds;
        row("events/s of that import meanwhile", &format!("{events:.0}"), "it goes on");
    }
}

pub(crate) fn run(plan: &Plan) -> Result<Neighbour> {
    let config = topic("neighbour").context("no broker is named")?;
    create_topic(&config, &Secrets::default(), 1, 1)?;
    let site = Site::open(plan)?;
    let mut edits = Edits::draw(&site.engine, &site.workspace)?;
    let source = Source::start(&config, &Secrets::default(), site.engine.clone())?;
    let caller = caller_of(plan, Shape::One, 0)?;
    let known = site.index.catalog().get(&caller.workspace).context("the workspace is there")?;
    let mask = known.read().access.mask(&caller, Purpose::Discover);
    let calm = Probes::default();
    probe(&config, &site, &mask, &mut edits, &calm, &|since| since < CALM)?;

    let beside = Probes::default();
    let (written, pages, is_written) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let position = || source.status().partitions.iter().map(|partition| partition.position).sum::<i64>() as u64;
    std::thread::scope(|scope| -> Result<()> {
        let importing = scope.spawn(|| {
            let imported = import_all(plan, &config, &written, &pages, &over);
            is_written.store(true, Ordering::Relaxed);
            imported
        });
        let all = || calm.sent() + beside.sent() + written.load(Ordering::Relaxed);
        // It is over when nothing but edits of the last moment is left.
        let goes_on = |since: Duration| {
            let is_merged = is_written.load(Ordering::Relaxed) && position() + EDITS_PER_SECOND as u64 >= all();
            since < WATCHED_MAX && !is_merged
        };
        let probed = probe(&config, &site, &mask, &mut edits, &beside, &goes_on);
        over.store(true, Ordering::Relaxed);
        importing.join().expect("a thread that imports does not panic")?;
        probed
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let events = written.load(Ordering::Relaxed);
    let left_events = (calm.sent() + beside.sent() + events).saturating_sub(position());
    let allocated_bytes_max = calm.allocated_max().max(beside.allocated_max());
    source.stop();
    site.engine.close();
    Ok(Neighbour {
        calm: calm.times()?,
        beside: beside.times()?,
        pages: pages.load(Ordering::Relaxed),
        events,
        seconds,
        left_events,
        allocated_bytes_max,
    })
}

/// Edits that were sent, and what became of them.
#[derive(Default)]
struct Probes {
    sent: AtomicU64,
    found: Mutex<Vec<Duration>>,
    allocated_max: AtomicU64,
}

impl Probes {
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn allocated_max(&self) -> u64 {
        self.allocated_max.load(Ordering::Relaxed)
    }

    fn times(self) -> Result<Times> {
        let found = self.found.into_inner().ok().context("a thread panicked")?;
        ensure!(!found.is_empty(), "no edit was found");
        Ok(Times::of(found))
    }
}

/// Sends edits for as long as it is to go on, and waits until each is found.
fn probe(
    config: &Config,
    site: &Site,
    mask: &Mask,
    edits: &mut Edits,
    probes: &Probes,
    goes_on: &dyn Fn(Duration) -> bool,
) -> Result<()> {
    let mut producer = Producer::open(config, &Secrets::default(), Options::default())?;
    let started = Instant::now();
    let mut waiting: Vec<(String, Instant)> = Vec::new();
    let (mut sent, mut last) = (0_u32, 0);
    let mut is_sending = true;
    while is_sending || !waiting.is_empty() {
        let due = started + Duration::from_secs_f64(f64::from(sent) / EDITS_PER_SECOND);
        if is_sending && Instant::now() >= due {
            is_sending = goes_on(started.elapsed());
            let word = word_of(edits.written());
            producer.send(&edits.next_with(format!(" {word}")))?;
            waiting.push((word, due));
            sent += 1;
            probes.sent.fetch_add(1, Ordering::Relaxed);
            probes.allocated_max.fetch_max(Memory::now()?.anon, Ordering::Relaxed);
        }
        let searcher = site.index.searcher();
        if searcher.index_seq() != last {
            last = searcher.index_seq();
            let mut left = Vec::new();
            for (word, due) in waiting {
                let clause = Clause { occur: Occur::Must, field: Field::All, kind: ClauseKind::Words(word.clone()) };
                let query = LexicalQuery { clauses: vec![clause], ..LexicalQuery::default() };
                if searcher.lexical(mask, &query, 1)?.is_empty() {
                    left.push((word, due));
                } else if let Ok(mut found) = probes.found.lock() {
                    found.push(due.elapsed());
                }
            }
            waiting = left;
        }
        let oldest = waiting.first().map_or(Duration::ZERO, |(_, due)| due.elapsed());
        ensure!(oldest < PATIENCE, "an edit is not found");
        std::thread::sleep(LOOK);
    }
    producer.finish()?;
    Ok(())
}

/// A word that no other number has: letters alone, so that it is one term.
fn word_of(number: u64) -> String {
    let letters = number.to_string().bytes().map(|digit| char::from(b'q' + digit - b'0')).collect::<String>();
    format!("zqx{letters}xqz")
}

/// Writes the pages of the corpus, and again under another name as long as they are too few.
fn import_all(plan: &Plan, config: &Config, written: &AtomicU64, pages: &AtomicU64, over: &AtomicBool) -> Result<()> {
    let most = IMPORTED_PAGES.min(plan.pages as u64);
    let mut producer = Producer::open(config, &Secrets::default(), Options::default())?;
    for copy in 0.. {
        let options = import::Options::new(WorkspaceId::new(format!("import-{copy}"))?, jiff::Timestamp::UNIX_EPOCH);
        let mut forward = Forward { producer: &mut producer, written, pages, most, over };
        let imported = import::run(&Imported::Pages(plan.corpus_file()), &options, &mut forward, &mut |_| {});
        if pages.load(Ordering::Relaxed) >= most || over.load(Ordering::Relaxed) {
            // It broke off because it was enough.
            break;
        }
        imported.context("the corpus cannot be read")?;
    }
    producer.finish()?;
    Ok(())
}

/// Takes an import on to a topic, up to a number of pages.
struct Forward<'a> {
    producer: &'a mut Producer,
    written: &'a AtomicU64,
    pages: &'a AtomicU64,
    most: u64,
    over: &'a AtomicBool,
}

impl Target for Forward<'_> {
    fn page(&self, _: &PageId) -> Result<Option<PageRecord>, TargetError> {
        Ok(None)
    }

    fn group(&self, _: &GroupId) -> Result<Option<GroupRecord>, TargetError> {
        Ok(None)
    }

    fn member(&self, _: &UserId) -> Result<Option<MemberRecord>, TargetError> {
        Ok(None)
    }

    fn apply(&mut self, events: Vec<Event>) -> Result<(), TargetError> {
        for event in events {
            if matches!(event.change, Change::PageUpserted { .. }) {
                if self.pages.load(Ordering::Relaxed) >= self.most || self.over.load(Ordering::Relaxed) {
                    return Err("enough pages were written".into());
                }
                self.pages.fetch_add(1, Ordering::Relaxed);
            }
            self.producer.send(&event)?;
            self.written.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
