//! A search from request to response.

mod passages;

use std::collections::BTreeMap;
use std::time::Instant;

use index::analysis::Tokens;
use schemas::api::Consistency;
use schemas::api::search::{Hit, SearchRequest, SearchResponse};

use super::rank::{RankedPage, Ranking, list, rank, read_passage};
use super::{Engine, View};
use crate::cursor::Cursor;
use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::facets::{Counts, PORTION};
use crate::gate::{Held, Permit};
use crate::mark::Leniency;
use crate::plan::Plan;
use crate::present::{Presenter, Shown};
use crate::retrieve::{self, Retrieved, Wanted, retrieve};

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
        retrieve(&parts.pools, view.embedder.as_ref(), &view.searcher, &view.mask, &wanted, deadline).await
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
        let buffers = self.0.buffers.clone();
        let work = move || buffers.lend(|tokens| rank(&view, &plan, retrieved, &weights, tokens));
        self.0.pools.words.run(deadline, work).await
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
        let work = move || engine.0.buffers.lend(|tokens| engine.present(&view, &plan, ranking, started, tokens));
        self.0.pools.words.run(deadline, work).await
    }

    fn present(
        &self,
        view: &View,
        plan: &Plan,
        mut ranking: Ranking,
        started: Instant,
        tokens: &mut Tokens,
    ) -> Result<SearchResponse, QueryError> {
        let pages: Vec<RankedPage> = ranking.pages.drain(..).skip(plan.offset).collect();
        let has_more = pages.len() > plan.limit;
        let text = plan.query.wanted_text();
        let leniency = Leniency { prefix: plan.prefix, typos: ranking.typos_forgiven };
        let mut presenter = Presenter::new(&text, leniency, self.config().snippet_chars, tokens);
        let mut shown = Vec::with_capacity(plan.limit.min(pages.len()));
        for ranked in pages.iter().take(plan.limit) {
            let passage = match ranked.best {
                Some(address) => read_passage(view, address, &mut ranking.read)?,
                None => None,
            };
            let with_text = passage.filter(|passage| !passage.text.trim().is_empty());
            let shown_of_it = with_text.map(|passage| presenter.show(passage));
            shown.push((ranked, Held::new(ranked.page, shown_of_it)));
        }
        let counts = self.counted(view, plan, &ranking);
        let gate = self.gate(view);
        let mut results = Vec::with_capacity(shown.len());
        for (ranked, held) in shown {
            let Some(permit) = gate.permit(held.page()) else { continue };
            let shown = held
                .let_out(permit)
                .flatten()
                .unwrap_or_else(|| Shown { snippet: presenter.show_title(&permit.head().title), ..Shown::default() });
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
            semantic_pending: view.embedder.is_some() && gate.semantic_pending(),
            consistency,
            facets: counts.finish(&gate, self.config().facet_values_max),
            typos_forgiven: ranking.typos_forgiven,
            took_ms: started.elapsed().as_millis() as u64,
            request_id: String::new(),
        })
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
