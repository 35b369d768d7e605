//! A disk that is full or fails: a clear error, searches go on, nothing acknowledged is lost, and it goes on by itself.
//!
//! The full disk is a small one in memory, which only root can mount; the failing operations come from an interposed
//! library. What the worker holds in the end is compared with a clean installation, as after a kill.

#![expect(clippy::print_stdout, reason = "a test prints its seed and what it found")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use eval::crash::check::{Batch, Order};
use eval::crash::child::Child;
use eval::crash::faults::Faults;
use eval::crash::site::PATIENCE;
use eval::crash::traffic::Traffic;
use eval::crash::worker::{Answer, Task};
use schemas::event::Event;

use crate::crash::{check_in_a_process, worker_in};

/// Bytes of the small disk: some times what the index takes, merges included.
const DISK_BYTES: u64 = 48 << 20;
/// Batches that a full disk may take before it must refuse one.
const BATCHES_TAKEN_MAX: usize = 50;

/// A small disk in memory, mounted.
struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// Mounts one; `None` where that is not allowed.
    fn mount(dir: &Path) -> Option<Self> {
        std::fs::create_dir(dir).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES}"), "tmpfs"]).arg(dir).output();
        mount.is_ok_and(|output| output.status.success()).then(|| Self { dir: dir.to_owned() })
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// Takes all that is left but so many bytes. A merge may give some back at any time.
    fn fill_but(&self, free: u64) {
        let mut ballast = std::fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        for len in [1 << 20, 4 << 10] {
            while ballast.write_all(&vec![0; len]).is_ok() {}
        }
        let len = ballast.metadata().unwrap().len();
        ballast.set_len(len - free).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn free(&self) -> u64 {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.dir).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a worker may not be quite dead. What is left of it is memory, and goes with the last user.
        let _ = Command::new("umount").arg("--lazy").arg(&self.dir).status();
    }
}

/// A worker, and what it was given.
struct Sender {
    crashed: PathBuf,
    traffic: Traffic,
    batches: Vec<Batch>,
    child: Child,
}

impl Sender {
    fn start(crashed: PathBuf, program: Command) -> Self {
        let seed = rand::random();
        println!("faults: seed {seed}");
        let child = started(program);
        Self { crashed, traffic: Traffic::new(seed), batches: Vec::new(), child }
    }

    /// Kills the worker; another one takes its place.
    fn restarted(self, program: Command) -> Self {
        let Self { crashed, traffic, batches, child } = self;
        let answers = child.kill().unwrap();
        let mut restarted = Self { crashed, traffic, batches, child: started(program) };
        for answer in answers {
            restarted.note(&answer);
        }
        restarted
    }

    fn send(&mut self) -> usize {
        let events: Vec<_> = self.traffic.batch(40).iter().map(Event::encode).collect();
        let batch = self.batches.len();
        self.batches.push(Batch { worker: 1, offset: None, events: events.clone(), is_acknowledged: false });
        self.child.give(Task::Send { batch, events });
        batch
    }

    fn note(&mut self, answer: &Answer) {
        if let Answer::Durable { batch } = answer {
            self.batches[*batch].is_acknowledged = true;
        }
    }

    /// The next answer that is as wanted; all before it are noted.
    #[track_caller]
    fn until(&mut self, what: &str, is_wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        while let Some(answer) = self.child.answer(deadline) {
            self.note(&answer);
            assert!(!matches!(answer, Answer::SearchFailed { .. }), "{answer:?}");
            if is_wanted(&answer) {
                return answer;
            }
            last = Some(answer);
        }
        panic!("the worker does not say {what}; last it said {last:?}");
    }

    /// Sends batches and waits for them all.
    fn send_some(&mut self, count: usize) {
        let mut waited_for: BTreeSet<usize> = (0..count).map(|_| self.send()).collect();
        while !waited_for.is_empty() {
            let answer = self.until("that batches are durable", |answer| matches!(answer, Answer::Durable { .. }));
            if let Answer::Durable { batch } = answer {
                waited_for.remove(&batch);
            }
        }
    }

    /// Waits until the batch is refused for that reason.
    #[track_caller]
    fn refused(&mut self, batch: usize, reason: &str) {
        self.until(&format!("that a batch is refused with {reason:?}"), |answer| is_refusal(answer, batch, reason));
    }

    /// Sends batches until one is refused because the disk is full, all but `free` bytes; gives its number. Some may be
    /// taken where a merge gives back what it merged.
    #[track_caller]
    fn refused_by_full(&mut self, disk: &Disk, free: u64) -> usize {
        const REASON: &str = "No space left on device";
        for _ in 0..BATCHES_TAKEN_MAX {
            disk.fill_but(free);
            let batch = self.send();
            let answer = self.until("what became of a batch on a full disk", |answer| {
                is_refusal(answer, batch, REASON) || *answer == Answer::Durable { batch }
            });
            if is_refusal(&answer, batch, REASON) {
                return batch;
            }
        }
        panic!("{BATCHES_TAKEN_MAX} batches were taken by a full disk");
    }

