//! The flow of an evaluation: a collection, driven by each configuration, scored, compared, asked again as each persona.
//!
//! ```text
//! queries -> (kept answers, or a system) -> runs -> scores by part of the split -> comparisons -> personas -> what to look at
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};

use crate::compare::compare;
use crate::configuration::Configuration;
use crate::dataset::{ANCHORS, Dataset, NOT_TITLE};
use crate::drive::{Answers, InProcess, Searches, Server, ask_all, time};
use crate::evaluation::{CollectionResult, MetricComparison, PersonaResult, SystemResult};
use crate::kept::Place;
use crate::metrics::{Metric, Missing, Scores, evaluate as score};
use crate::personas::{self, Judge};
use crate::progress::Watch;
use crate::qrels::Qrels;
use crate::runs::Run;
use crate::statistics::Effort;
use crate::workspace::{Built, Names};

/// What is to be found out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is compared; the first is the baseline.
    pub configurations: Vec<Configuration>,
    /// What is measured; the first matters most, and decides what is worth a look.
    pub metrics: Vec<Metric>,
    /// Hits asked of each query.
    pub depth: u32,
    /// Most queries of a collection, spread evenly over their ids; all where it is absent.
    pub queries_max: Option<usize>,
    /// Whether every persona asks.
    pub personas: bool,
    /// Whether requests are timed.
    pub latency: bool,
    /// Queries whose hits are kept.
    pub shown_max: usize,
    /// The work that goes into tests.
    pub effort: Effort,
}

/// Who answers.
pub enum Site<'a> {
    /// A workspace in this process.
    Here(&'a Built),
    /// A server.
    There {
        /// The server.
        server: &'a mut Server,
        /// What its hits are called in judgments.
        names: Names,
        /// What its choices are taken to be.
        base: Box<query::config::Config>,
        /// Who asks.
        asked_as: String,
    },
}

/// What was found, by part of the split, and the runs by configuration.
#[derive(Debug)]
pub struct Found {
    /// The whole split first, then parts of it.
    pub results: Vec<CollectionResult>,
    /// The runs over the whole split, in the order of the configurations.
    pub runs: Vec<Run>,
}

/// A part of a split.
struct Part {
    name: String,
    qrels: Qrels,
    /// Whether documents that hold the query word for word are passed over.
    without_sources: bool,
}

/// Evaluates one split of one collection.
pub fn evaluate(
    dataset: &Dataset,
    split: &str,
    plan: &Plan,
    site: &mut Site<'_>,
    watch: Watch<'_>,
) -> anyhow::Result<Found> {
    ensure!(!plan.configurations.is_empty() && !plan.metrics.is_empty(), "there is nothing to measure");
    let all = sampled(dataset.split(split)?, plan.queries_max);
    let queries: BTreeMap<String, String> =
        all.queries().map(|(id, _)| (id.to_owned(), dataset.queries[id].text.clone())).collect();
    let mut answered = Vec::new();
    for configuration in &plan.configurations {
        let answers = answers(site, configuration, &queries, plan, None, watch);
        answered.push(answers.with_context(|| format!("cannot ask {} by {}", dataset.name, configuration.name))?);
    }
    let runs: Vec<Run> = std::iter::zip(&plan.configurations, &answered)
        .map(|(configuration, answers)| answers.run(&configuration.name))
        .collect::<anyhow::Result<_>>()?;
    let mut results = Vec::new();
    for part in parts(dataset, split, &all) {
        results.push(result(dataset, &part, plan, site, &queries, &answered, &runs)?);
    }
    if let (true, Site::Here(built)) = (plan.personas, &*site) {
        let built: &Built = built;
        results[0].personas = as_personas(built, plan, &queries, &answered[0], &all, watch)?;
    }
    Ok(Found { results, runs })
}

