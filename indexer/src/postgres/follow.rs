//! Following an outbox: read on again and again, beside whatever else the engine takes in.
//!
//! It never gives up: what fails is tried again with growing pauses, over a new connection. It ends when it is told to, or when
//! the engine takes nothing any more.

use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::PostgresError;
use super::config::{Config, Secrets};
use super::outbox::{OutboxReport, Reader};
use crate::engine::Engine;
use crate::error::IngestError;

/// First and longest pause after something failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is logged how far it is.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// An outbox that is followed by a thread.
#[derive(Debug)]
pub struct Follower {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts to follow. The server need not be there yet.
    pub fn start(config: &Config, secrets: &Secrets, engine: Engine) -> Result<Self, PostgresError> {
        config.check()?;
        // Said at once, rather than again and again in the log.
        config.target(secrets)?;
        let stop = CancellationToken::new();
        let (config, secrets, token) = (config.clone(), secrets.clone(), stop.clone());
        let run = move || follow(&config, &secrets, &engine, &token);
        let thread = Builder::new().name("indexer-postgres".to_owned()).spawn(run).map_err(PostgresError::Start)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it after the batch at hand, and waits for that.
    pub fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so in the log.
            let _ = thread.join();
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

fn follow(config: &Config, secrets: &Secrets, engine: &Engine, stop: &CancellationToken) {
    let mut failures = 0;
    loop {
        let error = match follow_over_one_connection(config, secrets, engine, stop, &mut failures) {
            Ok(()) | Err(PostgresError::Stopped | PostgresError::Ingest(IngestError::Stopped)) => return,
            Err(error) => error,
        };
        let pause = (RETRY_PAUSE * 2_u32.pow(failures.min(10))).min(RETRY_PAUSE_MAX);
        failures += 1;
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, failures, "the outbox cannot be read; it is tried again");
        if rest(stop, pause) {
            return;
        }
    }
}

/// Reads on until it is told to stop. `failures` is none again once something was read.
fn follow_over_one_connection(
    config: &Config,
    secrets: &Secrets,
    engine: &Engine,
    stop: &CancellationToken,
    failures: &mut u32,
) -> Result<(), PostgresError> {
    let mut reader = Reader::connect(config, secrets, engine, stop)?;
    let poll = Duration::from_millis(config.poll_interval_ms);
    let mut report_due = Instant::now();
    loop {
        let may_be_more = reader.read_on(&mut |_| {})?;
        *failures = 0;
        if Instant::now() >= report_due {
            report_due = Instant::now() + REPORT_INTERVAL;
            let OutboxReport { rows, taken, held_back, position } = reader.report;
            let transaction = position.map(|position| position.transaction);
            tracing::info!(rows, rejected = taken.rejected, held_back, transaction, "followed the outbox");
        }
        if !may_be_more && reader.rest(poll) {
            return Ok(());
        }
    }
}

/// Waits for a while, or until it is told to stop; true when it was.
fn rest(stop: &CancellationToken, time: Duration) -> bool {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        std::thread::park_timeout(time);
        return stop.is_cancelled();
    };
    runtime.block_on(async { tokio::time::timeout(time, stop.cancelled()).await.is_ok() })
}
