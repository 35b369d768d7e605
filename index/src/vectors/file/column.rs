//! One column of a vector file whose rows are all of one size.
//!
//! Invariant: a row inside the file is inside the column, by the length that was checked at opening.

use std::hint::black_box;

/// The unit in which memory is read.
const LINE_BYTES: usize = 64;

/// A column of byte rows.
#[derive(Clone, Copy)]
pub(in crate::vectors) struct Column<'a> {
    bytes: &'a [u8],
    row_bytes: usize,
}

impl<'a> Column<'a> {
    pub(super) fn new(bytes: &'a [u8], row_bytes: usize) -> Self {
        Self { bytes, row_bytes }
    }

    #[inline]
    pub(in crate::vectors) fn row(&self, row: u32) -> &'a [u8] {
        &self.bytes[row as usize * self.row_bytes..][..self.row_bytes]
    }

    /// So many rows that lie one after the other, from `first` on.
    #[inline]
    pub(in crate::vectors) fn rows(&self, first: u32, count: usize) -> &'a [u8] {
        &self.bytes[first as usize * self.row_bytes..][..count * self.row_bytes]
    }

    /// Brings so many rows that lie one after the other into the cache, from `first` on, all at once.
    ///
    /// Work on them that is not done in an instant keeps the processor from reading far enough ahead: comparing sign
    /// codes took twice as long without this.
    pub(in crate::vectors) fn fetch_range(&self, first: u32, count: usize) {
        black_box(touch(self.rows(first, count)));
    }

    /// Brings ascending rows that lie apart into the cache, all at once.
    ///
    /// Rows that are used one after the other are waited for one after the other; these reads do not depend on
    /// each other, so the processor waits for many at a time. Rows that lie together are left to its prefetcher.
    pub(in crate::vectors) fn fetch(&self, rows: &[u32]) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let lie_together = ((last - first) as usize) < 2 * rows.len();
        if !lie_together {
            black_box(rows.iter().fold(0, |read, row| read ^ touch(self.row(*row))));
        }
    }
}

/// Reads something of every line.
#[inline]
fn touch(bytes: &[u8]) -> u8 {
    let (lines, rest) = bytes.as_chunks::<LINE_BYTES>();
    let read = lines.iter().fold(0, |read, line| read ^ line[0]);
    // What does not start a line ends in one more.
    read ^ rest.last().or(lines.as_flattened().last()).copied().unwrap_or_default()
}
