//! The tantivy side of the vector file: the field that carries vectors in, and the plugin that writes and merges.
//!
//! It knows nothing of searching. Invariants: the rows of a new segment are those of its documents in doc-id
//! order; a merge keeps the rows of the live documents, of whatever model, and refuses a reordering that it could
//! not follow.

use std::any::Any;
use std::path::PathBuf;

use serde_json::json;
use tantivy::directory::{Directory, TerminatingWrite};
use tantivy::error::DataCorruption;
use tantivy::index::{Segment, SegmentComponent, SegmentId};
use tantivy::indexer::DocIdMapping;
use tantivy::indexer::doc_id_mapping::MappingType;
use tantivy::plugin::{PluginMergeContext, PluginWriter, PluginWriterContext, SegmentPlugin};
use tantivy::schema::document::{ErasedDocument, ErasedValue, ReferenceValueLeaf, Value};
use tantivy::schema::{Field, FieldType, Schema, SchemaBuilder};
use tantivy::{DocId, SegmentReader, TantivyDocument, TantivyError};

use super::file::write::write_vectors;
use super::file::{VectorFile, VectorFileError};
use super::row::{DIMENSIONS_MAX, EncodedRow, StoredVector, VectorError};

/// Name of the field type that carries vectors, in the schema of the index.
pub const FIELD_TYPE: &str = "tessera_vector";

/// Extension of a segment's vector file.
pub const FILE_EXTENSION: &str = "vectors";

/// The one vector field of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorField {
    field: Field,
    dimensions: usize,
}

impl VectorField {
    /// Adds the vector field to a schema that is being built.
    ///
    /// `dimensions` is that of the model, 1 to [`DIMENSIONS_MAX`]; another number of dimensions is another
    /// generation of the index. A schema has at most one such field.
    pub fn add_to_schema(schema: &mut SchemaBuilder, name: &str, dimensions: usize) -> Result<Self, VectorError> {
        if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
            return Err(VectorError::Dimensions { expected: format!("1 to {DIMENSIONS_MAX}"), found: dimensions });
        }
        let field = schema.add_custom_field(name, FIELD_TYPE, json!({ "dimensions": dimensions }));
        Ok(Self { field, dimensions })
    }

    /// Finds the vector field of a schema; `None` when there is none, more than one, or one of no known size.
    pub fn of_schema(schema: &Schema) -> Option<Self> {
        let mut vector_fields = schema.fields().filter_map(|(field, entry)| match entry.field_type() {
            FieldType::Custom(options) if options.type_name() == FIELD_TYPE => Some((field, options)),
            _ => None,
        });
        let (field, options) = vector_fields.next()?;
        let is_only_one = vector_fields.next().is_none();
        let dimensions = usize::try_from(options.params().get("dimensions")?.as_u64()?).ok()?;
        let is_usable = is_only_one && (1..=DIMENSIONS_MAX).contains(&dimensions);
        is_usable.then_some(Self { field, dimensions })
    }

    /// How many components each vector of the index has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Gives a document its vector. A document is given at most one.
    ///
    /// This is the place to refuse a vector of the wrong size: tantivy's writer dies of one.
    pub fn add_to_document(&self, document: &mut TantivyDocument, vector: &StoredVector) -> Result<(), VectorError> {
        if vector.dimensions() != self.dimensions {
            return Err(VectorError::Dimensions { expected: self.dimensions.to_string(), found: vector.dimensions() });
        }
        document.add_custom(self.field, vector.as_bytes());
        Ok(())
    }
}

/// Keeps a vector file beside tantivy's own files of each segment.
///
/// Register it when the index is created and whenever it is opened. Tantivy refuses to write an index that was
/// created with it and is opened without, or the other way round.
#[derive(Clone, Copy, Debug, Default)]
pub struct VectorPlugin;

pub(super) fn vector_component() -> SegmentComponent {
    SegmentComponent::Custom(FILE_EXTENSION.to_owned())
}

/// Name of a segment's vector file inside the index.
pub(super) fn file_name(segment_id: SegmentId) -> PathBuf {
    PathBuf::from(segment_id.uuid_string() + "." + FILE_EXTENSION)
}

/// Opens and checks the vector file of a segment.
pub(super) fn open_file(reader: &SegmentReader) -> Result<VectorFile, VectorFileError> {
    let path = file_name(reader.segment_id());
    let vector_field = VectorField::of_schema(reader.schema()).ok_or(VectorFileError::Schema)?;
    let slice =
        reader.open_read(vector_component()).map_err(|source| VectorFileError::Open { path: path.clone(), source })?;
    let bytes =
        slice.read_bytes().map_err(|source| VectorFileError::Read { path: path.clone(), source: source.into() })?;
    let file = VectorFile::open(path, bytes)?;
    if file.documents() != reader.max_doc() {
        return Err(file.corrupt("it counts other documents than its segment"));
    }
    if file.dimensions() != vector_field.dimensions {
        return Err(file.corrupt("its dimensions are not those of the schema"));
    }
    Ok(file)
}

impl SegmentPlugin for VectorPlugin {
    fn extensions(&self) -> &[&str] {
        &[FILE_EXTENSION]
    }

    fn create_writer(&self, ctx: &PluginWriterContext) -> tantivy::Result<Box<dyn PluginWriter>> {
        let vector_field = vector_field_of(&ctx.segment.schema())?;
        Ok(Box::new(VectorWriter { vector_field, documents: 0, with_vector: Vec::new(), payloads: Vec::new() }))
    }

