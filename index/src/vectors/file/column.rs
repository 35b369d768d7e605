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

    /// Brings ascending rows that lie apart into the cache, all at once.
    ///
    /// Rows that are used one after the other are waited for one after the other; these reads do not depend on
    /// each other, so the processor waits for many at a time. Rows that lie together are left to its prefetcher.
    pub(in crate::vectors) fn fetch(&self, rows: &[u32]) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let lie_together = ((last - first) as usize) < 2 * rows.len();
        if lie_together {
            return;
        }
        let mut read = 0;
        for &row in rows {
            let (lines, rest) = self.row(row).as_chunks::<LINE_BYTES>();
            for line in lines {
                read ^= line[0];
            }
            // A row that does not start a line ends in one more.
            read ^= rest.last().or(lines.as_flattened().last()).copied().unwrap_or_default();
        }
        black_box(read);
    }
}
