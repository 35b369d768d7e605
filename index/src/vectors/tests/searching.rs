//! What a search returns, against a slow search over the decoded vectors.

use proptest::prelude::{Just, ProptestConfig, any, prop_oneof, proptest};

use super::*;

/// Cosines of one pair may differ by this much: the query is in 15-bit integers.
const TOLERANCE: f64 = 1e-4;

fn segments_of(opened: &[(SegmentVectors, Vec<u64>)]) -> Vec<SegmentVectors> {
    opened.iter().map(|(segment, _)| segment.clone()).collect()
}

/// All allowed live documents of the model with their cosines, best first.
fn brute_force(
    segments: &[SegmentVectors],
    values: &[f32],
    model: ModelTag,
    allowed: impl Fn(SegmentOrdinal, DocId) -> bool,
) -> Vec<(f64, DocAddress)> {
    let mut scored = Vec::new();
    for (segment_ord, segment) in (0..).zip(segments) {
        for doc in 0..segment.file().documents() {
            let vector = segment.vector_of(doc).filter(|vector| vector.model() == model);
            if let Some(vector) = vector.filter(|_| allowed(segment_ord, doc)) {
                scored.push((reference_cosine(values, &vector.decode()), DocAddress::new(segment_ord, doc)));
            }
        }
    }
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    scored
}

#[track_caller]
fn check_equals_brute_force(
    segments: &[SegmentVectors],
    values: &[f32],
    allowed: impl Fn(SegmentOrdinal, DocId) -> bool,
    depth: usize,
) {
    let query = QueryVector::new(values, model(0)).unwrap();
    let expected = brute_force(segments, values, model(0), &allowed);
    let found = search(segments, &query, &allowed, depth, NEVER).unwrap();
    assert_eq!(found.len(), depth.min(expected.len()));
    for (neighbour, (cosine, _)) in found.iter().zip(&expected) {
        assert!((f64::from(neighbour.cosine) - cosine).abs() < TOLERANCE);
    }
    for neighbour in &found {
        let (cosine, _) = expected.iter().find(|(_, address)| *address == neighbour.address).expect("it is allowed");
        assert!((f64::from(neighbour.cosine) - cosine).abs() < TOLERANCE);
        let segment = &segments[neighbour.address.segment_ord as usize];
        assert_eq!(segment.cosine(neighbour.address.doc_id, &query), Some(neighbour.cosine));
    }
    assert!(found.is_sorted_by(|one, next| one.cosine >= next.cosine));

    let listed = search_listed(
        segments,
        &query,
        |segment_ord| {
            let documents = segments[segment_ord as usize].file().documents();
            (0..documents).filter(|doc| allowed(segment_ord, *doc)).collect::<Vec<_>>()
        },
        depth,
        NEVER,
    );
    assert_eq!(listed.unwrap(), found);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn masked_search_equals_brute_force_over_the_allowed(
        seed in any::<u64>(),
        dimensions in prop_oneof![Just(8_usize), Just(20), Just(64), Just(100)],
        segment_sizes in proptest::collection::vec(0..60_usize, 1..4),
        allowed_percent in prop_oneof![Just(0_u64), Just(10), Just(50), Just(100)],
        presence_percent in prop_oneof![Just(30_u64), Just(100)],
        models in 1..3_usize,
        depth in 0..20_usize,
    ) {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut fixture = Fixture::new(dimensions);
        let mut next_id = 0;
        for size in segment_sizes {
            for _ in 0..size {
                let has_vector = random.random_range(0..100) < presence_percent;
                let model = model(random.random_range(0..models));
                let vector = has_vector.then(|| random_vector(&mut random, dimensions, model));
                fixture.add(next_id, vector.as_ref());
                next_id += 1;
            }
            fixture.commit();
        }
        for _ in 0..next_id / 8 {
            fixture.delete(random.random_range(0..next_id));
        }
        fixture.commit();
        let opened = fixture.open();
        let allowed_ids: Vec<bool> = (0..next_id).map(|_| random.random_range(0..100) < allowed_percent).collect();
        let allowed = |segment_ord: SegmentOrdinal, doc: DocId| {
            allowed_ids[opened[segment_ord as usize].1[doc as usize] as usize]
        };
        check_equals_brute_force(&segments_of(&opened), &random_values(&mut random, dimensions), allowed, depth);
    }
}

/// An index large enough for the sign codes: every document of `planted` is near the query, the rest is noise.
fn large_fixture(random: &mut SmallRng, values: &[f32], documents: u64, planted: &[u64]) -> Fixture {
    let mut fixture = Fixture::new(values.len());
    for id in 0..documents {
        let noise = random_values(random, values.len());
        let nearness = if planted.contains(&id) { 1.0 } else { 0.0 };
        let values: Vec<f32> = values.iter().zip(&noise).map(|(value, noise)| value * nearness + noise).collect();
        fixture.add(id, Some(&StoredVector::encode(&values, model(0)).unwrap()));
        if id == documents / 3 {
            fixture.commit();
        }
    }
    fixture.commit();
    fixture
}

/// With 25,000 rows all are marked before the sign codes choose, with 40,000 only the near ones are asked about.
#[test]
fn search_over_many_rows_finds_the_planted_neighbours_and_respects_the_mask() {
    for documents in [25_000, 40_000] {
        check_planted(documents);
    }
}

