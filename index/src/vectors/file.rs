//! The bytes of one segment's vector file: where each column lies, and a checked view of a file that exists.
//!
//! It does not know tantivy's readers or deletes. Invariant: a [`VectorFile`] that opened has every column in
//! full length and its documents in ascending order, so no access by row can fail.
//!
//! All numbers are little-endian. Columns start at multiples of 64 bytes and lie apart, so that a scan of the
//! sign codes streams nothing else:
//!
//! | part | bytes | holds |
//! | --- | --- | --- |
//! | header | 64 | magic, version, dimensions, documents, rows, models; then BLAKE3 of those and the models |
//! | models | 8 a model | the model tags that occur, in order of first use |
//! | documents | 4 a row | ascending doc ids; left out when every document has a row |
//! | ordinals | 2 a row | which model made the row; left out when there are fewer than two models |
//! | sign codes | width / 8 a row | one bit a component, set when it is above zero |
//! | components | width a row | eight-bit integers, biased by 128 |
//! | scales | 4 a row | f32, one over the length of the integer row |
//! | seal | 32 | BLAKE3 of everything before it |
//!
//! The width is the dimensions rounded up to a multiple of 64. For MiniLM's 384 dimensions a row takes 440 bytes.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use tantivy::DocId;
use tantivy::directory::OwnedBytes;
use tantivy::directory::error::OpenReadError;
use thiserror::Error;

use super::kernel;
use super::row::{BYTE_BIAS, DIMENSIONS_MAX, EncodedRow, ModelTag};

mod column;
pub(super) mod write;

pub(super) use column::Column;

const MAGIC: [u8; 8] = *b"tessvec\0";
const VERSION: u32 = 1;
const ALIGNMENT: usize = 64;
const HEADER_BYTES: usize = 64;
/// The part of the header that its own hash covers.
const HEADER_FIELDS_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
const MODEL_BYTES: usize = 8;
const DOCUMENT_BYTES: usize = 4;
const ORDINAL_BYTES: usize = 2;
const SCALE_BYTES: usize = 4;
/// Model ordinals are 16 bits wide.
const MODELS_MAX: usize = 1 << 16;

/// Why a segment's vectors cannot be read.
#[derive(Clone, Debug, Error)]
pub enum VectorFileError {
    /// The file is absent or the directory failed.
    #[error("cannot open vector file {path}")]
    Open {
        /// Name of the file inside the index.
        path: PathBuf,
        /// What the directory said.
        #[source]
        source: OpenReadError,
    },
    /// Reading failed.
    #[error("cannot read vector file {path}")]
    Read {
        /// Name of the file inside the index.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The file is of a format that this version does not know.
    #[error("vector file {path} has format {version}, and only {VERSION} is known")]
    Version {
        /// Name of the file inside the index.
        path: PathBuf,
        /// The version in the file.
        version: u32,
    },
    /// The bytes are not what was written.
    #[error("vector file {path} is corrupt: {defect}")]
    Corrupt {
        /// Name of the file inside the index.
        path: PathBuf,
        /// What is wrong, as a lower-case phrase.
        defect: &'static str,
    },
    /// The schema has no vector field, or one with impossible dimensions.
    #[error("schema has no usable vector field")]
    Schema,
}

/// The shape of a file, from which the place of each column follows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    dimensions: usize,
    documents: u32,
    rows: u32,
    models: Vec<ModelTag>,
}

/// Where each column lies in the file, without its padding.
#[derive(Clone, Debug)]
struct Columns {
    documents: Range<usize>,
    ordinals: Range<usize>,
    sign_codes: Range<usize>,
    components: Range<usize>,
    scales: Range<usize>,
    seal: Range<usize>,
}

impl Layout {
    fn width(&self) -> usize {
        kernel::padded(self.dimensions)
    }

