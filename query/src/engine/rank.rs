//! Ranking: from what the legs found to pages in the order in which they are shown.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use access::PageOrdinal;
use index::analysis::{QueryWord, Tokens};
use index::{Bm25Shape, Passage, PassageAddress};
use jiff::Timestamp;
use roaring::RoaringBitmap;
use schemas::api::search::{Degraded, FusionMethod, ScoreDetails};

use super::View;
use crate::config::RescoreConfig;
use crate::error::QueryError;
use crate::filter::edited_at;
use crate::fuse::{Legs, PageScores, PageShares, Scored, fuse, fuse_pages, join, words_share};
use crate::group::{PageGroup, Ranked, group};
use crate::plan::Plan;
use crate::rescore::{QueryWords, TITLE_LANGUAGE, TitleWords, proximity, recency};
use crate::retrieve::{Retrieved, Semantic};
use crate::smooth::{direction, smooth};

/// BM25 of whole pages has the constants of that of passages.
const PAGE_BM25: Bm25Shape = Bm25Shape { k1: 1.2, b: 0.75 };
/// Most passages whose vectors say what a page is about.
const VECTORS_MAX: usize = 16;

/// The order in which pages are shown, and what is known of each.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    pub(super) pages: Vec<RankedPage>,
    /// Passages that were read on the way.
    pub(super) read: HashMap<PassageAddress, Passage>,
    /// All passages that were found, whatever their page, in no order.
    pub(super) passages: Vec<Ranked<PassageAddress>>,
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
///
/// Passages are fused to choose the one that stands for its page; pages are fused by what they say as a whole.
pub(super) fn rank(
    view: &View,
    plan: &Plan,
    retrieved: Retrieved,
    weights: &RescoreConfig,
    tokens: &mut Tokens,
) -> Result<Ranking, QueryError> {
    let legs = retrieved.legs();
    let found = |candidates: Option<&Vec<index::Candidate>>| -> Vec<(PassageAddress, f32)> {
        candidates.into_iter().flatten().map(|candidate| (candidate.address, candidate.score)).collect()
    };
    let lexical = retrieved.lexical.as_ref().map(|leg| &leg.candidates);
    let semantic = retrieved.semantic.as_ref().map(|leg| &leg.candidates);
    let mut page_of: HashMap<PassageAddress, PageOrdinal> =
        lexical.into_iter().chain(semantic).flatten().map(|candidate| (candidate.address, candidate.page)).collect();
    let mut scored = join(&found(lexical), &found(semantic));
    add_passages(view, retrieved.semantic.as_ref(), &mut page_of, &mut scored)?;
    fill_in(view, &retrieved, &mut scored)?;
    let fused = fuse(&scored, legs, plan.fusion, plan.semantic_weight);
    let passages = scored.iter().zip(fused).map(|(scored, score)| Ranked {
        address: scored.address,
        page: page_of[&scored.address],
        score,
    });
    let passages: Vec<_> = passages.collect();
    let is_found = |scored: &Scored<PassageAddress>| scored.lexical_rank.or(scored.semantic_rank).is_some();
    let found =
        passages.iter().zip(&scored).filter(|(_, scored)| is_found(scored)).map(|(passage, _)| *passage).collect();
    let groups = group(passages, weights.passages_weight);
    let mut pages = fused_pages(view, plan, weights, &retrieved, &page_of, &scored, &groups)?;

    let text = plan.query.wanted_text();
    let mut words = QueryWords::new(&text);
    let has_cosines = scored.iter().any(|scored| scored.cosine.is_some());
    let title_weight = weights.title_weight * words_share(legs, has_cosines, plan.semantic_weight);
    let weights = &RescoreConfig { title_weight, ..*weights };
    let boosts = page_boosts(view, &page_of, words.of(TITLE_LANGUAGE), weights, tokens)?;
    for page in &mut pages {
        page.add(|details| &mut details.title_boost, boosts[&page.page].0);
    }
    sort(&mut pages);
    let mut read = HashMap::new();
    if weights.proximity_weight > 0.0 {
        for page in pages.iter_mut().take(weights.proximity_depth) {
            let Some(passage) = read_passage(view, page.best, &mut read)? else { continue };
            let near = proximity(words.of(passage.language), &passage.text, passage.language, tokens);
            page.add(|details| &mut details.proximity_boost, weights.proximity_weight * near);
        }
        sort(&mut pages);
    }
    if weights.neighbours_weight > 0.0 && legs != Legs::Lexical {
        smooth_best(view, weights, &mut pages)?;
    }
    for page in &mut pages {
        page.add(|details| &mut details.recency_boost, boosts[&page.page].1);
    }
    sort(&mut pages);
    let mut matching: RoaringBitmap = page_of.values().map(|page| page.0).collect();
    if let Some(leg) = retrieved.lexical.as_ref().filter(|_| !plan.facets.is_empty()) {
        let failed = QueryError::index("find all pages that fit");
        matching |= view.searcher.matching_pages(&view.mask, &leg.query).map_err(failed)?;
    }
    Ok(Ranking {
        pages: pages.into_iter().map(CandidatePage::into_ranked).collect(),
        read,
        passages: found,
        matching,
        degraded: retrieved.degraded,
        typos_forgiven: retrieved.lexical.is_some_and(|leg| leg.query.fuzzy),
    })
}

