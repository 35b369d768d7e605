//! What is acknowledged outlives a kill at any moment, and an index that was killed a thousand times equals one that never was.
//!
//! A worker process ingests random events and is killed: at a random moment, or at a file operation chosen at random, a write
//! being cut in half. After one to three kills the folder is opened here: each acknowledged event must be known, and with
//! the others sent again the content, the access and what searches find must equal those of a clean installation.
//!
//! `CRASH_ROUNDS` sets how many kills there are, `CRASH_SEED` where they begin; the seed is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use eval::crash::check::{Batch, Order, acknowledge_stream, check, strays};
use eval::crash::child::Child;
use eval::crash::faults::{Faults, KillPoint};
use eval::crash::site::{PATIENCE, Recipe};
use eval::crash::traffic::Traffic;
use eval::crash::worker::{Answer, Task, work};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use schemas::event::Event;

const ROUNDS: u64 = 16;
/// Names the folder that a worker works in.
const WORKER_DIR: &str = "CRASH_WORKER_DIR";

/// Not a test by itself: the process that the others kill.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test harness leaves no other way to give a child its task")]
fn worker() {
    let Ok(dir) = std::env::var(WORKER_DIR) else { return };
    work(Path::new(&dir), std::io::stdin().lock(), std::io::stdout()).unwrap();
}

/// The program that works in a folder.
pub(crate) fn worker_in(dir: &Path) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "crash::worker", "--nocapture"]).env(WORKER_DIR, dir);
    program
}

#[expect(clippy::disallowed_methods, reason = "a test is configured by whoever runs it")]
fn set(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn an_index_that_was_killed_again_and_again_equals_a_clean_one() {
    let (rounds, seed) = (set("CRASH_ROUNDS").unwrap_or(ROUNDS), set("CRASH_SEED").unwrap_or_else(rand::random));
    println!("crash: seed {seed}");
    let mut rounds_left = rounds;
    let mut play = Play::new(seed).unwrap();
    while rounds_left > 0 {
        let kills = play.rng.random_range(1..=3).min(rounds_left);
        for _ in 0..kills {
            play.kill_once().with_context(|| format!("seed {seed}")).unwrap();
        }
        rounds_left -= kills;
        let checked = play.check().with_context(|| format!("seed {seed}, {} kills before", rounds - rounds_left));
        if checked.is_err() {
            println!("crash: the folders are kept: {}", play.keep().display());
        }
        checked.unwrap();
    }
    println!("crash: {}; seed {seed}", play.report);
    assert_eq!(play.report.kills(), rounds);
}

/// An installation that is made by a worker that is killed at every file operation in turn, until one lives.
#[test]
fn an_index_that_was_killed_while_it_was_made_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::build(dir.path()).unwrap();
    for operation in 1.. {
        let site = tempfile::tempdir().unwrap();
        let mut program = worker_in(site.path());
        faults.load_into(&mut program, site.path(), Some(&KillPoint { operation, thread: "" }));
        let mut child = Child::start(program).unwrap();
        let is_made = child.answer(Instant::now() + PATIENCE) == Some(Answer::Opened);
        child.kill().unwrap();
        let told = faults.take_told();
        child = Child::start(worker_in(site.path())).unwrap();
        let opened = child.answer(Instant::now() + PATIENCE);
        assert_eq!(opened, Some(Answer::Opened), "after a kill at operation {operation}: {told:?}");
        child.kill().unwrap();
        if is_made {
            println!("crash: killed at each of the {} operations that make an index", operation - 1);
            assert!(operation > 10);
            return;
        }
    }
}

struct Play {
    rng: SmallRng,
    traffic: Traffic,
    dir: tempfile::TempDir,
    faults: Faults,
    /// What was given to workers since the last check.
    batches: Vec<Batch>,
    next_offset: i64,
    /// The worker at hand.
    worker: u64,
    /// Up to where workers said that the stream is committed.
    committed: i64,
    strays: BTreeSet<PathBuf>,
    /// The clock by which snapshots are taken.
    clock_hours: u64,
    report: Report,
}

#[derive(Default)]
struct Report {
    kills_by_clock: u64,
    kills_by_operation: BTreeMap<String, u64>,
    kills_while_opening: u64,
    checks: u64,
    reindexes: u64,
    snapshots: u64,
    events: usize,
    acknowledged: usize,
    took: Duration,
}

