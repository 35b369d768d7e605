//! Sums over what documents are found by: equal sums, equal terms.
//!
//! Each posting is hashed with its term, its frequency and its positions; the sum of a document does not depend on their order.
//! So the postings of a whole segment are compared with documents in one pass over them, at eight bytes a document. Two
//! different sets of terms have one sum by chance once in 2^64.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::Postings;
use tantivy::schema::{Field, IndexRecordOption, Value};
use tantivy::tokenizer::{TokenStream, Tokenizer};
use tantivy::{DocAddress, DocSet, TERMINATED, TantivyDocument, TantivyError, Term};

use crate::error::{Doing, IndexError};
use crate::fields::Fields;
use crate::open::Snapshot;
use crate::tokens::Unpacker;

/// The sums of all documents, by segment.
pub(super) struct TermDigests {
    fields: Fields,
    keys: Vec<Vec<u64>>,
    words: Option<Vec<Vec<u64>>>,
}

impl TermDigests {
    /// Reads the postings of all fields with keys, and with `deep` those with words.
    pub(super) fn read(snapshot: &Snapshot, fields: Fields, deep: bool) -> Result<Self, IndexError> {
        let keys = sums(snapshot, &[fields.workspace, fields.page, fields.key])?;
        let words = if deep { Some(sums(snapshot, &[fields.all, fields.title, fields.words])?) } else { None };
        Ok(Self { fields, keys, words })
    }

    /// True when words are compared.
    pub(super) fn with_words(&self) -> bool {
        self.words.is_some()
    }

    /// Whether a document is found by its place and these keys, and by no others.
    pub(super) fn has_keys(&self, at: DocAddress, page_key: u64, keys: impl Iterator<Item = String>) -> bool {
        let mut sum = 0;
        for (field, number) in [(self.fields.workspace, page_key >> 32), (self.fields.page, page_key)] {
            add(&mut sum, field, Term::from_field_u64(field, number).serialized_value_bytes(), None);
        }
        keys.for_each(|key| add(&mut sum, self.fields.key, key.as_bytes(), None));
        sum == self.keys[at.segment_ord as usize][at.doc_id as usize]
    }

    /// Whether a document is found by the words of `expected`, at their places, and by no others.
    pub(super) fn has_words(&self, snapshot: &Snapshot, at: DocAddress, expected: &TantivyDocument) -> bool {
        let Some(words) = &self.words else { return true };
        let mut sum = 0_u64;
        let mut lengths = Vec::new();
        for (field, has_positions) in [(self.fields.all, true), (self.fields.title, true), (self.fields.words, false)] {
            let Some(packed) = expected.get_first(field).and_then(|value| value.as_str()) else {
                lengths.push((field, 0));
                continue;
            };
            let mut terms: BTreeMap<String, Vec<u32>> = BTreeMap::new();
            let mut unpacker = Unpacker::default();
            let mut stream = unpacker.token_stream(packed);
            let mut tokens = 0;
            while stream.advance() {
                let token = stream.token();
                terms.entry(token.text.clone()).or_default().push(token.position as u32);
                tokens += 1;
            }
            lengths.push((field, tokens));
            for (term, positions) in &terms {
                add(&mut sum, field, term.as_bytes(), has_positions.then_some(positions));
            }
        }
        let reader = snapshot.engine.segment_reader(at.segment_ord);
        let has_length = |(field, tokens): &(Field, u32)| match reader.fieldnorms_readers().get_field(*field) {
            Ok(Some(norms)) => norms.fieldnorm_id(at.doc_id) == FieldNormReader::fieldnorm_to_id(*tokens),
            Ok(None) => true,
            Err(_) => false,
        };
        sum == words[at.segment_ord as usize][at.doc_id as usize] && lengths.iter().all(has_length)
    }
}

/// Adds one term of a document.
fn add(sum: &mut u64, field: Field, term: &[u8], positions: Option<&Vec<u32>>) {
    let mut hasher = DefaultHasher::new();
    (field.field_id(), term).hash(&mut hasher);
    *sum = sum.wrapping_add(with_positions(hasher, positions));
}

fn with_positions(mut hasher: DefaultHasher, positions: Option<&Vec<u32>>) -> u64 {
    if let Some(positions) = positions {
        positions.hash(&mut hasher);
    }
    hasher.finish()
}

/// The sums of all documents over some fields, by segment.
fn sums(snapshot: &Snapshot, fields: &[Field]) -> Result<Vec<Vec<u64>>, IndexError> {
    let mut segments = Vec::new();
    for reader in snapshot.engine.segment_readers() {
        let mut sums = vec![0_u64; reader.max_doc() as usize];
        for &field in fields {
            let option = reader.schema().get_field_entry(field).field_type().get_index_record_option();
            let has_positions = option.is_some_and(IndexRecordOption::has_positions);
            let option =
                if has_positions { IndexRecordOption::WithFreqsAndPositions } else { IndexRecordOption::Basic };
            let inverted = reader.inverted_index(field).doing("open the terms of a segment")?;
            let mut terms =
                inverted.terms().stream().map_err(TantivyError::from).doing("read the terms of a segment")?;
            let mut positions = Vec::new();
            while terms.advance() {
                let mut hasher = DefaultHasher::new();
                (field.field_id(), terms.key()).hash(&mut hasher);
                let postings = inverted.read_postings_from_terminfo(terms.value(), option);
                let mut postings = postings.map_err(TantivyError::from).doing("read the documents of a term")?;
                while postings.doc() != TERMINATED {
                    let doc = postings.doc() as usize;
                    if has_positions {
                        postings.positions(&mut positions);
                    }
                    let hash = with_positions(hasher.clone(), has_positions.then_some(&positions));
                    if let Some(sum) = sums.get_mut(doc) {
                        *sum = sum.wrapping_add(hash);
                    }
                    postings.advance();
                }
            }
        }
        segments.push(sums);
    }
    Ok(segments)
}
