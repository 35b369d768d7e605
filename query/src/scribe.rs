//! A scribe: a thread that alone writes a log, behind a bounded queue, and takes out of the log what was erased.
//!
//! ```text
//! requests -> queue (bounded) -> batches -> Log::write -> files
//!                                              ^ Log::sweep: at the start, when somebody was erased, once an hour, and when asked
//! ```
//!
//! It knows nothing of what is written: [`Log`] does. Invariants: no request waits for the thread but one that asks for a sweep; what does not fit
//! is counted; everything that was taken is handed to [`Log::write`] before the thread ends.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Records that are handed over together, at most.
const BATCH_MAX: usize = 256;
/// Longest time between two looks at who was erased.
const LOOK_INTERVAL: Duration = Duration::from_hours(1);
/// Pause of whoever waits for room in a full queue.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// A log that a scribe writes. Its functions are called one at a time, by one thread.
pub(crate) trait Log: Send + 'static {
    /// What is written.
    type Record: Send + 'static;

    /// How long the thread may wait for more before [`Log::write`] is called with nothing; none for as long as it takes.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Writes what came together, 256 records at most and perhaps none; where `is_due`, so that it is where it lasts. False when it gave up
    /// because the log closes: then nothing more is asked of it.
    fn write(&mut self, records: Vec<Self::Record>, is_due: bool, behind: &Behind<'_, Self::Record>) -> bool;

    /// Takes out what was erased.
    fn sweep(&mut self);

    /// Nothing more comes.
    fn close(&mut self) {}
}

/// What became of records since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Those that were written.
    pub(crate) written: AtomicU64,
    /// Those that were lost: the queue was full, or the disk failed.
    pub(crate) lost: AtomicU64,
}

/// What threads tell each other beside the queue.
#[derive(Debug, Default)]
struct Signs {
    is_closed: AtomicBool,
    /// Set when somebody was erased: a request to look may find the queue full.
    is_erased: AtomicBool,
}

enum Request<T> {
    Write(T),
    /// Take out what was erased, and say when that is done.
    Sweep(Option<SyncSender<()>>),
}

/// What waits while a log is being written.
pub(crate) struct Behind<'a, T> {
    requests: &'a Receiver<Request<T>>,
    signs: &'a Signs,
}

impl<T> Behind<'_, T> {
    /// Whether the log is being closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.signs.is_closed.load(Ordering::Acquire)
    }

    /// Gives up what waits, and says how many requests that were.
    pub(crate) fn give_up(&self) -> usize {
        self.requests.try_iter().count()
    }
}

/// The queue and the thread behind it. The thread ends when this is dropped or [`Scribe::close`] is called.
#[derive(Debug)]
pub(crate) struct Scribe<T> {
    name: &'static str,
    counts: Arc<Counts>,
    signs: Arc<Signs>,
    /// `None` once it was closed.
    queue: Mutex<Option<SyncSender<Request<T>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<T: Send + 'static> Scribe<T> {
    /// Starts the thread, which sweeps first; its queue holds so many records.
    pub(crate) fn start(
        name: &'static str,
        queue_len_max: usize,
        counts: Arc<Counts>,
        log: impl Log<Record = T>,
    ) -> io::Result<Self> {
        let (queue, requests) = sync_channel(queue_len_max);
        let signs = Arc::<Signs>::default();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn({
            let signs = Arc::clone(&signs);
            move || run(log, &requests, &signs)
        })?;
        Ok(Self { name, counts, signs, queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands a record over; false, and counted as lost, when it does not fit or the log is closed. Waits for nothing.
    pub(crate) fn offer(&self, record: T) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().map(|queue| queue.try_send(Request::Write(record)));
        drop(queue);
        if matches!(sent, Some(Ok(()))) {
            return true;
        }
        let lost = self.counts.lost.fetch_add(1, Ordering::Relaxed) + 1;
        // The first of a row is told: a line for each would be a load of its own.
        if lost.is_power_of_two() && matches!(sent, Some(Err(TrySendError::Full(_)))) {
            tracing::warn!(lost, log = self.name, "the queue of a log is full");
        }
        false
    }

    /// Has everything of whoever was erased taken out. Say so whenever somebody was; it is looked for once an hour and at each start anyway.
    pub(crate) fn look_for_erased(&self) {
        self.signs.is_erased.store(true, Ordering::Release);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Of a full queue the thread is at work, and looks after the next records.
        let _ = queue.as_ref().map(|queue| queue.try_send(Request::Sweep(None)));
    }

    /// Waits until what was handed over so far is written and what was erased is out of it; false when the time ran out first. Blocks.
    pub(crate) fn settle(&self, timeout: Duration) -> bool {
        let (done, wait) = sync_channel(1);
        let until = Instant::now() + timeout;
        let Some(queue) = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return false };
        let mut request = Request::Sweep(Some(done));
        while let Err(refused) = queue.try_send(request) {
            let TrySendError::Full(back) = refused else { return false };
            if Instant::now() >= until {
                return false;
            }
            request = back;
            std::thread::park_timeout(FULL_PAUSE);
        }
        // The thread ends when nobody has the queue any more.
        drop(queue);
        wait.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok()
    }
}

impl<T> Scribe<T> {
    /// Writes what is waiting and ends the thread. What comes later is lost.
    pub(crate) fn close(&self) {
        self.signs.is_closed.store(true, Ordering::Release);
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A panic of the thread was reported where it happened.
        let _ = thread.map(JoinHandle::join);
    }
}

impl<T> Drop for Scribe<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Keeps a log clean that nothing is written to any more: sweeps it once, in a thread that nobody waits for.
pub(crate) fn sweep_once(name: &'static str, log: impl Log) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || clean(log)).map(drop)
}

/// Sweeps a log once, here.
pub(crate) fn clean(mut log: impl Log) {
    log.sweep();
    log.close();
}

/// Writes until nobody can ask any more.
fn run<L: Log>(mut log: L, requests: &Receiver<Request<L::Record>>, signs: &Signs) {
    log.sweep();
    let mut looked_at = Instant::now();
    loop {
        let patience = log.patience().map_or(LOOK_INTERVAL, |patience| patience.min(LOOK_INTERVAL));
        let (first, is_last) = match requests.recv_timeout(patience) {
            Ok(request) => (Some(request), false),
            Err(RecvTimeoutError::Timeout) => (None, false),
            Err(RecvTimeoutError::Disconnected) => (None, true),
        };
        let (mut records, mut waiting, mut is_asked) = (Vec::new(), Vec::new(), false);
        for request in first.into_iter().chain(requests.try_iter().take(BATCH_MAX - 1)) {
            match request {
                Request::Write(record) => records.push(record),
                Request::Sweep(done) => {
                    is_asked = true;
                    waiting.extend(done);
                }
            }
        }
        if !log.write(records, is_last || !waiting.is_empty(), &Behind { requests, signs }) {
            return;
        }
        if is_asked || signs.is_erased.swap(false, Ordering::AcqRel) || looked_at.elapsed() >= LOOK_INTERVAL {
            log.sweep();
            looked_at = Instant::now();
        }
        // Whoever asked may have stopped waiting.
        for done in waiting {
            let _ = done.try_send(());
        }
        if is_last {
            log.close();
            return;
        }
    }
}

#[cfg(test)]
mod tests;