impl Report {
    fn kills(&self) -> u64 {
        self.kills_by_clock + self.kills_by_operation.values().sum::<u64>()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} kills: {} by the clock", self.kills(), self.kills_by_clock)?;
        for (operation, count) in &self.kills_by_operation {
            write!(f, ", {count} at {operation}")?;
        }
        let Self { kills_while_opening, checks, reindexes, snapshots, events, acknowledged, took, .. } = self;
        write!(
            f,
            "; {kills_while_opening} of them before the worker was ready; {checks} checks; {reindexes} generations switched, {snapshots} snapshots; {events} events, "
        )?;
        write!(f, "{acknowledged} acknowledged before a kill; {:.0} s", took.as_secs_f64())
    }
}

impl Play {
    fn new(seed: u64) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        for name in ["crashed", "clean", "faults"] {
            std::fs::create_dir(dir.path().join(name))?;
        }
        Ok(Self {
            rng: SmallRng::seed_from_u64(seed),
            traffic: Traffic::new(seed),
            faults: Faults::build(&dir.path().join("faults"))?,
            dir,
            batches: Vec::new(),
            next_offset: 0,
            worker: 0,
            committed: 0,
            strays: BTreeSet::new(),
            clock_hours: 0,
            report: Report::default(),
        })
    }

    fn crashed_dir(&self) -> PathBuf {
        self.dir.path().join("crashed")
    }

    /// Leaves the folders where they are.
    fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    /// Lets a worker begin with some tasks, and kills it.
    fn kill_once(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        self.worker += 1;
        let mut program = worker_in(&self.crashed_dir());
        let kill_point = self.rng.random_bool(0.6).then(|| self.kill_point());
        if let Some(kill_point) = &kill_point {
            self.faults.load_into(&mut program, &self.crashed_dir(), Some(kill_point));
        }
        let child = Child::start(program)?;
        let is_timed_from_start = self.rng.random_bool(0.2);
        for _ in 0..self.rng.random_range(1..25) {
            let task = self.task();
            child.give(task);
        }
        // A worker that is to die by itself gets more time, and is killed by the clock if it does not.
        let window_ms = if kill_point.is_some() { 700 } else { self.rng.random_range(0..600) };
        let mut deadline = Instant::now() + if is_timed_from_start { Duration::ZERO } else { PATIENCE };
        if is_timed_from_start {
            deadline += Duration::from_millis(window_ms);
        }
        let mut is_open = false;
        while let Some(answer) = child.answer(deadline) {
            if answer == Answer::Opened && !is_timed_from_start {
                deadline = Instant::now() + Duration::from_millis(window_ms);
            }
            is_open |= answer == Answer::Opened;
            self.note(&answer)?;
        }
        for answer in child.kill()? {
            is_open |= answer == Answer::Opened;
            self.note(&answer)?;
        }
        self.report.kills_while_opening += u64::from(!is_open);
        match self.faults.take_told().pop() {
            Some([operation, thread, _]) => {
                *self.report.kills_by_operation.entry(format!("{operation} in {thread}")).or_default() += 1;
            }
            None => self.report.kills_by_clock += 1,
        }
        self.report.took += started.elapsed();
        Ok(())
    }

    fn kill_point(&mut self) -> KillPoint {
        let points = [
            ("", 3_000.0),
            ("", 3_000.0),
            ("segment_updater", 300.0),
            ("merge_thread", 300.0),
            ("thrd-", 1_000.0),
            ("tokio", 60.0),
        ];
        let (thread, operations_max): (_, f64) = *points.choose(&mut self.rng).expect("it is not empty");
        // Early operations are as likely as late ones by their order of magnitude.
        let operation = operations_max.powf(self.rng.random_range(0.0..1.0)) as u64;
        KillPoint { operation, thread }
    }

    fn task(&mut self) -> Task {
        if self.rng.random_bool(0.1) {
            let workspace = self.traffic.workspaces().choose(&mut self.rng).expect("there are some").clone();
            let user = Traffic::users().next().expect("there are some");
            return Task::Search { workspace, user, word: self.traffic.word() };
        }
        if self.rng.random_bool(0.04) {
            let recipes = [(16, 200), (16, 120), (24, 160)];
            let (dimensions, passage_tokens) = *recipes.choose(&mut self.rng).expect("it is not empty");
            let recipe = self.rng.random_bool(0.7).then_some(Recipe { dimensions, passage_tokens });
            return Task::Reindex { recipe };
        }
        if self.rng.random_bool(0.06) {
            // Past all that an archive keeps for a while, so that pruning has something to remove.
            self.clock_hours += 25;
            return Task::Snapshot { hours: self.clock_hours };
        }
        let len = if self.rng.random_bool(0.03) { 400 } else { self.rng.random_range(1..40) };
        let events: Vec<_> = self.traffic.batch(len).iter().map(Event::encode).collect();
        self.report.events += events.len();
        let is_streamed = self.rng.random_bool(0.4);
        self.next_offset += i64::from(is_streamed);
        let offset = is_streamed.then_some(self.next_offset);
        let batch = self.batches.len();
        self.batches.push(Batch { worker: self.worker, offset, events: events.clone(), is_acknowledged: false });
        match offset {
            Some(offset) => Task::Read { offset, events },
            None => Task::Send { batch, events },
        }
    }

    fn note(&mut self, answer: &Answer) -> anyhow::Result<()> {
        match answer {
            Answer::Durable { batch } => {
                let batch = self.batches.get_mut(*batch).context("a batch is acknowledged that was not sent")?;
                batch.is_acknowledged = true;
            }
            Answer::Committed { offset } => {
                self.committed = self.committed.max(*offset);
                acknowledge_stream(&mut self.batches, *offset);
            }
            Answer::Reindexed => self.report.reindexes += 1,
            Answer::SnapshotTaken => self.report.snapshots += 1,
            Answer::Opened | Answer::Found { .. } => {}
            Answer::Refused { .. }
            | Answer::OperationFailed { .. }
            | Answer::SearchFailed { .. }
            | Answer::Closed { .. } => {
                anyhow::bail!("the worker says {answer:?}")
            }
        }
        Ok(())
    }

    /// Has it compared with a clean run of all that workers were given.
    fn check(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        let order = Order {
            crashed: self.crashed_dir(),
            clean: self.dir.path().join("clean"),
            batches: std::mem::take(&mut self.batches),
            committed: self.committed,
            next_offset: self.next_offset,
            workspaces: self.traffic.workspaces().to_vec(),
            words: vec![self.traffic.word(), self.traffic.word()],
        };
        let path = self.dir.path().join("order.json");
        std::fs::write(&path, serde_json::to_vec(&order)?)?;
        self.report.acknowledged += check_in_a_process(&path)?;
        self.committed = self.next_offset;
        // What one check finds may be of a merge that its end interrupted; the commits before the next clear it away.
        let strays = strays(&self.crashed_dir())?;
        let left: Vec<_> = strays.intersection(&self.strays).collect();
        ensure!(left.is_empty(), "interrupted writes left files for good: {left:?}");
        self.strays = strays;
        self.report.checks += 1;
        self.report.took += started.elapsed();
        Ok(())
    }
}

