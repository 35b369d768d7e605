//! Ranking by two configurations at once: what was retrieved is ranked by each, and the two orders are drafted into one.

use std::collections::HashMap;

use access::{Caller, PageOrdinal};
use index::analysis::Tokens;
use schemas::api::search::SearchRequest;

use super::View;
use super::rank::{RankedPage, Ranking, rank};
use crate::config::Config;
use crate::error::QueryError;
use crate::feedback::ListId;
use crate::interleave::{Team, coins, is_chosen, team_draft};
use crate::plan::Plan;
use crate::retrieve::Retrieved;

/// Which configuration each page of a list came from; empty where only one ranked it.
pub(super) type Teams = HashMap<PageOrdinal, Team>;

/// The second way to rank a list that was chosen for it.
pub(super) struct Second {
    plan: Plan,
    config: Config,
    list: ListId,
}

impl Second {
    /// The second way to rank this request; `None` where it is ranked one way alone.
    pub(super) fn of(
        caller: &Caller,
        request: &SearchRequest,
        list: ListId,
        first: &Config,
        second: Option<&Config>,
    ) -> Result<Option<Self>, QueryError> {
        let Some(config) = second else { return Ok(None) };
        // A request that says itself how to merge asks for that order.
        if request.fusion.is_some() || !is_chosen(&list, first.interleave.share) {
            return Ok(None);
        }
        Ok(Some(Self { plan: Plan::of(caller, request, config)?, config: config.clone(), list }))
    }
}

/// Ranks by both configurations and drafts one list.
pub(super) fn rank_both(
    view: &View,
    first: (&Plan, &Config),
    second: &Second,
    retrieved: Retrieved,
    tokens: &mut Tokens,
) -> Result<(Ranking, Teams), QueryError> {
    let (plan, config) = first;
    let of_a = rank(view, plan, retrieved.clone(), &config.rescore, tokens)?;
    let of_b = rank(view, &second.plan, retrieved, &second.config.rescore, tokens)?;
    Ok(drafted(of_a, of_b, second.list))
}

fn drafted(of_a: Ranking, of_b: Ranking, list: ListId) -> (Ranking, Teams) {
    let order = |ranking: &Ranking| -> Vec<PageOrdinal> { ranking.pages.iter().map(|ranked| ranked.page).collect() };
    let draft = team_draft(&order(&of_a), &order(&of_b), &mut coins(&list));
    let by_page = |pages: Vec<RankedPage>| -> HashMap<PageOrdinal, RankedPage> {
        pages.into_iter().map(|ranked| (ranked.page, ranked)).collect()
    };
    let Ranking { pages, mut read, passages, mut matching, degraded, typos_forgiven } = of_a;
    let (mut of_team_a, mut of_team_b) = (by_page(pages), by_page(of_b.pages));
    read.extend(of_b.read);
    matching |= of_b.matching;
    let (mut pages, mut teams) = (Vec::with_capacity(draft.len()), Teams::new());
    for (page, team) in draft {
        // A page that both have is shown as the one that picked it sees it.
        let (own, other) = match team {
            Some(Team::B) => (&mut of_team_b, &mut of_team_a),
            _ => (&mut of_team_a, &mut of_team_b),
        };
        pages.extend(own.remove(&page).or_else(|| other.remove(&page)));
        teams.extend(team.map(|team| (page, team)));
    }
    (Ranking { pages, read, passages, matching, degraded, typos_forgiven }, teams)
}
