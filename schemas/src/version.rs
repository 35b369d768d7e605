//! Versions: what decides which of two writes to the same thing wins.
//!
//! A version carries a vector clock (what its writer had seen) and a hybrid logical timestamp (when it wrote).
//! Sources keep two promises: each write increments the counter of its own region, and its timestamp is later
//! than that of every write it has seen. Pure values; no clock is read here.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::RegionId;

/// Most regions in one vector clock.
pub const CLOCK_REGIONS_MAX: usize = 64;

/// How many writes of each region a writer had seen, its own included.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = std::collections::BTreeMap<String, u64>)]
pub struct VectorClock(pub BTreeMap<RegionId, u64>);

/// How two vector clocks stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causality {
    /// The same clock.
    Equal,
    /// The first has seen everything of the second, and more.
    After,
    /// The second has seen everything of the first, and more.
    Before,
    /// Neither has seen all of the other.
    Concurrent,
}

impl VectorClock {
    /// A clock with one region.
    pub fn of(region: &RegionId, counter: u64) -> Self {
        Self(BTreeMap::from([(region.clone(), counter)]))
    }

    /// The counter of a region; zero when it was never seen.
    pub fn counter(&self, region: &RegionId) -> u64 {
        self.0.get(region).copied().unwrap_or(0)
    }

    /// Compares two clocks.
    pub fn causality(&self, other: &Self) -> Causality {
        let ahead = |a: &Self, b: &Self| a.0.iter().any(|(region, &n)| n > b.counter(region));
        match (ahead(self, other), ahead(other, self)) {
            (false, false) => Causality::Equal,
            (true, false) => Causality::After,
            (false, true) => Causality::Before,
            (true, true) => Causality::Concurrent,
        }
    }

    /// True when it has seen nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when this clock has seen everything that `other` has.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(region, &n)| n <= self.counter(region))
    }

    /// Joins another clock into this one: the larger counter of each region.
    pub fn join(&mut self, other: &Self) {
        for (region, &counter) in &other.0 {
            let mine = self.0.entry(region.clone()).or_insert(0);
            *mine = counter.max(*mine);
        }
    }
}

/// A hybrid logical timestamp: milliseconds since 1970 in UTC, then a counter within the millisecond.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Timestamp {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub wall_ms: u64,
    /// Orders writes within one millisecond.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub logical: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// The version of one write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// What the writer had seen of this entity, this write included. At most [`CLOCK_REGIONS_MAX`] regions.
    pub clock: VectorClock,
    /// When it was written.
    pub timestamp: Timestamp,
    /// Where it was written.
    pub region: RegionId,
}

impl Version {
    /// Orders two concurrent versions: the later timestamp, then the larger region, then the larger clock.
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.timestamp
            .cmp(&other.timestamp)
            .then_with(|| self.region.cmp(&other.region))
            .then_with(|| self.clock.cmp(&other.clock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(pairs: &[(&str, u64)]) -> VectorClock {
        VectorClock(pairs.iter().map(|(r, n)| (RegionId::new(r).unwrap(), *n)).collect())
    }

    #[test]
    fn a_zero_counter_equals_an_absent_region() {
        assert_eq!(clock(&[("a", 1), ("b", 0)]).causality(&clock(&[("a", 1)])), Causality::Equal);
    }

    #[test]
    fn clocks_compare_as_a_partial_order() {
        assert_eq!(clock(&[("a", 2)]).causality(&clock(&[("a", 1)])), Causality::After);
        assert_eq!(clock(&[("a", 1)]).causality(&clock(&[("a", 1), ("b", 1)])), Causality::Before);
        assert_eq!(clock(&[("a", 1)]).causality(&clock(&[("b", 1)])), Causality::Concurrent);
        let mut joined = clock(&[("a", 1)]);
        joined.join(&clock(&[("b", 2)]));
        assert_eq!(joined, clock(&[("a", 1), ("b", 2)]));
    }
}
