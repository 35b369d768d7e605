//! Grouping: from passages to pages, each with its best passage and a little credit for its others.
//!
//! Pure. Invariants: each page comes once; the order is by score, then by page, so equal inputs give equal lists.

use std::collections::HashMap;

use access::PageOrdinal;

/// A passage with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked<A> {
    /// The passage.
    pub address: A,
    /// Its page.
    pub page: PageOrdinal,
    /// Its score, 0 or more.
    pub score: f32,
}

/// A page with its best passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageGroup<A> {
    /// The page.
    pub page: PageOrdinal,
    /// Its best passage; of equal ones the one with the smallest address.
    pub best: A,
    /// The score of that passage and the credit for the others.
    pub score: f32,
    /// The credit alone.
    pub passages_boost: f32,
    /// Passages of the page that were given.
    pub passages: u32,
}

/// Groups passages by page, best page first.
///
/// The second best passage adds `passages_weight` of its score, and each further one half as much of its own as the
/// one before: at most twice the weight in all, however long the page is.
pub fn group<A: Copy + Ord>(mut passages: Vec<Ranked<A>>, passages_weight: f32) -> Vec<PageGroup<A>> {
    passages.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.address.cmp(&b.address)));
    let mut groups: Vec<PageGroup<A>> = Vec::new();
    let mut at: HashMap<PageOrdinal, usize> = HashMap::new();
    for Ranked { address, page, score } in passages {
        let Some(&known) = at.get(&page) else {
            at.insert(page, groups.len());
            groups.push(PageGroup { page, best: address, score, passages_boost: 0.0, passages: 1 });
            continue;
        };
        let group = &mut groups[known];
        let credit = passages_weight * score * 0.5f32.powi(group.passages as i32 - 1);
        group.passages += 1;
        group.passages_boost += credit;
        group.score += credit;
    }
    groups.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.page.cmp(&b.page)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranked(address: u32, page: u32, score: f32) -> Ranked<u32> {
        Ranked { address, page: PageOrdinal(page), score }
    }

    #[test]
    fn a_page_is_listed_once_with_its_best_passage() {
        let groups = group(vec![ranked(1, 7, 0.5), ranked(2, 7, 0.9), ranked(3, 8, 0.8)], 0.1);
        let shown: Vec<_> = groups.iter().map(|group| (group.page.0, group.best, group.passages)).collect();
        assert_eq!(shown, [(7, 2, 2), (8, 3, 1)]);
        assert!((groups[0].score - 0.95).abs() < 1e-6, "{groups:?}");
    }

    #[test]
    fn a_thousand_poor_passages_do_not_outweigh_one_good_one() {
        let mut passages: Vec<_> = (0..1000).map(|at| ranked(at, 1, 0.5)).collect();
        passages.push(ranked(5000, 2, 0.6));
        assert_eq!(group(passages, 0.05)[0].page, PageOrdinal(2));
    }

    proptest! {
        #[test]
        fn the_order_of_the_passages_does_not_matter(
            passages in prop::collection::btree_map(0u32..50, (0u32..8, 0u8..5), 0..30)
        ) {
            let passages: Vec<_> =
                passages.into_iter().map(|(address, (page, score))| ranked(address, page, f32::from(score))).collect();
            let mut reversed = passages.clone();
            reversed.reverse();
            prop_assert_eq!(group(passages, 0.05), group(reversed, 0.05));
        }
    }
}
