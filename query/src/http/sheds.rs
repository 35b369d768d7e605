//! What the log says of requests that were turned away: at most a line a second of each kind, for under load a line each would be a load of its own.
//!
//! The first of a kind is told at once. What comes within a second of that line is counted, and the next line says how many there were: it is written
//! when the next one is turned away after that second, or else when any request is answered, or the server stops. Invariants: the numbers of all
//! lines of a kind come to what was turned away; a kind is made of fixed text, so that there are few. The counters of `metrics` count each one as it happens.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shortest time between two lines of a kind.
const INTERVAL: Duration = Duration::from_secs(1);
/// Kinds that are told apart; what comes beyond is told as one.
const KINDS_MAX: usize = 64;
/// What those beyond are told as.
const OTHERS: Kind = Kind { code: "others", detail: Cow::Borrowed("turned away for further reasons") };

/// Why something was turned away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    /// In a word.
    pub(super) code: &'static str,
    /// In the words that the client is told. Fixed text, and nothing that a client chose.
    pub(super) detail: Cow<'static, str>,
}

/// What there is to say in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    kind: Kind,
    /// How many were turned away since the line before.
    requests: u64,
    /// Of the last one.
    causes: String,
}

/// What is known of a kind.
#[derive(Debug)]
struct Untold {
    /// When the last line was written.
    told_at: Instant,
    requests: u64,
    causes: String,
}

/// What was turned away and is not told yet.
#[derive(Debug, Default)]
pub(super) struct Sheds {
    kinds: Mutex<HashMap<Kind, Untold>>,
    /// Requests of all kinds that no line tells of yet: looked at by every answer.
    untold: AtomicU64,
}

impl Sheds {
    /// Something was turned away: is told now, or counted for the next line.
    pub(super) fn shed(&self, kind: Kind, causes: String) {
        if let Some(Line { kind, requests, causes }) = self.count(kind, causes, Instant::now()) {
            tracing::warn!(code = kind.code, detail = &*kind.detail, causes, requests, "turned away");
        }
    }

    /// Something was answered: a moment to tell what was counted for longer than a second.
    pub(super) fn answered(&self) {
        if self.untold.load(Ordering::Relaxed) > 0 {
            tell(self.due(Instant::now(), INTERVAL));
        }
    }

    /// Tells what is left, at the end.
    pub(super) fn finish(&self) {
        tell(self.due(Instant::now(), Duration::ZERO));
    }

    fn count(&self, kind: Kind, causes: String, now: Instant) -> Option<Line> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = if kinds.len() < KINDS_MAX || kinds.contains_key(&kind) { kind } else { OTHERS };
        let Some(known) = kinds.get_mut(&kind) else {
            kinds.insert(kind.clone(), Untold { told_at: now, requests: 0, causes: String::new() });
            return Some(Line { kind, requests: 1, causes });
        };
        if now.saturating_duration_since(known.told_at) < INTERVAL {
            known.requests += 1;
            known.causes = causes;
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let counted = std::mem::take(&mut known.requests);
        known.told_at = now;
        self.untold.fetch_sub(counted, Ordering::Relaxed);
        Some(Line { kind, requests: counted + 1, causes })
    }

    /// Lines that are due: of kinds of which some are not told, and whose last line is as old as that.
    fn due(&self, now: Instant, age: Duration) -> Vec<Line> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        for (kind, known) in &mut *kinds {
            if known.requests > 0 && now.saturating_duration_since(known.told_at) >= age {
                known.told_at = now;
                let (requests, causes) = (std::mem::take(&mut known.requests), std::mem::take(&mut known.causes));
                self.untold.fetch_sub(requests, Ordering::Relaxed);
                lines.push(Line { kind: kind.clone(), requests, causes });
            }
        }
        lines
    }
}

/// Writes lines that are of no one request.
fn tell(lines: Vec<Line>) {
    for Line { kind, requests, causes } in lines {
        tracing::warn!(parent: None, code = kind.code, detail = &*kind.detail, causes, requests, "turned away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &'static str, detail: &'static str) -> Kind {
        Kind { code, detail: Cow::Borrowed(detail) }
    }

    fn told(line: Option<Line>) -> Option<u64> {
        line.map(|line| line.requests)
    }

    #[test]
    fn a_kind_is_told_once_a_second_with_the_number_since() {
        let (sheds, start) = (Sheds::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let shed = |ms, code| told(sheds.count(kind(code, "busy"), String::new(), at(ms)));
        assert_eq!(shed(0, "unavailable"), Some(1), "the first at once");
        assert!((1..1_000).all(|ms| shed(ms, "unavailable").is_none()));
        assert_eq!(shed(500, "too_many_requests"), Some(1), "another kind has lines of its own");
        assert_eq!(shed(1_000, "unavailable"), Some(1_000));
        assert_eq!(shed(1_001, "unavailable"), None);
        assert_eq!(shed(9_000, "unavailable"), Some(2));
        assert_eq!(sheds.untold.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_was_counted_last_is_told_without_another() {
        let (sheds, start) = (Sheds::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let shed = |ms, cause: &str| sheds.count(kind("unavailable", "busy"), cause.to_owned(), at(ms));
        assert!(shed(0, "first").is_some() && shed(10, "second").is_none() && shed(20, "third").is_none());
        assert_eq!(sheds.due(at(999), INTERVAL), Vec::new());
        let line = Line { kind: kind("unavailable", "busy"), requests: 2, causes: "third".to_owned() };
        assert_eq!(sheds.due(at(1_000), INTERVAL), [line]);
        assert_eq!(sheds.due(at(9_000), INTERVAL), Vec::new(), "once");
        assert_eq!(told(shed(9_000, "")), Some(1));
        assert_eq!(told(shed(9_001, "")), None);
        assert_eq!(sheds.due(at(9_002), Duration::ZERO).len(), 1, "at the end, however young");
        assert_eq!(sheds.untold.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn there_are_only_so_many_kinds() {
        let (sheds, now) = (Sheds::default(), Instant::now());
        for number in 0..1_000 {
            let kind = Kind { code: "unavailable", detail: format!("reason {number}").into() };
            sheds.count(kind, String::new(), now);
        }
        assert_eq!(sheds.kinds.lock().unwrap().len(), KINDS_MAX + 1);
        assert_eq!(sheds.untold.load(Ordering::Relaxed), 1_000 - KINDS_MAX as u64 - 1);
        let first = Kind { code: "unavailable", detail: "reason 0".into() };
        assert_eq!(told(sheds.count(first, String::new(), now + INTERVAL)), Some(1), "those known stay apart");
    }
}
