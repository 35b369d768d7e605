//! Answers that language models wrote, kept for a while: given again to whoever asks the same and would have it made of the same.
//!
//! Looked into after retrieval, never instead of it. An entry is used only where the sources that the gate let out for *this* caller, just
//! now, are those that the entry was made of, text and versions included: so whoever gets it can read every source, a source that changed
//! makes another answer, and access is followed as for any other. What is kept is the text with its markers; citations, support and links
//! are made anew over the caller's own sources. Bounded by entries, bytes and age. No question is kept as text, but what of it is compared.

mod keys;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use index::Index;
use schemas::ids::{UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
pub use keys::{Compared, NEAR_COVER, Nearness};
pub(crate) use keys::{QuestionKey, SourceKey};

/// What an entry takes beside its text, about.
const ENTRY_BYTES: usize = 512;
/// What a source of an entry takes, about.
const SOURCE_BYTES: usize = 128;

/// Choices about keeping answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Answers that are kept, at most 1,000,000; 1,000. 0 keeps none.
    pub entries_max: usize,
    /// Bytes that they may take, 64 KiB or more; 8 MiB. The one that was used longest ago goes first.
    pub bytes_max: usize,
    /// How long one is kept, in minutes, 1 to 10,080; 60.
    pub minutes: u32,
    /// How near in meaning another question must be to be the same, as a cosine, 0.5 to 1; 0.95. 1 takes no other one. Its words
    /// must be the same beside, but for their forms and those that say nothing.
    pub near_cosine: f32,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { entries_max: 1_000, bytes_max: 8 << 20, minutes: 60, near_cosine: 0.95 }
    }
}

impl CacheConfig {
    /// Checks every value against its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key, requirement| if holds { Ok(()) } else { Err(ConfigError { key, requirement }) };
        rule(self.entries_max <= 1_000_000, "answer.cache.entries_max", "must be at most 1,000,000")?;
        rule(self.bytes_max >= 64 << 10, "answer.cache.bytes_max", "must be at least 64 KiB")?;
        rule((1..=10_080).contains(&self.minutes), "answer.cache.minutes", "must be from 1 to 10,080")?;
        rule((0.5..=1.0).contains(&self.near_cosine), "answer.cache.near_cosine", "must be from 0.5 to 1")
    }
}

/// The answers of one engine.
#[derive(Debug)]
pub(crate) struct Cache {
    config: CacheConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    workspaces: HashMap<WorkspaceId, Vec<Entry>>,
    entries: usize,
    bytes: usize,
    /// Counts uses.
    now: u64,
}

#[derive(Debug)]
struct Entry {
    asked: QuestionKey,
    /// Whoever it was made for: goes when that person is erased.
    user: UserId,
    sources: Vec<SourceKey>,
    text: Arc<str>,
    model: Arc<str>,
    made: Instant,
    used: u64,
    bytes: usize,
}

/// An answer that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// With markers that name the caller's sources.
    pub(crate) text: String,
    pub(crate) model: String,
}

impl Cache {
    pub(crate) fn new(config: CacheConfig) -> Self {
        Self { config, state: Mutex::default() }
    }

    /// Whether answers are kept at all.
    pub(crate) fn is_on(&self) -> bool {
        self.config.entries_max > 0
    }

    /// Whether questions are compared by meaning.
    pub(crate) fn takes_near(&self) -> bool {
        self.config.near_cosine < 1.0
    }

    /// The answer to a question of which these are the sources, best first, if there is one that was made of the same.
    ///
    /// To the same question, it was made of the same sources, in whatever order. To one that is near, all that it was made of is among them,
    /// and so is the best of them.
    pub(crate) fn find(&self, workspace: &WorkspaceId, asked: &QuestionKey, sources: &[SourceKey]) -> Option<Known> {
        let age_max = Duration::from_secs(60 * u64::from(self.config.minutes));
        let mut state = self.lock();
        state.now += 1;
        let now = state.now;
        let fits = |entry: &&mut Entry| {
            if !entry.asked.has_form_of(asked) || entry.made.elapsed() > age_max {
                return false;
            }
            // Its text may say something of each of its sources, cited or not: whoever is given it can read all of them.
            if !entry.sources.iter().all(|source| sources.contains(source)) {
                return false;
            }
            if entry.asked.asks_same(asked) {
                return entry.sources.len() == sources.len();
            }
            let knew_best = sources.first().is_some_and(|best| entry.sources.contains(best));
            knew_best && entry.asked.is_near(asked, self.config.near_cosine)
        };
        let entry = state.workspaces.get_mut(workspace)?.iter_mut().find(fits)?;
        entry.used = now;
        let place = |at: usize| sources.iter().position(|source| *source == entry.sources[at]);
        Some(Known { text: renumbered(&entry.text, &place), model: entry.model.to_string() })
    }

