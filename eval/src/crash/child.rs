//! The parent's hold on a [`worker`](super::worker): it gives tasks without waiting, collects the answers, and kills.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;

use super::worker::{ANSWER, Answer, Task};

/// A worker in a process of its own.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    tasks: Option<Sender<Task>>,
    answers: Receiver<Answer>,
    threads: Vec<JoinHandle<()>>,
}

impl Child {
    /// Starts a program that calls [`work`](super::worker::work) with its standard input and output.
    pub fn start(mut program: Command) -> anyhow::Result<Self> {
        let mut process = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start it")?;
        let mut input = process.stdin.take().context("it has no input")?;
        let output = BufReader::new(process.stdout.take().context("it has no output")?);
        let (tasks, to_write) = channel::<Task>();
        let writing = std::thread::spawn(move || {
            for task in to_write {
                let line = serde_json::to_string(&task).expect("a task is text and numbers");
                // It is dead: what it was to do is known to the caller.
                if writeln!(input, "{line}").is_err() {
                    return;
                }
            }
        });
        let (to_read, answers) = channel();
        let reading = std::thread::spawn(move || {
            // A line may be cut short by a kill, and others may write lines.
            for line in output.lines().map_while(Result::ok) {
                let answer = line.strip_prefix(ANSWER).and_then(|answer| serde_json::from_str(answer).ok());
                if answer.is_some_and(|answer| to_read.send(answer).is_err()) {
                    return;
                }
            }
        });
        Ok(Self { process, tasks: Some(tasks), answers, threads: vec![writing, reading] })
    }

    /// Gives a task. What becomes of it when the process is dead, the answers say.
    pub fn give(&self, task: Task) {
        if let Some(tasks) = &self.tasks {
            // The thread has ended when the process is dead.
            let _ = tasks.send(task);
        }
    }

    /// The next answer; `None` when the process has ended, or the time has come first.
    pub fn answer(&self, deadline: Instant) -> Option<Answer> {
        self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// Lets it do what it was given and close; gives the answers that were not asked for yet.
    pub fn finish(mut self) -> anyhow::Result<Vec<Answer>> {
        self.tasks = None;
        self.end()
    }

    /// Kills it, if it is not dead already; gives the answers that were not asked for yet.
    pub fn kill(mut self) -> anyhow::Result<Vec<Answer>> {
        self.process.kill().context("cannot kill it")?;
        self.tasks = None;
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<Vec<Answer>> {
        self.process.wait().context("cannot wait for it")?;
        for thread in self.threads.drain(..) {
            thread.join().ok().context("a thread of the pipes panicked")?;
        }
        Ok(self.answers.try_iter().collect())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Only when a test ends early; it may be dead.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
