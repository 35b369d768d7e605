//! Interleaving: one list made of two rankings, so that what people click says which ranking they prefer.
//!
//! Pure. Two configurations rank what was retrieved once; the lists are drafted into one as two captains pick teams, and each
//! hit remembers its team. People see one list and cannot tell; where they click a hit, its team gets a point. This compares
//! rankings with some tens of times fewer searches than showing each to half of the people does.
//!
//! Source: Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008; Chapelle,
//! Joachims, Radlinski and Yue, "Large-scale validation and analysis of interleaved search evaluation", ACM TOIS 30(1), 2012.
//!
//! Invariants: each page of either ranking is there once; pages of one team stand in the order of its ranking; the same name
//! of a list gives the same draft, so that further pages of the list go on with it.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, ConfigError};
use crate::feedback::ListId;

/// Keys of `[query]` that may differ: those that change the order alone, for retrieval is shared.
const KEYS: [&str; 3] = ["fusion", "semantic_weight", "rescore"];

/// Choices about interleaving a second configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InterleaveConfig {
    /// Share of the searches with words that are interleaved, 0 to 1; 0. Those that say themselves how to merge are not.
    /// Needs `feedback.enabled`.
    pub share: f32,
    /// What the second configuration has otherwise: keys of `[query]`, of `fusion`, `semantic_weight` and `rescore`; none.
    pub overrides: BTreeMap<String, Value>,
}

impl InterleaveConfig {
    /// Checks the share and the second configuration.
    pub(crate) fn check(&self, first: &Config) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        rule((0.0..=1.0).contains(&self.share), "interleave.share", "must be from 0 to 1")?;
        let is_recorded = self.share == 0.0 || first.feedback.enabled;
        rule(is_recorded, "interleave.share", "must be 0 where `feedback.enabled` is false: nobody would know of it")?;
        let known = self.overrides.keys().all(|key| KEYS.contains(&key.as_str()));
        rule(known, "interleave.overrides", "may have the keys `fusion`, `semantic_weight` and `rescore` alone")?;
        self.second(first).map(|_| ())
    }

    /// The second configuration; `None` where nothing is interleaved.
    pub(crate) fn second(&self, first: &Config) -> Result<Option<Config>, ConfigError> {
        if self.share == 0.0 {
            return Ok(None);
        }
        let invalid =
            |_| ConfigError { key: "interleave.overrides", requirement: "must have values that `[query]` takes" };
        let mut keys = serde_json::to_value(first).map_err(invalid)?;
        merge(&mut keys, &self.overrides);
        // Of the second one nothing is interleaved again.
        keys["interleave"] = serde_json::to_value(Self::default()).map_err(invalid)?;
        let second: Config = serde_json::from_value(keys).map_err(invalid)?;
        second.check()?;
        Ok(Some(second))
    }
}

/// Puts values in the place of others, sections key by key.
fn merge<'a>(into: &mut Value, overrides: impl IntoIterator<Item = (&'a String, &'a Value)>) {
    for (key, value) in overrides {
        match value {
            Value::Object(section) if into[key].is_object() => merge(&mut into[key], section),
            _ => into[key] = value.clone(),
        }
    }
}

/// Which configuration a hit came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Team {
    /// The one that is in use.
    A,
    /// The second one.
    B,
}

/// Drafts one list from two: in each round a coin says which team picks first, and each picks the best that is left of its
/// ranking.
///
/// Each list is best first, nothing twice. What only one of them has once the other is used up is of no team: the other had no
/// chance to pick. `heads_a` is asked once a round.
pub fn team_draft<T: Copy + Eq + Hash>(a: &[T], b: &[T], heads_a: &mut dyn FnMut() -> bool) -> Vec<(T, Option<Team>)> {
    let (mut a, mut b) = (a, b);
    let (mut of_a, mut of_b) = (0_usize, 0_usize);
    let mut picked = HashSet::new();
    let mut drafted = Vec::with_capacity(a.len().max(b.len()));
    loop {
        (a, b) = (left_of(a, &picked), left_of(b, &picked));
        let ([next_of_a, ..], [next_of_b, ..]) = (a, b) else { break };
        let is_turn_of_a = of_a < of_b || (of_a == of_b && heads_a());
        let (item, team) = if is_turn_of_a { (*next_of_a, Team::A) } else { (*next_of_b, Team::B) };
        let count = if is_turn_of_a { &mut of_a } else { &mut of_b };
        *count += 1;
        picked.insert(item);
        drafted.push((item, Some(team)));
    }
    let left = a.iter().chain(b).filter(|item| picked.insert(**item));
    drafted.extend(left.map(|item| (*item, None)));
    drafted
}

/// A ranking from the first item on that nobody picked.
fn left_of<'a, T: Eq + Hash>(ranking: &'a [T], picked: &HashSet<T>) -> &'a [T] {
    let gone = ranking.iter().take_while(|item| picked.contains(*item)).count();
    &ranking[gone..]
}

/// The coins of a list: fair, and the same each time.
pub fn coins(list: &ListId) -> impl FnMut() -> bool + use<> {
    let mut output = blake3::Hasher::new_derive_key("tessera 2026 interleaving coins").update(&list.0).finalize_xof();
    move || {
        let mut byte = [0];
        output.fill(&mut byte);
        byte[0] & 1 == 1
    }
}

/// Whether a list is among the share that is interleaved.
pub fn is_chosen(list: &ListId, share: f32) -> bool {
    let hash = blake3::Hasher::new_derive_key("tessera 2026 interleaving share").update(&list.0).finalize();
    let [one, two, three, four, ..] = *hash.as_bytes();
    f64::from(u32::from_le_bytes([one, two, three, four])) < f64::from(share) * 2f64.powi(32)
}

#[cfg(test)]
mod tests;