    fn columns(&self) -> Columns {
        let rows = self.rows as usize;
        let mut end = HEADER_BYTES + self.models.len() * MODEL_BYTES;
        let mut place = |bytes: usize| {
            let start = end.next_multiple_of(ALIGNMENT);
            end = start + bytes;
            start..end
        };
        let documents_are_listed = self.rows != self.documents;
        let models_are_mixed = self.models.len() > 1;
        Columns {
            documents: place(if documents_are_listed { rows * DOCUMENT_BYTES } else { 0 }),
            ordinals: place(if models_are_mixed { rows * ORDINAL_BYTES } else { 0 }),
            sign_codes: place(rows * self.width() / 8),
            components: place(rows * self.width()),
            scales: place(rows * SCALE_BYTES),
            seal: place(HASH_BYTES),
        }
    }

    /// The header and the models after it.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.models.len() * MODEL_BYTES);
        bytes.extend_from_slice(&MAGIC);
        for field in [VERSION, self.dimensions as u32, self.documents, self.rows, self.models.len() as u32, 0] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        let models: Vec<u8> = self.models.iter().flat_map(|model| model.bits().to_le_bytes()).collect();
        let hash = header_hash(&bytes, &models);
        bytes.extend_from_slice(hash.as_bytes());
        bytes.extend_from_slice(&models);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, Defect> {
        let (header, rest) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Defect::Other("it is shorter than a header"))?;
        if header[..MAGIC.len()] != MAGIC {
            return Err(Defect::Other("it does not begin like a vector file"));
        }
        let [version, dimensions, documents, rows, models, _] = header_fields(header);
        if version != VERSION {
            return Err(Defect::Version(version));
        }
        let models_bytes =
            rest.get(..models as usize * MODEL_BYTES).ok_or(Defect::Other("it ends inside the list of models"))?;
        let hash = header_hash(&header[..HEADER_FIELDS_BYTES], models_bytes);
        if hash.as_bytes() != &header[HEADER_FIELDS_BYTES..] {
            return Err(Defect::Other("the header does not match its hash"));
        }
        let dimensions = dimensions as usize;
        let is_possible = (1..=DIMENSIONS_MAX).contains(&dimensions) && rows <= documents;
        if !is_possible {
            return Err(Defect::Other("the header is impossible"));
        }
        let (models, _) = models_bytes.as_chunks::<MODEL_BYTES>();
        let models = models.iter().map(|bits| ModelTag::from_bits(u64::from_le_bytes(*bits))).collect();
        Ok(Self { dimensions, documents, rows, models })
    }
}

enum Defect {
    Version(u32),
    Other(&'static str),
}

impl Defect {
    fn of_file(self, path: PathBuf) -> VectorFileError {
        match self {
            Self::Version(version) => VectorFileError::Version { path, version },
            Self::Other(defect) => VectorFileError::Corrupt { path, defect },
        }
    }
}

fn header_hash(fields: &[u8], models: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(fields).update(models).finalize()
}

fn header_fields(header: &[u8; HEADER_BYTES]) -> [u32; 6] {
    let (numbers, _) = header[MAGIC.len()..HEADER_FIELDS_BYTES].as_chunks::<4>();
    std::array::from_fn(|field| u32::from_le_bytes(numbers[field]))
}

/// A vector file that was opened and checked. Cheap to clone: the bytes stay where the directory has them.
#[derive(Clone)]
pub(super) struct VectorFile {
    path: PathBuf,
    layout: Layout,
    columns: Columns,
    bytes: OwnedBytes,
}

impl VectorFile {
    /// Checks the header, the length, and the documents and model ordinals; reads no other column.
    ///
    /// Costs about a millisecond for a million rows. [`Self::verify`] checks the rest.
    pub(super) fn open(path: PathBuf, bytes: OwnedBytes) -> Result<Self, VectorFileError> {
        let layout = match Layout::parse(&bytes) {
            Ok(layout) => layout,
            Err(defect) => return Err(defect.of_file(path)),
        };
        let columns = layout.columns();
        if bytes.len() != columns.seal.end {
            return Err(Defect::Other("its length is not that of its rows").of_file(path));
        }
        let file = Self { path, layout, columns, bytes };
        if !file.documents_ascend() {
            return Err(file.corrupt("its documents are out of order or out of range"));
        }
        if !file.ordinals_are_known() {
            return Err(file.corrupt("a row names an unknown model"));
        }
        Ok(file)
    }

