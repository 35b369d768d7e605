//! Typing: how soon a page comes up while its title is being typed, and how long each answer takes.
//!
//! A known item: titles are drawn from what the caller can find, and typed letter by letter; after each letter the
//! suggestions, and a search with an unfinished last word, are asked for. Nothing is judged: whoever types a title wants that
//! page, and a page of the same title will do. Equal seeds give equal titles.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use access::{Caller, Purpose};
use anyhow::{Context, ensure};
use index::Index;
use query::deadline::Deadline;
use query::engine::Engine;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use schemas::api::search::{Mode, SearchRequest};
use schemas::api::suggest::Suggestion;
use serde::Serialize;

/// Answers that are looked through for the page.
pub const DEPTH: usize = 5;
/// Suggestions asked for, as an interface does when it does not say: pages come before words.
const SUGGESTIONS: u32 = 10;
/// Fewest letters of a title that is typed.
const TITLE_CHARS_MIN: usize = 4;
/// Requests before the first that is timed.
const WARM_UP: usize = 20;
/// Far more than an answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typing {
    /// Titles that are drawn.
    pub titles: usize,
    /// Letters of each that are typed, from the first on.
    pub chars: usize,
    /// Which retrievers the searches use.
    pub mode: Mode,
    /// Where the random numbers begin.
    pub seed: u64,
}

impl Default for Typing {
    fn default() -> Self {
        Self { titles: 200, chars: 12, mode: Mode::Lexical, seed: 1 }
    }
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Titles that were typed.
    pub titles: usize,
    /// Different titles that could have been drawn.
    pub titles_known: usize,
    /// By letters typed, ascending.
    pub by_chars: Vec<AfterChars>,
    /// How long suggestions took.
    pub suggest: Latency,
    /// How long searches took.
    pub search: Latency,
}

/// What was found after so many letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AfterChars {
    /// Letters that were typed.
    pub chars: usize,
    /// Titles that have as many.
    pub titles: usize,
    /// Share of them whose page is among the first five suggestions.
    pub suggest_success_at_5: f64,
    /// Share of them whose page is among the first five hits.
    pub search_success_at_5: f64,
    /// What is to be had: where more than five titles begin alike, no order of theirs knows which one is being typed.
    pub to_be_had: f64,
}

/// How long requests took, one after the other, without HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Requests that were timed.
    pub requests: usize,
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Types titles on behalf of a caller.
pub async fn measure(engine: &Engine, index: &Index, caller: &Caller, typing: &Typing) -> anyhow::Result<Report> {
    let known = titles(index, caller)?;
    let mut random = SmallRng::seed_from_u64(typing.seed);
    let drawn = known.iter().choose_multiple(&mut random, typing.titles);
    ensure!(!drawn.is_empty(), "{} finds no page with a title of {TITLE_CHARS_MIN} letters or more", caller.subject);
    for title in drawn.iter().cycle().take(WARM_UP) {
        suggested(engine, caller, title, title).await?;
        searched(engine, caller, title, title, typing.mode).await?;
    }
    let mut by_chars: Vec<AfterChars> = Vec::with_capacity(typing.chars);
    let (mut suggest_times, mut search_times) = (Vec::new(), Vec::new());
    for chars in 1..=typing.chars {
        let mut after = AfterChars { chars, ..AfterChars::default() };
        for title in &drawn {
            let typed: String = title.chars().take(chars).collect();
            if typed.chars().count() < chars || typed.trim().is_empty() {
                continue;
            }
            after.titles += 1;
            let alike = known.iter().filter(|other| begins(other, &typed)).count();
            after.to_be_had += (DEPTH as f64 / alike.max(1) as f64).min(1.0);
            let (found, took) = suggested(engine, caller, &typed, title).await?;
            after.suggest_success_at_5 += f64::from(u8::from(found));
            suggest_times.push(took);
            let (found, took) = searched(engine, caller, &typed, title, typing.mode).await?;
            after.search_success_at_5 += f64::from(u8::from(found));
            search_times.push(took);
        }
        if after.titles > 0 {
            after.suggest_success_at_5 /= after.titles as f64;
            after.search_success_at_5 /= after.titles as f64;
            after.to_be_had /= after.titles as f64;
            by_chars.push(after);
        }
    }
    Ok(Report {
        titles: drawn.len(),
        titles_known: known.len(),
        by_chars,
        suggest: Latency::of(suggest_times),
        search: Latency::of(search_times),
    })
}

