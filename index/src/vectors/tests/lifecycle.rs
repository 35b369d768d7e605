//! What becomes of a vector as its document is added, deleted and merged.

use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::*;

const DIMENSIONS: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    /// Replaces the document, with a vector of this model or with none.
    Put {
        id: u64,
        vector: Option<usize>,
    },
    Delete {
        id: u64,
    },
    Commit,
    Merge,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..40_u64, proptest::option::weighted(0.7, 0..3_usize)).prop_map(|(id, vector)| Step::Put { id, vector }),
        3 => (0..40_u64).prop_map(|id| Step::Delete { id }),
        2 => Just(Step::Commit),
        1 => Just(Step::Merge),
    ]
}

fn check_holds(fixture: &Fixture, expected: &BTreeMap<u64, Option<StoredVector>>) {
    let mut found = BTreeMap::new();
    for (segment, ids) in fixture.open() {
        segment.verify().unwrap();
        for (doc, id) in (0..).zip(ids) {
            if segment.is_alive(doc) {
                assert!(found.insert(id, segment.vector_of(doc)).is_none(), "document {id} is alive twice");
            } else {
                assert_eq!(segment.vector_of(doc), None, "document {id} is deleted");
            }
        }
    }
    assert_eq!(&found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_live_document_keeps_its_own_vector(
        steps in proptest::collection::vec(step(), 1..80),
        seed in any::<u64>(),
    ) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut fixture = Fixture::new(DIMENSIONS);
        let mut expected = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put { id, vector } => {
                    let vector = vector.map(|number| random_vector(&mut random, DIMENSIONS, model(number)));
                    fixture.delete(id);
                    fixture.add(id, vector.as_ref());
                    expected.insert(id, vector);
                }
                Step::Delete { id } => {
                    fixture.delete(id);
                    expected.remove(&id);
                }
                Step::Commit => {
                    fixture.commit();
                    check_holds(&fixture, &expected);
                }
                Step::Merge => {
                    fixture.commit();
                    fixture.merge();
                    check_holds(&fixture, &expected);
                }
            }
        }
        fixture.commit();
        check_holds(&fixture, &expected);
        fixture.merge();
        check_holds(&fixture, &expected);
    }
}

#[test]
fn stored_row_moves_to_a_new_document_without_loss() {
    let mut random = SmallRng::seed_from_u64(3);
    let mut fixture = Fixture::new(384);
    let vector = random_vector(&mut random, 384, model(0));
    fixture.add(1, Some(&vector));
    fixture.commit();
    for id in 2..6 {
        let (segment, _) = fixture.open().remove(0);
        let read = segment.vector_of(0).unwrap();
        assert_eq!(read, vector);
        fixture.delete(id - 1);
        fixture.add(id, Some(&read));
        fixture.commit();
    }
}

#[test]
fn documents_without_vectors_cost_no_row() {
    let mut random = SmallRng::seed_from_u64(4);
    let mut fixture = Fixture::new(DIMENSIONS);
    for id in 0..500 {
        let vector = (id % 100 == 99).then(|| random_vector(&mut random, DIMENSIONS, model(0)));
        fixture.add(id, vector.as_ref());
    }
    fixture.commit();
    let (segment, _) = fixture.open().remove(0);
    assert_eq!(segment.rows(), 5);
    assert!(segment.vector_of(99).is_some());
    assert!(segment.vector_of(98).is_none());
    assert!(segment.vector_of(500).is_none());
}

#[test]
fn index_without_any_vector_opens_and_merges() {
    let mut fixture = Fixture::new(DIMENSIONS);
    fixture.add(1, None);
    fixture.commit();
    fixture.add(2, None);
    fixture.commit();
    fixture.merge();
    let (segment, ids) = fixture.open().remove(0);
    assert_eq!((segment.rows(), ids.len()), (0, 2));
}

#[test]
fn field_refuses_a_vector_of_another_size() {
    let fixture = Fixture::new(DIMENSIONS);
    let vector = StoredVector::encode(&[1.0; 8], model(0)).unwrap();
    let refused = fixture.vector.add_to_document(&mut TantivyDocument::new(), &vector);
    assert_eq!(refused, Err(VectorError::Dimensions { expected: "24".into(), found: 8 }));
}

#[test]
fn reopening_for_write_without_the_plugin_fails() {
    let mut fixture = Fixture::new(DIMENSIONS);
    fixture.add(1, None);
    fixture.commit();
    let Fixture { directory, index, writer, .. } = fixture;
    drop((writer, index));
    let reopened = Index::open(directory).unwrap();
    let refused = reopened.writer_with_num_threads::<TantivyDocument>(1, 15_000_000);
    assert!(matches!(refused, Err(tantivy::TantivyError::MissingPlugin(_))));
}