    /// Compares the whole file with the hash at its end.
    pub(super) fn verify(&self) -> Result<(), VectorFileError> {
        let sealed = blake3::hash(&self.bytes[..self.columns.seal.start]);
        if sealed.as_bytes() != &self.bytes[self.columns.seal.clone()] {
            return Err(self.corrupt("its content does not match its hash"));
        }
        Ok(())
    }

    pub(super) fn corrupt(&self, defect: &'static str) -> VectorFileError {
        VectorFileError::Corrupt { path: self.path.clone(), defect }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.layout.dimensions
    }

    pub(super) fn documents(&self) -> u32 {
        self.layout.documents
    }

    pub(super) fn rows(&self) -> u32 {
        self.layout.rows
    }

    pub(super) fn models(&self) -> &[ModelTag] {
        &self.layout.models
    }

    /// Whether row `n` is that of document `n`, for all rows.
    pub(super) fn is_dense(&self) -> bool {
        self.layout.rows == self.layout.documents
    }

    #[inline]
    pub(super) fn doc_of(&self, row: u32) -> DocId {
        if self.is_dense() { row } else { u32::from_le_bytes(self.listed_documents()[row as usize]) }
    }

    pub(super) fn row_of(&self, doc: DocId) -> Option<u32> {
        if self.is_dense() {
            return (doc < self.layout.rows).then_some(doc);
        }
        let found = self.listed_documents().binary_search_by_key(&doc, |bytes| u32::from_le_bytes(*bytes));
        found.ok().map(|row| row as u32)
    }

    /// The documents of all rows as stored, four bytes each; empty when the file is dense.
    pub(super) fn listed_documents(&self) -> &[[u8; DOCUMENT_BYTES]] {
        let (documents, _) = self.bytes[self.columns.documents.clone()].as_chunks();
        documents
    }

    pub(super) fn model_of(&self, row: u32) -> ModelTag {
        let ordinals = self.ordinals();
        let ordinal = ordinals.get(row as usize).map_or(0, |bytes| u16::from_le_bytes(*bytes));
        self.layout.models[usize::from(ordinal)]
    }

    pub(super) fn sign_codes(&self) -> Column<'_> {
        Column::new(&self.bytes[self.columns.sign_codes.clone()], self.layout.width() / 8)
    }

    /// The biased bytes of the rows, padded to the width.
    pub(super) fn components(&self) -> Column<'_> {
        Column::new(&self.bytes[self.columns.components.clone()], self.layout.width())
    }

    pub(super) fn scales(&self) -> Column<'_> {
        Column::new(&self.bytes[self.columns.scales.clone()], SCALE_BYTES)
    }

    pub(super) fn encoded_row(&self, row: u32) -> EncodedRow<'_> {
        EncodedRow {
            model: self.model_of(row),
            scale: scale_of(self.scales().row(row)),
            components: &self.components().row(row)[..self.layout.dimensions],
        }
    }

    fn ordinals(&self) -> &[[u8; ORDINAL_BYTES]] {
        let (ordinals, _) = self.bytes[self.columns.ordinals.clone()].as_chunks();
        ordinals
    }

    fn documents_ascend(&self) -> bool {
        let documents = self.listed_documents().iter().map(|bytes| u32::from_le_bytes(*bytes));
        let in_range = documents.clone().next_back().is_none_or(|last| last < self.layout.documents);
        in_range && documents.is_sorted_by(|one, next| one < next)
    }

    fn ordinals_are_known(&self) -> bool {
        let models = self.layout.models.len();
        let rows_have_models = models > 0 || self.layout.rows == 0;
        rows_have_models && self.ordinals().iter().all(|bytes| usize::from(u16::from_le_bytes(*bytes)) < models)
    }
}

/// Reads a row of the column of scales.
#[inline]
pub(super) fn scale_of(row: &[u8]) -> f32 {
    let bytes = row.first_chunk().expect("a row of scales has four bytes");
    f32::from_le_bytes(*bytes)
}
