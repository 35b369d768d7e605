//! The moment by which a request is answered, carried through all its stages; each takes what is left.

use std::time::{Duration, Instant};

/// When the answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Due this long from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// Due at this moment.
    pub fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The moment itself.
    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left; zero when it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// An earlier one that leaves this share of what is left, 0 to 1, to those who come after.
    #[must_use]
    pub fn keeping(self, share: f32) -> Self {
        let kept = self.left().mul_f32(share.clamp(0.0, 1.0));
        Self(self.0.checked_sub(kept).unwrap_or(self.0))
    }
}
