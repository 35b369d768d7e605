//! Reads postings in the order of documents, and only those that can matter.

use tantivy::{DocId, SegmentOrdinal, SegmentReader, TERMINATED};

use super::Cursor;
use crate::error::IndexError;
use crate::search::allowed::Allowed;
use crate::search::best::Best;
use crate::search::deadline::{DOCS_UNCHECKED, Deadline};

/// Documents whose scores are added up at a time.
const WINDOW_DOCS: usize = DOCS_UNCHECKED;
/// Blocks that are read before the clock is looked at.
const BLOCKS_UNCHECKED: usize = DOCS_UNCHECKED / super::BLOCK_DOCS;
/// Bounds are compared with this much room, for sums of rounded numbers.
const ROUNDING: f64 = 1e-5;

/// The terms of a union in one segment.
pub(super) struct Scan<'a> {
    segment: SegmentOrdinal,
    reader: &'a SegmentReader,
    allowed: &'a Allowed<'a>,
    /// Whether the mask is asked before a score is computed, rather than when it is enough.
    is_mask_first: bool,
    deadline: Deadline,
    /// By what they add at most, falling.
    cursors: Vec<Cursor<'a>>,
    /// What the terms from each on add at most together; zero at the end.
    rest: Vec<f64>,
    window: Window,
}

/// Sums of scores of documents that lie near each other.
struct Window {
    scores: Vec<f32>,
    /// One bit for each score that is not zero.
    marks: Vec<u64>,
}

/// What a score has to exceed.
#[derive(Clone, Copy)]
struct Bar {
    exact: f32,
    /// A little lower: what cannot exceed this with all that may be added need not be looked at.
    low: f64,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        segment: SegmentOrdinal,
        reader: &'a SegmentReader,
        cursors: Vec<Cursor<'a>>,
        allowed: &'a Allowed<'a>,
        is_mask_first: bool,
        deadline: Deadline,
    ) -> Self {
        let mut rest = vec![0.0; cursors.len() + 1];
        for at in (0..cursors.len()).rev() {
            rest[at] = rest[at + 1] + cursors[at].most;
        }
        let window = Window { scores: vec![0.0; WINDOW_DOCS], marks: vec![0; WINDOW_DOCS / 64] };
        Self { segment, reader, allowed, is_mask_first, deadline, cursors, rest, window }
    }

    /// Puts the best allowed documents among `best`.
    pub(super) fn collect(mut self, best: &mut Best) -> Result<(), IndexError> {
        loop {
            self.deadline.check()?;
            let low = self.bar(best).low;
            // The terms from here on cannot make a document good enough by themselves.
            let needed = self.rest.partition_point(|rest| *rest > low).min(self.cursors.len());
            let is_done = match needed {
                0 => true,
                1 => self.read_first(best),
                _ => self.read_window(needed, best),
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// Reads some blocks of the first term and seeks the others. Returns true at the end.
    fn read_first(&mut self, best: &mut Best) -> bool {
        let mut found = Vec::with_capacity(super::BLOCK_DOCS);
        for _ in 0..BLOCKS_UNCHECKED {
            let (others, low) = (self.rest[1], self.bar(best).low);
            let Self { allowed, is_mask_first, cursors, .. } = self;
            let first = &mut cursors[0];
            if first.doc() == TERMINATED {
                return true;
            }
            if !first.block_reaches(low - others) {
                first.pass_block(TERMINATED);
                continue;
            }
            first.read_block(
                TERMINATED,
                |doc| !*is_mask_first || allowed.allows(doc),
                |doc, score| {
                    if f64::from(score) + others > low {
                        found.push((doc, score));
                    }
                },
            );
            for (doc, score) in found.drain(..) {
                self.offer(doc, score, 1, best);
            }
        }
        false
    }

    /// Adds up the scores of the first `needed` terms in the next window and seeks the others. Returns true at the end.
    fn read_window(&mut self, needed: usize, best: &mut Best) -> bool {
        let (most, low) = (self.rest[0], self.bar(best).low);
        let Self { allowed, is_mask_first, cursors, window, .. } = self;
        let start = cursors[..needed].iter().map(Cursor::doc).min().unwrap_or(TERMINATED);
        if start == TERMINATED {
            return true;
        }
        let end = start + WINDOW_DOCS as DocId;
        for cursor in &mut cursors[..needed] {
            while cursor.doc() < end {
                if cursor.block_reaches(low - (most - cursor.most)) {
                    let is_wanted = |doc| !*is_mask_first || allowed.allows(doc);
                    cursor.read_block(end, is_wanted, |doc, score| window.add((doc - start) as usize, score));
                } else {
                    cursor.pass_block(end);
                }
            }
        }
        for word in 0..WINDOW_DOCS / 64 {
            let mut marks = std::mem::take(&mut self.window.marks[word]);
            while marks != 0 {
                let at = word * 64 + marks.trailing_zeros() as usize;
                marks &= marks - 1;
                let score = std::mem::take(&mut self.window.scores[at]);
                self.offer(start + at as DocId, score, needed, best);
            }
        }
        false
    }

    /// Takes a document of which the first `added` terms give `score`, if that and the others are enough.
    #[inline]
    fn offer(&mut self, doc: DocId, mut score: f32, added: usize, best: &mut Best) {
        let bar = self.bar(best);
        if f64::from(score) + self.rest[added] <= bar.low {
            return;
        }
        if !self.is_mask_first && !self.allowed.allows(doc) {
            return;
        }
        for (cursor, rest) in self.cursors[added..].iter_mut().zip(&self.rest[added..]) {
            if f64::from(score) + rest <= bar.low {
                return;
            }
            if cursor.seek(doc) == doc {
                score += cursor.score();
            }
        }
        if score > bar.exact && !self.reader.is_deleted(doc) {
            best.push(self.segment, doc, score);
        }
    }

    fn bar(&self, best: &Best) -> Bar {
        let exact = best.threshold(self.segment);
        Bar { exact, low: f64::from(exact) * (1.0 - ROUNDING) }
    }
}

impl Window {
    #[inline]
    fn add(&mut self, at: usize, score: f32) {
        self.scores[at] += score;
        self.marks[at / 64] |= 1 << (at % 64);
    }
}
