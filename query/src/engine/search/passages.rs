//! A search for passages: where on which page it stands, rather than which page to open.
//!
//! The same mask and the same gate as for pages. The order is that of the fusion alone, for title and age speak of pages.

use std::collections::HashMap;
use std::time::Instant;

use access::PageOrdinal;
use index::{Candidate, PassageAddress};
use schemas::api::search::{ScoreDetails, SearchRequest, SearchResponse};

use super::nothing;
use crate::deadline::Deadline;
use crate::engine::interleaved::Teams;
use crate::engine::rank::{RankedPage, Ranking, fill_in};
use crate::engine::{Engine, View};
use crate::error::QueryError;
use crate::fuse::{fuse, join};
use crate::plan::Plan;
use crate::retrieve::Retrieved;

impl Engine {
    /// Searches as [`Engine::search`] does, but gives a hit for each passage, so that a page may come several times. A query
    /// without words lists pages all the same.
    ///
    /// Cancel safety: safe.
    pub async fn search_passages(
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
            let (view, plan) = (view.clone(), plan.clone());
            self.0.pools.words.run(deadline, move || rank(&view, &plan, retrieved)).await?
        } else {
            self.listed(&view, &plan, deadline).await?
        };
        let (response, _) = self.presented(view, plan, ranking, Teams::new(), started, deadline).await?;
        Ok(response)
    }
}

/// Puts the candidates of both legs in order; equal ones by their address.
fn rank(view: &View, plan: &Plan, retrieved: Retrieved) -> Result<Ranking, QueryError> {
    let lexical = retrieved.lexical.as_ref().map_or(&[][..], |leg| &leg.candidates);
    let semantic = retrieved.semantic.as_ref().map_or(&[][..], |leg| &leg.candidates);
    // Titles are found by meaning too, and are no passages.
    let found = |candidates: &[Candidate]| -> Vec<(PassageAddress, f32)> {
        let passages = candidates.iter().filter(|candidate| !view.searcher.is_title(candidate.address));
        passages.map(|candidate| (candidate.address, candidate.score)).collect()
    };
    let page_of: HashMap<PassageAddress, PageOrdinal> =
        lexical.iter().chain(semantic).map(|candidate| (candidate.address, candidate.page)).collect();
    let mut scored = join(&found(lexical), &found(semantic));
    fill_in(view, &retrieved, &mut scored)?;
    let fused = fuse(&scored, retrieved.legs(), plan.fusion, plan.semantic_weight);
    let ranked = scored.iter().zip(fused).map(|(scored, fused_score)| RankedPage {
        page: page_of[&scored.address],
        best: Some(scored.address),
        score: fused_score,
        details: Some(ScoreDetails {
            bm25_score: scored.bm25_score,
            cosine: scored.cosine,
            lexical_rank: scored.lexical_rank,
            semantic_rank: scored.semantic_rank,
            fused_score,
            passages: 1,
            ..ScoreDetails::default()
        }),
    });
    let mut pages: Vec<RankedPage> = ranked.collect();
    pages.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.best.cmp(&b.best)));
    Ok(Ranking {
        pages,
        matching: page_of.values().map(|page| page.0).collect(),
        degraded: retrieved.degraded,
        typos_forgiven: retrieved.lexical.is_some_and(|leg| leg.query.fuzzy),
        ..Ranking::default()
    })
}
