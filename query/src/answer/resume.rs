//! Answers that outlive a broken connection: what was told is kept for a short while, so that whoever asked can go on where it broke off.
//!
//! ```text
//! Answering ─> pump, a task of its own ─> the events so far ─> Reader: access again, event by event ─> connection
//!                 ^ waits for the reader, or goes on for a while without one, then stops
//! ```
//!
//! Whoever asked may also say that nobody comes back: it then stops at once.
//!
//! Everything is bounded: how many are kept, the bytes of each, how far the pump runs ahead, how long it goes on when nobody reads, and how
//! long a finished one stays. Invariants: only the same caller who asks the same again goes on with an answer, everyone else is told what is
//! told of those that are gone; an event that waited is let out under the access of the moment in which it is told, so that after a loss
//! nothing is told again but that; one reader at a time.

mod buffer;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use access::Caller;
use schemas::api::answers::AnswerRequest;
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;

use super::outgoing::{AnswerEvent, Telling};
use crate::config::ConfigError;
use crate::error::QueryError;
use crate::random_id::RandomId;
use crate::trace::going_on;
use buffer::{Next, Stream};

/// Divides the name of a stream from the number of an event.
const BORDER: char = '-';

/// Choices about going on with answers whose connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResumeConfig {
    /// Answers that are kept, those that are being written and those that are complete, at most 100,000; 128. 0 keeps none: who leaves then
    /// stops the answer at once. Beyond, complete ones go first, then those that nobody reads; an answer for which there is no room is told
    /// without being kept.
    pub streams_max: usize,
    /// Bytes of the events of one, 64 KiB or more; 128 KiB. What was read goes first; one that nobody reads ends there.
    pub stream_bytes_max: usize,
    /// How long an answer is written on when its connection is gone, in milliseconds, at most 300,000; 10,000.
    pub detached_ms: u32,
    /// How long one that is complete is kept, in milliseconds, at most 3,600,000; 60,000.
    pub keep_ms: u32,
}

impl Default for ResumeConfig {
    fn default() -> Self {
        Self { streams_max: 128, stream_bytes_max: 128 << 10, detached_ms: 10_000, keep_ms: 60_000 }
    }
}

impl ResumeConfig {
    /// Checks every value against its range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        rule(self.streams_max <= 100_000, "answer.resume.streams_max", "must be at most 100,000")?;
        rule(self.stream_bytes_max >= 64 << 10, "answer.resume.stream_bytes_max", "must be at least 64 KiB")?;
        rule(self.detached_ms <= 300_000, "answer.resume.detached_ms", "must be at most 300,000")?;
        rule(self.keep_ms <= 3_600_000, "answer.resume.keep_ms", "must be at most 3,600,000")
    }
}

/// The answers that can be gone on with. Cloning is cheap; when the last clone goes, those that are being written stop.
#[derive(Clone, Debug)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ResumeConfig,
    kept: Mutex<HashMap<RandomId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    stream: Arc<Stream>,
    /// Writes it, then waits until it is to be forgotten.
    pump: AbortHandle,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.pump.abort();
        // Whoever found it just before waits for nothing.
        self.stream.stop();
        self.stream.forgotten.cancel();
    }
}

/// What is asked, and by whom: what must be the same to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedBy {
    caller: Caller,
    request: blake3::Hash,
}

impl AskedBy {
    /// Of a request.
    pub fn new(caller: &Caller, request: &AnswerRequest) -> Self {
        let request = serde_json::to_vec(request).expect("a request is text, numbers and lists of them");
        Self { caller: caller.clone(), request: blake3::hash(&request) }
    }
}

impl Streams {
    /// None yet.
    pub fn new(config: ResumeConfig) -> Self {
        Self(Arc::new(Inner { config, kept: Mutex::default() }))
    }

    /// Begins to tell an answer that can be gone on with. Where no room is left, it is given back.
    ///
    /// Must be called within a runtime.
    pub fn begin<T: Telling>(&self, asked: AskedBy, telling: T) -> Result<Reader, T> {
        let Ok(id) = RandomId::random() else { return Err(telling) };
        let mut kept = self.kept();
        if !self.0.make_room(&mut kept) {
            return Err(telling);
        }
        let stream = Arc::new(Stream::new(asked, telling.watch(), self.0.config.stream_bytes_max));
        let Some(reader) = Reader::attach(id, Arc::clone(&stream), 0) else { return Err(telling) };
        // Written for the request; what is kept of it afterwards is kept for whoever comes, and the request is over.
        let (writing, detached) = (Arc::clone(&stream), ms(self.0.config.detached_ms));
        let written = going_on(async move { write(&writing, telling, detached).await });
        let pump = pump(written, Arc::downgrade(&self.0), id, ms(self.0.config.keep_ms));
        let pump = tokio::spawn(pump).abort_handle();
        kept.insert(id, Kept { stream, pump });
        Ok(reader)
    }

