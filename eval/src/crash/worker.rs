//! The process that is killed: it opens an installation, does the tasks that it reads, and says what came of them.
//!
//! Senders wait for their batches to be durable, as over HTTP, and send a batch again that was turned away; a stream is read
//! in order and committed with its offsets, as from Kafka. It decides nothing. Invariant: an answer is written only when
//! what it says holds, whatever happens to the process then.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::scope;
use std::time::Duration;

use access::{Caller, Purpose, Subject};
use anyhow::Context;
use index::{Clause, ClauseKind, Field, LexicalQuery, Occur};
use indexer::engine::{Engine, Wait};
use indexer::error::IngestError;
use schemas::event::Event;
use schemas::ids::{UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::site::{Recipe, Site};

/// Begins a line with an answer: the process may write other lines too.
pub const ANSWER: &str = "crash: ";
/// The partition that the stream is read from.
pub const PARTITION: &str = "stream";
/// Batches that are sent side by side.
const SENDERS: usize = 3;
/// How often an offset is asked for while nothing else happens.
const LOOK: Duration = Duration::from_millis(10);

/// What the process is to do. One JSON object a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Send a batch and wait until it is durable.
    Send {
        /// Its number.
        batch: usize,
        /// Its events.
        events: Vec<String>,
    },
    /// Take the next events of the stream.
    Read {
        /// Where it is read on after them.
        offset: i64,
        /// The events.
        events: Vec<String>,
    },
    /// Build another generation and put it in use; without a recipe, go back to the former.
    Reindex {
        /// What it is built with.
        recipe: Option<Recipe>,
    },
    /// Take a snapshot, by a clock that shows so many hours.
    Snapshot {
        /// The hours.
        hours: u64,
    },
    /// Search for a word as someone.
    Search {
        /// Where.
        workspace: WorkspaceId,
        /// Who.
        user: UserId,
        /// The word.
        word: String,
    },
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The installation is open.
    Opened,
    /// A batch is on disk.
    Durable {
        /// Its number.
        batch: usize,
    },
    /// A batch was turned away; it is sent again.
    Refused {
        /// Its number.
        batch: usize,
        /// Why, with the causes.
        error: String,
    },
    /// The stream is on disk up to here.
    Committed {
        /// Where it is read on.
        offset: i64,
    },
    /// Another generation is in use, or one is being built already.
    Reindexed,
    /// A snapshot is taken.
    SnapshotTaken,
    /// No other generation could be put in use, or no snapshot be taken.
    OperationFailed {
        /// Why, with the causes.
        error: String,
    },
    /// Passages were found.
    Found {
        /// How many.
        passages: usize,
    },
    /// A search failed.
    SearchFailed {
        /// Why, with the causes.
        error: String,
    },
    /// All tasks are done and the installation is closed.
    Closed {
        /// Whether everything is committed.
        is_committed: bool,
    },
}

/// Works until there are no more tasks, then closes the installation.
pub fn work(dir: &Path, tasks: impl BufRead, answers: impl Write + Send) -> anyhow::Result<()> {
    let site = Site::open(dir)?;
    let answers = Answers(Mutex::new(answers));
    answers.say(&Answer::Opened)?;
    let (batches, to_send) = sync_channel(SENDERS);
    let (stream, to_read) = sync_channel(1);
    let (to_reindex, recipes) = channel();
    let (to_save, clock) = channel();
    let to_send = Mutex::new(to_send);
    scope(|scope| -> anyhow::Result<()> {
        for _ in 0..SENDERS {
            scope.spawn(|| send(&site.engine, &to_send, &answers));
        }
        scope.spawn({
            let (engine, answers) = (&site.engine, &answers);
            move || read(engine, &to_read, answers)
        });
        let (of_site, say) = (&site, &answers);
        scope.spawn(move || {
            for recipe in recipes {
                // Nobody reads an answer when the parent is gone.
                let _ = say.say(&match of_site.reindex(recipe) {
                    Ok(()) => Answer::Reindexed,
                    Err(error) => Answer::OperationFailed { error: format!("{error:#}") },
                });
            }
        });
        scope.spawn(move || {
            for hours in clock {
                let _ = say.say(&match of_site.snapshot(hours) {
                    Ok(()) => Answer::SnapshotTaken,
                    Err(error) => Answer::OperationFailed { error: format!("{error:#}") },
                });
            }
        });
        let lanes = Lanes { batches, stream, recipes: to_reindex, clock: to_save };
        let given = give_out(&site, tasks, &answers, &lanes);
        drop(lanes);
        given
    })?;
    answers.say(&Answer::Closed { is_committed: site.engine.close() })
}