    /// Streams the rows of the live documents: its memory does not grow with the segments.
    ///
    /// Each source is compared with its hash before anything is taken from it, so that damage is not sealed anew.
    fn merge(&self, ctx: PluginMergeContext) -> tantivy::Result<()> {
        if ctx.doc_id_mapping.mapping_type() == MappingType::Shuffled {
            return Err(reordering_refused());
        }
        let vector_field = vector_field_of(ctx.schema)?;
        let mut sources = Vec::with_capacity(ctx.readers.len());
        for reader in ctx.readers {
            let file = open_file(reader).map_err(into_tantivy_error)?;
            file.verify().map_err(into_tantivy_error)?;
            sources.push((reader, file));
        }
        let documents = ctx.readers.iter().map(SegmentReader::num_docs).sum();
        write_file(ctx.target_segment, vector_field, documents, || merged_rows(&sources))
    }
}

/// The rows of the live documents of all sources, under the doc ids of an unsorted merge: live documents keep
/// their order, one source after the other.
fn merged_rows<'a>(sources: &'a [(&SegmentReader, VectorFile)]) -> impl Iterator<Item = (DocId, EncodedRow<'a>)> + 'a {
    let live_rows = sources.iter().flat_map(|(reader, file)| {
        let mut next_row = 0;
        reader.doc_ids_alive().map(move |doc| {
            while next_row < file.rows() && file.doc_of(next_row) < doc {
                next_row += 1;
            }
            let has_row = next_row < file.rows() && file.doc_of(next_row) == doc;
            has_row.then(|| file.encoded_row(next_row))
        })
    });
    live_rows.zip(0..).filter_map(|(row, merged_doc)| row.map(|row| (merged_doc, row)))
}

/// Collects the vectors of a segment that is being built.
struct VectorWriter {
    vector_field: VectorField,
    documents: u32,
    /// The documents that have a vector, ascending.
    with_vector: Vec<DocId>,
    /// Their payloads, one after the other, all of one length.
    payloads: Vec<u8>,
}

impl VectorWriter {
    fn collect(&mut self, doc: DocId, payload: &[u8]) -> tantivy::Result<()> {
        let dimensions = self.vector_field.dimensions;
        let is_ours = EncodedRow::parse(payload).is_some_and(|row| row.components.len() == dimensions);
        if !is_ours {
            let message = format!("document {doc} has a vector that is not one of {dimensions} dimensions");
            return Err(TantivyError::InvalidArgument(message));
        }
        if self.with_vector.last() == Some(&doc) {
            return Err(TantivyError::InvalidArgument(format!("document {doc} has more than one vector")));
        }
        self.with_vector.push(doc);
        self.payloads.extend_from_slice(payload);
        Ok(())
    }

    fn rows(&self) -> impl Iterator<Item = (DocId, EncodedRow<'_>)> {
        let payload_bytes = self.payloads.len() / self.with_vector.len().max(1);
        let payloads = self.payloads.chunks_exact(payload_bytes.max(1));
        let rows = payloads.map(|payload| EncodedRow::parse(payload).expect("the payload was parsed when collected"));
        self.with_vector.iter().copied().zip(rows)
    }
}

impl PluginWriter for VectorWriter {
    fn add_document(&mut self, doc_id: DocId, doc: &dyn ErasedDocument, _schema: &Schema) -> tantivy::Result<()> {
        self.documents = doc_id + 1;
        let field = self.vector_field.field;
        if let Some(document) = doc.as_any().downcast_ref::<TantivyDocument>() {
            for payload in document.get_all(field).filter_map(|value| value.as_custom()) {
                self.collect(doc_id, payload)?;
            }
            return Ok(());
        }
        for (value_field, value) in doc.erased_fields() {
            if let (true, ErasedValue::Leaf(ReferenceValueLeaf::Custom(payload))) = (value_field == field, value) {
                self.collect(doc_id, payload)?;
            }
        }
        Ok(())
    }

    fn serialize(self: Box<Self>, segment: &Segment, doc_id_map: Option<&DocIdMapping>) -> tantivy::Result<()> {
        if doc_id_map.is_some() {
            return Err(reordering_refused());
        }
        write_file(segment, self.vector_field, self.documents, || self.rows())
    }

    fn mem_usage(&self) -> usize {
        self.payloads.capacity() + self.with_vector.capacity() * size_of::<DocId>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

fn write_file<'a, I>(
    segment: &Segment,
    vector_field: VectorField,
    documents: u32,
    walk: impl Fn() -> I,
) -> tantivy::Result<()>
where
    I: Iterator<Item = (DocId, EncodedRow<'a>)>,
{
    let path = segment.relative_path(vector_component());
    let mut out = segment.index().directory().open_write(&path)?;
    write_vectors(&mut out, vector_field.dimensions, documents, walk)?;
    out.terminate()?;
    Ok(())
}

fn vector_field_of(schema: &Schema) -> tantivy::Result<VectorField> {
    VectorField::of_schema(schema).ok_or_else(|| TantivyError::SchemaError(VectorFileError::Schema.to_string()))
}

/// Doc-id mappings cannot be read outside tantivy, and the index is not sorted, so none should arrive.
fn reordering_refused() -> TantivyError {
    TantivyError::InvalidArgument("vectors cannot follow a reordering of documents: leave the index unsorted".into())
}

fn into_tantivy_error(error: VectorFileError) -> TantivyError {
    match error {
        VectorFileError::Open { source, .. } => source.into(),
        VectorFileError::Read { source, .. } => TantivyError::IoError(source),
        VectorFileError::Version { ref path, .. } | VectorFileError::Corrupt { ref path, .. } => {
            DataCorruption::new(path.clone(), error.to_string()).into()
        }
        VectorFileError::Schema => TantivyError::SchemaError(error.to_string()),
    }
}