/// The different titles of what a caller can find, in the order of the alphabet.
fn titles(index: &Index, caller: &Caller) -> anyhow::Result<Vec<String>> {
    let workspace = index.catalog().get(&caller.workspace);
    let workspace = workspace.with_context(|| format!("there is no workspace {}", caller.workspace))?;
    let state = workspace.read();
    let mask = state.access.mask(caller, Purpose::Discover);
    let named = state.heads().filter(|head| !head.deleted && mask.allows(head.ordinal));
    let titles = named.map(|head| plain(&head.title)).filter(|title| title.chars().count() >= TITLE_CHARS_MIN);
    Ok(titles.collect::<BTreeSet<String>>().into_iter().collect())
}

/// A title as it is typed: without what the query language takes for an operator, and with single blanks.
fn plain(title: &str) -> String {
    let words = title.replace([':', '"', '-'], " ");
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(100).collect()
}

/// Whether a title begins as typed, whatever the case.
fn begins(title: &str, typed: &str) -> bool {
    let mut of_title = title.chars().flat_map(char::to_lowercase);
    typed.chars().flat_map(char::to_lowercase).all(|letter| of_title.next() == Some(letter))
}

fn is_wanted(shown: &str, title: &str) -> bool {
    plain(shown) == title
}

async fn suggested(engine: &Engine, caller: &Caller, typed: &str, title: &str) -> anyhow::Result<(bool, Duration)> {
    let start = Instant::now();
    let response = engine.suggest(caller, typed, SUGGESTIONS, Deadline::after(PATIENCE)).await;
    let took = start.elapsed();
    let response = response.context("cannot suggest")?;
    let found = response.results.iter().take(DEPTH).any(|suggestion| match suggestion {
        Suggestion::Page { page, .. } => is_wanted(&page.title, title),
        Suggestion::Term { .. } => false,
    });
    Ok((found, took))
}

async fn searched(
    engine: &Engine,
    caller: &Caller,
    typed: &str,
    title: &str,
    mode: Mode,
) -> anyhow::Result<(bool, Duration)> {
    let request =
        SearchRequest { query: typed.to_owned(), prefix: true, mode, limit: DEPTH as u32, ..SearchRequest::default() };
    let start = Instant::now();
    let response = engine.search(caller, request, Deadline::after(PATIENCE)).await;
    let took = start.elapsed();
    let response = response.context("cannot search")?;
    Ok((response.results.iter().any(|hit| is_wanted(&hit.page.title, title)), took))
}

impl Latency {
    /// Percentiles by the nearest rank; zeros without requests.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| -> f64 {
            let rank = (share * times.len() as f64).ceil() as usize;
            times.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        Self { requests: times.len(), p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let latency = Latency::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!((latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms), (100.0, 190.0, 198.0, 200.0));
        assert_eq!(Latency::of(Vec::new()), Latency::default());
        assert!((Latency::of(vec![Duration::from_millis(3)]).p99_ms - 3.0).abs() < 1e-9);
    }

    #[test]
    fn titles_are_typed_without_operators() {
        assert_eq!(plain("  How-to: \"reset\"  a dome "), "How to reset a dome");
        assert!(begins("Deploy runbook", "deploy R") && !begins("Dep", "Deploy"));
        assert!(is_wanted("How-to: reset", "How to reset") && !is_wanted("How", "How to"));
    }
}
