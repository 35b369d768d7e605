//! The vectors of one segment as a reader sees them: the file, less the deleted documents.
//!
//! It reads single rows; searching is elsewhere. Invariant: a deleted document has no vector.

use tantivy::directory::OwnedBytes;
use tantivy::fastfield::AliveBitSet;
use tantivy::index::SegmentId;
use tantivy::{DocId, SegmentReader};

use super::file::{VectorFile, VectorFileError, scale_of};
use super::plugin::{file_name, open_file};
use super::query::QueryVector;
use super::row::StoredVector;

/// The vectors of one segment, as of one commit. Cheap to clone; bytes stay in the memory map.
#[derive(Clone)]
pub struct SegmentVectors {
    segment_id: SegmentId,
    file: VectorFile,
    alive: Option<AliveBitSet>,
}

impl SegmentVectors {
    /// Opens the vector file of a segment and checks its form, not its every byte (see [`Self::verify`]).
    ///
    /// Takes about a millisecond for a million rows. Fails on a file that is absent, cut, of another format, or
    /// does not fit its segment; never panics on its content.
    pub fn open(reader: &SegmentReader) -> Result<Self, VectorFileError> {
        Ok(Self { segment_id: reader.segment_id(), file: open_file(reader)?, alive: reader.alive_bitset().cloned() })
    }

    /// Opens the bytes of a vector file outside of any index, with all its documents alive and under a segment id of
    /// its own: for looking into a file that may be damaged.
    ///
    /// Fails as [`Self::open`] does, but for what only an index can tell: whether the file fits its segment.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, VectorFileError> {
        let segment_id = SegmentId::generate_random();
        let path = file_name(segment_id);
        Ok(Self { segment_id, file: VectorFile::open(path, OwnedBytes::new(bytes))?, alive: None })
    }

    /// Compares every byte of the file with the hash at its end: reads the whole file, about a second a gigabyte.
    pub fn verify(&self) -> Result<(), VectorFileError> {
        self.file.verify()
    }

    /// The segment that the vectors belong to.
    pub fn segment_id(&self) -> SegmentId {
        self.segment_id
    }

    /// How many rows the file has, those of deleted documents and of all models included.
    pub fn rows(&self) -> u32 {
        self.file.rows()
    }

    /// How many components each vector has.
    pub fn dimensions(&self) -> usize {
        self.file.dimensions()
    }

    /// The vector of a live document as it was stored, byte for byte, whatever its model; `None` without one.
    pub fn vector_of(&self, doc: DocId) -> Option<StoredVector> {
        let row = self.live_row_of(doc)?;
        Some(StoredVector::from_row(self.file.encoded_row(row)))
    }

    /// The cosine of a live document's vector with the query, the same number that a search gives.
    ///
    /// `None` when the document has no vector, or one of another model or size.
    pub fn cosine(&self, doc: DocId, query: &QueryVector) -> Option<f32> {
        let row = self.live_row_of(doc)?;
        let is_comparable = self.file.dimensions() == query.dimensions() && self.file.model_of(row) == query.model();
        let scale = scale_of(self.file.scales().row(row));
        is_comparable.then(|| query.cosine(self.file.components().row(row), scale))
    }

    #[inline]
    pub(super) fn file(&self) -> &VectorFile {
        &self.file
    }

    #[inline]
    pub(super) fn is_alive(&self, doc: DocId) -> bool {
        self.alive.as_ref().is_none_or(|alive| alive.is_alive(doc))
    }

    fn live_row_of(&self, doc: DocId) -> Option<u32> {
        let row = self.file.row_of(doc)?;
        self.is_alive(doc).then_some(row)
    }
}
