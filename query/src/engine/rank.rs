//! Ranking: from what the legs found, or from the filters alone, to pages in the order in which they are shown.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use access::PageOrdinal;
use index::analysis::Tokens;
use index::{Passage, PassageAddress};
use jiff::Timestamp;
use roaring::RoaringBitmap;
use schemas::api::search::{Degraded, ScoreDetails};

use super::View;
use crate::config::RescoreConfig;
use crate::error::QueryError;
use crate::filter::edited_at;
use crate::fuse::{Legs, Scored, fuse, join};
use crate::group::{PageGroup, Ranked, group};
use crate::plan::Plan;
use crate::rescore::{QueryWords, TITLE_LANGUAGE, proximity, recency, title_match};
use crate::retrieve::Retrieved;

/// Most pages that a list without words goes through, by cursors.
const LISTED_MAX: usize = 10_000;

/// The order in which pages are shown, and what is known of each.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    pub(super) pages: Vec<RankedPage>,
    /// Passages that were read on the way.
    pub(super) read: HashMap<PassageAddress, Passage>,
    /// Pages that fit, for counting; those ranked are among them.
    pub(super) matching: RoaringBitmap,
    pub(super) degraded: Vec<Degraded>,
    pub(super) typos_forgiven: bool,
}

#[derive(Debug)]
pub(super) struct RankedPage {
    pub(super) page: PageOrdinal,
    /// The passage to show; none for a page without any.
    pub(super) best: Option<PassageAddress>,
    pub(super) score: f32,
    pub(super) details: Option<ScoreDetails>,
}

/// Puts the candidates of both legs in order and groups them by page.
pub(super) fn rank(
    view: &View,
    plan: &Plan,
    retrieved: Retrieved,
    weights: &RescoreConfig,
    tokens: &mut Tokens,
) -> Result<Ranking, QueryError> {
    let legs = match (&retrieved.lexical, &retrieved.semantic) {
        (Some(_), Some(_)) => Legs::Both,
        (None, Some(_)) => Legs::Semantic,
        _ => Legs::Lexical,
    };
    let found = |candidates: Option<&Vec<index::Candidate>>| -> Vec<(PassageAddress, f32)> {
        candidates.into_iter().flatten().map(|candidate| (candidate.address, candidate.score)).collect()
    };
    let lexical = retrieved.lexical.as_ref().map(|leg| &leg.candidates);
    let semantic = retrieved.semantic.as_ref().map(|leg| &leg.candidates);
    let page_of: HashMap<PassageAddress, PageOrdinal> =
        lexical.into_iter().chain(semantic).flatten().map(|candidate| (candidate.address, candidate.page)).collect();
    let mut scored = join(&found(lexical), &found(semantic));
    fill_in(view, &retrieved, &mut scored)?;
    let fused = fuse(&scored, legs, plan.fusion, plan.semantic_weight);

    let text = plan.query.wanted_text();
    let mut words = QueryWords::new(&text);
    let boosts = page_boosts(view, &page_of, &mut words, weights, tokens);
    let mut candidates: Vec<(Ranked<PassageAddress>, ScoreDetails)> = scored
        .iter()
        .zip(fused)
        .map(|(scored, fused_score)| {
            let page = page_of[&scored.address];
            let (title_boost, recency_boost) = boosts[&page];
            let details = ScoreDetails {
                bm25_score: scored.bm25_score,
                cosine: scored.cosine,
                lexical_rank: scored.lexical_rank,
                semantic_rank: scored.semantic_rank,
                fused_score,
                title_boost,
                recency_boost,
                ..ScoreDetails::default()
            };
            (Ranked { address: scored.address, page, score: fused_score + title_boost + recency_boost }, details)
        })
        .collect();
    candidates.sort_by(|(a, _), (b, _)| b.score.total_cmp(&a.score).then_with(|| a.address.cmp(&b.address)));
    let mut read = HashMap::new();
    if weights.proximity_weight > 0.0 {
        for (ranked, details) in candidates.iter_mut().take(weights.proximity_depth) {
            let Some(passage) = read_passage(view, ranked.address, &mut read)? else { continue };
            let words = words.of(passage.language);
            let near = proximity(words, &passage.text, passage.language, tokens);
            details.proximity_boost = weights.proximity_weight * near;
            ranked.score += details.proximity_boost;
        }
    }
    let details: HashMap<PassageAddress, ScoreDetails> =
        candidates.iter().map(|(ranked, details)| (ranked.address, *details)).collect();
    let groups = group(candidates.into_iter().map(|(ranked, _)| ranked).collect(), weights.passages_weight);
    let mut matching: RoaringBitmap = page_of.values().map(|page| page.0).collect();
    if let Some(leg) = retrieved.lexical.as_ref().filter(|_| !plan.facets.is_empty()) {
        let failed = QueryError::index("find all pages that fit");
        matching |= view.searcher.matching_pages(&view.mask, &leg.query).map_err(failed)?;
    }
    Ok(Ranking {
        pages: groups.into_iter().map(|group| ranked_page(group, &details)).collect(),
        read,
        matching,
        degraded: retrieved.degraded,
        typos_forgiven: retrieved.lexical.is_some_and(|leg| leg.query.fuzzy),
    })
}

