//! Whether an endpoint may be asked: not while it fails, and not while it asks to be left alone.
//!
//! Pure: what time it is, it is told.

use std::time::{Duration, Instant};

use super::config::BreakerConfig;

/// What is known of how an endpoint does.
#[derive(Debug)]
pub(super) struct Breaker {
    failures_max: u32,
    cool_down: Duration,
    state: State,
    /// It asked to be left alone until then.
    left_alone_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It does, but for so many failures in a row.
    Closed { failures: u32 },
    /// It is left alone until then.
    Open { until: Instant },
    /// One request tries it; should nothing come of that, another may from then on.
    HalfOpen { until: Instant },
}

/// Whether an endpoint may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It may.
    Ready,
    /// It asked to be left alone until then.
    LeftAlone { until: Instant },
    /// It failed too often in a row; nothing is expected of it until then.
    Failing { until: Instant },
}

impl Breaker {
    pub(super) fn new(config: &BreakerConfig) -> Self {
        Self {
            failures_max: config.failures,
            cool_down: Duration::from_millis(config.cool_down_ms),
            state: State::Closed { failures: 0 },
            left_alone_until: None,
        }
    }

    /// Whether it may be asked now, and if not, why and until when.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let still = |until: &Instant| *until > now;
        let open_until = match self.state {
            State::Closed { .. } => None,
            State::Open { until } | State::HalfOpen { until } => Some(until).filter(still),
        };
        match (open_until, self.left_alone_until.filter(still)) {
            (Some(until), _) => Standing::Failing { until },
            (None, Some(until)) => Standing::LeftAlone { until },
            (None, None) => Standing::Ready,
        }
    }

    /// Notes that it is asked. After a rest that is a trial, and only one at a time.
    pub(super) fn ask(&mut self, now: Instant) {
        if !matches!(self.state, State::Closed { .. }) {
            self.state = State::HalfOpen { until: now + self.cool_down };
        }
    }

    /// Notes that it began to write. That ends no row of failures, for the text may yet break off; after a rest others may ask it
    /// again, and the next failure has it rest anew.
    pub(super) fn begin(&mut self) {
        if matches!(self.state, State::HalfOpen { .. }) {
            self.state = State::Closed { failures: self.failures_max - 1 };
        }
    }

    /// Notes that a text ended well. One that was begun before a rest does not end it: the next trial does. What it asked for
    /// meanwhile holds.
    pub(super) fn succeed(&mut self) {
        if !matches!(self.state, State::Open { .. }) {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// Notes that it failed.
    pub(super) fn fail(&mut self, now: Instant) {
        let failures = match self.state {
            State::Closed { failures } => failures + 1,
            State::Open { .. } | State::HalfOpen { .. } => self.failures_max,
        };
        self.state = if failures >= self.failures_max {
            State::Open { until: now + self.cool_down }
        } else {
            State::Closed { failures }
        };
    }

    /// Notes that it asked to be left alone.
    pub(super) fn leave_alone(&mut self, until: Instant) {
        self.left_alone_until = self.left_alone_until.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOL_DOWN: Duration = Duration::from_secs(10);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(&BreakerConfig { failures: 3, cool_down_ms: 10_000 }), Instant::now())
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try_after_the_rest() {
        let (mut breaker, now) = breaker();
        breaker.fail(now);
        breaker.fail(now);
        breaker.succeed();
        breaker.fail(now);
        breaker.fail(now);
        assert_eq!(breaker.standing(now), Standing::Ready, "not in a row");
        breaker.fail(now);
        assert_eq!(breaker.standing(now), Standing::Failing { until: now + COOL_DOWN });
        let later = now + COOL_DOWN;
        assert_eq!(breaker.standing(later), Standing::Ready);
        breaker.ask(later);
        assert_eq!(breaker.standing(later), Standing::Failing { until: later + COOL_DOWN }, "one at a time");
        breaker.fail(later);
        assert_eq!(
            breaker.standing(later),
            Standing::Failing { until: later + COOL_DOWN },
            "one failure opens it again"
        );
        let later = later + COOL_DOWN;
        breaker.ask(later);
        breaker.succeed();
        breaker.fail(later);
        assert_eq!(breaker.standing(later), Standing::Ready);
    }

    #[test]
    fn texts_that_begin_and_break_off_are_failures_in_a_row() {
        let (mut breaker, now) = breaker();
        for _ in 0..3 {
            assert_eq!(breaker.standing(now), Standing::Ready);
            breaker.ask(now);
            breaker.begin();
            breaker.fail(now);
        }
        assert_eq!(breaker.standing(now), Standing::Failing { until: now + COOL_DOWN });
        breaker.begin();
        breaker.succeed();
        assert_eq!(breaker.standing(now), Standing::Failing { until: now + COOL_DOWN }, "begun before the rest");
        let later = now + COOL_DOWN;
        breaker.ask(later);
        breaker.begin();
        assert_eq!(breaker.standing(later), Standing::Ready, "it writes again, and may be asked");
        breaker.fail(later);
        assert_eq!(breaker.standing(later), Standing::Failing { until: later + COOL_DOWN }, "it broke off again");
    }

    #[test]
    fn a_trial_of_which_nothing_comes_is_followed_by_another() {
        let (mut breaker, now) = breaker();
        (0..3).for_each(|_| breaker.fail(now));
        breaker.ask(now + COOL_DOWN);
        assert_eq!(breaker.standing(now + 2 * COOL_DOWN), Standing::Ready);
    }

    #[test]
    fn it_is_left_alone_for_as_long_as_it_asks() {
        let (mut breaker, now) = breaker();
        breaker.leave_alone(now + COOL_DOWN);
        breaker.leave_alone(now + COOL_DOWN / 2);
        assert_eq!(breaker.standing(now), Standing::LeftAlone { until: now + COOL_DOWN });
        breaker.begin();
        breaker.succeed();
        assert_eq!(breaker.standing(now), Standing::LeftAlone { until: now + COOL_DOWN }, "it was asked before that");
        assert_eq!(breaker.standing(now + COOL_DOWN), Standing::Ready);
    }
}
