//! The reader of vector files: damage is refused or read without panic, and what a search finds is what the file says.
//!
//! Nearly every changed bit breaks one of the two hashes, and stops the reader there. So each input is read as it is,
//! and again with both hashes put right, as a writer gone wrong would have it.

#![no_main]

use index::vectors::{QueryVector, SegmentVectors, StoredVector, search};
use libfuzzer_sys::fuzz_target;

/// Where the parts of the file lie that a hash covers; see `index::vectors`.
const FIELDS_BYTES: usize = 32;
const HEADER_BYTES: usize = 64;
const MODEL_BYTES: usize = 8;
const MODELS_FIELD: std::ops::Range<usize> = 24..28;
const SEAL_BYTES: usize = 32;
/// Documents that are looked at one by one.
const DOCUMENTS_TRIED: u32 = 64;

fuzz_target!(|bytes: &[u8]| {
    check(bytes.to_vec());
    if let Some(sealed) = with_right_hashes(bytes) {
        check(sealed);
    }
});

fn with_right_hashes(bytes: &[u8]) -> Option<Vec<u8>> {
    let models = u32::from_le_bytes(bytes.get(MODELS_FIELD)?.try_into().ok()?) as usize;
    let listed = bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(models.checked_mul(MODEL_BYTES)?)?)?;
    let hash = blake3::Hasher::new().update(&bytes[..FIELDS_BYTES]).update(listed).finalize();
    let mut sealed = bytes.to_vec();
    sealed[FIELDS_BYTES..HEADER_BYTES].copy_from_slice(hash.as_bytes());
    let seal_at = sealed.len().checked_sub(SEAL_BYTES).filter(|at| *at >= HEADER_BYTES)?;
    let seal = blake3::hash(&sealed[..seal_at]);
    sealed[seal_at..].copy_from_slice(seal.as_bytes());
    Some(sealed)
}

fn check(bytes: Vec<u8>) {
    let Ok(vectors) = SegmentVectors::from_bytes(bytes) else { return };
    let whole = vectors.verify().is_ok();
    let segments = [vectors];
    for vector in (0..DOCUMENTS_TRIED).filter_map(|doc| segments[0].vector_of(doc)) {
        assert_eq!(vector.dimensions(), segments[0].dimensions());
        if let Ok(again) = StoredVector::from_bytes(vector.as_bytes().to_vec()) {
            assert_eq!(again, vector);
        }
        // A vector without direction is no query.
        let Ok(query) = QueryVector::from_stored(&vector) else { continue };
        check_search(&segments, &query);
    }
    // Opened or not, the answer is the same each time.
    assert_eq!(whole, segments[0].verify().is_ok());
}

fn check_search(segments: &[SegmentVectors], query: &QueryVector) {
    let found = search(segments, query, |_, _| true, 3, &|| false).expect("dimensions fit and there is no deadline");
    let is_sorted = found.is_sorted_by(|one, next| {
        one.cosine > next.cosine || (one.cosine == next.cosine && one.address < next.address)
    });
    assert!(is_sorted, "{found:?}");
    for neighbour in &found {
        let doc = neighbour.address.doc_id;
        assert_eq!(segments[0].cosine(doc, query), Some(neighbour.cosine));
        let vector = segments[0].vector_of(doc).expect("what was found is there");
        assert_eq!(vector.model(), query.model());
    }
}
