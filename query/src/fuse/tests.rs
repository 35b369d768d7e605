//! Fusion by example, and that it does not depend on order.

use proptest::prelude::*;

use super::*;

const SHARES: PageShares = PageShares { page: 0.5, title: 0.3 };

fn scored(address: u32, bm25_score: Option<f32>, cosine: Option<f32>) -> Scored<u32> {
    Scored { address, bm25_score, cosine, lexical_rank: None, semantic_rank: None }
}

#[test]
fn a_passage_found_by_both_is_listed_once_with_both_ranks() {
    let joined = join(&[(7, 3.0), (5, 2.0)], &[(5, 0.9), (1, 0.8)]);
    let ranks: Vec<_> = joined.iter().map(|c| (c.address, c.lexical_rank, c.semantic_rank)).collect();
    assert_eq!(ranks, [(1, None, Some(2)), (5, Some(2), Some(1)), (7, Some(1), None)]);
}

#[test]
fn the_weight_moves_the_best_from_words_to_meaning() {
    let candidates = [scored(0, Some(10.0), Some(-0.5)), scored(1, Some(1.0), Some(0.9))];
    let best = |weight| {
        let scores = fuse(&candidates, Legs::Both, FusionMethod::Weighted, weight);
        usize::from(scores[1] > scores[0])
    };
    assert_eq!((best(0.0), best(1.0)), (0, 1));
}

#[test]
fn scores_are_normalised_by_the_least_possible_not_the_least_seen() {
    let scores =
        fuse(&[scored(0, Some(4.0), None), scored(1, Some(3.0), None)], Legs::Lexical, FusionMethod::Weighted, 0.5);
    assert_eq!(scores, [1.0, 0.75]);
    let scores =
        fuse(&[scored(0, None, Some(0.6)), scored(1, None, Some(0.2))], Legs::Semantic, FusionMethod::Weighted, 0.5);
    assert_eq!(scores, [1.0, 0.75]);
}

#[test]
fn a_passage_without_vector_is_not_thrown_behind_all_others() {
    let candidates = [scored(0, Some(10.0), None), scored(1, Some(5.0), Some(0.2)), scored(2, None, Some(0.3))];
    let scores = fuse(&candidates, Legs::Both, FusionMethod::Weighted, 0.5);
    assert!(scores[0] > scores[1] && scores[0] > scores[2], "{scores:?}");
}

#[test]
fn without_any_vector_words_decide_alone() {
    let scores = fuse(&[scored(0, Some(2.0), None)], Legs::Both, FusionMethod::Weighted, 0.5);
    assert_eq!(scores, [1.0]);
}

#[test]
fn first_in_both_lists_has_the_full_score_by_ranks() {
    let joined = join(&[(1, 9.0), (2, 8.0)], &[(1, 0.9)]);
    let scores = fuse(&joined, Legs::Both, FusionMethod::Rrf, 0.5);
    assert!((scores[0] - 1.0).abs() < 1e-6 && scores[1] < 0.5, "{scores:?}");
}

#[test]
fn a_page_is_as_good_in_words_as_the_whole_and_its_best_passage() {
    let page = |bm25_score, passage_bm25_score| PageScores {
        bm25_score,
        passage_bm25_score,
        cosine: None,
        title_cosine: None,
    };
    let pages = [page(8.0, 2.0), page(4.0, 4.0), page(2.0, 6.0)];
    let scores = |page| fuse_pages(&pages, Legs::Lexical, 0.7, PageShares { page, ..SHARES });
    for (share, expected) in [(1.0, [1.0, 0.5, 0.25]), (0.5, [1.0, 0.8, 0.8]), (0.0, [1.0 / 3.0, 2.0 / 3.0, 1.0])] {
        let near =
            scores(share).iter().zip(expected).all(|(score, expected): (&f32, f32)| (score - expected).abs() < 1e-6);
        assert!(near, "{share}: {:?}", scores(share));
    }
}

#[test]
fn words_have_what_meaning_leaves_to_them() {
    let shares = |legs| [true, false].map(|has_cosines| words_share(legs, has_cosines, 0.75));
    let expected = [(Legs::Both, [0.25, 1.0]), (Legs::Lexical, [1.0, 1.0]), (Legs::Semantic, [0.0, 0.0])];
    for (legs, [with, without]) in expected {
        let found = shares(legs);
        assert!((found[0] - with).abs() < 1e-6 && (found[1] - without).abs() < 1e-6, "{legs:?}: {found:?}");
    }
}

#[test]
fn pages_are_weighed_as_passages_are() {
    let page = |bm25_score, cosine| PageScores {
        bm25_score,
        passage_bm25_score: bm25_score,
        cosine: Some(cosine),
        title_cosine: None,
    };
    let pages = [page(4.0, 0.2), page(0.0, 0.6)];
    let passages = [scored(0, Some(4.0), Some(0.2)), scored(1, None, Some(0.6))];
    for legs in [Legs::Both, Legs::Lexical, Legs::Semantic] {
        assert_eq!(fuse_pages(&pages, legs, 0.7, SHARES), fuse(&passages, legs, FusionMethod::Weighted, 0.7));
    }
}

#[test]
fn a_title_speaks_for_its_page_by_its_share() {
    let page = |cosine, title_cosine| PageScores {
        bm25_score: 0.0,
        passage_bm25_score: 0.0,
        cosine: Some(cosine),
        title_cosine,
    };
    let pages = [page(0.5, Some(0.9)), page(0.6, Some(0.1)), page(0.5, None)];
    let best = |title| {
        let scores = fuse_pages(&pages, Legs::Semantic, 1.0, PageShares { title, ..SHARES });
        (0..pages.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap()
    };
    assert_eq!((best(0.0), best(0.3)), (1, 0));
}

fn list() -> impl Strategy<Value = Vec<(u32, f32)>> {
    prop::collection::btree_map(0u32..40, 0u8..20, 0..20).prop_map(|scores| {
        let mut list: Vec<_> = scores.into_iter().map(|(address, score)| (address, f32::from(score) / 20.0)).collect();
        list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        list
    })
}

proptest! {
    #[test]
    fn fusion_does_not_depend_on_which_retriever_comes_first(one in list(), other in list(), weight in 0.0f32..=1.0) {
        let swap = |candidates: Vec<Scored<u32>>| -> Vec<Scored<u32>> {
            let swapped = candidates.into_iter().map(|c| Scored {
                lexical_rank: c.semantic_rank,
                semantic_rank: c.lexical_rank,
                bm25_score: c.cosine,
                cosine: c.bm25_score,
                ..c
            });
            swapped.collect()
        };
        let (forth, back) = (join(&one, &other), join(&other, &one));
        prop_assert_eq!(&forth, &swap(back.clone()));
        prop_assert_eq!(
            fuse(&forth, Legs::Both, FusionMethod::Rrf, weight),
            fuse(&back, Legs::Both, FusionMethod::Rrf, weight)
        );
    }

    #[test]
    fn scores_do_not_depend_on_the_order_of_the_candidates(one in list(), other in list(), weight in 0.0f32..=1.0) {
        let candidates = join(&one, &other);
        let mut reversed = candidates.clone();
        reversed.reverse();
        for method in [FusionMethod::Weighted, FusionMethod::Rrf] {
            let mut scores = fuse(&reversed, Legs::Both, method, weight);
            scores.reverse();
            prop_assert_eq!(&scores, &fuse(&candidates, Legs::Both, method, weight));
            prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{:?}", scores);
        }
    }
}
