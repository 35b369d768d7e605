//! One attribute of an entity, written from several regions in any order, any number of times.
//!
//! A register keeps the writes that no other write has seen: a multi-value register (Shapiro, Preguiça, Baquero,
//! Zawirski: "A comprehensive study of convergent and commutative replicated data types", INRIA 2011). A dominated
//! write is a no-op, a dominating one replaces, concurrent ones are kept and the one with the highest
//! [`Version::precedence`] is the value. So its state is the same for every order and duplication of the same writes,
//! whatever their timestamps. At most [`WRITES_MAX`] concurrent writes are kept, the highest precedence first.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::version::{Causality, VectorClock, Version};

/// Most concurrent writes kept by one register.
pub const WRITES_MAX: usize = 32;

/// What a write did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Seen before, or older than what is there.
    #[default]
    Stale,
    /// It took effect: every earlier write had been seen by it.
    Applied,
    /// It met a concurrent write; the one with the higher precedence is the value.
    Conflict,
}

/// One attribute with the versions that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Register<T> {
    writes: Vec<(Arc<Version>, T)>,
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self { writes: Vec::new() }
    }
}

impl<T> Register<T> {
    /// The value that holds now; `None` when nothing was written.
    pub fn value(&self) -> Option<&T> {
        self.writes.first().map(|(_, value)| value)
    }

    /// The version that wrote the value.
    pub fn version(&self) -> Option<&Version> {
        self.writes.first().map(|(version, _)| &**version)
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Joins the clocks of all its writes into `clock`.
    pub fn join_clock(&self, clock: &mut VectorClock) {
        for (version, _) in &self.writes {
            clock.join(&version.clock);
        }
    }

    /// Forgets the writes that `keep` turns down.
    pub fn retain(&mut self, mut keep: impl FnMut(&Version) -> bool) {
        self.writes.retain(|(version, _)| keep(version));
    }
}

impl<T: Serialize> Register<T> {
    /// Merges one write. Cost: linear in the number of concurrent writes, which is one in ordinary use.
    pub fn write(&mut self, version: &Arc<Version>, value: T) -> Outcome {
        for (mine, held) in &mut self.writes {
            match version.clock.causality(&mine.clock) {
                Causality::Before => return Outcome::Stale,
                // Two different writes under one clock break the source's promise; the order of arrival must not matter.
                Causality::Equal => {
                    if Self::rank((version, &value), (mine, held)) != Ordering::Greater {
                        return Outcome::Stale;
                    }
                }
                Causality::After | Causality::Concurrent => {}
            }
        }
        self.writes.retain(|(mine, _)| version.clock.causality(&mine.clock) == Causality::Concurrent);
        let conflict = !self.writes.is_empty();
        self.writes.push((Arc::clone(version), value));
        self.writes.sort_by(|(a, x), (b, y)| Self::rank((b, y), (a, x)));
        self.writes.truncate(WRITES_MAX);
        if conflict { Outcome::Conflict } else { Outcome::Applied }
    }

    fn rank(a: (&Version, &T), b: (&Version, &T)) -> Ordering {
        a.0.precedence(b.0).then_with(|| {
            let digest = |value: &T| serde_json::to_vec(value).map(|json| *blake3::hash(&json).as_bytes()).ok();
            digest(a.1).cmp(&digest(b.1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RegionId;
    use crate::version::Timestamp;
    use proptest::prelude::*;

    fn version(clock: &[(u8, u64)], wall_ms: u64, region: u8) -> Arc<Version> {
        let region_id = |n: u8| RegionId::new(format!("r{n}")).unwrap();
        Arc::new(Version {
            clock: VectorClock(clock.iter().map(|(r, n)| (region_id(*r), *n)).collect()),
            timestamp: Timestamp { wall_ms, logical: 0 },
            region: region_id(region),
        })
    }

    #[test]
    fn a_dominating_write_replaces_even_with_an_earlier_timestamp() {
        let mut register = Register::default();
        assert_eq!(register.write(&version(&[(0, 1)], 10, 0), "old"), Outcome::Applied);
        assert_eq!(register.write(&version(&[(0, 2)], 3, 0), "new"), Outcome::Applied);
        assert_eq!(register.write(&version(&[(0, 1)], 10, 0), "old"), Outcome::Stale);
        assert_eq!(register.value(), Some(&"new"));
    }

    #[test]
    fn concurrent_writes_go_to_the_later_timestamp() {
        let mut register = Register::default();
        register.write(&version(&[(0, 1)], 10, 0), "early");
        assert_eq!(register.write(&version(&[(1, 1)], 11, 1), "late"), Outcome::Conflict);
        assert_eq!(register.value(), Some(&"late"));
        register.write(&version(&[(0, 2), (1, 1)], 12, 0), "merged");
        assert_eq!(register.value(), Some(&"merged"));
    }

    proptest! {
        #[test]
        fn any_order_and_duplication_ends_in_one_state(
            writes in prop::collection::vec((prop::collection::vec((0u8..3, 0u64..4), 1..3), 0u64..5, 0u8..3, 0u32..3), 1..8),
            order in prop::collection::vec(0usize..8, 0..24),
        ) {
            let writes: Vec<_> = writes.iter().map(|(c, t, r, value)| (version(c, *t, *r), *value)).collect();
            let mut straight = Register::default();
            for (v, value) in &writes {
                straight.write(v, *value);
            }
            let mut shuffled = Register::default();
            for i in order {
                if let Some((v, value)) = writes.get(i) {
                    shuffled.write(v, *value);
                }
            }
            for (v, value) in writes.iter().rev() {
                shuffled.write(v, *value);
            }
            prop_assert_eq!(straight, shuffled);
        }
    }
}
