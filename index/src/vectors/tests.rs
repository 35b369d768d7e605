//! Vectors through a whole index: written, deleted, merged, read, searched and damaged.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tantivy::directory::RamDirectory;
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{FAST, Field, INDEXED, Schema};
use tantivy::{DocAddress, DocId, Index, IndexWriter, SegmentOrdinal, TantivyDocument, Term};

use super::*;

mod damage;
mod lifecycle;
mod searching;

const NEVER: &dyn Fn() -> bool = &|| false;

/// An index of numbered documents, with its only writer.
struct Fixture {
    directory: RamDirectory,
    index: Index,
    writer: IndexWriter,
    id: Field,
    vector: VectorField,
}

impl Fixture {
    fn new(dimensions: usize) -> Self {
        let mut schema = Schema::builder();
        let id = schema.add_u64_field("id", INDEXED | FAST);
        let vector = VectorField::add_to_schema(&mut schema, "vector", dimensions).unwrap();
        let directory = RamDirectory::create();
        let index = Index::builder()
            .schema(schema.build())
            .register_plugin(std::sync::Arc::new(VectorPlugin))
            .open_or_create(directory.clone())
            .unwrap();
        let writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        Self { directory, index, writer, id, vector }
    }

    fn add(&self, id: u64, vector: Option<&StoredVector>) {
        let mut document = TantivyDocument::new();
        document.add_u64(self.id, id);
        if let Some(vector) = vector {
            self.vector.add_to_document(&mut document, vector).unwrap();
        }
        self.writer.add_document(document).unwrap();
    }

    fn delete(&self, id: u64) {
        self.writer.delete_term(Term::from_field_u64(self.id, id));
    }

    fn commit(&mut self) {
        self.writer.commit().unwrap();
    }

    fn merge(&mut self) {
        let segment_ids = self.index.searchable_segment_ids().unwrap();
        if !segment_ids.is_empty() {
            self.writer.merge(&segment_ids).wait().unwrap();
        }
    }

    /// The segments of the last commit, each with the ids of its documents by doc id.
    fn open(&self) -> Vec<(SegmentVectors, Vec<u64>)> {
        let searcher = self.index.reader().unwrap().searcher();
        let open_segment = |reader: &tantivy::SegmentReader| {
            let ids = reader.fast_fields().u64("id").unwrap();
            let ids = (0..reader.max_doc()).map(|doc| ids.first(doc).unwrap()).collect();
            (SegmentVectors::open(reader).unwrap(), ids)
        };
        searcher.segment_readers().iter().map(open_segment).collect()
    }
}

fn model(number: usize) -> ModelTag {
    ModelTag::of(["first", "second", "third"][number])
}

fn random_values(random: &mut SmallRng, dimensions: usize) -> Vec<f32> {
    (0..dimensions).map(|_| random.random_range(-1.0..1.0_f32)).collect()
}

fn random_vector(random: &mut SmallRng, dimensions: usize, model: ModelTag) -> StoredVector {
    StoredVector::encode(&random_values(random, dimensions), model).unwrap()
}

/// The cosine in double precision.
fn reference_cosine(one: &[f32], other: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
}

#[test]
fn encoding_keeps_the_direction() {
    let mut random = SmallRng::seed_from_u64(1);
    for dimensions in [1, 7, 8, 64, 384, 1000, 4096] {
        let values = random_values(&mut random, dimensions);
        let stored = StoredVector::encode(&values, model(0)).unwrap();
        assert_eq!(stored.dimensions(), dimensions);
        assert!(reference_cosine(&values, &stored.decode()) > 0.9999);
        let length: f32 = stored.decode().iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-4, "decoded length is {length}");
        assert_eq!(StoredVector::from_bytes(stored.as_bytes().to_vec()).unwrap(), stored);
    }
}

#[test]
fn encoding_does_not_depend_on_the_length_of_the_vector() {
    let mut random = SmallRng::seed_from_u64(2);
    let values = random_values(&mut random, 384);
    let stored = StoredVector::encode(&values, model(0)).unwrap();
    for factor in [1e-30_f32, 0.125, 1024.0, 1e30] {
        let scaled: Vec<f32> = values.iter().map(|value| value * factor).collect();
        let scaled = StoredVector::encode(&scaled, model(0)).unwrap();
        let same = reference_cosine(&stored.decode(), &scaled.decode());
        assert!(same > 0.99999, "at {factor} the cosine is {same}");
    }
}

#[test]
fn values_that_are_no_embedding_are_refused() {
    let encode = |values: &[f32]| StoredVector::encode(values, model(0)).unwrap_err();
    assert!(matches!(encode(&[]), VectorError::Dimensions { found: 0, .. }));
    assert!(matches!(encode(&vec![1.0; 4097]), VectorError::Dimensions { found: 4097, .. }));
    assert_eq!(encode(&[1.0, f32::NAN]), VectorError::NotFinite { position: 1 });
    assert_eq!(encode(&[f32::INFINITY, 1.0]), VectorError::NotFinite { position: 0 });
    assert_eq!(encode(&[0.0, -0.0]), VectorError::NoDirection);
    assert!(QueryVector::new(&[0.0], model(0)).is_err());
}

#[test]
fn malformed_bytes_are_no_stored_vector() {
    let bytes = StoredVector::encode(&[0.5, -0.25], model(0)).unwrap().as_bytes().to_vec();
    for len in 0..bytes.len() {
        assert!(StoredVector::from_bytes(bytes[..len].to_vec()).is_err(), "{len} bytes");
    }
    for position in 8..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 0x40;
        assert!(StoredVector::from_bytes(changed).is_err(), "byte {position}");
    }
}

#[test]
fn field_is_found_in_a_stored_schema_again() {
    let mut schema = Schema::builder();
    let field = VectorField::add_to_schema(&mut schema, "vector", 384).unwrap();
    let stored = serde_json::to_string(&schema.build()).unwrap();
    let schema: Schema = serde_json::from_str(&stored).unwrap();
    assert_eq!(VectorField::of_schema(&schema), Some(field));
    assert_eq!(field.dimensions(), 384);
    assert_eq!(VectorField::of_schema(&Schema::builder().build()), None);
}
