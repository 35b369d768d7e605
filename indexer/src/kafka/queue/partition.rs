//! How far one partition was read, and which of its workspaces were set aside.
//!
//! A workspace of which too much waits is *set aside*: reading goes on past its messages, so that what stands behind them is
//! not held up, and they are read again from the first that was passed over. Nothing of them is kept meanwhile but where that
//! is: the *cursor*. Invariant: the position never passes the cursor, so that a crash forgets nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemas::ids::WorkspaceId;

use super::Place;

#[derive(Debug, Default)]
pub(in super::super) struct Partition {
    /// Offsets that are read and not done, each with when it was written.
    waiting: BTreeMap<i64, Option<i64>>,
    /// The next offset to read.
    next: i64,
    /// When the last message that was read was written.
    last_written_ms: Option<i64>,
    /// Whether anything was read of it: a partition that never was moves no offset.
    is_read: bool,
    /// What waits, in bytes.
    bytes: usize,
    /// What waits of each workspace, in bytes.
    bytes_of: HashMap<WorkspaceId, usize>,
    aside: Option<Aside>,
}

/// Workspaces that were set aside.
#[derive(Debug)]
struct Aside {
    /// The first offset from which on each was passed over.
    from: BTreeMap<WorkspaceId, i64>,
    /// All of theirs before this offset were read again.
    cursor: i64,
    /// When the first that is to be read again was written, as far as known.
    written_ms: Option<i64>,
}

/// How far a partition was read and done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Progress {
    /// All before this offset is done.
    pub(in super::super) position: i64,
    /// The next offset to read.
    pub(in super::super) next: i64,
    /// What waits, in bytes.
    pub(in super::super) bytes: usize,
    /// When the first message that waits was written, in milliseconds since 1970.
    pub(in super::super) first_written_ms: Option<i64>,
    /// When the last message that was read was written.
    pub(in super::super) last_written_ms: Option<i64>,
    /// From where messages that were set aside are to be read again; none when none are.
    pub(in super::super) cursor: Option<i64>,
}

/// What a message is to who reads a partition again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Again {
    /// It was passed over, and is wanted now.
    PassedOver,
    /// It was not passed over, or was read again before.
    Known,
    /// The partition was not read up to it yet, so that it may still be passed over: it is to be read again later.
    Ahead,
}

impl Partition {
    /// One that is read from an offset on.
    pub(super) fn from(offset: i64) -> Self {
        Self { next: offset, ..Self::default() }
    }

    pub(in super::super) fn is_read(&self) -> bool {
        self.is_read
    }

    /// Reads on at another offset: the broker has dropped what is before, or the topic was made anew.
    pub(in super::super) fn go_on_at(&mut self, offset: i64) {
        if offset < self.next {
            // Offsets of before say nothing of what the topic holds now.
            self.aside = None;
        }
        self.next = offset;
    }

    pub(super) fn add(&mut self, place: Place, workspace: Option<&WorkspaceId>, bytes: usize) {
        self.waiting.insert(place.offset, place.written_ms);
        // What is read again lies before. Otherwise the broker may have begun anew, and then so does the position.
        let after = place.offset + 1;
        if self.aside.is_none() || after > self.next {
            self.next = after;
            self.last_written_ms = place.written_ms;
        }
        self.is_read = true;
        self.bytes += bytes;
        if let Some(workspace) = workspace {
            *self.bytes_of.entry(workspace.clone()).or_default() += bytes;
        }
    }

    pub(super) fn remove(&mut self, place: Place, workspace: Option<&WorkspaceId>, bytes: usize) {
        self.waiting.remove(&place.offset);
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(workspace) = workspace
            && let Some(of_it) = self.bytes_of.get_mut(workspace)
        {
            *of_it = of_it.saturating_sub(bytes);
            if *of_it == 0 {
                self.bytes_of.remove(workspace);
            }
        }
    }

