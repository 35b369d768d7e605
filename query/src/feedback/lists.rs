//! The lists that feedback may still come for: which pages they showed where, and what was said of them already.
//!
//! In memory alone, within a number of bytes: the oldest are forgotten first, and all of them when the process ends.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemas::api::feedback::FeedbackKind;
use schemas::ids::PageId;

use super::key::ListId;

/// What a list and a page of it take beside the page's id.
const LIST_BYTES: usize = 160;
const PAGE_BYTES: usize = 64;

/// The lists, by name.
#[derive(Debug)]
pub(super) struct Lists {
    bytes_max: usize,
    kept_for: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_id: HashMap<ListId, List>,
    /// Oldest first.
    order: VecDeque<ListId>,
    bytes: usize,
}

#[derive(Debug)]
struct List {
    shown_at: Instant,
    pages: HashMap<PageId, Place>,
    bytes: usize,
}

#[derive(Debug)]
struct Place {
    rank: u32,
    /// One bit for each kind of feedback that was taken.
    done: u8,
}

impl Lists {
    pub(super) fn new(bytes_max: usize, kept_for: Duration) -> Self {
        Self { bytes_max, kept_for, state: Mutex::default() }
    }

    /// Keeps pages of a list, a new one or one that is gone on with. A page keeps its first rank.
    pub(super) fn show<'a>(&self, list: ListId, pages: impl Iterator<Item = (&'a PageId, u32)>, now: Instant) {
        let mut state = self.lock();
        let state = &mut *state;
        let entry = state.by_id.entry(list).or_insert_with(|| {
            state.order.push_back(list);
            state.bytes += LIST_BYTES;
            List { shown_at: now, pages: HashMap::new(), bytes: LIST_BYTES }
        });
        for (page, rank) in pages {
            entry.pages.entry(page.clone()).or_insert_with(|| {
                let bytes = PAGE_BYTES + page.as_str().len();
                (entry.bytes, state.bytes) = (entry.bytes + bytes, state.bytes + bytes);
                Place { rank, done: 0 }
            });
        }
        while state.bytes > self.bytes_max {
            let Some(oldest) = state.order.pop_front() else { break };
            state.bytes -= state.by_id.remove(&oldest).map_or(0, |list| list.bytes);
        }
    }

    /// Where pages stood in a list; `None` when it is not known any more, or does not have one of them.
    pub(super) fn ranks<'a>(
        &self,
        list: ListId,
        pages: impl Iterator<Item = &'a PageId>,
        now: Instant,
    ) -> Option<Vec<u32>> {
        let state = self.lock();
        let list = state.by_id.get(&list).filter(|list| now.duration_since(list.shown_at) <= self.kept_for)?;
        pages.map(|page| list.pages.get(page).map(|place| place.rank)).collect()
    }

    /// Notes that something was said of a page; false when it was said before.
    pub(super) fn note(&self, list: ListId, page: &PageId, kind: FeedbackKind) -> bool {
        let mut state = self.lock();
        let Some(place) = state.by_id.get_mut(&list).and_then(|list| list.pages.get_mut(page)) else { return false };
        let bit = 1 << kind as u8;
        let is_new = place.done & bit == 0;
        place.done |= bit;
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(id: &str) -> PageId {
        PageId::new(id).unwrap()
    }

    fn list(number: u8) -> ListId {
        ListId([number; 16])
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_list_knows_its_pages_until_its_time_is_over() {
        let lists = Lists::new(1 << 20, HOUR);
        let start = Instant::now();
        lists.show(list(1), [(&page("a"), 1), (&page("b"), 2)].into_iter(), start);
        lists.show(list(1), [(&page("c"), 21), (&page("a"), 22)].into_iter(), start + HOUR / 2);
        let ranks = |pages: &[&str], now| {
            let pages: Vec<PageId> = pages.iter().map(|id| page(id)).collect();
            lists.ranks(list(1), pages.iter(), now)
        };
        assert_eq!(ranks(&["c", "a"], start + HOUR), Some(vec![21, 1]));
        assert_eq!(ranks(&["a", "d"], start), None, "one that was not shown is none");
        assert_eq!(ranks(&["a"], start + HOUR + HOUR), None);
        assert_eq!(lists.ranks(list(2), [].into_iter(), start), None);
    }

    #[test]
    fn the_same_is_said_once() {
        let lists = Lists::new(1 << 20, HOUR);
        lists.show(list(1), [(&page("a"), 1)].into_iter(), Instant::now());
        assert!(lists.note(list(1), &page("a"), FeedbackKind::Click));
        assert!(!lists.note(list(1), &page("a"), FeedbackKind::Click));
        assert!(lists.note(list(1), &page("a"), FeedbackKind::NotHelpful));
        assert!(!lists.note(list(1), &page("b"), FeedbackKind::Click));
    }

    #[test]
    fn the_oldest_lists_go_when_the_room_is_taken() {
        let lists = Lists::new(10 * (LIST_BYTES + PAGE_BYTES + 1), HOUR);
        let now = Instant::now();
        for number in 0..100 {
            lists.show(list(number), [(&page("a"), 1)].into_iter(), now);
            assert!(lists.lock().bytes <= lists.bytes_max);
        }
        let known = |number| lists.ranks(list(number), [].into_iter(), now).is_some();
        assert!(!known(89) && (90..100).all(known));
        let state = lists.lock();
        assert_eq!((state.by_id.len(), state.order.len()), (10, 10));
    }
}
