//! A search from request to response.

mod passages;

use std::collections::BTreeMap;
use std::time::Instant;

use index::analysis::Tokens;
use schemas::api::Consistency;
use schemas::api::search::{Hit, SearchRequest, SearchResponse};
use schemas::ids::PageId;
use tracing::Instrument as _;

use super::interleaved::{Second, Teams, rank_both};
use super::list::list;
use super::rank::{RankedPage, Ranking, rank, read_passage};
use super::{Engine, View};
use crate::cursor::Cursor;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::facets::{Counts, PORTION};
use crate::feedback::{Feedback, ListId, ShownPage};
use crate::gate::{Held, Permit};
use crate::interleave::Team;
use crate::mark::Leniency;
use crate::metrics::Stage;
use crate::plan::Plan;
use crate::present::{Presenter, Shown};
use crate::retrieve::{self, Retrieved, Wanted, retrieve};
use crate::trace;

/// The pages that were shown, with their ranks and the configurations that they came from.
type Hits = Vec<(PageId, u32, Option<Team>)>;

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
        let plan = Plan::of(caller, &request, self.config())?;
        let (response, _) = self.answer(caller, plan, None, deadline).await?;
        Ok(response)
    }

    /// Searches and records what was shown, so that feedback on it can be taken. Of a share of the lists two rankings are
    /// interleaved. What is listed from the trash is not recorded.
    ///
    /// Cancel safety: safe.
    pub async fn search_recorded(
        &self,
        caller: &access::Caller,
        request: SearchRequest,
        feedback: &Feedback,
        deadline: Deadline,
    ) -> Result<SearchResponse, QueryError> {
        let mut plan = Plan::of(caller, &request, self.config())?;
        plan.list = if plan.purpose == access::Purpose::Discover { plan.list.or_else(new_list) } else { None };
        let Some(list) = plan.list else { return self.search(caller, request, deadline).await };
        let second = Second::of(caller, &request, list, self.config(), self.0.second.as_ref())?;
        let (response, hits) = self.answer(caller, plan, second, deadline).await?;
        let consistency = response.consistency;
        feedback.shown(caller, &request, ShownPage { list, hits, consistency });
        Ok(SearchResponse { tracking_id: Some(feedback.tracking_id(caller, list)), ..response })
    }

    async fn answer(
        &self,
        caller: &access::Caller,
        plan: Plan,
        second: Option<Second>,
        deadline: Deadline,
    ) -> Result<(SearchResponse, Hits), QueryError> {
        let started = Instant::now();
        self.wait_for(&caller.workspace, plan.at_least, deadline).await?;
        let _turn = self.turn(deadline).await?;
        let Some(view) = self.view(caller, plan.purpose) else {
            return Ok((nothing(self.consistency(&caller.workspace), started), Hits::new()));
        };
        let view = self.narrowed(view, &plan, deadline).await?;
        let (ranking, teams) = if plan.query.has_words() {
            let retrieved = self.retrieved(&view, &plan, deadline).await?;
            self.ranked(&view, &plan, second, retrieved, deadline).await?
        } else {
            (self.listed(&view, &plan, deadline).await?, Teams::new())
        };
        self.presented(view, plan, ranking, teams, started, deadline).await
    }

    /// Narrows what is searched to what filters and conditions leave over.
    pub(super) async fn narrowed(&self, mut view: View, plan: &Plan, deadline: Deadline) -> Result<View, QueryError> {
        let conditions = plan.query.page_conditions();
        if plan.filters.is_empty() && conditions.is_empty() {
            return Ok(view);
        }
        let filters = plan.filters.clone();
        let running = self.metrics().stage(Stage::Narrow);
        let work = move || {
            let mask = filters.narrow(view.mask, &view.workspace.read(), &view.caller);
            view.mask = retrieve::narrow(&view.searcher, mask, &conditions)?;
            Ok(view)
        };
        self.0.pools.words.run(deadline, work).instrument(running.span()).await
    }

    pub(super) async fn retrieved(
        &self,
        view: &View,
        plan: &Plan,
        deadline: Deadline,
    ) -> Result<Retrieved, QueryError> {
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
        let model = view.embedder.as_ref();
        retrieve(&parts.pools, model, &view.searcher, &view.mask, &wanted, self.metrics(), deadline).await
    }

    /// Fuses, rescores and groups what was retrieved.
    pub(super) async fn ranked(
        &self,
        view: &View,
        plan: &Plan,
        second: Option<Second>,
        retrieved: Retrieved,
        deadline: Deadline,
    ) -> Result<(Ranking, Teams), QueryError> {
        let running = self.metrics().stage(Stage::Rank);
        let (engine, view, plan) = (self.clone(), view.clone(), plan.clone());
        let ranked = move |tokens: &mut Tokens| match second {
            Some(second) => rank_both(&view, (&plan, engine.config()), &second, retrieved, tokens),
            None => Ok((rank(&view, &plan, retrieved, &engine.config().rescore, tokens)?, Teams::new())),
        };
        let buffers = self.0.buffers.clone();
        self.0.pools.words.run(deadline, move || buffers.lend(ranked)).instrument(running.span()).await
    }

    /// Lists the pages that the filters leave over, those changed last first.
    pub(super) async fn listed(&self, view: &View, plan: &Plan, deadline: Deadline) -> Result<Ranking, QueryError> {
        let running = self.metrics().stage(Stage::Rank);
        let (view, offset, limit) = (view.clone(), plan.offset, plan.limit);
        self.0.pools.words.run(deadline, move || list(&view, offset, limit)).instrument(running.span()).await
    }

    /// Reads what the hits of this page show, and lets it out.
    async fn presented(
        &self,
        view: View,
        plan: Plan,
        ranking: Ranking,
        teams: Teams,
        started: Instant,
        deadline: Deadline,
    ) -> Result<(SearchResponse, Hits), QueryError> {
        let running = self.metrics().stage(Stage::Present);
        let engine = self.clone();
        let present = move |tokens: &mut Tokens| engine.present(&view, &plan, ranking, &teams, started, tokens);
        let buffers = self.0.buffers.clone();
        let work = move || buffers.lend(present);
        self.0.pools.words.run(deadline, work).instrument(running.span()).await
    }

    fn present(
        &self,
        view: &View,
        plan: &Plan,
        mut ranking: Ranking,
        teams: &Teams,
        started: Instant,
        tokens: &mut Tokens,
    ) -> Result<(SearchResponse, Hits), QueryError> {
        let pages: Vec<RankedPage> = ranking.pages.drain(..).skip(plan.offset).collect();
        let has_more = pages.len() > plan.limit;
        let text = plan.query.wanted_text();
        let parts = view.searcher.parts_of_compounds(&view.mask, &text, plan.prefix);
        let mut marked = parts.map_err(QueryError::index("cut compounds for marking"))?;
        // The word that is being typed stays the last.
        marked.push(text);
        let text = marked.join(" ");
        let leniency = Leniency { prefix: plan.prefix, typos: ranking.typos_forgiven };
        let mut presenter = Presenter::new(&text, leniency, self.config().snippet_chars, tokens);
        let mut shown = Vec::with_capacity(plan.limit.min(pages.len()));
        for (ranked, rank) in pages.iter().take(plan.limit).zip(plan.offset as u32 + 1..) {
            let passage = match ranked.best {
                Some(address) => read_passage(view, address, &mut ranking.read)?,
                None => None,
            };
            let with_text = passage.filter(|passage| !passage.text.trim().is_empty());
            let shown_of_it = with_text.map(|passage| presenter.show(passage));
            shown.push((ranked, rank, Held::new(ranked.page, shown_of_it)));
        }
        let counts = self.counted(view, plan, &ranking);
        let _gating = trace::part("gate").entered();
        let gate = self.gate(view);
        let (mut results, mut hits) = (Vec::with_capacity(shown.len()), Hits::new());
        for (ranked, rank, held) in shown {
            let Some(permit) = gate.permit(held.page()) else { continue };
            let shown = held
                .let_out(permit)
                .flatten()
                .unwrap_or_else(|| Shown { snippet: presenter.show_title(&permit.head().title), ..Shown::default() });
            hits.push((permit.head().page.clone(), rank, teams.get(&ranked.page).copied()));
            results.push(hit(permit, ranked, shown, plan.score_details));
        }
        let consistency = Consistency { index_seq: view.searcher.index_seq(), access_seq: gate.access_seq() };
        let offset = (plan.offset + plan.limit) as u32;
        if plan.listed_under.is_some_and(|before| before != consistency) {
            tracing::debug!("the list changed while it was gone through");
        }
        let response = SearchResponse {
            object: schemas::api::ListObject::List,
            results,
            next_cursor: has_more.then(|| Cursor { offset, consistency, list: plan.list }.encode(&plan.hash)),
            has_more,
            degraded: ranking.degraded,
            semantic_pending: view.embedder.is_some() && gate.semantic_pending(),
            consistency,
            facets: counts.finish(&gate, self.config().facet_values_max),
            typos_forgiven: ranking.typos_forgiven,
            tracking_id: None,
            took_ms: started.elapsed().as_millis() as u64,
            request_id: String::new(),
        };
        Ok((response, hits))
    }

    /// Counts the facets that were asked for, a portion of the pages at a time.
    fn counted<'a>(&self, view: &View, plan: &'a Plan, ranking: &Ranking) -> Counts<'a> {
        let mut counts = Counts::new(&plan.facets);
        if plan.facets.is_empty() {
            return counts;
        }
        let pages: Vec<u32> = ranking.matching.iter().collect();
        for portion in pages.chunks(PORTION) {
            counts.add(&self.gate(view), portion);
        }
        counts
    }
}

/// The name of a new list; none when the system has no random bytes, and then the list is not recorded.
fn new_list() -> Option<ListId> {
    let list = ListId::random();
    list.inspect_err(|error| tracing::error!(error = error as &dyn std::error::Error, "a list has no name")).ok()
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
        tracking_id: None,
        took_ms: started.elapsed().as_millis() as u64,
        request_id: String::new(),
    }
}
