//! In which order endpoints are asked: by weight in turn, or by how soon their first text came of late.
//!
//! Pure: what time it is, it is told.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::config::Routing;

/// An endpoint that can be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its place in the configuration.
    pub(super) index: usize,
    pub(super) weight: u32,
    /// How soon its first text comes; `None` where that is not known.
    pub(super) latency: Option<Duration>,
}

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    routing: Routing,
    /// How much each endpoint is owed, in weights.
    owed: Vec<i64>,
}

impl Turns {
    pub(super) fn new(routing: Routing, endpoints: usize) -> Self {
        Self { routing, owed: vec![0; endpoints] }
    }

    /// The endpoints in the order in which to ask them, and notes that the first was asked. Those of weight 0 come last.
    pub(super) fn order(&mut self, mut candidates: Vec<Candidate>) -> Vec<usize> {
        match self.routing {
            Routing::Weighted => {
                for candidate in &candidates {
                    self.owed[candidate.index] += i64::from(candidate.weight);
                }
                candidates.sort_by_key(|candidate| Reverse((candidate.weight > 0, self.owed[candidate.index])));
                if let Some(first) = candidates.first() {
                    let all: i64 = candidates.iter().map(|candidate| i64::from(candidate.weight)).sum();
                    self.owed[first.index] -= all;
                }
            }
            Routing::Fastest => candidates.sort_by_key(Candidate::slowness),
        }
        candidates.iter().map(|candidate| candidate.index).collect()
    }
}

impl Candidate {
    /// What is not known is tried first.
    fn slowness(&self) -> (bool, Duration) {
        (self.weight == 0, self.latency.unwrap_or_default() / self.weight.max(1))
    }
}

/// How soon first texts come: a mean in which the last ones weigh most. A failure counts as a text that came late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    mean: Option<(Duration, Instant)>,
}

impl Latency {
    /// The share of the newest in the mean.
    const NEWEST: f64 = 0.3;
    /// What was measured loses half of its height in this time, so that an endpoint that was slow is tried again.
    const HALF_LIFE: Duration = Duration::from_mins(1);

    /// Notes how soon a first text came.
    pub(super) fn note(&mut self, latency: Duration, now: Instant) {
        let mean =
            self.mean.map_or(latency, |(mean, _)| mean.mul_f64(1.0 - Self::NEWEST) + latency.mul_f64(Self::NEWEST));
        self.mean = Some((mean, now));
    }

    /// Notes that none came in so much time: it counts as one that came no sooner than was expected; where nothing was known, as late as
    /// one may.
    pub(super) fn note_failure(&mut self, spent: Duration, slowest: Duration, now: Instant) {
        let expected = self.expected(now).unwrap_or(slowest);
        self.note(spent.max(expected), now);
    }

    /// How soon a first text is to be expected.
    pub(super) fn expected(&self, now: Instant) -> Option<Duration> {
        let (mean, at) = self.mean?;
        let age = now.saturating_duration_since(at).as_secs_f64() / Self::HALF_LIFE.as_secs_f64();
        Some(mean.mul_f64(0.5_f64.powf(age)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(index: usize, weight: u32, ms: Option<u64>) -> Candidate {
        Candidate { index, weight, latency: ms.map(Duration::from_millis) }
    }

    #[test]
    fn turns_go_by_weight_and_the_last_resort_comes_last() {
        let mut turns = Turns::new(Routing::Weighted, 3);
        let all = vec![candidate(0, 3, None), candidate(1, 1, None), candidate(2, 0, None)];
        let mut first = [0; 3];
        for _ in 0..40 {
            let order = turns.order(all.clone());
            first[order[0]] += 1;
            assert_eq!(order[2], 2);
        }
        assert_eq!(first, [30, 10, 0]);
        assert_eq!(turns.order(vec![all[2]]), [2]);
    }

    #[test]
    fn the_fastest_goes_first_and_the_unknown_before_it() {
        let mut turns = Turns::new(Routing::Fastest, 4);
        let all = vec![
            candidate(0, 1, Some(300)),
            candidate(1, 2, Some(500)),
            candidate(2, 0, Some(1)),
            candidate(3, 1, None),
        ];
        assert_eq!(turns.order(all), [3, 1, 0, 2]);
    }

    #[test]
    fn the_mean_follows_the_newest_and_fades() {
        let now = Instant::now();
        let mut latency = Latency::default();
        assert_eq!(latency.expected(now), None);
        latency.note(Duration::from_millis(100), now);
        latency.note(Duration::from_millis(200), now);
        assert_eq!(latency.expected(now).unwrap().as_millis(), 130);
        assert_eq!(latency.expected(now + Latency::HALF_LIFE).unwrap().as_millis(), 65);
    }

    #[test]
    fn a_failure_makes_nobody_faster() {
        let (now, slowest) = (Instant::now(), Duration::from_secs(20));
        let ms = |latency: &Latency| latency.expected(now).unwrap().as_millis();
        let mut unknown = Latency::default();
        unknown.note_failure(Duration::from_millis(1), slowest, now);
        assert_eq!(ms(&unknown), 20_000);
        let mut known = Latency::default();
        known.note(Duration::from_millis(300), now);
        known.note_failure(Duration::from_millis(1), slowest, now);
        assert_eq!(ms(&known), 300, "turned away at once");
        known.note_failure(slowest, slowest, now);
        assert_eq!(ms(&known), 6_210, "silent");
    }
}
