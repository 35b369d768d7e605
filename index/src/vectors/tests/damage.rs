//! Files that are not what was written.

use std::path::{Path, PathBuf};

use tantivy::directory::{Directory, OwnedBytes};

use super::*;
use crate::vectors::file::VectorFile;
use crate::vectors::file::write::write_vectors;

const DIMENSIONS: usize = 70;

/// A file of nine documents, six with vectors, of two models.
fn small_file() -> Vec<u8> {
    let rows: Vec<(DocId, StoredVector)> = [0, 1, 3, 4, 5, 8]
        .map(|doc| {
            let values: Vec<f32> = (0..DIMENSIONS).map(|d| ((doc as usize + 1) * d % 17) as f32 - 8.0).collect();
            (doc, StoredVector::encode(&values, model(doc as usize % 2)).unwrap())
        })
        .to_vec();
    let mut bytes = Vec::new();
    write_vectors(&mut bytes, DIMENSIONS, 9, || rows.iter().map(|(doc, vector)| (*doc, vector.row()))).unwrap();
    bytes
}

fn open(bytes: Vec<u8>) -> Result<VectorFile, VectorFileError> {
    VectorFile::open(PathBuf::from("0123.vectors"), OwnedBytes::new(bytes))
}

#[test]
fn whole_file_opens_and_verifies() {
    let file = open(small_file()).unwrap();
    file.verify().unwrap();
    assert_eq!((file.rows(), file.documents(), file.models().len()), (6, 9, 2));
}

/// The format is stored: a change needs a new version, and this hash with it.
#[test]
fn format_is_that_of_version_1() {
    let hash = blake3::hash(&small_file()).to_hex();
    insta::assert_snapshot!(&hash[..16], @"d710bbe04099d0ea");
}

#[test]
fn cut_or_extended_file_does_not_open() {
    let bytes = small_file();
    for len in 0..bytes.len() {
        assert!(open(bytes[..len].to_vec()).is_err(), "{len} of {} bytes", bytes.len());
    }
    let mut extended = bytes;
    extended.push(0);
    let error = open(extended).err().unwrap();
    assert_eq!(error.to_string(), "vector file 0123.vectors is corrupt: its length is not that of its rows");
}

#[test]
fn flipped_bit_is_noticed_at_the_latest_by_verifying() {
    let bytes = small_file();
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1 << (position % 8);
        let noticed = open(changed).and_then(|file| file.verify());
        assert!(noticed.is_err(), "byte {position}");
    }
}

#[test]
fn file_of_another_version_is_told_apart_from_a_corrupt_one() {
    let mut bytes = small_file();
    bytes[8] = 2;
    assert!(matches!(open(bytes), Err(VectorFileError::Version { version: 2, .. })));
}

fn vector_path(fixture: &Fixture) -> PathBuf {
    let segment_id = fixture.index.searchable_segment_ids().unwrap()[0];
    PathBuf::from(format!("{}.{FILE_EXTENSION}", segment_id.uuid_string()))
}

fn fixture_with_two_segments() -> Fixture {
    let mut random = SmallRng::seed_from_u64(9);
    let mut fixture = Fixture::new(DIMENSIONS);
    for id in 0..20 {
        fixture.add(id, Some(&random_vector(&mut random, DIMENSIONS, model(0))));
        if id == 9 {
            fixture.commit();
        }
    }
    fixture.commit();
    fixture
}

fn change_file(fixture: &Fixture, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fixture.directory.atomic_read(path).unwrap();
    change(&mut bytes);
    fixture.directory.atomic_write(path, &bytes).unwrap();
}

#[test]
fn merge_refuses_a_damaged_source() {
    let mut fixture = fixture_with_two_segments();
    let path = vector_path(&fixture);
    change_file(&fixture, &path, |bytes| bytes[500] ^= 1);
    let segment_ids = fixture.index.searchable_segment_ids().unwrap();
    let refused = fixture.writer.merge(&segment_ids).wait();
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(fixture.index.searchable_segment_ids().unwrap(), segment_ids);
}

#[test]
fn error_names_the_file() {
    let fixture = fixture_with_two_segments();
    let path = vector_path(&fixture);
    change_file(&fixture, &path, |bytes| bytes[0] ^= 1);
    let searcher = fixture.index.reader().unwrap().searcher();
    let failed: Vec<_> =
        searcher.segment_readers().iter().filter_map(|reader| SegmentVectors::open(reader).err()).collect();
    let [VectorFileError::Corrupt { path: named, .. }] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!(named, &path);
}

/// Bytes that only a full verification would notice give wrong numbers, never a panic or a forbidden document.
#[test]
fn search_survives_damaged_rows() {
    let fixture = fixture_with_two_segments();
    let path = vector_path(&fixture);
    let columns_start = 128;
    for fill in [0x00, 0x7f, 0xff] {
        change_file(&fixture, &path, |bytes| {
            let columns_end = columns_start + 10 * (16 + 128 + 4);
            bytes[columns_start..columns_end].fill(fill);
        });
        let searcher = fixture.index.reader().unwrap().searcher();
        let segments: Vec<SegmentVectors> =
            searcher.segment_readers().iter().map(|reader| SegmentVectors::open(reader).unwrap()).collect();
        let query = QueryVector::new(&[0.5; DIMENSIONS], model(0)).unwrap();
        let found = search(&segments, &query, |_, doc| doc < 5, 20, NEVER).unwrap();
        assert!(found.iter().all(|neighbour| neighbour.address.doc_id < 5));
        assert!(found.len() >= 5, "those of the sound segment at the least");
        let stored = segments.iter().filter_map(|segment| segment.vector_of(0));
        stored.for_each(|vector| drop(QueryVector::from_stored(&vector)));
    }
}

/// A scale of minus zero made a cosine of minus zero, which came after an equal one of a later document.
#[test]
fn cosines_of_zero_come_back_by_address_whatever_their_sign() {
    let mut bytes = small_file();
    // The last column before the seal: six rows, padded.
    let scales = bytes.len() - 32 - 64;
    for (row, scale) in bytes[scales..].chunks_exact_mut(4).take(6).enumerate() {
        scale.copy_from_slice(&(if row % 2 == 0 { -0.0_f32 } else { 0.0 }).to_le_bytes());
    }
    let segments = [SegmentVectors::from_bytes(bytes).unwrap()];
    let query = QueryVector::new(&[1.0; DIMENSIONS], model(0)).unwrap();
    let found = search(&segments, &query, |_, _| true, 9, NEVER).unwrap();
    let documents: Vec<DocId> = found.iter().map(|neighbour| neighbour.address.doc_id).collect();
    assert!(found.iter().all(|neighbour| neighbour.cosine == 0.0) && documents.is_sorted(), "{found:?}");
}
