//! Two generations of one index, compared before one takes the place of the other.
//!
//! Asked are titles of pages, of each workspace as the member who finds most there: a known item, which both should bring
//! up. It tells a broken generation from a sound one and a worse model from a better one; it does not replace a judged set.
//! Equal seeds give equal samples.

use std::collections::HashSet;
use std::time::Duration;

use access::{Caller, Purpose, Subject};
use anyhow::Context;
use index::Index;
use models::embed::Embedders;
use query::deadline::Deadline;
use query::engine::Engine;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use schemas::api::search::SearchRequest;
use schemas::ids::{PageId, WorkspaceId};
use serde::{Deserialize, Serialize};

/// Hits that are compared.
const DEPTH: u32 = 10;
/// Fewest characters of a title that is asked for.
const TITLE_CHARS_MIN: usize = 4;
/// People of a workspace of whom the one who finds most is taken.
const PEOPLE_MAX: usize = 20;
/// Longest time for one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Titles that were asked for.
    pub questions: usize,
    /// Mean share of the first ten pages that both have, 0 to 1. Shorter lists count by their own length.
    pub overlap_at_10: f64,
    /// Mean reciprocal rank of the page within ten, in the generation in use.
    pub mrr_at_10_former: f64,
    /// The same in the new one.
    pub mrr_at_10_next: f64,
    /// Share of the questions whose page is among the first ten, in the generation in use.
    pub success_at_10_former: f64,
    /// The same in the new one.
    pub success_at_10_next: f64,
}

/// Asks both generations for at most `questions` titles.
pub fn compare(
    former: &Index,
    next: &Index,
    embedders: &Embedders,
    config: &query::config::Config,
    questions: usize,
    seed: u64,
) -> anyhow::Result<Comparison> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    let engine = |index: &Index| Engine::new(index.clone(), embedders.clone(), config.clone());
    let (former_engine, next_engine) = (engine(former)?, engine(next)?);
    let mut sum = Comparison::default();
    for question in sample(former, questions, seed) {
        let ask = |engine: &Engine| -> anyhow::Result<Vec<PageId>> {
            let request = SearchRequest { query: question.text.clone(), limit: DEPTH, ..SearchRequest::default() };
            let response = runtime.block_on(engine.search(&question.caller, request, Deadline::after(PATIENCE)))?;
            Ok(response.results.into_iter().map(|hit| hit.page.id).collect())
        };
        let (before, after) = (ask(&former_engine)?, ask(&next_engine)?);
        let rank = |pages: &[PageId]| pages.iter().position(|page| *page == question.page).map(|at| at + 1);
        let reciprocal = |rank: Option<usize>| rank.map_or(0.0, |rank| 1.0 / rank as f64);
        sum.questions += 1;
        sum.overlap_at_10 += overlap(&before, &after);
        sum.mrr_at_10_former += reciprocal(rank(&before));
        sum.mrr_at_10_next += reciprocal(rank(&after));
        sum.success_at_10_former += f64::from(u8::from(rank(&before).is_some()));
        sum.success_at_10_next += f64::from(u8::from(rank(&after).is_some()));
    }
    let count = sum.questions.max(1) as f64;
    Ok(Comparison {
        questions: sum.questions,
        overlap_at_10: sum.overlap_at_10 / count,
        mrr_at_10_former: sum.mrr_at_10_former / count,
        mrr_at_10_next: sum.mrr_at_10_next / count,
        success_at_10_former: sum.success_at_10_former / count,
        success_at_10_next: sum.success_at_10_next / count,
    })
}

/// Share of the longer list that both hold; two empty lists agree.
fn overlap(one: &[PageId], other: &[PageId]) -> f64 {
    let longest = one.len().max(other.len());
    if longest == 0 {
        return 1.0;
    }
    let known: HashSet<&PageId> = one.iter().collect();
    other.iter().filter(|page| known.contains(page)).count() as f64 / longest as f64
}

struct Question {
    caller: Caller,
    page: PageId,
    text: String,
}

/// Titles from all workspaces alike, each asked by someone who may find its page.
fn sample(index: &Index, questions: usize, seed: u64) -> Vec<Question> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut workspaces = index.catalog().workspaces();
    workspaces.sort_by_key(|workspace| workspace.number);
    let of_each = questions.div_ceil(workspaces.len().clamp(1, questions.max(1)));
    let workspaces = workspaces.into_iter().choose_multiple(&mut random, questions);
    let mut asked = Vec::new();
    for workspace in workspaces {
        let state = workspace.read();
        let caller_of = |user: &schemas::ids::UserId, workspace: &WorkspaceId| Caller {
            workspace: workspace.clone(),
            subject: Subject::User(user.clone()),
        };
        let people = state.people().choose_multiple(&mut random, PEOPLE_MAX);
        let masks = people.into_iter().map(|user| {
            let caller = caller_of(user, &workspace.id);
            let mask = state.access.mask(&caller, Purpose::Discover);
            (mask.allowed_count(), caller, mask)
        });
        let Some((_, caller, mask)) = masks.max_by_key(|(allowed, ..)| *allowed) else { continue };
        let known = state.heads().filter(|head| {
            head.passages > 0 && head.title.chars().count() >= TITLE_CHARS_MIN && mask.allows(head.ordinal)
        });
        asked.extend(known.choose_multiple(&mut random, of_each).into_iter().map(|head| Question {
            caller: caller.clone(),
            page: head.page.clone(),
            text: plain(&head.title),
        }));
    }
    asked.truncate(questions);
    asked
}

/// A title without what the query language would take for an operator.
fn plain(title: &str) -> String {
    title.replace([':', '"', '-'], " ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_overlap_by_what_both_hold() {
        let pages = |ids: &[&str]| -> Vec<PageId> { ids.iter().map(|id| PageId::new(*id).unwrap()).collect() };
        let check = |one: &[&str], other: &[&str], expected: f64| {
            assert!((overlap(&pages(one), &pages(other)) - expected).abs() < 1e-9);
        };
        check(&[], &[], 1.0);
        check(&["a"], &[], 0.0);
        check(&["a", "b"], &["b", "a"], 1.0);
        check(&["a", "b", "c", "d"], &["a", "x"], 0.25);
    }
}
