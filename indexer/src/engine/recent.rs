//! Pages that were just written and wait for vectors, as they were cut: neither the embed thread nor the commit that writes
//! their vectors needs to read and cut them again.
//!
//! Bounded by bytes; the pages written longest ago are let go first. Invariant: what is kept of a page is what the last commit
//! wrote of it. The commit thread alone writes, and keeps or forgets a page with each write.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::WorkspaceNumber;
use index::Passage;
use schemas::record::PageRecord;

use super::embed::PageKey;

/// About what a block takes beside its text.
const BLOCK_BYTES: usize = 512;

/// A page and what it was cut into.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) record: Arc<PageRecord>,
    pub(super) passages: Vec<Passage>,
}

impl Cut {
    /// About how many bytes it takes: its text in blocks and in passages.
    fn bytes(&self) -> usize {
        let text: usize = self.passages.iter().map(|passage| passage.text.len()).sum();
        2 * text + BLOCK_BYTES * self.record.blocks.len()
    }
}

/// What is kept.
#[derive(Debug)]
pub(super) struct Recent {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pages: HashMap<PageKey, (u64, Arc<Cut>)>,
    /// The pages by when they were kept, and those that were forgotten since.
    order: VecDeque<(u64, PageKey)>,
    number: u64,
    bytes: usize,
}

impl Recent {
    /// Keeps no more than about this many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // It is whole after each call.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a page in place of what was kept of it.
    pub(super) fn keep(&self, key: PageKey, cut: Cut) {
        let bytes = cut.bytes();
        let mut kept = self.lock();
        kept.forget(key);
        if bytes > self.bytes_max {
            return;
        }
        kept.number += 1;
        let number = kept.number;
        kept.pages.insert(key, (number, Arc::new(cut)));
        kept.order.push_back((number, key));
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max || kept.order.len() > 2 * kept.pages.len() {
            let Some((number, key)) = kept.order.pop_front() else { break };
            if kept.pages.get(&key).is_some_and(|(newest, _)| *newest == number) {
                kept.forget(key);
            }
        }
    }

    /// What was written of a page last, if it is kept.
    pub(super) fn get(&self, key: PageKey) -> Option<Arc<Cut>> {
        self.lock().pages.get(&key).map(|(_, cut)| Arc::clone(cut))
    }

    /// Forgets a page.
    pub(super) fn forget(&self, key: PageKey) {
        self.lock().forget(key);
    }

    /// Forgets the pages of a workspace.
    pub(super) fn forget_workspace(&self, number: WorkspaceNumber) {
        let mut kept = self.lock();
        let pages: Vec<_> = kept.pages.keys().filter(|key| key.workspace == number).copied().collect();
        for key in pages {
            kept.forget(key);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        *self.lock() = Kept::default();
    }
}

impl Kept {
    fn forget(&mut self, key: PageKey) {
        if let Some((_, cut)) = self.pages.remove(&key) {
            self.bytes -= cut.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use access::PageOrdinal;
    use index::analysis::Language;

    use super::*;

    fn key(page: u32) -> PageKey {
        PageKey { workspace: page / 100, page: PageOrdinal(page) }
    }

    fn cut(text: &str) -> Cut {
        let passage = Passage {
            number: 0,
            headings: Vec::new(),
            text: text.to_owned(),
            blocks: Vec::new(),
            language: Language::default(),
        };
        Cut { record: Arc::default(), passages: vec![passage] }
    }

    #[test]
    fn the_oldest_are_let_go_when_there_are_too_many_bytes_and_the_newest_of_a_page_holds() {
        let recent = Recent::new(40);
        recent.keep(key(1), cut("old"));
        recent.keep(key(1), cut("0123456789"));
        recent.keep(key(2), cut("0123456789"));
        assert_eq!(recent.get(key(1)).unwrap().passages[0].text, "0123456789");
        recent.keep(key(3), cut("0123456789"));
        assert!(recent.get(key(1)).is_none() && recent.get(key(2)).is_some() && recent.get(key(3)).is_some());
        recent.keep(key(4), cut(&"x".repeat(21)));
        assert!(
            recent.get(key(4)).is_none() && recent.get(key(3)).is_some(),
            "what is too large takes no other's place"
        );
        for _ in 0..100 {
            recent.keep(key(3), cut("again"));
        }
        assert!(recent.lock().order.len() <= 4, "what was forgotten takes no room");
    }

    #[test]
    fn pages_and_workspaces_are_forgotten() {
        let recent = Recent::new(1_000);
        for page in [1, 2, 100] {
            recent.keep(key(page), cut("text"));
        }
        recent.forget(key(1));
        assert!(recent.get(key(1)).is_none() && recent.get(key(2)).is_some());
        recent.forget_workspace(0);
        assert!(recent.get(key(2)).is_none() && recent.get(key(100)).is_some());
        recent.clear();
        assert!(recent.get(key(100)).is_none());
        assert_eq!(recent.lock().bytes, 0);
    }
}