fn ranked_page(group: PageGroup<PassageAddress>, details: &HashMap<PassageAddress, ScoreDetails>) -> RankedPage {
    let of_best = details.get(&group.best).copied().unwrap_or_default();
    let details = ScoreDetails { passages_boost: group.passages_boost, passages: group.passages, ..of_best };
    RankedPage { page: group.page, best: Some(group.best), score: group.score, details: Some(details) }
}

/// Asks each leg for the scores of what only the other one found.
pub(super) fn fill_in(
    view: &View,
    retrieved: &Retrieved,
    scored: &mut [Scored<PassageAddress>],
) -> Result<(), QueryError> {
    if let Some(leg) = &retrieved.lexical {
        let open: Vec<usize> = (0..scored.len()).filter(|&at| scored[at].bm25_score.is_none()).collect();
        let addresses: Vec<PassageAddress> = open.iter().map(|&at| scored[at].address).collect();
        let failed = QueryError::index("score by words");
        let scores = view.searcher.bm25_of(&view.mask, &leg.query, &addresses).map_err(failed)?;
        open.into_iter().zip(scores).for_each(|(at, score)| scored[at].bm25_score = score);
    }
    if let Some(leg) = &retrieved.semantic {
        let open: Vec<usize> = (0..scored.len()).filter(|&at| scored[at].cosine.is_none()).collect();
        let addresses: Vec<PassageAddress> = open.iter().map(|&at| scored[at].address).collect();
        let failed = QueryError::index("score by meaning");
        let scores = view.searcher.cosine_of(&view.mask, &leg.vector, &addresses).map_err(failed)?;
        open.into_iter().zip(scores).for_each(|(at, score)| scored[at].cosine = score);
    }
    Ok(())
}

/// What title and age add, by page.
fn page_boosts(
    view: &View,
    page_of: &HashMap<PassageAddress, PageOrdinal>,
    words: &mut QueryWords<'_>,
    weights: &RescoreConfig,
    tokens: &mut Tokens,
) -> HashMap<PageOrdinal, (f32, f32)> {
    let mut heads: HashMap<PageOrdinal, (String, Option<Timestamp>)> = HashMap::new();
    {
        let state = view.workspace.read();
        for &page in page_of.values() {
            let head = || state.head(page).map(|head| (head.title.clone(), edited_at(head))).unwrap_or_default();
            heads.entry(page).or_insert_with(head);
        }
    }
    let now = Timestamp::now();
    let boosts = heads.into_iter().map(|(page, (title, edited_at))| {
        let of_title = title_match(words.of(TITLE_LANGUAGE), &title, tokens);
        let boosts = (weights.title_weight * of_title, weights.recency_weight * recency(edited_at, now, weights));
        (page, boosts)
    });
    boosts.collect()
}

/// The pages in the order of their last change, as far as the end of this page of the list and one more; equal ones by
/// their number. What they show is looked up only for those that are listed now.
pub(super) fn list(view: &View, offset: usize, limit: usize) -> Result<Ranking, QueryError> {
    let matching = view.mask.allowed().clone();
    let mut pages: Vec<(Option<Timestamp>, PageOrdinal)> = {
        let state = view.workspace.read();
        let dated = matching.iter().filter_map(|page| {
            let head = state.head(PageOrdinal(page)).filter(|head| !head.deleted)?;
            Some((edited_at(head), head.ordinal))
        });
        dated.collect()
    };
    let order = |a: &(Option<Timestamp>, PageOrdinal), b: &(Option<Timestamp>, PageOrdinal)| {
        b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1))
    };
    let wanted = (offset + limit + 1).min(LISTED_MAX);
    if pages.len() > wanted {
        pages.select_nth_unstable_by(wanted, order);
        pages.truncate(wanted);
    }
    pages.sort_unstable_by(order);
    let mut ranked = Vec::with_capacity(pages.len());
    for (at, (_, page)) in pages.into_iter().enumerate() {
        let failed = QueryError::index("list the passages of a page");
        let best = if (offset..offset + limit).contains(&at) {
            // They are written in order, so the lowest address is the beginning of the page.
            view.searcher.page_passages(&view.mask, page).map_err(failed)?.into_iter().min()
        } else {
            None
        };
        ranked.push(RankedPage { page, best, score: 0.0, details: None });
    }
    Ok(Ranking { pages: ranked, matching, ..Ranking::default() })
}

/// A passage, read at most once.
pub(super) fn read_passage<'a>(
    view: &View,
    address: PassageAddress,
    read: &'a mut HashMap<PassageAddress, Passage>,
) -> Result<Option<&'a Passage>, QueryError> {
    let unread = match read.entry(address) {
        Entry::Occupied(known) => return Ok(Some(known.into_mut())),
        Entry::Vacant(unread) => unread,
    };
    let passage = view.searcher.passage(&view.mask, address).map_err(QueryError::index("read a passage"))?;
    Ok(passage.map(|(_, passage)| &*unread.insert(passage)))
}