    /// Where it is read on once these offsets are done.
    pub(super) fn position_after(&self, done: &BTreeSet<i64>) -> i64 {
        let first_left = self.waiting.keys().find(|offset| !done.contains(offset)).copied().unwrap_or(self.next);
        self.aside.as_ref().map_or(first_left, |aside| first_left.min(aside.cursor))
    }

    pub(super) fn progress(&self) -> Progress {
        let first = self.waiting.first_key_value();
        let written = first.and_then(|(_, written_ms)| *written_ms);
        let aside = self.aside.as_ref();
        Progress {
            position: self.position_after(&BTreeSet::new()),
            next: self.next,
            bytes: self.bytes,
            last_written_ms: self.last_written_ms,
            first_written_ms: [written, aside.and_then(|aside| aside.written_ms)].into_iter().flatten().min(),
            cursor: aside.map(|aside| aside.cursor),
        }
    }

    /// Sets the workspace aside of which most waits, if the workspaces that are not set aside have more than `bytes_max`
    /// waiting, and it at least half of that.
    pub(in super::super) fn set_largest_aside(&mut self, bytes_max: usize) -> bool {
        let is_aside = |workspace: &WorkspaceId| self.aside_from(workspace.as_str()).is_some();
        let others = self.bytes_of.iter().filter(|(workspace, _)| !is_aside(workspace));
        let Some((largest, bytes)) = others.clone().max_by_key(|(_, bytes)| **bytes) else { return false };
        let all: usize = others.map(|(_, bytes)| bytes).sum();
        if all <= bytes_max || 2 * bytes < all {
            return false;
        }
        let (workspace, next) = (largest.clone(), self.next);
        let aside = self.aside.get_or_insert_with(|| Aside { from: BTreeMap::new(), cursor: next, written_ms: None });
        aside.from.insert(workspace, next);
        true
    }

    /// Bytes that wait of the workspaces that are set aside.
    pub(in super::super) fn bytes_aside(&self) -> usize {
        let Some(aside) = &self.aside else { return 0 };
        aside.from.keys().filter_map(|workspace| self.bytes_of.get(workspace)).sum()
    }

    fn aside_from(&self, key: &str) -> Option<i64> {
        self.aside.as_ref()?.from.get(key).copied()
    }

    /// Whether a message is passed over, because its workspace is set aside: then it counts as read.
    pub(in super::super) fn passes_over(&mut self, key: &[u8], offset: i64, written_ms: Option<i64>) -> bool {
        let Some(aside) = &mut self.aside else { return false };
        if !std::str::from_utf8(key).is_ok_and(|key| aside.from.contains_key(key)) {
            return false;
        }
        self.next = self.next.max(offset + 1);
        self.last_written_ms = written_ms;
        self.is_read = true;
        aside.written_ms = aside.written_ms.or(written_ms);
        true
    }

    /// What a message is that is read again.
    pub(in super::super) fn again(&self, key: &[u8], offset: i64) -> Again {
        if offset >= self.next {
            return Again::Ahead;
        }
        let from = std::str::from_utf8(key).ok().and_then(|key| self.aside_from(key));
        let was_passed_over =
            from.is_some_and(|from| offset >= from) && self.aside.as_ref().is_some_and(|aside| offset >= aside.cursor);
        if was_passed_over { Again::PassedOver } else { Again::Known }
    }

    /// Notes that all before `cursor` was read again, of which the last was written at `written_ms`.
    pub(in super::super) fn read_again_to(&mut self, cursor: i64, written_ms: Option<i64>) {
        if let Some(aside) = &mut self.aside
            && cursor > aside.cursor
        {
            aside.cursor = cursor.min(self.next);
            aside.written_ms = written_ms.filter(|_| aside.cursor < self.next);
        }
    }

    /// Reads on as before once all was read again that was passed over, and no more than `bytes_max` of it wait.
    pub(in super::super) fn take_back(&mut self, bytes_max: usize) -> bool {
        let is_over = self.aside.as_ref().is_some_and(|aside| aside.cursor >= self.next);
        let is_due = is_over && self.bytes_aside() <= bytes_max;
        if is_due {
            self.aside = None;
        }
        is_due
    }
}