fn check_planted(documents: u64) {
    let mut random = SmallRng::seed_from_u64(5);
    let values = random_values(&mut random, 128);
    let planted: Vec<u64> = (0..10).map(|position| 2_501 * position + 7).collect();
    let mut fixture = large_fixture(&mut random, &values, documents, &planted);
    let query = QueryVector::new(&values, model(0)).unwrap();
    // The segments of two commits need not come in the same order.
    let ids_of = |opened: &[(SegmentVectors, Vec<u64>)], neighbours: Vec<Neighbour>| {
        let id_of = |address: DocAddress| opened[address.segment_ord as usize].1[address.doc_id as usize];
        let mut ids: Vec<u64> = neighbours.iter().map(|neighbour| id_of(neighbour.address)).collect();
        ids.sort_unstable();
        ids
    };
    let opened = fixture.open();
    let found = search(&segments_of(&opened), &query, |_, _| true, 10, NEVER).unwrap();
    assert_eq!(ids_of(&opened, found), planted);

    let is_odd = |segment_ord: SegmentOrdinal, doc: DocId| opened[segment_ord as usize].1[doc as usize] % 2 == 1;
    let found = search(&segments_of(&opened), &query, is_odd, 5, NEVER).unwrap();
    let odd: Vec<u64> = planted.iter().copied().filter(|id| id % 2 == 1).collect();
    assert_eq!(ids_of(&opened, found), odd);

    fixture.delete(planted[0]);
    fixture.commit();
    let opened = fixture.open();
    let found = search(&segments_of(&opened), &query, |_, _| true, 9, NEVER).unwrap();
    assert_eq!(ids_of(&opened, found), planted[1..]);
}

/// Rows are sampled at even distances, to tell how near those must be that are kept. Here none but the sampled ones are
/// near, so that far fewer lie below that distance than are to be kept.
#[test]
fn misleading_sample_changes_no_result() {
    const ROWS: u32 = 40_960;
    const SAMPLED_EVERY: u64 = 20;
    let mut random = SmallRng::seed_from_u64(8);
    let values = random_values(&mut random, 64);
    let mut fixture = Fixture::new(64);
    for id in 0..u64::from(ROWS) {
        let nearness = if id % SAMPLED_EVERY == 0 { 0.5 } else { 0.0 };
        let noise = random_values(&mut random, 64);
        let mixed: Vec<f32> = values.iter().zip(&noise).map(|(value, noise)| value * nearness + noise).collect();
        fixture.add(id, Some(&StoredVector::encode(&mixed, model(0)).unwrap()));
    }
    fixture.commit();
    fixture.merge();
    let segments = segments_of(&fixture.open());
    let query = QueryVector::new(&values, model(0)).unwrap();
    let found = search(&segments, &query, |_, _| true, 100, NEVER).unwrap();
    assert_eq!(found, search_listed(&segments, &query, |_| 0..ROWS, 100, NEVER).unwrap());
}

#[test]
fn equal_vectors_come_back_by_address_however_many_there_are() {
    let mut fixture = Fixture::new(64);
    let vector = StoredVector::encode(&[0.5; 64], model(0)).unwrap();
    for id in 0..20_000 {
        fixture.add(id, Some(&vector));
    }
    fixture.commit();
    let segments = segments_of(&fixture.open());
    let query = QueryVector::from_stored(&vector).unwrap();
    let found = search(&segments, &query, |_, doc| doc >= 100, 10, NEVER).unwrap();
    let documents: Vec<DocId> = found.iter().map(|neighbour| neighbour.address.doc_id).collect();
    assert_eq!(documents, (100..110).collect::<Vec<_>>());
    assert!((found[0].cosine - 1.0).abs() < 1e-5);
}

#[test]
fn vectors_of_another_model_are_as_absent() {
    let mut random = SmallRng::seed_from_u64(6);
    let mut fixture = Fixture::new(64);
    let values = random_values(&mut random, 64);
    fixture.add(0, Some(&StoredVector::encode(&values, model(1)).unwrap()));
    fixture.add(1, Some(&random_vector(&mut random, 64, model(0))));
    fixture.commit();
    fixture.merge();
    let segments = segments_of(&fixture.open());
    let query = QueryVector::new(&values, model(0)).unwrap();
    let found = search(&segments, &query, |_, _| true, 10, NEVER).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].address, DocAddress::new(0, 1));
    assert_eq!(segments[0].cosine(0, &query), None);
    let of_third = QueryVector::new(&values, model(2)).unwrap();
    assert!(search(&segments, &of_third, |_, _| true, 10, NEVER).unwrap().is_empty());
}

#[test]
fn query_of_another_size_is_an_error() {
    let mut fixture = Fixture::new(64);
    fixture.add(0, None);
    fixture.commit();
    let query = QueryVector::new(&[1.0; 63], model(0)).unwrap();
    let refused = search(&segments_of(&fixture.open()), &query, |_, _| true, 10, NEVER);
    assert_eq!(refused, Err(VectorSearchError::Dimensions { query: 63, stored: 64 }));
}

#[test]
fn search_stops_when_its_deadline_passes() {
    let mut random = SmallRng::seed_from_u64(7);
    let values = random_values(&mut random, 64);
    let segments = segments_of(&large_fixture(&mut random, &values, 20_000, &[]).open());
    let query = QueryVector::new(&values, model(0)).unwrap();
    let looks = std::cell::Cell::new(0);
    let count = || {
        looks.set(looks.get() + 1);
        false
    };
    search(&segments, &query, |_, _| true, 10, &count).unwrap();
    let all_looks = looks.get();
    for last_look in 0..all_looks {
        looks.set(0);
        let expired = || {
            looks.set(looks.get() + 1);
            looks.get() > last_look
        };
        let stopped = search(&segments, &query, |_, _| true, 10, &expired);
        assert_eq!(stopped, Err(VectorSearchError::DeadlineExceeded), "at look {last_look} of {all_looks}");
    }
    let stopped = search_listed(&segments, &query, |_| 0..5, 10, &|| true);
    assert_eq!(stopped, Err(VectorSearchError::DeadlineExceeded));
}
