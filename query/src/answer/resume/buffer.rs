//! The events of one answer: between whoever writes it and whoever reads it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::api::answers::{AnswerErrorCode, ErrorEvent};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::AskedBy;
use crate::answer::outgoing::AnswerEvent;
use crate::gate::Watch;

/// Events that may wait for a reader: so far does a writer run ahead.
const AHEAD_MAX: u64 = 16;

/// An answer with its events.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) asked: AskedBy,
    bytes_max: usize,
    state: Mutex<State>,
    /// For the reader: there is something new.
    news: Notify,
    /// For the writer: something was read, or a reader came or went.
    turns: Notify,
    /// Set once nothing writes it and nobody finds it.
    pub(super) forgotten: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// With the bytes of each.
    events: VecDeque<(AnswerEvent, usize)>,
    /// The number of the first of these.
    first: u64,
    bytes: usize,
    /// The number of the event that is told next.
    next: u64,
    has_ended: bool,
    /// It was written to its end.
    is_complete: bool,
    /// How many readers there were: the last of them reads.
    readers: u64,
    /// Since when nobody reads.
    detached: Option<Instant>,
    ended: Option<Instant>,
    /// Follows access to what the answer is made of.
    watch: Option<Watch>,
}

/// What a reader is given.
pub(super) enum Next {
    /// An event with its number.
    Event(u64, AnswerEvent),
    /// There is none yet.
    Wait,
    /// There will be none.
    Over,
}

impl Stream {
    pub(super) fn new(asked: AskedBy, watch: Option<Watch>, bytes_max: usize) -> Self {
        let state = State {
            events: VecDeque::new(),
            first: 0,
            bytes: 0,
            next: 0,
            has_ended: false,
            is_complete: false,
            readers: 0,
            detached: Some(Instant::now()),
            ended: None,
            watch,
        };
        let forgotten = CancellationToken::new();
        Self { asked, bytes_max, state: Mutex::new(state), news: Notify::new(), turns: Notify::new(), forgotten }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes when something is new from now on.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// Takes a reader from an event on, in the place of the one before; `None` where that event is not kept.
    pub(super) fn attach(&self, from: u64) -> Option<u64> {
        let mut state = self.lock();
        let end = state.first.saturating_add(state.events.len() as u64);
        if from < state.first || from > end || state.first == u64::MAX {
            return None;
        }
        state.next = from;
        state.readers += 1;
        state.detached = None;
        let number = state.readers;
        drop(state);
        self.news.notify_waiters();
        self.turns.notify_waiters();
        Some(number)
    }

    /// A reader is gone.
    pub(super) fn detach(&self, number: u64) {
        let mut state = self.lock();
        if state.readers == number {
            state.detached = Some(Instant::now());
        }
        drop(state);
        self.turns.notify_waiters();
    }

    /// The next event for a reader, if its caller may have it now.
    pub(super) fn next(&self, reader: u64) -> Next {
        let mut state = self.lock();
        if state.readers != reader {
            return Next::Over;
        }
        let number = state.next;
        let Some((event, _)) = number.checked_sub(state.first).and_then(|at| state.events.get(at as usize)) else {
            return if state.has_ended { Next::Over } else { Next::Wait };
        };
        let mut event = event.clone();
        let is_error = matches!(event, AnswerEvent::Error(_));
        if !is_error && state.watch.as_mut().is_some_and(|watch| watch.let_out(()).is_none()) {
            event = access_changed();
            state.lose(event.clone());
        }
        state.next += 1;
        state.drop_read(self.bytes_max);
        drop(state);
        self.turns.notify_waiters();
        Next::Event(number, event)
    }

    /// Adds an event.
    pub(super) fn push(&self, event: AnswerEvent) {
        let bytes = serde_json::to_vec(&event).map_or(0, |json| json.len());
        let mut state = self.lock();
        if !state.has_ended {
            state.events.push_back((event, bytes));
            state.bytes += bytes;
            state.drop_read(self.bytes_max);
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// There will be no more. False where it was given up before.
    pub(super) fn end(&self) -> bool {
        let mut state = self.lock();
        let was_given_up = state.first == u64::MAX;
        (state.has_ended, state.is_complete) = (true, true);
        state.ended.get_or_insert_with(Instant::now);
        drop(state);
        self.news.notify_waiters();
        !was_given_up
    }

    /// It is given up, unless it was complete, which false says: nobody goes on with it any more. Where it was given up before, whoever
    /// writes it may still be leaving it.
    pub(super) fn stop(&self) -> bool {
        let mut state = self.lock();
        let is_complete = state.is_complete;
        if !state.has_ended {
            state.events.clear();
            (state.first, state.bytes, state.has_ended, state.ended) = (u64::MAX, 0, true, Some(Instant::now()));
        }
        drop(state);
        self.news.notify_waiters();
        self.turns.notify_waiters();
        !is_complete
    }

    /// Since when it is of use to nobody but whoever comes back: it is complete, or nobody reads it. Complete ones are the older.
    pub(super) fn spare_since(&self) -> Option<(bool, Instant)> {
        let state = self.lock();
        state.ended.map(|at| (false, at)).or_else(|| state.detached.map(|at| (true, at)))
    }

    /// Waits until another event may be written; false where there is nobody to write it for.
    pub(super) async fn has_room(&self, detached_max: Duration) -> bool {
        loop {
            let turns = self.turns.notified();
            {
                let state = self.lock();
                if state.has_ended {
                    return false;
                }
                let end = state.first + state.events.len() as u64;
                match state.detached {
                    None if end - state.next < AHEAD_MAX => return true,
                    None => {}
                    // Nobody could be told all of it any more.
                    Some(_) => return state.bytes < self.bytes_max,
                }
            }
            tokio::select! {
                () = turns => {}
                () = self.abandoned(detached_max) => return false,
            }
        }
    }

    /// Waits until nobody reads for so long, or access was lost.
    pub(super) async fn abandoned(&self, detached_max: Duration) {
        loop {
            let turns = self.turns.notified();
            let left = {
                let state = self.lock();
                if state.has_ended {
                    return;
                }
                state.detached.map(|at| detached_max.saturating_sub(at.elapsed()))
            };
            match left {
                None => turns.await,
                Some(left) if left.is_zero() => return,
                Some(left) => _ = tokio::time::timeout(left, turns).await,
            }
        }
    }
}

impl State {
    /// Drops all that is kept: nothing is told any more but why.
    fn lose(&mut self, why: AnswerEvent) {
        self.first = self.next;
        self.events = VecDeque::from([(why, 0)]);
        (self.bytes, self.has_ended, self.ended) = (0, true, Some(Instant::now()));
    }

    /// Drops what was read as far as there is too much.
    fn drop_read(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.first < self.next {
            let Some((_, bytes)) = self.events.pop_front() else { break };
            self.first += 1;
            self.bytes -= bytes;
        }
    }
}

fn access_changed() -> AnswerEvent {
    AnswerEvent::Error(ErrorEvent { code: AnswerErrorCode::AccessChanged, retryable: true, retry_after_seconds: None })
}
