//! How much a commit may hold: an edit waits for the commit at hand, and then for its own, so that both together should take no
//! longer than the interval between commits while people edit, and never many of them.
//!
//! Told by the commits of late: what they took for each passage they wrote, and how many passages an event made them write. Events
//! go before the vectors of what was written before: vectors get what events leave, and a small share where more events wait.

use std::time::Duration;

/// Passages from which a commit tells what they take, and events from which commits together do.
const TELLING: u64 = 64;
/// The fewest passages that a commit is kept short to, and the events of the first ones while people edit.
const PASSAGES_MIN: usize = 64;
pub(super) const EVENTS_MIN: usize = 256;
/// The part of a commit that vectors get while more events wait than it may hold: one of so many.
const VECTORS_PART: usize = 8;

/// What a commit wrote, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) took: Duration,
    pub(super) events: u64,
    /// All passages that it wrote.
    pub(super) passages: u64,
    /// Those of them that it wrote for nothing but their vectors.
    pub(super) for_vectors: u64,
}

/// What the commits of late took; nothing before one told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Seconds for a passage.
    passage_seconds: Option<f64>,
    /// Passages that were written for an event.
    event_passages: Option<f64>,
    /// Events, and the passages written for them, of commits that were too short to tell.
    untold: (u64, u64),
}

impl Pace {
    /// Notes what a commit took. Slower ones are believed at once, faster ones by half.
    pub(super) fn note(&mut self, told: &Told) {
        if told.passages >= TELLING {
            let seconds = told.took.as_secs_f64() / told.passages as f64;
            self.passage_seconds =
                Some(self.passage_seconds.map_or(seconds, |known| seconds.max(f64::midpoint(known, seconds))));
        }
        let (events, passages) = &mut self.untold;
        *events += told.events;
        *passages += told.passages - told.for_vectors;
        if *events >= TELLING {
            let each = *passages as f64 / *events as f64;
            self.event_passages = Some(self.event_passages.map_or(each, |known| f64::midpoint(known, each)));
            self.untold = (0, 0);
        }
    }

    /// Events of a commit that leave vectors their part of `time`; `None` before a commit told.
    pub(super) fn events_max(&self, time: Duration) -> Option<usize> {
        let passages = self.passages_in(time)?;
        // An event that wrote no passage is far from free.
        let each = self.event_passages?.max(1.0 / TELLING as f64);
        let for_events = passages - passages / VECTORS_PART as f64;
        Some((for_events.max(PASSAGES_MIN as f64) / each) as usize)
    }

    /// Passages that may be written for their vectors, beside `events`, in a commit that takes no longer than `time`; no more than
    /// their part of it where more events wait.
    pub(super) fn for_vectors_max(&self, time: Duration, events: usize, more_wait: bool) -> usize {
        let Some(passages) = self.passages_in(time) else { return usize::MAX };
        let left = if more_wait {
            passages / VECTORS_PART as f64
        } else {
            passages - events as f64 * self.event_passages.unwrap_or_default()
        };
        (left as usize).max(PASSAGES_MIN)
    }

    fn passages_in(&self, time: Duration) -> Option<f64> {
        self.passage_seconds.map(|seconds| time.as_secs_f64() / seconds.max(f64::EPSILON))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(250);

    fn told(took_ms: u64, events: u64, passages: u64, for_vectors: u64) -> Told {
        Told { took: Duration::from_millis(took_ms), events, passages, for_vectors }
    }

    #[test]
    fn nothing_is_known_before_a_commit_told() {
        let mut pace = Pace::default();
        pace.note(&told(10_000, TELLING - 1, TELLING - 1, 0));
        assert_eq!(pace.events_max(TIME), None);
        assert_eq!(pace.for_vectors_max(TIME, 1_000, true), usize::MAX);
    }

    #[test]
    fn vectors_get_what_events_leave_and_their_part_where_more_wait() {
        let mut pace = Pace::default();
        // Half a millisecond a passage, and a passage for two events: 500 passages in the time.
        pace.note(&told(500, 1_000, 1_000, 500));
        assert_eq!(pace.events_max(TIME), Some(875));
        assert_eq!(pace.for_vectors_max(TIME, 875, true), 62.max(PASSAGES_MIN));
        assert_eq!(pace.for_vectors_max(4 * TIME, 3_500, true), 250);
        assert_eq!(pace.for_vectors_max(TIME, 500, false), 250);
        assert_eq!(pace.for_vectors_max(TIME, 0, false), 500);
        assert_eq!(pace.for_vectors_max(TIME, 5_000, false), PASSAGES_MIN, "they are never held back for good");
    }

    #[test]
    fn short_commits_tell_together() {
        let mut pace = Pace::default();
        // A large page: it is written whole for few events, and again.
        pace.note(&told(500, TELLING, 500, 0));
        let short = pace.events_max(TIME).unwrap();
        assert!(short < TELLING as usize, "{short}");
        for _ in 0..20 {
            pace.note(&told(20, TELLING / 4, 20, 0));
        }
        assert!(pace.events_max(TIME).unwrap() > 2 * short);
    }

    #[test]
    fn slower_commits_are_believed_at_once_and_faster_ones_by_half() {
        let mut pace = Pace::default();
        pace.note(&told(100, 1_000, 1_000, 0));
        pace.note(&told(1_000, 1_000, 1_000, 0));
        assert_eq!(pace.for_vectors_max(TIME, 0, false), 250);
        pace.note(&told(500, 1_000, 1_000, 0));
        assert_eq!(pace.for_vectors_max(TIME, 0, false), 333);
    }

    #[test]
    fn events_that_write_nothing_have_a_bound() {
        let mut pace = Pace::default();
        pace.note(&told(100, 1_000, 100, 100));
        assert_eq!(pace.events_max(TIME), Some(14_000));
    }

    #[test]
    fn a_commit_is_kept_no_shorter_than_to_some_passages() {
        let mut pace = Pace::default();
        // Six passages an event, and ten milliseconds each.
        pace.note(&told(6_000, 100, 600, 0));
        assert_eq!(pace.events_max(TIME), Some(10));
    }
}