/// A page on its way through the ranking.
struct CandidatePage {
    page: PageOrdinal,
    best: PassageAddress,
    score: f32,
    details: ScoreDetails,
}

impl CandidatePage {
    /// Adds to the score, and to the part of it that is named.
    fn add(&mut self, part: impl Fn(&mut ScoreDetails) -> &mut f32, boost: f32) {
        *part(&mut self.details) += boost;
        self.score += boost;
    }

    fn into_ranked(self) -> RankedPage {
        RankedPage { page: self.page, best: Some(self.best), score: self.score, details: Some(self.details) }
    }
}

/// Best first; equal ones by their number.
fn sort(pages: &mut [CandidatePage]) {
    pages.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.page.cmp(&b.page)));
}

/// Fuses what words and meaning say of each page: BM25 of all its passages together and of the best one, and the cosine of the
/// nearest. By ranks instead, a page is as good as its best passage.
fn fused_pages(
    view: &View,
    plan: &Plan,
    weights: &RescoreConfig,
    retrieved: &Retrieved,
    page_of: &HashMap<PassageAddress, PageOrdinal>,
    scored: &[Scored<PassageAddress>],
    groups: &[PageGroup<PassageAddress>],
) -> Result<Vec<CandidatePage>, QueryError> {
    let ordinals: Vec<PageOrdinal> = groups.iter().map(|group| group.page).collect();
    let bm25: Option<Vec<f32>> = match &retrieved.lexical {
        Some(leg) => {
            let failed = QueryError::index("score pages by words");
            Some(view.searcher.bm25_of_pages(&view.mask, &leg.query, &ordinals, PAGE_BM25).map_err(failed)?)
        }
        None => None,
    };
    let of_passage: HashMap<PassageAddress, &Scored<PassageAddress>> =
        scored.iter().map(|scored| (scored.address, scored)).collect();
    let mut best_of: HashMap<PageOrdinal, BestScores> = HashMap::new();
    for scored in scored {
        best_of.entry(page_of[&scored.address]).or_default().add(scored);
    }
    let titles = title_cosines(view, retrieved.semantic.as_ref(), &ordinals)?;
    let scores = |(at, page): (usize, &PageOrdinal)| PageScores {
        bm25_score: bm25.as_ref().map_or(0.0, |bm25| bm25[at]),
        passage_bm25_score: best_of[page].bm25_score,
        cosine: best_of[page].cosine,
        title_cosine: titles[at],
    };
    let fused = match plan.fusion {
        FusionMethod::Weighted => {
            let pages: Vec<PageScores> = ordinals.iter().enumerate().map(scores).collect();
            let shares = PageShares { page: weights.page_share, title: weights.title_share };
            fuse_pages(&pages, retrieved.legs(), plan.semantic_weight, shares)
        }
        FusionMethod::Rrf => groups.iter().map(|group| group.score - group.passages_boost).collect(),
    };
    let page = |((at, group), fused_score): ((usize, &PageGroup<PassageAddress>), f32)| {
        let best = of_passage[&group.best];
        let details = ScoreDetails {
            bm25_score: best.bm25_score,
            cosine: best.cosine,
            lexical_rank: best.lexical_rank,
            semantic_rank: best.semantic_rank,
            page_bm25_score: bm25.as_ref().map(|bm25| bm25[at]),
            title_cosine: titles[at],
            fused_score,
            passages_boost: group.passages_boost,
            passages: group.passages,
            ..ScoreDetails::default()
        };
        CandidatePage { page: group.page, best: group.best, score: fused_score + group.passages_boost, details }
    };
    Ok(groups.iter().enumerate().zip(fused).map(page).collect())
}

/// The highest scores of the passages of a page, not always of the same one.
#[derive(Clone, Copy, Debug, Default)]
struct BestScores {
    bm25_score: f32,
    cosine: Option<f32>,
}

impl BestScores {
    fn add(&mut self, passage: &Scored<PassageAddress>) {
        self.bm25_score = self.bm25_score.max(passage.bm25_score.unwrap_or(0.0));
        self.cosine = match (self.cosine, passage.cosine) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }
}

