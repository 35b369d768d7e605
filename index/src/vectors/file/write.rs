//! Writing a vector file, column after column, from rows that can be walked several times.
//!
//! It keeps no row in memory, so a merge needs no more of it than a new segment does. Invariant: what it writes
//! opens and verifies.

use std::io::{self, Write};

use tantivy::DocId;

use super::{ALIGNMENT, BYTE_BIAS, EncodedRow, Layout, MODELS_MAX};
use crate::vectors::kernel;
use crate::vectors::row::ModelTag;

/// Writes the file of a segment with this many documents, each vector of so many dimensions.
///
/// `walk` starts a walk over the rows: ascending documents below `documents`, the same at each call. It is called
/// once for each column and once before, to count.
pub(in crate::vectors) fn write_vectors<'a, I>(
    out: impl Write,
    dimensions: usize,
    documents: u32,
    walk: impl Fn() -> I,
) -> io::Result<()>
where
    I: Iterator<Item = (DocId, EncodedRow<'a>)>,
{
    let layout = measure(dimensions, documents, walk())?;
    let columns = layout.columns();
    let width = layout.width();
    let mut out = Sealing { out, hasher: blake3::Hasher::new(), written: 0 };

    out.write(&layout.to_bytes())?;
    out.pad()?;
    if !columns.documents.is_empty() {
        for (doc, _) in walk() {
            out.write(&doc.to_le_bytes())?;
        }
        out.pad()?;
    }
    if !columns.ordinals.is_empty() {
        for (_, row) in walk() {
            out.write(&ordinal_of(&layout.models, row.model).to_le_bytes())?;
        }
        out.pad()?;
    }
    let mut padded_row = vec![BYTE_BIAS as u8; width];
    let mut sign_code = vec![0; width / 8];
    for (_, row) in walk() {
        padded_row[..dimensions].copy_from_slice(row.components);
        kernel::sign_code(&padded_row, BYTE_BIAS as u8, &mut sign_code);
        out.write(&sign_code)?;
    }
    out.pad()?;
    for (_, row) in walk() {
        padded_row[..dimensions].copy_from_slice(row.components);
        out.write(&padded_row)?;
    }
    out.pad()?;
    for (_, row) in walk() {
        out.write(&row.scale.to_le_bytes())?;
    }
    out.pad()?;
    debug_assert_eq!(out.written, columns.seal.start, "every walk gives the same rows");
    out.seal()
}

fn measure<'a>(
    dimensions: usize,
    documents: u32,
    rows: impl Iterator<Item = (DocId, EncodedRow<'a>)>,
) -> io::Result<Layout> {
    let mut layout = Layout { dimensions, documents, rows: 0, models: Vec::new() };
    for (doc, row) in rows {
        debug_assert!(doc < documents && row.components.len() == dimensions);
        layout.rows += 1;
        if !layout.models.contains(&row.model) {
            layout.models.push(row.model);
        }
    }
    if layout.models.len() > MODELS_MAX {
        return Err(io::Error::other("a segment holds vectors of more than 65,536 models"));
    }
    Ok(layout)
}

fn ordinal_of(models: &[ModelTag], model: ModelTag) -> u16 {
    let ordinal = models.iter().position(|known| *known == model);
    ordinal.expect("the models were collected from the same rows") as u16
}

/// Hashes what it passes on.
struct Sealing<W> {
    out: W,
    hasher: blake3::Hasher,
    written: usize,
}

impl<W: Write> Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.written += bytes.len();
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let missing = self.written.next_multiple_of(ALIGNMENT) - self.written;
        self.write(&[0; ALIGNMENT][..missing])
    }

    fn seal(mut self) -> io::Result<()> {
        let hash = self.hasher.finalize();
        self.out.write_all(hash.as_bytes())
    }
}