/// The answers of one configuration: those kept, or else asked for now and kept.
fn answers(
    site: &mut Site<'_>,
    configuration: &Configuration,
    queries: &BTreeMap<String, String>,
    plan: &Plan,
    user: Option<&schemas::ids::UserId>,
    watch: Watch<'_>,
) -> anyhow::Result<Answers> {
    let built = match site {
        Site::There { server, names, base, .. } => {
            server.configure(configuration, base)?;
            return asked(*server, configuration, queries, names, plan, watch);
        }
        Site::Here(built) => *built,
    };
    let caller = user.map_or_else(|| built.asker(), |user| built.caller(user));
    let asker = caller.subject.to_string();
    let place = Place::of(&built.folder, &built.fingerprint, configuration, queries, &asker, plan.depth)?;
    if let Some(answers) = place.read().filter(|answers| answers.latency.is_some() || !plan.latency) {
        return Ok(answers);
    }
    let mut searches = InProcess::new(built, configuration, caller)?;
    let answers = asked(&mut searches, configuration, queries, &built.names, plan, watch)?;
    place.write(&answers)?;
    Ok(answers)
}

fn asked(
    searches: &mut dyn Searches,
    configuration: &Configuration,
    queries: &BTreeMap<String, String>,
    names: &Names,
    plan: &Plan,
    watch: Watch<'_>,
) -> anyhow::Result<Answers> {
    let latency = plan.latency.then(|| time(searches, configuration, queries)).transpose()?;
    Ok(Answers { latency, ..ask_all(searches, configuration, queries, names, plan.depth, watch)? })
}

/// A split of fewer queries, spread evenly over the ids.
fn sampled(qrels: &Qrels, queries_max: Option<usize>) -> Qrels {
    let count = qrels.queries().len();
    let Some(max) = queries_max.filter(|max| *max < count) else { return qrels.clone() };
    let kept: BTreeSet<&str> = qrels
        .queries()
        .enumerate()
        // The `at`th begins a new share where the share of it is another than that of the one before.
        .filter(|(at, _)| at * max / count != (at + 1) * max / count)
        .map(|(_, (query, _))| query)
        .collect();
    qrels.only(&|query| kept.contains(query))
}

/// A split as a whole; of link texts also those that are no titles, and all with the pages passed over that hold the link.
fn parts(dataset: &Dataset, split: &str, all: &Qrels) -> Vec<Part> {
    let mut parts = vec![Part { name: split.to_owned(), qrels: all.clone(), without_sources: false }];
    if split == ANCHORS {
        let tagged = |query: &str, tag: &str| dataset.queries.get(query).is_some_and(|query| query.tags.contains(tag));
        let has_sources = all.queries().any(|(query, _)| !dataset.queries[query].sources.is_empty());
        let not_titles = all.only(&|query| tagged(query, NOT_TITLE));
        if not_titles.queries().len() > 0 {
            let name = format!("{split}-not-titles");
            parts.push(Part { name, qrels: not_titles, without_sources: false });
        }
        if has_sources {
            let name = format!("{split}-without-sources");
            parts.push(Part { name, qrels: all.clone(), without_sources: true });
        }
    }
    parts
}

fn result(
    dataset: &Dataset,
    part: &Part,
    plan: &Plan,
    site: &Site<'_>,
    queries: &BTreeMap<String, String>,
    answered: &[Answers],
    runs: &[Run],
) -> anyhow::Result<CollectionResult> {
    let mut systems = Vec::new();
    for ((configuration, answers), run) in plan.configurations.iter().zip(answered).zip(runs) {
        let mut run = run.clone();
        if part.without_sources {
            run.retain(&|query, document| !dataset.queries[query].sources.contains(document));
        }
        systems.push(SystemResult {
            configuration: configuration.clone(),
            scores: score(&part.qrels, &run, &plan.metrics, Missing::Zero),
            latency: answers.latency,
            hits: BTreeMap::new(),
        });
    }
    let comparisons = comparisons(plan, &systems)?;
    let shown = worth_a_look(plan, &systems, &comparisons);
    for (system, answers) in systems.iter_mut().zip(answered) {
        for query in &shown {
            let mut hits = answers.queries.get(query).map(|asked| asked.hits.clone()).unwrap_or_default();
            hits.retain(|hit| !part.without_sources || !dataset.queries[query].sources.contains(&hit.document));
            for hit in &mut hits {
                hit.grade = part.qrels.of(query).and_then(|judged| judged.get(&hit.document)).copied();
            }
            system.hits.insert(query.clone(), hits);
        }
    }
    let relevant = shown.iter().map(|query| {
        let judged = part.qrels.of(query).into_iter().flatten().filter(|(_, grade)| **grade >= 1);
        (query.clone(), judged.map(|(document, grade)| (document.clone(), *grade)).collect())
    });
    let (index, asked_as) = match site {
        Site::Here(built) => (Some(built.facts.clone()), built.people.persons[0].user.to_string()),
        Site::There { asked_as, .. } => (None, asked_as.clone()),
    };
    Ok(CollectionResult {
        name: dataset.name.clone(),
        split: part.name.clone(),
        asked_as,
        depth: plan.depth,
        index,
        queries: part.qrels.queries().map(|(query, _)| (query.to_owned(), queries[query].clone())).collect(),
        judgments: part.qrels.queries().map(|(_, judged)| judged.len()).sum(),
        metrics: plan.metrics.clone(),
        relevant: relevant.collect(),
        systems,
        comparisons,
        personas: Vec::new(),
    })
}