    /// Goes on with an answer after the event of which this was the id. Whoever read it until now reads no more.
    ///
    /// # Errors
    ///
    /// [`QueryError::StreamGone`] where there is none to go on with for whoever asks.
    pub fn resume(&self, asked: &AskedBy, last_event_id: &str) -> Result<Reader, QueryError> {
        let (id, number) = last_event_id.split_once(BORDER).ok_or(QueryError::StreamGone)?;
        let (Some(id), Ok(number)) = (RandomId::parse(id), number.parse::<u64>()) else {
            return Err(QueryError::StreamGone);
        };
        let stream = self.kept().get(&id).map(|kept| Arc::clone(&kept.stream));
        let stream = stream.filter(|stream| stream.asked == *asked).ok_or(QueryError::StreamGone)?;
        Reader::attach(id, stream, number.saturating_add(1)).ok_or(QueryError::StreamGone)
    }

    /// Stops an answer and forgets it. When this returns, no model writes it any more, and what is kept of it in a conversation is kept.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] where the caller has no such answer.
    ///
    /// Cancel safety: safe; it is stopped all the same.
    pub async fn stop(&self, caller: &Caller, id: &str) -> Result<(), QueryError> {
        let id = RandomId::parse(id).ok_or(QueryError::NotFound)?;
        let stream = {
            let mut kept = self.kept();
            let stream = kept.get(&id).map(|kept| Arc::clone(&kept.stream));
            let stream = stream.filter(|stream| stream.asked.caller == *caller).ok_or(QueryError::NotFound)?;
            if !stream.stop() {
                kept.remove(&id);
            }
            stream
        };
        stream.forgotten.cancelled().await;
        Ok(())
    }

    /// Stops all that are being written and forgets those that are complete. When this returns, no model writes one any more, and what is
    /// kept of them in conversations is kept.
    ///
    /// Cancel safety: safe; they are stopped all the same.
    pub async fn close(&self) {
        let stopping: Vec<Arc<Stream>> = {
            let mut kept = self.kept();
            kept.retain(|_, kept| kept.stream.stop());
            kept.values().map(|kept| Arc::clone(&kept.stream)).collect()
        };
        for stream in stopping {
            stream.forgotten.cancelled().await;
        }
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.kept().len()
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<RandomId, Kept>> {
        self.0.kept()
    }
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, HashMap<RandomId, Kept>> {
        // Nothing in here panics half way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for one more; false where all that are kept are being read.
    fn make_room(&self, kept: &mut HashMap<RandomId, Kept>) -> bool {
        if self.config.streams_max == 0 {
            return false;
        }
        while kept.len() >= self.config.streams_max {
            let spare = kept.iter().filter_map(|(id, kept)| Some((kept.stream.spare_since()?, *id)));
            let Some((_, id)) = spare.min() else { return false };
            kept.remove(&id);
        }
        true
    }
}

/// Has an answer written down as it is made, as long as somebody reads it or may come back; forgets it when nobody came.
async fn pump(written: impl Future<Output = bool>, streams: Weak<Inner>, id: RandomId, keep: Duration) {
    if written.await {
        tokio::time::sleep(keep).await;
    } else {
        tracing::debug!("an answer was stopped: nobody came back for it, or whoever asked said so");
    }
    let forgotten = streams.upgrade().and_then(|streams| streams.kept().remove(&id));
    drop(forgotten);
}

/// Writes an answer to its end; false where it was stopped. Dropping what makes it stops the model.
async fn write<T: Telling>(stream: &Stream, mut telling: T, detached: Duration) -> bool {
    loop {
        if !stream.has_room(detached).await {
            break;
        }
        tokio::select! {
            event = telling.next() => match event {
                Some(event) => stream.push(event),
                None => return stream.end(),
            },
            () = stream.abandoned(detached) => break,
        }
    }
    telling.leave().await;
    false
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

/// Whoever reads an answer. Dropping it is what a broken connection does.
#[derive(Debug)]
pub struct Reader {
    id: RandomId,
    stream: Arc<Stream>,
    /// Which of the readers of the stream it is.
    number: u64,
}

impl Reader {
    fn attach(id: RandomId, stream: Arc<Stream>, from: u64) -> Option<Self> {
        let number = stream.attach(from)?;
        Some(Self { id, stream, number })
    }

    /// The next event with its id; `None` after the last one, and once somebody else reads.
    ///
    /// Cancel safety: safe.
    pub async fn next(&mut self) -> Option<(String, AnswerEvent)> {
        loop {
            // Before the look, so that what comes between is not missed.
            let news = self.stream.news();
            match self.stream.next(self.number) {
                Next::Event(number, event) => return Some((format!("{}{BORDER}{number}", self.id), event)),
                Next::Wait => news.await,
                Next::Over => return None,
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stream.detach(self.number);
    }
}

#[cfg(test)]
mod tests;
