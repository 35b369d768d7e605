//! A search from request to response.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use access::PageOrdinal;
use index::analysis::Tokens;
use index::{Passage, PassageAddress};
use jiff::Timestamp;
use roaring::RoaringBitmap;
use schemas::api::Consistency;
use schemas::api::search::{Degraded, Hit, ScoreDetails, SearchRequest, SearchResponse};

use super::{Engine, View};
use crate::config::RescoreConfig;
use crate::cursor::Cursor;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::facets;
use crate::filter::edited_at;
use crate::fuse::{Legs, Scored, fuse, join};
use crate::gate::{Gate, Held, Permit};
use crate::group::{PageGroup, Ranked, group};
use crate::plan::Plan;
use crate::present::{self, Shown};
use crate::rescore::{QueryWords, TITLE_LANGUAGE, proximity, recency, title_match};
use crate::retrieve::{self, Retrieved, Wanted, retrieve};

/// Most pages that a list without words goes through, by cursors.
const LISTED_MAX: usize = 10_000;

/// The order in which pages are shown, and what is known of each.
#[derive(Debug, Default)]
struct Ranking {
    pages: Vec<RankedPage>,
    /// Passages that were read on the way.
    read: HashMap<PassageAddress, Passage>,
    /// Pages that fit, for counting; those ranked are among them.
    matching: RoaringBitmap,
    degraded: Vec<Degraded>,
    typos_forgiven: bool,
}

#[derive(Debug)]
struct RankedPage {
    page: PageOrdinal,
    /// The passage to show; none for a page without any.
    best: Option<PassageAddress>,
    score: f32,
    details: Option<ScoreDetails>,
}

impl Engine {
    /// Searches.
    ///
    /// Answers by the deadline with what came in time, and says what was left out. A caller who may see nothing gets
    /// the same empty list as one whose query fits nothing.
    ///
    /// Cancel safety: safe.
    pub async fn search(
        &self,
        caller: &access::Caller,
        request: SearchRequest,
        deadline: Deadline,
    ) -> Result<SearchResponse, QueryError> {
        let started = Instant::now();
        let plan = Plan::of(caller, &request, self.config())?;
        self.wait_for(&caller.workspace, plan.at_least, deadline).await?;
        let Some(view) = self.view(caller, plan.purpose) else {
            return Ok(nothing(self.consistency(&caller.workspace), started));
        };
        let view = self.narrowed(view, &plan, deadline).await?;
        let ranking = if plan.query.has_words() {
            let retrieved = self.retrieved(&view, &plan, deadline).await?;
            self.ranked(&view, &plan, retrieved, deadline).await?
        } else {
            self.listed(&view, &plan, deadline).await?
        };
        self.presented(view, plan, ranking, started, deadline).await
    }

    /// Narrows what is searched to what filters and conditions leave over.
    async fn narrowed(&self, mut view: View, plan: &Plan, deadline: Deadline) -> Result<View, QueryError> {
        let conditions = plan.query.page_conditions();
        if plan.filters.is_empty() && conditions.is_empty() {
            return Ok(view);
        }
        let filters = plan.filters.clone();
        let work = move || {
            let mask = filters.narrow(view.mask, &view.workspace.read(), &view.caller);
            view.mask = retrieve::narrow(&view.searcher, mask, &conditions)?;
            Ok(view)
        };
        self.0.pools.words.run(deadline, work).await
    }

    async fn retrieved(&self, view: &View, plan: &Plan, deadline: Deadline) -> Result<Retrieved, QueryError> {
        if view.mask.is_empty() {
            return Ok(Retrieved::default());
        }
        let wanted = Wanted {
            query: plan.query.clone(),
            mode: plan.mode,
            prefix: plan.prefix,
            depth: self.config().depth,
            fuzzy_below: self.config().fuzzy_below,
        };
        let deadline = deadline.keeping(self.config().present_share);
        let Self(parts) = self;
        retrieve(&parts.pools, parts.embedder.as_ref(), &view.searcher, &view.mask, &wanted, deadline).await
    }

    /// Fuses, rescores and groups what was retrieved.
    async fn ranked(
        &self,
        view: &View,
        plan: &Plan,
        retrieved: Retrieved,
        deadline: Deadline,
    ) -> Result<Ranking, QueryError> {
        let (view, plan, weights) = (view.clone(), plan.clone(), self.config().rescore);
        self.0.pools.words.run(deadline, move || rank(&view, &plan, retrieved, &weights)).await
    }

    /// Lists the pages that the filters leave over, those changed last first.
    async fn listed(&self, view: &View, plan: &Plan, deadline: Deadline) -> Result<Ranking, QueryError> {
        let (view, offset, limit) = (view.clone(), plan.offset, plan.limit);
        self.0.pools.words.run(deadline, move || list(&view, offset, limit)).await
    }

    /// Reads what the hits of this page show, and lets it out.
    async fn presented(
        &self,
        view: View,
        plan: Plan,
        ranking: Ranking,
        started: Instant,
        deadline: Deadline,
    ) -> Result<SearchResponse, QueryError> {
        let engine = self.clone();
        let work = move || engine.present(&view, &plan, ranking, started);
        self.0.pools.words.run(deadline, work).await
    }

