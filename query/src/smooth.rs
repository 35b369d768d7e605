//! Smoothing: pages that say much the same get scores that are nearer to each other.
//!
//! Pure. A page that answers a query has neighbours that do, too, and one that was found for a chance likeness stands
//! alone: so each of the best pages takes over a share of the scores of those among them that it is most like. That is the
//! regularisation of scores by Diaz ("Regularizing ad hoc retrieval scores", CIKM 2005), after van Rijsbergen's cluster
//! hypothesis, over a few neighbours by the cosine of their vectors. Invariants: it sees only the pages that it is given, so
//! nothing that was not found moves a score; a smoothed score is between the least and the largest that were given.

/// Neighbours that a page takes scores from.
const NEIGHBOURS: usize = 3;

/// Smooths scores: a share `weight`, 0 to 1, of each becomes the mean of those of its nearest neighbours, weighed by how near
/// they are.
///
/// `vectors` has for each page one of unit length, or `None`, which leaves its score as it is. Of equally near neighbours
/// the first go before. Cost: the square of the number of pages, times the length of a vector.
pub fn smooth(scores: &[f32], vectors: &[Option<Vec<f32>>], weight: f32) -> Vec<f32> {
    debug_assert_eq!(scores.len(), vectors.len());
    let cosines = cosines(vectors);
    let len = scores.len();
    let smoothed = |at: usize| {
        let near = nearest(&cosines[at * len..(at + 1) * len], at);
        let weights: f32 = near.iter().map(|(_, cosine)| cosine).sum();
        if weights <= 0.0 {
            return scores[at];
        }
        let mean = near.iter().map(|&(other, cosine)| scores[other] * cosine).sum::<f32>() / weights;
        (1.0 - weight) * scores[at] + weight * mean
    };
    (0..len).map(smoothed).collect()
}

/// The nearest other pages and their cosines, those in no way alike left out.
fn nearest(cosines: &[f32], own: usize) -> Vec<(usize, f32)> {
    let others = cosines.iter().copied().enumerate().filter(|&(at, cosine)| at != own && cosine > 0.0);
    let mut near: Vec<(usize, f32)> = others.collect();
    near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    near.truncate(NEIGHBOURS);
    near
}

/// The cosine of each page with each, by rows; zero where one has no vector.
fn cosines(vectors: &[Option<Vec<f32>>]) -> Vec<f32> {
    let len = vectors.len();
    let mut cosines = vec![0.0; len * len];
    for (at, vector) in vectors.iter().enumerate() {
        for (other, with) in vectors.iter().enumerate().skip(at + 1) {
            let (Some(vector), Some(with)) = (vector, with) else { continue };
            let cosine = dot(vector, with);
            cosines[at * len + other] = cosine;
            cosines[other * len + at] = cosine;
        }
    }
    cosines
}

/// Summed in eight lanes, so that it is one instruction for eight numbers; always in the same order.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    for (one, other) in one.chunks(8).zip(other.chunks(8)) {
        for (lane, (a, b)) in lanes.iter_mut().zip(one.iter().zip(other)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// The direction of the sum of some vectors; `None` for none, or when they have none together.
pub fn direction(vectors: impl IntoIterator<Item = Vec<f32>>) -> Option<Vec<f32>> {
    let mut sum: Vec<f32> = Vec::new();
    for vector in vectors {
        if sum.is_empty() {
            sum = vector;
        } else {
            sum.iter_mut().zip(&vector).for_each(|(sum, value)| *sum += value);
        }
    }
    let length = dot(&sum, &sum).sqrt();
    if length <= f32::EPSILON {
        return None;
    }
    for value in &mut sum {
        *value /= length;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_among_good_ones_rises_above_one_that_stands_alone() {
        let alike = || Some(vec![1.0, 0.0]);
        let alone = Some(vec![0.0, 1.0]);
        let smoothed = smooth(&[0.9, 0.8, 0.61, 0.6], &[alike(), alike(), alone, alike()], 0.3);
        assert!(smoothed[3] > smoothed[2], "{smoothed:?}");
        assert!((smoothed[2] - 0.61).abs() < 1e-6, "nothing is near it: {smoothed:?}");
    }

    #[test]
    fn without_vectors_or_weight_scores_stay_as_they_are() {
        let scores = [0.9, 0.4, 0.2];
        assert_eq!(smooth(&scores, &[None, None, None], 0.3), scores);
        assert_eq!(smooth(&scores, &vec![Some(vec![1.0]); 3], 0.0), scores);
        assert_eq!(smooth(&[], &[], 0.3), Vec::<f32>::new());
    }

    #[test]
    fn the_direction_of_opposites_is_none() {
        assert_eq!(direction([vec![1.0, 0.0], vec![-1.0, 0.0]]), None);
        assert_eq!(direction([]), None);
        assert_eq!(direction([vec![0.0, 3.0]]), Some(vec![0.0, 1.0]));
    }

    proptest! {
        #[test]
        fn no_score_leaves_the_range_of_those_given(
            pages in prop::collection::vec((0.0f32..1.0, prop::option::of(prop::collection::vec(-1.0f32..1.0, 5))), 1..20),
            weight in 0.0f32..=1.0,
        ) {
            let scores: Vec<f32> = pages.iter().map(|(score, _)| *score).collect();
            let vectors: Vec<_> = pages.into_iter().map(|(_, vector)| vector.and_then(|vector| direction([vector]))).collect();
            let (least, most) = (scores.iter().copied().fold(1.0, f32::min), scores.iter().copied().fold(0.0, f32::max));
            for score in smooth(&scores, &vectors, weight) {
                prop_assert!(score >= least - 1e-5 && score <= most + 1e-5, "{score} in {least}..{most}");
            }
        }
    }
}