/// Names the order of a check.
const ORDER: &str = "CRASH_ORDER";

/// Not a test by itself: the process that checks.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test harness leaves no other way to give a child its task")]
fn checker() {
    let Ok(path) = std::env::var(ORDER) else { return };
    let mut order: Order = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    match check(&mut order) {
        Ok(acknowledged) => println!("{KNOWN}{acknowledged}"),
        Err(error) => println!("{WRONG}{:?}", format!("{error:#}")),
    }
}

/// Begin the lines with what a check found.
const KNOWN: &str = "crash: known: ";
const WRONG: &str = "crash: wrong: ";

/// Checks, and says how many events were known to be on disk.
pub(crate) fn check_in_a_process(order: &Path) -> anyhow::Result<usize> {
    let mut program = Command::new(std::env::current_exe()?);
    program.args(["--exact", "crash::checker", "--nocapture"]).env(ORDER, order);
    let output = program.output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    if let Some(known) = told.lines().find_map(|line| line.strip_prefix(KNOWN)) {
        return Ok(known.parse()?);
    }
    let wrong = told.lines().find_map(|line| line.strip_prefix(WRONG));
    anyhow::bail!("{}\n{}", wrong.unwrap_or("the check ended early"), String::from_utf8_lossy(&output.stderr))
}
