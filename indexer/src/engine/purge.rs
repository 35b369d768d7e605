//! The purge thread: after the commit that erased a workspace, takes what it left out of every file.
//!
//! ```text
//! commit of an erase -> dead letters of the workspace -> former generation, kept to go back to -> segments of the one in use
//! ```
//!
//! Commits and searches go on meanwhile. The segments of the generation in use come last: while they hold something of an erased
//! workspace the purge is not over, which is how it is taken up again after a crash. It erases nothing itself that was not
//! committed as erased.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use index::{Index, IndexError, PurgeExtent, Purged, Writer};
use schemas::ids::WorkspaceId;

use super::Engine;
use super::shared::Core;

/// First and longest pause before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What is still to be purged, and how the thread is told.
#[derive(Debug, Default)]
pub(super) struct Purges {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: Due,
    is_running: bool,
    is_stopped: bool,
}

/// What is to be purged.
#[derive(Debug, Default)]
struct Due {
    /// Workspaces whose erase is committed.
    erased: BTreeSet<WorkspaceId>,
    /// Whether one of them was erased since the engine was opened.
    is_fresh: bool,
}

/// What came of a purge.
pub(super) enum Outcome {
    Done,
    /// A generation is being built, or something was deleted meanwhile.
    Later,
}

impl Purges {
    /// Asks for a purge of workspaces whose erase was just committed.
    pub(super) fn add(&self, erased: impl Iterator<Item = WorkspaceId>) {
        let mut state = self.lock();
        let before = state.due.erased.len();
        state.due.erased.extend(erased);
        state.due.is_fresh |= state.due.erased.len() > before;
        drop(state);
        self.changed.notify_all();
    }

    /// Asks to look whether a purge is over that was begun over an index before.
    pub(super) fn look_again(&self, index: &Index) {
        let workspaces = index.catalog().workspaces();
        let erased =
            workspaces.iter().filter(|workspace| workspace.read().erased).map(|workspace| workspace.id.clone());
        self.lock().due.erased.extend(erased);
        self.changed.notify_all();
    }

    /// Ends the thread after the segment at hand.
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Waits until there is something to purge; `None` when the thread is to end.
    fn next(&self) -> Option<Due> {
        let mut state = self.lock();
        state.is_running = false;
        self.changed.notify_all();
        let idle = |state: &mut State| !state.is_stopped && state.due.erased.is_empty();
        state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        if state.is_stopped {
            return None;
        }
        state.is_running = true;
        Some(std::mem::take(&mut state.due))
    }

    /// Puts back what could not be done, and waits for a while.
    fn put_back(&self, due: Due, pause: Duration) {
        let mut state = self.lock();
        state.due.erased.extend(due.erased);
        state.due.is_fresh |= due.is_fresh;
        let waited = self.changed.wait_timeout_while(state, pause, |state| !state.is_stopped);
        drop(waited);
    }
}

impl Engine {
    /// Waits until nothing of erased workspaces is left in the files, as far as their erase was committed; false when the time
    /// ran out first.
    pub fn wait_purged(&self, timeout: Duration) -> bool {
        let purges = &self.0.core.purges;
        let deadline = Instant::now() + timeout;
        let mut state = purges.lock();
        while state.is_running || !state.due.erased.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.is_stopped {
                return false;
            }
            state = purges.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Purges until the thread is to end.
pub(super) fn run(core: &Core) {
    let mut pause = RETRY_PAUSE;
    while let Some(due) = core.purges.next() {
        match purge(core, &due) {
            Ok(Outcome::Done) => pause = RETRY_PAUSE,
            Ok(Outcome::Later) => {
                core.purges.put_back(due, pause);
                pause = (2 * pause).min(RETRY_PAUSE_MAX);
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    pause_ms = pause.as_millis() as u64,
                    "what an erased workspace left cannot be purged; it is tried again"
                );
                core.purges.put_back(due, pause);
                pause = (2 * pause).min(RETRY_PAUSE_MAX);
            }
        }
    }
}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
enum PurgeError {
    #[error("cannot rewrite the dead letters")]
    DeadLetters(#[source] std::io::Error),
    #[error("cannot rewrite the index")]
    Index(#[from] IndexError),
}

fn purge(core: &Core, due: &Due) -> Result<Outcome, PurgeError> {
    let started = Instant::now();
    let erased = &due.erased;
    let dead_letters = core.dead_letters.scrub(erased).map_err(PurgeError::DeadLetters)?;
    let is_due = due.is_fresh || core.writer.has_erased_left()?;
    let erase = |former: &Index, writer: &Writer| {
        for id in erased {
            let Some(workspace) = former.catalog().get(id) else { continue };
            writer.erase_workspace(workspace.number)?;
            workspace.write().erase();
        }
        Ok(Some(PurgeExtent::Erased))
    };
    if is_due && let Outcome::Later = purge_former_generation(core, &erase)? {
        return Ok(Outcome::Later);
    }
    let Purged { rewritten, left, is_held } = core.writer.purge(PurgeExtent::Erased, &|| !core.purges.is_stopped())?;
    let took_ms = started.elapsed().as_millis() as u64;
    tracing::info!(
        workspaces = erased.len(),
        dead_letters,
        rewritten,
        left,
        is_held,
        took_ms,
        "purged what erased workspaces left"
    );
    Ok(if left == 0 { Outcome::Done } else { Outcome::Later })
}

/// Deletes something in the generation that is kept to go back to, and says what is to be purged there.
pub(super) type Deleting<'a> = dyn Fn(&Index, &Writer) -> Result<Option<PurgeExtent>, IndexError> + 'a;

/// Erases and purges in the generation that is kept to go back to. None is built meanwhile.
pub(super) fn purge_former_generation(core: &Core, delete: &Deleting<'_>) -> Result<Outcome, IndexError> {
    if core.is_rebuilding.swap(true, Ordering::AcqRel) {
        return Ok(Outcome::Later);
    }
    let outcome = || {
        let Some(former) = core.index.previous_generation()? else { return Ok(Outcome::Done) };
        let writer = former.writer()?;
        let Some(extent) = delete(&former, &writer)? else { return Ok(Outcome::Done) };
        writer.commit(&former.payload())?;
        let purged = writer.purge(extent, &|| !core.purges.is_stopped())?;
        Ok(if purged.left == 0 { Outcome::Done } else { Outcome::Later })
    };
    let outcome = outcome();
    core.is_rebuilding.store(false, Ordering::Release);
    outcome
}
