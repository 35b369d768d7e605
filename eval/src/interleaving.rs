//! Interleaving, analysed: which of two rankings people prefer, from the log of a server that interleaved them.
//!
//! A list is won by the team of whose hits more were clicked. Searches of one person for one query are no independent
//! opinions, so they are counted together: what most of their lists say is one vote. Whether the votes differ by more than
//! chance is asked of a sign test, which takes nothing for granted but that a coin decided who picked first.
//!
//! Source: Radlinski, Kurup and Joachims, CIKM 2008; the share of preference is that of Chapelle, Joachims, Radlinski and
//! Yue, ACM TOIS 30(1), 2012.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use query::feedback::record::{self, Record};
use query::feedback::{ListId, Pseudonym};
use query::interleave::Team;
use schemas::api::feedback::FeedbackKind;
use schemas::ids::{PageId, WorkspaceId};
use serde::Serialize;

use crate::statistics::{Effort, Interval, PValue, bootstrap_interval, sign_test};

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Preference {
    /// Lists that two configurations made.
    pub lists: usize,
    /// Those of which something was clicked.
    pub lists_clicked: usize,
    /// Votes: people with a query whose lists were clicked.
    pub votes: usize,
    /// Votes for the configuration in use.
    pub wins_a: usize,
    /// Votes for the second one.
    pub wins_b: usize,
    /// Votes for neither.
    pub ties: usize,
    /// Share of the votes for the second one, half of the ties included, less a half: above 0 it is preferred.
    pub preference_b: f64,
    /// Where that lies, by a bootstrap over votes.
    pub interval: Interval,
    /// The chance of so one-sided a vote if nobody had a preference.
    pub p_value: PValue,
    /// Lines of the log that could not be read.
    pub unread: u64,
}

/// What is known of one list.
#[derive(Debug, Default)]
struct List {
    voter: Option<(Pseudonym, Pseudonym)>,
    teams: BTreeMap<PageId, Team>,
    clicked: BTreeSet<PageId>,
}

impl List {
    /// Above 0 when the second team won, below when the first did.
    fn balance(&self) -> i64 {
        let point = |page| match self.teams.get(page) {
            Some(Team::A) => -1,
            Some(Team::B) => 1,
            None => 0,
        };
        self.clicked.iter().map(point).sum()
    }
}

/// Reads the log in a folder and counts its votes, of one workspace or of all, from a time on or of all times: the log does not
/// say what the second configuration was, so that what came before a change of it must be left out.
///
/// Holds the lists that were interleaved in memory.
pub fn analyse(
    folder: &Path,
    workspace: Option<&WorkspaceId>,
    since: Option<Timestamp>,
    effort: &Effort,
) -> anyhow::Result<Preference> {
    let mut lists: BTreeMap<ListId, List> = BTreeMap::new();
    let unread = record::each(folder, &mut |record| {
        let is_other = workspace.is_some_and(|workspace| record.workspace() != workspace);
        if is_other || since.is_some_and(|since| record.time() < since) {
            return;
        }
        match record {
            Record::Shown(shown) if !shown.teams.is_empty() => {
                let list = lists.entry(shown.list).or_default();
                list.voter = Some((shown.person, shown.query));
                let teams = shown.pages.into_iter().zip(shown.teams);
                list.teams.extend(teams.filter_map(|(page, team)| Some((page, team?))));
            }
            // A click may be logged before the next page of its list, and after the page it is on: lists are known by then.
            Record::Done(done) if matches!(done.kind, FeedbackKind::Click | FeedbackKind::Open) => {
                if let Some(list) = lists.get_mut(&done.list) {
                    list.clicked.insert(done.page);
                }
            }
            Record::Shown(_) | Record::Done(_) => {}
        }
    })
    .with_context(|| format!("cannot read the log in {}", folder.display()))?;
    Ok(Preference { unread, ..count(lists.into_values(), effort) })
}

fn count(lists: impl Iterator<Item = List>, effort: &Effort) -> Preference {
    let (mut all, mut clicked) = (0, 0);
    let mut votes: BTreeMap<(Pseudonym, Pseudonym), i64> = BTreeMap::new();
    for list in lists {
        all += 1;
        let Some(voter) = list.voter.as_ref().filter(|_| !list.clicked.is_empty()) else { continue };
        clicked += 1;
        *votes.entry(voter.clone()).or_default() += list.balance().signum();
    }
    let signs: Vec<f64> = votes.values().map(|balance| balance.signum() as f64).collect();
    let of = |sign: f64| signs.iter().filter(|vote| (**vote - sign).abs() < 0.5).count();
    let (wins_a, wins_b) = (of(-1.0), of(1.0));
    // A share is half of the mean of signs.
    let Interval { low, high } = bootstrap_interval(&signs, effort);
    let mean = signs.iter().sum::<f64>() / signs.len().max(1) as f64;
    Preference {
        lists: all,
        lists_clicked: clicked,
        votes: signs.len(),
        wins_a,
        wins_b,
        ties: signs.len() - wins_a - wins_b,
        preference_b: mean / 2.0,
        interval: Interval { low: low / 2.0, high: high / 2.0 },
        p_value: sign_test(wins_a as u64, wins_b as u64),
        unread: 0,
    }
}

#[cfg(test)]
mod tests;