/// Puts the passages of pages that were found by their titles alone among the candidates, of a long page of as many as
/// [`VECTORS_MAX`], and takes the titles away: what is shown of a page is a passage.
fn add_passages(
    view: &View,
    semantic: Option<&Semantic>,
    page_of: &mut HashMap<PassageAddress, PageOrdinal>,
    scored: &mut Vec<Scored<PassageAddress>>,
) -> Result<(), QueryError> {
    let titles = semantic.into_iter().flat_map(|leg| &leg.candidates);
    let titles: Vec<index::Candidate> =
        titles.filter(|candidate| view.searcher.is_title(candidate.address)).copied().collect();
    if titles.is_empty() {
        return Ok(());
    }
    scored.retain(|scored| !view.searcher.is_title(scored.address));
    for title in &titles {
        page_of.remove(&title.address);
    }
    let known: HashSet<PageOrdinal> = page_of.values().copied().collect();
    for title in titles.iter().filter(|title| !known.contains(&title.page)) {
        for address in some_passages(view, title.page, VECTORS_MAX)? {
            page_of.insert(address, title.page);
            scored.push(Scored { address, bm25_score: None, cosine: None, lexical_rank: None, semantic_rank: None });
        }
    }
    Ok(())
}

/// The cosine of each page's title with the query.
fn title_cosines(
    view: &View,
    semantic: Option<&Semantic>,
    pages: &[PageOrdinal],
) -> Result<Vec<Option<f32>>, QueryError> {
    let mut cosines = vec![None; pages.len()];
    let Some(leg) = semantic else { return Ok(cosines) };
    let titles: Vec<(usize, PassageAddress)> = pages
        .iter()
        .enumerate()
        .filter_map(|(at, page)| Some((at, view.searcher.page_title(&view.mask, *page)?)))
        .collect();
    let addresses: Vec<PassageAddress> = titles.iter().map(|(_, address)| *address).collect();
    let failed = QueryError::index("score titles by meaning");
    let found = view.searcher.cosine_of(&view.mask, &leg.vector, &addresses).map_err(failed)?;
    titles.iter().zip(found).for_each(|((at, _), cosine)| cosines[*at] = cosine);
    Ok(cosines)
}

/// The passages of a page, of a long one at most `max` that are evenly spread.
pub(super) fn some_passages(
    view: &View,
    page: PageOrdinal,
    max: usize,
) -> Result<impl Iterator<Item = PassageAddress>, QueryError> {
    let failed = QueryError::index("list the passages of a page");
    let mut passages = view.searcher.page_passages(&view.mask, page).map_err(failed)?;
    passages.sort_unstable();
    let step = passages.len().div_ceil(max).max(1);
    Ok(passages.into_iter().step_by(step))
}

/// Smooths the scores of the best pages, which are in order. What comes after them stays behind them.
fn smooth_best(view: &View, weights: &RescoreConfig, pages: &mut [CandidatePage]) -> Result<(), QueryError> {
    let (best, rest) = pages.split_at_mut(weights.neighbours_depth.min(pages.len()));
    let vectors = best.iter().map(|page| page_vector(view, page.page)).collect::<Result<Vec<_>, _>>()?;
    let scores: Vec<f32> = best.iter().map(|page| page.score).collect();
    let smoothed = smooth(&scores, &vectors, weights.neighbours_weight);
    let least = smoothed.iter().copied().fold(f32::INFINITY, f32::min);
    for (page, smoothed) in best.iter_mut().zip(smoothed) {
        page.add(|details| &mut details.neighbours_boost, smoothed - page.score);
    }
    for page in rest.iter_mut().filter(|page| page.score > least) {
        page.add(|details| &mut details.neighbours_boost, least - page.score);
    }
    Ok(())
}

/// What a page is about: the direction of the vectors of its passages together.
fn page_vector(view: &View, page: PageOrdinal) -> Result<Option<Vec<f32>>, QueryError> {
    let mut vectors = Vec::with_capacity(VECTORS_MAX);
    for address in some_passages(view, page, VECTORS_MAX)? {
        let failed = QueryError::index("read a vector");
        vectors.extend(view.searcher.vector_of(&view.mask, address).map_err(failed)?.map(|vector| vector.decode()));
    }
    Ok(direction(vectors))
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

/// What title and age add, by page. Titles that count nothing are not looked into.
fn page_boosts(
    view: &View,
    page_of: &HashMap<PassageAddress, PageOrdinal>,
    words: &[QueryWord],
    weights: &RescoreConfig,
    tokens: &mut Tokens,
) -> Result<HashMap<PageOrdinal, (f32, f32)>, QueryError> {
    let mut heads: HashMap<PageOrdinal, (String, Option<Timestamp>)> = HashMap::new();
    {
        let state = view.workspace.read();
        for &page in page_of.values() {
            let head = || state.head(page).map(|head| (head.title.clone(), edited_at(head))).unwrap_or_default();
            heads.entry(page).or_insert_with(head);
        }
    }
    let rarities =
        view.searcher.rarities(&view.mask, words).map_err(QueryError::index("count the words of the query"))?;
    let words = TitleWords::new(words, &rarities);
    let now = Timestamp::now();
    let boosts = heads.into_iter().map(|(page, (title, edited_at))| {
        let of_title = if weights.title_weight > 0.0 { words.match_of(&title, tokens) } else { 0.0 };
        (page, (weights.title_weight * of_title, weights.recency_weight * recency(edited_at, now, weights)))
    });
    Ok(boosts.collect())
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