type Batch = (usize, Vec<Event>);
type Portion = (i64, Vec<Event>);

/// Where the threads get their work.
struct Lanes {
    batches: SyncSender<Batch>,
    stream: SyncSender<Portion>,
    recipes: Sender<Option<Recipe>>,
    clock: Sender<u64>,
}

fn give_out(site: &Site, tasks: impl BufRead, answers: &Answers<impl Write>, lanes: &Lanes) -> anyhow::Result<()> {
    for line in tasks.lines() {
        match serde_json::from_str(&line?).context("cannot read a task")? {
            Task::Send { batch, events } => lanes.batches.send((batch, decode(&events)?))?,
            Task::Read { offset, events } => lanes.stream.send((offset, decode(&events)?))?,
            Task::Reindex { recipe } => lanes.recipes.send(recipe)?,
            Task::Snapshot { hours } => lanes.clock.send(hours)?,
            Task::Search { workspace, user, word } => answers.say(&match search(site, &workspace, user, word) {
                Ok(passages) => Answer::Found { passages },
                Err(error) => Answer::SearchFailed { error: format!("{error:#}") },
            })?,
        }
    }
    Ok(())
}

/// Events from their JSON.
pub(super) fn decode(events: &[String]) -> anyhow::Result<Vec<Event>> {
    events.iter().map(|event| Ok(Event::decode(event.as_bytes(), 0)?)).collect()
}

fn send(engine: &Engine, batches: &Mutex<Receiver<Batch>>, answers: &Answers<impl Write>) {
    loop {
        let next = batches.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((batch, events)) = next else { return };
        while let Err(error) = engine.submit(&events, Wait::Durable) {
            // On a slow machine it is not there yet, and that is no refusal.
            if matches!(error, IngestError::NotYetCommitted { .. }) {
                continue;
            }
            let error = format!("{:#}", anyhow::Error::new(error));
            if answers.say(&Answer::Refused { batch, error }).is_err() {
                return;
            }
        }
        if answers.say(&Answer::Durable { batch }).is_err() {
            return;
        }
    }
}

fn read(engine: &Engine, stream: &Receiver<Portion>, answers: &Answers<impl Write>) {
    let mut said = 0;
    loop {
        match stream.recv_timeout(LOOK) {
            Ok((offset, events)) => {
                let offsets = BTreeMap::from([(PARTITION.to_owned(), offset)]);
                while engine.submit_read_to(&events, &offsets, Wait::Applied).is_err() {
                    engine.wait_for_room(events.len(), LOOK);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let offset = engine.committed_offsets().get(PARTITION).copied().unwrap_or(0);
        if offset > said {
            said = offset;
            if answers.say(&Answer::Committed { offset }).is_err() {
                return;
            }
        }
    }
}

/// Searches as far as the text of the passages, and says how many there are.
fn search(site: &Site, workspace: &WorkspaceId, user: UserId, word: String) -> anyhow::Result<usize> {
    let caller = Caller { workspace: workspace.clone(), subject: Subject::User(user) };
    let Some(known) = site.index.catalog().get(workspace) else { return Ok(0) };
    let mask = known.read().access.mask(&caller, Purpose::Discover);
    let searcher = site.index.searcher();
    let found = searcher.lexical(&mask, &containing(word), usize::from(u16::MAX))?;
    for candidate in &found {
        searcher.passage(&mask, candidate.address)?;
    }
    Ok(found.len())
}

/// Passages that hold a word.
pub(super) fn containing(word: String) -> LexicalQuery {
    let clause = Clause { occur: Occur::Must, field: Field::All, kind: ClauseKind::Words(word) };
    LexicalQuery { clauses: vec![clause], ..LexicalQuery::default() }
}

/// Where the answers go, one a line.
struct Answers<W>(Mutex<W>);

impl<W: Write> Answers<W> {
    fn say(&self, answer: &Answer) -> anyhow::Result<()> {
        let line = format!("{ANSWER}{}\n", serde_json::to_string(answer)?);
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.write_all(line.as_bytes())?;
        Ok(answers.flush()?)
    }
}