    fn present(
        &self,
        view: &View,
        plan: &Plan,
        mut ranking: Ranking,
        started: Instant,
    ) -> Result<SearchResponse, QueryError> {
        let pages: Vec<RankedPage> = ranking.pages.drain(..).skip(plan.offset).collect();
        let has_more = pages.len() > plan.limit;
        let text = plan.query.wanted_text();
        let mut words = QueryWords::new(&text);
        let snippet_chars = self.config().snippet_chars;
        let mut shown = Vec::with_capacity(plan.limit.min(pages.len()));
        for ranked in pages.iter().take(plan.limit) {
            let passage = match ranked.best {
                Some(address) => read_passage(view, address, &mut ranking.read)?,
                None => None,
            };
            let with_text = passage.filter(|passage| !passage.text.trim().is_empty());
            let shown_of_it = with_text.map(|passage| present::show(passage, &mut words, snippet_chars));
            shown.push((ranked, Held::new(ranked.page, shown_of_it)));
        }
        let Self(parts) = self;
        let gate = Gate::open(&view.workspace, &view.caller, view.purpose, &parts.url, &parts.dropped);
        let mut results = Vec::with_capacity(shown.len());
        for (ranked, held) in shown {
            let Some(permit) = gate.permit(held.page()) else { continue };
            let shown = held.let_out(permit).flatten().unwrap_or_else(|| Shown {
                snippet: present::show_title(&permit.head().title, &mut words, snippet_chars),
                ..Shown::default()
            });
            results.push(hit(permit, ranked, shown, plan.score_details));
        }
        let consistency = Consistency { index_seq: view.searcher.index_seq(), access_seq: gate.access_seq() };
        let offset = (plan.offset + plan.limit) as u32;
        if plan.listed_under.is_some_and(|before| before != consistency) {
            tracing::debug!("the list changed while it was gone through");
        }
        Ok(SearchResponse {
            object: schemas::api::ListObject::List,
            results,
            next_cursor: has_more.then(|| Cursor { offset, consistency }.encode(&plan.hash)),
            has_more,
            degraded: ranking.degraded,
            semantic_pending: parts.embedder.is_some() && gate.semantic_pending(),
            consistency,
            facets: facets::count(&gate, &ranking.matching, &plan.facets, self.config().facet_values_max),
            typos_forgiven: ranking.typos_forgiven,
            took_ms: started.elapsed().as_millis() as u64,
            request_id: String::new(),
        })
    }
}

fn hit(permit: Permit<'_>, ranked: &RankedPage, shown: Shown, score_details: bool) -> Hit {
    Hit {
        page: permit.summary(),
        block: shown.block,
        breadcrumb: permit.breadcrumb(),
        headings: shown.headings,
        snippet: shown.snippet,
        score: ranked.score,
        score_details: ranked.details.filter(|_| score_details),
    }
}

fn nothing(consistency: Consistency, started: Instant) -> SearchResponse {
    SearchResponse {
        object: schemas::api::ListObject::List,
        results: Vec::new(),
        next_cursor: None,
        has_more: false,
        degraded: Vec::new(),
        semantic_pending: false,
        consistency,
        facets: BTreeMap::new(),
        typos_forgiven: false,
        took_ms: started.elapsed().as_millis() as u64,
        request_id: String::new(),
    }
}

/// Puts the candidates of both legs in order and groups them by page.
fn rank(view: &View, plan: &Plan, retrieved: Retrieved, weights: &RescoreConfig) -> Result<Ranking, QueryError> {
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
    let boosts = page_boosts(view, &page_of, &mut words, weights);
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
        let mut tokens = Tokens::new();
        for (ranked, details) in candidates.iter_mut().take(weights.proximity_depth) {
            let Some(passage) = read_passage(view, ranked.address, &mut read)? else { continue };
            let words = words.of(passage.language);
            let near = proximity(words, &passage.text, passage.language, &mut tokens);
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
fn fill_in(view: &View, retrieved: &Retrieved, scored: &mut [Scored<PassageAddress>]) -> Result<(), QueryError> {
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
    let mut tokens = Tokens::new();
    let boosts = heads.into_iter().map(|(page, (title, edited_at))| {
        let of_title = title_match(words.of(TITLE_LANGUAGE), &title, &mut tokens);
        let boosts = (weights.title_weight * of_title, weights.recency_weight * recency(edited_at, now, weights));
        (page, boosts)
    });
    boosts.collect()
}

/// A passage, read at most once.
fn read_passage<'a>(
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

/// The pages in the order of their last change, as far as the end of this page of the list and one more; equal ones by
/// their number. What they show is looked up only for those that are listed now.
fn list(view: &View, offset: usize, limit: usize) -> Result<Ranking, QueryError> {
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
            view.searcher.page_passages(&view.mask, page).map_err(failed)?.first().copied()
        } else {
            None
        };
        ranked.push(RankedPage { page, best, score: 0.0, details: None });
    }
    Ok(Ranking { pages: ranked, matching, ..Ranking::default() })
}
