//! Places for texts that are written side by side: so many in all, and of these so many for one caller and for one workspace.
//!
//! Whoever finds none is turned away at once, since to wait would take a place of its own. Invariant: what is counted are the places that
//! are held; of who holds none, nothing is remembered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::Caller;
use schemas::ids::WorkspaceId;

use super::config::AnswerConfig;
use crate::error::QueryError;
use crate::metrics::{Bound, Metrics};

/// All places.
#[derive(Debug)]
pub(crate) struct Places {
    held: Arc<Mutex<Held>>,
    answers_max: usize,
    /// No bound where it is 0.
    caller_max: usize,
    /// No bound where it is 0.
    workspace_max: usize,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    callers: HashMap<Caller, usize>,
    workspaces: HashMap<WorkspaceId, usize>,
}

/// A place that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    held: Arc<Mutex<Held>>,
    caller: Caller,
}

impl Places {
    pub(crate) fn new(config: &AnswerConfig) -> Self {
        Self {
            held: Arc::default(),
            answers_max: config.answers_max,
            caller_max: config.caller_answers_max,
            workspace_max: config.workspace_answers_max,
        }
    }

    /// Takes a place for a caller, or says that there is none for it, for its workspace or for anybody. What is turned away is counted.
    pub(crate) fn take(&self, caller: &Caller, metrics: &Metrics) -> Result<Place, QueryError> {
        let mut held = lock(&self.held);
        let of = |count: Option<&usize>| count.copied().unwrap_or(0);
        let is_full = |count: usize, max: usize| max > 0 && count >= max;
        let turned_away = if is_full(of(held.callers.get(caller)), self.caller_max) {
            Some((Bound::CallerAnswers, QueryError::TooManyAnswers { whose: "caller" }))
        } else if is_full(of(held.workspaces.get(&caller.workspace)), self.workspace_max) {
            Some((Bound::WorkspaceAnswers, QueryError::TooManyAnswers { whose: "workspace" }))
        } else if held.all >= self.answers_max {
            Some((Bound::Answers, QueryError::Overloaded))
        } else {
            None
        };
        if let Some((bound, error)) = turned_away {
            metrics.shed(bound);
            return Err(error);
        }
        held.all += 1;
        *held.callers.entry(caller.clone()).or_default() += 1;
        *held.workspaces.entry(caller.workspace.clone()).or_default() += 1;
        Ok(Place { held: Arc::clone(&self.held), caller: caller.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.all -= 1;
        let workspace = self.caller.workspace.clone();
        give_back(held.callers.entry(self.caller.clone()));
        give_back(held.workspaces.entry(workspace));
    }
}

fn give_back<K>(count: Entry<'_, K, usize>) {
    let Entry::Occupied(mut count) = count else { return };
    *count.get_mut() -= 1;
    if *count.get() == 0 {
        count.remove();
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    // Nothing in here panics half way.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use access::Subject;

    use super::*;

    fn caller(workspace: &str, user: &str) -> Caller {
        Caller { workspace: workspace.parse().unwrap(), subject: Subject::User(user.parse().unwrap()) }
    }

    /// What is said to somebody of a workspace; the place, where there is one.
    fn take(places: &Places, workspace: &str, user: &str) -> Result<Place, &'static str> {
        places.take(&caller(workspace, user), &Metrics::default()).map_err(|error| match error {
            QueryError::TooManyAnswers { whose } => whose,
            QueryError::Overloaded => "all",
            other => panic!("{other}"),
        })
    }

    #[test]
    fn nobody_takes_all_places_and_those_given_back_are_free() {
        let (answers_max, caller_answers_max, workspace_answers_max) = (4, 2, 3);
        let config = AnswerConfig { answers_max, caller_answers_max, workspace_answers_max, ..AnswerConfig::default() };
        let places = Places::new(&config);
        let first = take(&places, "acme", "ada").unwrap();
        let _second = take(&places, "acme", "ada").unwrap();
        assert_eq!(take(&places, "acme", "ada").err(), Some("caller"));
        let third = take(&places, "acme", "bob").unwrap();
        assert_eq!(take(&places, "acme", "bob").err(), Some("workspace"));
        let fourth = take(&places, "globex", "ada").unwrap();
        assert_eq!(take(&places, "globex", "ada").err(), Some("all"), "a namesake elsewhere is somebody else");
        drop((first, third));
        take(&places, "acme", "ada").unwrap();
        drop(fourth);
        let held = lock(&places.held);
        assert_eq!((held.all, held.callers.len(), held.workspaces.len()), (1, 1, 1), "nothing is remembered");
    }

    #[test]
    fn no_bound_is_no_bound() {
        let config = AnswerConfig {
            answers_max: 200,
            caller_answers_max: 0,
            workspace_answers_max: 0,
            ..AnswerConfig::default()
        };
        let places = Places::new(&config);
        let held: Vec<Place> = (0..200).map(|_| take(&places, "acme", "ada").unwrap()).collect();
        assert_eq!(take(&places, "globex", "eve").err(), Some("all"));
        drop(held);
    }
}