    /// Whether the worker said so by now.
    fn is_durable(&mut self, batch: usize) -> bool {
        while let Some(answer) = self.child.answer(Instant::now()) {
            self.note(&answer);
        }
        self.batches[batch].is_acknowledged
    }

    #[track_caller]
    fn durable(&mut self, batch: usize) {
        if !self.is_durable(batch) {
            self.until("that a batch is durable", |answer| *answer == Answer::Durable { batch });
        }
    }

    fn searches_go_on(&mut self) {
        for workspace in self.traffic.workspaces().to_vec() {
            for user in Traffic::users() {
                let word = self.traffic.word();
                self.child.give(Task::Search { workspace: workspace.clone(), user, word });
                self.until("what it found", |answer| matches!(answer, Answer::Found { .. }));
            }
        }
    }

    /// Kills the worker and compares what it leaves with a clean run.
    fn check(self, dir: &Path) {
        let Self { crashed, mut traffic, mut batches, child } = self;
        for answer in child.kill().unwrap() {
            if let Answer::Durable { batch } = answer {
                batches[batch].is_acknowledged = true;
            }
        }
        let order = Order {
            crashed,
            clean: dir.join("clean"),
            batches,
            committed: 0,
            next_offset: 1,
            workspaces: traffic.workspaces().to_vec(),
            words: vec![traffic.word()],
        };
        let path = dir.join("order.json");
        std::fs::write(&path, serde_json::to_vec(&order).unwrap()).unwrap();
        let known = check_in_a_process(&path).unwrap();
        println!("faults: {known} acknowledged events are there");
        assert!(known > 0);
    }
}

fn is_refusal(answer: &Answer, batch: usize, reason: &str) -> bool {
    matches!(answer, Answer::Refused { batch: refused, error } if *refused == batch && error.contains(reason))
}

fn started(program: Command) -> Child {
    let child = Child::start(program).unwrap();
    assert_eq!(child.answer(Instant::now() + PATIENCE), Some(Answer::Opened));
    child
}

#[test]
fn a_full_disk_is_told_of_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&dir.path().join("disk")) else {
        println!("SKIPPED: the full disk; only root can mount a small one");
        return;
    };
    let crashed = disk.dir.join("data");
    let mut sender = Sender::start(crashed.clone(), worker_in(&crashed));
    sender.send_some(20);

    let held = sender.refused_by_full(&disk, 0);
    sender.searches_go_on();
    disk.empty();
    sender.durable(held);
    sender.send_some(20);

    // A kill while the disk is full: it opens, searches are answered, and what is sent is taken once there is room.
    sender.refused_by_full(&disk, 0);
    let mut sender = sender.restarted(worker_in(&crashed));
    sender.searches_go_on();
    let held = sender.refused_by_full(&disk, 0);
    disk.empty();
    sender.durable(held);
    sender.send_some(10);
    sender.check(dir.path());
}

/// A commit that fills the disk leaves what it wrote. Without that being removed, no smaller one would find room either.
#[test]
fn what_a_failed_commit_wrote_takes_no_room_from_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&dir.path().join("disk")) else {
        println!("SKIPPED: the full disk; only root can mount a small one");
        return;
    };
    let crashed = disk.dir.join("data");
    let mut sender = Sender::start(crashed.clone(), worker_in(&crashed));
    sender.send_some(20);
    let held = sender.refused_by_full(&disk, 64 << 10);
    // Tries go on, so there are moments in which it is full. One may find room after all, and keeps what it takes.
    let deadline = Instant::now() + PATIENCE;
    while disk.free() < 48 << 10 && !sender.is_durable(held) {
        assert!(Instant::now() < deadline, "what failed commits wrote stays: {} bytes are free", disk.free());
        std::thread::yield_now();
    }
    disk.empty();
    sender.durable(held);
    sender.check(dir.path());
}

#[test]
fn operations_that_fail_are_told_of_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::build(dir.path()).unwrap();
    let crashed = dir.path().join("crashed");
    let program = || {
        let mut program = worker_in(&crashed);
        faults.load_into(&mut program, &crashed, None);
        program
    };
    let mut sender = Sender::start(crashed.clone(), program());
    sender.send_some(5);
    for (error, told, operations) in [
        ("EIO", "Input/output error", "write"),
        ("EIO", "Input/output error", "sync"),
        ("EIO", "Input/output error", "open"),
        ("ENOSPC", "No space left on device", "open,write,truncate"),
    ] {
        faults.begin(error, operations).unwrap();
        let held = sender.send();
        sender.refused(held, told);
        sender.searches_go_on();
        faults.end().unwrap();
        sender.durable(held);
        sender.send_some(3);
    }
    // Files that cannot be removed hold nothing up.
    faults.begin("EIO", "unlink").unwrap();
    sender.send_some(5);
    faults.end().unwrap();

    // A kill while writes fail: it opens, and goes on once they succeed.
    faults.begin("EIO", "write,sync").unwrap();
    let held = sender.send();
    sender.refused(held, "Input/output error");
    let mut sender = sender.restarted(program());
    sender.searches_go_on();
    let held = sender.send();
    sender.refused(held, "Input/output error");
    faults.end().unwrap();
    sender.durable(held);
    sender.check(dir.path());
}
