//! Relevance under permissions: the same queries asked by people who may see different things.
//!
//! Three questions, of each persona: how good is the answer, judged by what the persona may see; what that was found for
//! someone who sees more was lost to filtering; and what was told that must not be. Who may see a page is not decided by the
//! code that is measured, but by the oracle that the tests of access hold it against: it walks up the tree and down the groups
//! for each question.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemas::ids::{PageId, UserId};
use schemas::page::Parent;

use crate::drive::Answers;
use crate::evaluation::PersonaResult;
use crate::metrics::{Metric, Missing, evaluate, mean};
use crate::qrels::Qrels;
use crate::runs::Run;
use crate::workspace::{Built, Names, Person};
use oracle::{Above, Oracle, Page};

#[path = "../../access/tests/oracle/oracle.rs"]
mod oracle;

/// Leaks that are told one by one.
const LEAKS_TOLD: usize = 20;

/// Says who may find what.
#[derive(Debug)]
pub struct Judge(Oracle);

impl Judge {
    /// Takes the tree, the grants and the people of a workspace as they were stored.
    pub fn of(built: &Built) -> Self {
        let mut oracle = Oracle::default();
        if let Some(workspace) = built.index.catalog().get(&built.workspace) {
            for head in workspace.read().heads().filter(|head| !head.deleted) {
                let above = match &head.parent {
                    None => Above::Unknown,
                    Some(Parent::Workspace) => Above::Root,
                    Some(Parent::Page { id }) => Above::Page(id.clone()),
                };
                let (grants, restricted, trashed) = (head.grants.clone(), head.restricted, head.trashed);
                oracle.pages.insert(head.page.clone(), Page { above, grants, restricted, trashed });
            }
        }
        oracle.groups = built.people.groups.iter().map(|group| (group.id.clone(), group.members.clone())).collect();
        oracle.roles = built.people.persons.iter().map(|person| (person.user.clone(), person.role)).collect();
        Self(oracle)
    }

    /// Whether search may show a page to a person.
    pub fn finds(&self, user: &UserId, page: &PageId) -> bool {
        self.0.finds(Some(user), page)
    }
}

/// Judges what a persona was answered. `unfiltered` is what the first persona was answered, who sees more.
pub fn judge(
    judge: &Judge,
    names: &Names,
    person: &Person,
    answers: &Answers,
    unfiltered: &Answers,
    qrels: &Qrels,
    metrics: &[Metric],
) -> anyhow::Result<PersonaResult> {
    let mut may_find: HashMap<&str, bool> = HashMap::new();
    for (page, document) in names.documents() {
        may_find.insert(document, judge.finds(&person.user, page));
    }
    let is_visible = |document: &str| may_find.get(document).copied().unwrap_or(false);
    let visible = qrels.restricted(&|_, document| is_visible(document));
    let run = answers.run(&person.persona)?;
    let mut without = unfiltered.run("unfiltered")?;
    without.retain(&|_, document| is_visible(document));
    let means = |run: &Run| -> BTreeMap<Metric, f64> {
        let scores = evaluate(&visible, run, metrics, Missing::Zero);
        scores.into_iter().map(|(metric, scores)| (metric, mean(&scores))).collect()
    };
    let mut leaked = Vec::new();
    let mut verdicts: HashMap<&str, bool> = HashMap::new();
    for (query, asked) in &answers.queries {
        for page in &asked.pages {
            let finds = || PageId::new(page).is_ok_and(|page| judge.finds(&person.user, &page));
            if !*verdicts.entry(page).or_insert_with(finds) {
                leaked.push((query.clone(), page.clone()));
            }
        }
    }
    let leaks = leaked.len();
    leaked.truncate(LEAKS_TOLD);
    Ok(PersonaResult {
        persona: person.persona.clone(),
        documents: may_find.values().filter(|finds| **finds).count(),
        queries: visible.queries().len(),
        judgments: visible.queries().map(|(_, judged)| judged.len()).sum(),
        means: means(&run),
        means_unfiltered: means(&without),
        recall_lost: lost(&visible, &run, &without),
        leaks,
        leaked,
    })
}

/// Relevant documents that one run holds and the other does not.
fn lost(qrels: &Qrels, run: &Run, without: &Run) -> usize {
    let of_query = |(query, judged): (&str, &crate::qrels::Judgments)| {
        let documents = |run: &Run| -> HashSet<String> {
            run.of(query).unwrap_or_default().iter().map(|ranked| ranked.document.clone()).collect()
        };
        let found = documents(run);
        let missed = documents(without).into_iter().filter(|document| !found.contains(document));
        missed.filter(|document| judged.get(document).is_some_and(|grade| *grade >= 1)).count()
    };
    qrels.queries().map(of_query).sum()
}
