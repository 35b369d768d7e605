//! How much a commit may hold while people edit: an edit waits for the commit at hand, and then for its own, so that neither
//! should take longer than the interval between commits.
//!
//! Told by the commits of late: what they took for each passage they wrote, and how many passages an event made them write. A
//! bulk of events gets half of the interval, so that the vectors of what it wrote before find room beside it.

use std::time::Duration;

/// Passages, and events, from which a commit tells what they take.
const TELLING: u64 = 64;
/// The fewest events and passages that a commit is kept short to.
const EVENTS_MIN: usize = 256;
const PASSAGES_MIN: usize = 64;

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
}

impl Pace {
    /// Notes what a commit took. Slower ones are believed at once, faster ones by half.
    pub(super) fn note(&mut self, told: &Told) {
        if told.passages >= TELLING {
            let seconds = told.took.as_secs_f64() / told.passages as f64;
            self.passage_seconds =
                Some(self.passage_seconds.map_or(seconds, |known| seconds.max(f64::midpoint(known, seconds))));
        }
        if told.events >= TELLING {
            let passages = (told.passages - told.for_vectors) as f64 / told.events as f64;
            self.event_passages = Some(self.event_passages.map_or(passages, |known| f64::midpoint(known, passages)));
        }
    }

    /// Events of a commit that takes no longer than half of `interval`.
    pub(super) fn events_max(&self, interval: Duration) -> usize {
        let (Some(passages), Some(each)) = (self.passages_in(interval), self.event_passages) else { return EVENTS_MIN };
        // An event that wrote no passage is far from free, and there are never too few to stop at.
        ((passages / 2.0 / each.max(1.0 / TELLING as f64)) as usize).max(EVENTS_MIN)
    }

    /// Passages that may be written for their vectors, beside `events`, in a commit that takes no longer than `interval`.
    pub(super) fn for_vectors_max(&self, interval: Duration, events: usize) -> usize {
        let Some(passages) = self.passages_in(interval) else { return usize::MAX };
        let left = passages - events as f64 * self.event_passages.unwrap_or_default();
        (left as usize).max(PASSAGES_MIN)
    }

    fn passages_in(&self, interval: Duration) -> Option<f64> {
        self.passage_seconds.map(|seconds| interval.as_secs_f64() / seconds.max(f64::EPSILON))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(250);

    fn told(took_ms: u64, events: u64, passages: u64, for_vectors: u64) -> Told {
        Told { took: Duration::from_millis(took_ms), events, passages, for_vectors }
    }

    #[test]
    fn before_a_commit_told_events_are_few_and_vectors_any() {
        let mut pace = Pace::default();
        pace.note(&told(10_000, TELLING - 1, TELLING - 1, 0));
        assert_eq!(pace.events_max(INTERVAL), EVENTS_MIN);
        assert_eq!(pace.for_vectors_max(INTERVAL, 1_000), usize::MAX);
    }

    #[test]
    fn a_bulk_gets_half_of_the_interval_and_vectors_what_is_left_of_it() {
        let mut pace = Pace::default();
        // Half a millisecond a passage, and a passage for two events: 500 passages in the interval, 250 of them by 500 events.
        pace.note(&told(500, 1_000, 1_000, 500));
        assert_eq!(pace.events_max(INTERVAL), 500);
        assert_eq!(pace.for_vectors_max(INTERVAL, 500), 250);
        assert_eq!(pace.for_vectors_max(INTERVAL, 0), 500);
        assert_eq!(pace.for_vectors_max(INTERVAL, 5_000), PASSAGES_MIN, "they are never held back for good");
    }

    #[test]
    fn slower_commits_are_believed_at_once_and_faster_ones_by_half() {
        let mut pace = Pace::default();
        pace.note(&told(100, 1_000, 1_000, 0));
        pace.note(&told(1_000, 1_000, 1_000, 0));
        assert_eq!(pace.for_vectors_max(INTERVAL, 0), 250);
        pace.note(&told(500, 1_000, 1_000, 0));
        assert_eq!(pace.for_vectors_max(INTERVAL, 0), 333);
    }

    #[test]
    fn events_that_write_nothing_have_a_bound() {
        let mut pace = Pace::default();
        pace.note(&told(100, 1_000, 100, 100));
        assert_eq!(pace.events_max(INTERVAL), 8_000);
    }
}