fn comparisons(plan: &Plan, systems: &[SystemResult]) -> anyhow::Result<Vec<MetricComparison>> {
    let Some((baseline, others)) = systems.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Ok(Vec::new());
    };
    let of_metric = |metric: &Metric| -> anyhow::Result<MetricComparison> {
        let others: Vec<(&str, &Scores)> =
            others.iter().map(|system| (system.configuration.name.as_str(), &system.scores[metric])).collect();
        Ok(MetricComparison { metric: *metric, systems: compare(&baseline.scores[metric], &others, &plan.effort)? })
    };
    plan.metrics.iter().map(of_metric).collect()
}

/// The queries whose hits are kept: the largest losses and gains of each system, then those that the first answers worst.
fn worth_a_look(plan: &Plan, systems: &[SystemResult], comparisons: &[MetricComparison]) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    let compared: Vec<_> = comparisons.iter().take(1).flat_map(|comparison| &comparison.systems).collect();
    let of_each = plan.shown_max / (2 * (compared.len() + 1));
    for comparison in compared {
        shown.extend(comparison.regressions(of_each).iter().map(|delta| delta.query.clone()));
        let gains = comparison.deltas.iter().rev().take(of_each).filter(|delta| delta.value() > 0.0);
        shown.extend(gains.map(|delta| delta.query.clone()));
    }
    let mut by_value: Vec<(&String, f64)> =
        systems[0].scores[&plan.metrics[0]].iter().map(|(query, value)| (query, *value)).collect();
    by_value.sort_by(|one, other| one.1.total_cmp(&other.1).then_with(|| one.0.cmp(other.0)));
    let room = plan.shown_max.saturating_sub(shown.len());
    shown.extend(by_value.into_iter().map(|(query, _)| query.clone()).take(room));
    shown
}

fn as_personas(
    built: &Built,
    plan: &Plan,
    queries: &BTreeMap<String, String>,
    unfiltered: &Answers,
    qrels: &Qrels,
    watch: Watch<'_>,
) -> anyhow::Result<Vec<PersonaResult>> {
    let (judge, configuration) = (Judge::of(built), &plan.configurations[0]);
    let untimed = Plan { latency: false, ..plan.clone() };
    let mut results = Vec::new();
    for person in &built.people.persons {
        let name = format!("{} as {}", configuration.name, person.persona);
        let mut named = |step: crate::progress::Step<'_>| watch(crate::progress::Step { what: &name, ..step });
        let mut site = Site::Here(built);
        let answers = answers(&mut site, configuration, queries, &untimed, Some(&person.user), &mut named)?;
        results.push(personas::judge(&judge, &built.names, person, &answers, unfiltered, qrels, &plan.metrics)?);
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_evenly_and_always_the_same() {
        let mut qrels = Qrels::default();
        (0..10).for_each(|at| qrels.judge(&format!("q{at}"), "d", 1).unwrap());
        let ids = |max| sampled(&qrels, Some(max)).queries().map(|(id, _)| id.to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(3), ["q3", "q6", "q9"]);
        assert_eq!(ids(10).len(), 10);
        assert_eq!(ids(99).len(), 10);
    }
}
