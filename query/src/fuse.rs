//! Fusion: merges what the two retrievers found into one ranked list, of passages and then of their pages.
//!
//! Pure: takes scores, gives scores. It reads nothing and knows no pages' text. Invariants: the result does not depend
//! on which retriever is named first or how ties arrived; every fused score is from 0 to 1.
//!
//! The default is a weighted sum of scores, each normalised by its *theoretical* minimum and the largest that was
//! found: TM2C2 of Bruch, Gai and Ingber, "An analysis of fusion functions for hybrid retrieval", ACM TOIS 42(1), 2023.
//! BM25 cannot be less than 0, nor a cosine less than -1. Unlike the observed minimum, these do not move with the depth
//! of the lists. A candidate that one retriever missed gets its true score from that retriever's index instead of
//! nothing; only a passage without vector has none, and is given the lowest cosine among the candidates.

use std::collections::BTreeMap;

use schemas::api::search::FusionMethod;

/// Damps the head of the lists in reciprocal rank fusion.
const RRF_K: f32 = 60.0;

/// What is known of one candidate; `A` is the address of a passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored<A> {
    /// The passage.
    pub address: A,
    /// Its BM25 score, from 0; `None` when no word fits.
    pub bm25_score: Option<f32>,
    /// Its cosine with the query, -1 to 1; `None` without a vector.
    pub cosine: Option<f32>,
    /// Its rank among the lexical candidates, counted from 1.
    pub lexical_rank: Option<u32>,
    /// Its rank among the semantic candidates, counted from 1.
    pub semantic_rank: Option<u32>,
}

/// Which retrievers answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legs {
    /// Both.
    Both,
    /// Words alone: the order is that of BM25.
    Lexical,
    /// Meaning alone: the order is that of the cosine.
    Semantic,
}

/// What words and meaning say of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageScores {
    /// BM25 of the page as one text, from 0.
    pub bm25_score: f32,
    /// The highest BM25 of its passages, from 0.
    pub passage_bm25_score: f32,
    /// The highest cosine of its passages with the query; `None` when none of them has a vector.
    pub cosine: Option<f32>,
    /// The cosine of its title with the query; `None` for a title without a vector.
    pub title_cosine: Option<f32>,
}

/// How much each of two views of a page counts, 0 to 1; the other has what is left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageShares {
    /// Of the whole page in words, beside its best passage.
    pub page: f32,
    /// Of the title in meaning, beside the nearest passage.
    pub title: f32,
}

impl PageScores {
    fn bm25_score(&self, page_share: f32) -> f32 {
        page_share * self.bm25_score + (1.0 - page_share) * self.passage_bm25_score
    }

    /// One cosine that is not known is taken to be as the other.
    fn cosine(&self, title_share: f32) -> Option<f32> {
        match (self.cosine, self.title_cosine) {
            (Some(cosine), Some(title)) => Some((1.0 - title_share) * cosine + title_share * title),
            (cosine, title) => cosine.or(title),
        }
    }
}

/// Puts the candidates of both retrievers together: each passage once, by address.
///
/// Each list has an address and a score, best first, no address twice. Scores that a list does not give are left open
/// for [`fuse`]'s caller to fill in.
pub fn join<A: Copy + Ord>(lexical: &[(A, f32)], semantic: &[(A, f32)]) -> Vec<Scored<A>> {
    let mut joined: BTreeMap<A, Scored<A>> = BTreeMap::new();
    let open = |address| Scored { address, bm25_score: None, cosine: None, lexical_rank: None, semantic_rank: None };
    for (&(address, score), rank) in lexical.iter().zip(1..) {
        let scored = joined.entry(address).or_insert_with(|| open(address));
        (scored.bm25_score, scored.lexical_rank) = (Some(score), Some(rank));
    }
    for (&(address, score), rank) in semantic.iter().zip(1..) {
        let scored = joined.entry(address).or_insert_with(|| open(address));
        (scored.cosine, scored.semantic_rank) = (Some(score), Some(rank));
    }
    joined.into_values().collect()
}

/// Scores every candidate, 0 to 1, in the order given.
///
/// `semantic_weight`, 0 to 1, is the share of meaning in the weighted sum. Scores are comparable within one call only.
pub fn fuse<A>(candidates: &[Scored<A>], legs: Legs, method: FusionMethod, semantic_weight: f32) -> Vec<f32> {
    match method {
        FusionMethod::Weighted => weighted(candidates, legs, semantic_weight),
        FusionMethod::Rrf => reciprocal_rank(candidates, legs),
    }
}

/// Scores pages, 0 to 1, in the order given, by the weighted sum that [`fuse`] takes of passages.
pub fn fuse_pages(pages: &[PageScores], legs: Legs, semantic_weight: f32, shares: PageShares) -> Vec<f32> {
    let scored = |page: &PageScores| Scored {
        address: (),
        bm25_score: Some(page.bm25_score(shares.page)),
        cosine: page.cosine(shares.title),
        lexical_rank: None,
        semantic_rank: None,
    };
    weighted(&pages.iter().map(scored).collect::<Vec<_>>(), legs, semantic_weight)
}

/// The share of words in the weighted sum, 0 to 1: without a single vector there is nothing to weigh.
pub fn words_share(legs: Legs, has_cosines: bool, semantic_weight: f32) -> f32 {
    match legs {
        Legs::Both if has_cosines => 1.0 - semantic_weight.clamp(0.0, 1.0),
        Legs::Both | Legs::Lexical => 1.0,
        Legs::Semantic => 0.0,
    }
}

fn weighted<A>(candidates: &[Scored<A>], legs: Legs, semantic_weight: f32) -> Vec<f32> {
    let cosines = || candidates.iter().filter_map(|candidate| candidate.cosine);
    let bm25_max = candidates.iter().filter_map(|candidate| candidate.bm25_score).fold(0.0, f32::max);
    let cosine_max = cosines().fold(-1.0, f32::max);
    let cosine_min = cosines().fold(cosine_max, f32::min);
    let of_words = words_share(legs, cosines().next().is_some(), semantic_weight);
    let lexical = |candidate: &Scored<A>| share(candidate.bm25_score.unwrap_or(0.0), 0.0, bm25_max);
    let semantic = |candidate: &Scored<A>| share(candidate.cosine.unwrap_or(cosine_min), -1.0, cosine_max);
    let sum = |c: &Scored<A>| of_words * lexical(c) + (1.0 - of_words) * semantic(c);
    candidates.iter().map(sum).collect()
}

/// Where a score lies between the least possible and the largest found, 0 to 1.
fn share(score: f32, min: f32, max: f32) -> f32 {
    if max <= min {
        return 0.0;
    }
    ((score - min) / (max - min)).clamp(0.0, 1.0)
}

/// Reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009), scaled so that first in every list is 1.
fn reciprocal_rank<A>(candidates: &[Scored<A>], legs: Legs) -> Vec<f32> {
    let of = |rank: Option<u32>| rank.map_or(0.0, |rank| 1.0 / (RRF_K + rank as f32));
    let score = |candidate: &Scored<A>| {
        let (lexical, semantic) = (of(candidate.lexical_rank), of(candidate.semantic_rank));
        match legs {
            Legs::Both => f32::midpoint(lexical, semantic),
            Legs::Lexical => lexical,
            Legs::Semantic => semantic,
        }
    };
    candidates.iter().map(|candidate| score(candidate) * (RRF_K + 1.0)).collect()
}

#[cfg(test)]
mod tests;