    /// Keeps an answer.
    pub(crate) fn keep(
        &self,
        workspace: &WorkspaceId,
        user: &UserId,
        asked: QuestionKey,
        sources: Vec<SourceKey>,
        text: &str,
        model: &str,
    ) {
        let bytes = ENTRY_BYTES + SOURCE_BYTES * sources.len() + asked.bytes() + text.len();
        if bytes > self.config.bytes_max || !self.is_on() {
            return;
        }
        let mut state = self.lock();
        state.now += 1;
        let entry = Entry {
            asked,
            user: user.clone(),
            sources,
            text: text.into(),
            model: model.into(),
            made: Instant::now(),
            used: state.now,
            bytes,
        };
        // The same question over sources that changed: the former answer is of no use any more to whoever asked.
        state.drop_where(|of, known| {
            of == workspace
                && known.asked.has_form_of(&entry.asked)
                && known.asked.asks_same(&entry.asked)
                && (known.user == entry.user || known.sources == entry.sources)
        });
        while state.entries + 1 > self.config.entries_max || state.bytes + bytes > self.config.bytes_max {
            let Some(oldest) = state.workspaces.values().flatten().map(|entry| entry.used).min() else { break };
            state.drop_where(|_, entry| entry.used == oldest);
        }
        state.entries += 1;
        state.bytes += bytes;
        state.workspaces.entry(workspace.clone()).or_default().push(entry);
    }

    /// Drops what is too old, and what rests on erased workspaces, people and pages.
    pub(crate) fn sweep(&self, index: &Index) {
        let age_max = Duration::from_secs(60 * u64::from(self.config.minutes));
        self.lock()
            .drop_where(|workspace, entry| entry.made.elapsed() > age_max || entry.rests_on_erased(workspace, index));
    }

    /// How many rest on erased workspaces, people and pages.
    pub(crate) fn resting_on_erased(&self, index: &Index) -> usize {
        let state = self.lock();
        let entries = state.workspaces.iter().flat_map(|(of, entries)| entries.iter().map(move |entry| (of, entry)));
        entries.filter(|(workspace, entry)| entry.rests_on_erased(workspace, index)).count()
    }

    /// How many are kept, and the bytes that they take.
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.entries, state.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn rests_on_erased(&self, workspace: &WorkspaceId, index: &Index) -> bool {
        let Some(known) = index.catalog().get(workspace) else { return true };
        let state = known.read();
        let is_gone = |source: &SourceKey| state.head_of(&source.page).is_none_or(|head| head.deleted);
        state.erased || !state.may_name(&self.user) || self.sources.iter().any(is_gone)
    }
}

impl State {
    fn drop_where(&mut self, is_gone: impl Fn(&WorkspaceId, &Entry) -> bool) {
        for (workspace, entries) in &mut self.workspaces {
            entries.retain(|entry| !is_gone(workspace, entry));
        }
        self.workspaces.retain(|_, entries| !entries.is_empty());
        self.entries = self.workspaces.values().map(Vec::len).sum();
        self.bytes = self.workspaces.values().flatten().map(|entry| entry.bytes).sum();
    }
}

/// A text whose markers name sources by other numbers; those without one go.
fn renumbered(text: &str, place: &dyn Fn(usize) -> Option<usize>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let number =
            from.find(']').and_then(|close| Some((close, from[1..close].parse::<usize>().ok()?.checked_sub(1)?)));
        if let Some((close, at)) = number {
            if let Some(place) = place(at) {
                let _ = write!(out, "[{}]", place + 1);
            }
            rest = &from[close + 1..];
        } else {
            out.push('[');
            rest = &from[1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
