//! Judgments from clicks: what people clicked in the log of a server, made into grades by a stated model.
//!
//! Clicks tell where a hit stood as much as what it is worth. The model takes that out by counting only what somebody looked
//! at: people read from the top, and stop below their last click. Of a hit that was looked at,
//!
//! ```text
//! attraction   = (clicks + 0.5) / (looks + 1)        how often it is clicked when it is looked at
//! satisfaction = (satisfied clicks + 0.5) / (clicks + 1)
//! relevance    = attraction * satisfaction           0 without a click
//! ```
//!
//! A click satisfies when it is the last of its list, unless the page was left within 30 seconds or said not to help; a page
//! that was said to help satisfies wherever it stood. Lists without a click, narrowed by filters, or searched while a word was
//! still being typed say nothing. Relevance becomes a grade by [`GRADES`], and only where enough lists and enough people stand
//! behind it: the rest is left unjudged, which is not the same as judged 0.
//!
//! Source: the simplified model of Chapelle and Zhang, "A dynamic Bayesian network click model for web search ranking", WWW
//! 2009, section 5; 30 seconds are those of Fox, Karnawat, Mydland, Dumais and White, ACM TOIS 23(2), 2005. The borders of the
//! grades and the least counts are conventions that were tuned on nothing.
//!
//! What it cannot know: a page that no ranking ever showed, and people who read differently. So these judgments compare
//! rankings of one product over time; they do not replace judges.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context;
use query::feedback::record::{self, Done, Record, Shown};
use query::feedback::{ListId, Pseudonym};
use schemas::api::feedback::FeedbackKind;
use schemas::ids::{PageId, WorkspaceId};
use serde::Serialize;

use crate::qrels::Qrels;

/// The split that the judgments are written as.
pub const SPLIT: &str = "clicks";
/// The relevance from which a grade is given, best first; below the last it is 0.
pub const GRADES: [(f64, i32); 3] = [(0.5, 3), (0.25, 2), (0.1, 1)];
/// Shortest time on a page that was of use, in milliseconds.
const DWELL_MS_MIN: u32 = 30_000;

/// What must stand behind a judgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Least {
    /// Lists in which the page was looked at for the query.
    pub lists: u32,
    /// People whose lists these were. It keeps what one person searched for out of the judgments, too.
    pub people: usize,
}

impl Default for Least {
    fn default() -> Self {
        Self { lists: 5, people: 3 }
    }
}

/// What clicks say.
#[derive(Debug, Default)]
pub struct Clicked {
    /// The judgments; queries go by their names in the log, documents by the ids of their pages.
    pub qrels: Qrels,
    /// The texts of those queries, as far as the log keeps them.
    pub texts: BTreeMap<String, String>,
    /// Counts.
    pub counts: Counts,
}

/// How much was read and how much came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lists of the workspace.
    pub lists: usize,
    /// Those that say something: with a click, not narrowed, not while typing.
    pub lists_used: usize,
    /// Pairs of a query and a page that somebody looked at.
    pub pairs: usize,
    /// Pairs with enough lists and people behind them.
    pub judged: usize,
    /// Queries with a judgment.
    pub queries: usize,
    /// Those whose text is known.
    pub queries_with_text: usize,
    /// Lines of the log that could not be read.
    pub unread: u64,
}

/// One list, put together from its pages and what was done with its hits.
#[derive(Debug, Default)]
struct List {
    person: Option<Pseudonym>,
    query: Option<Pseudonym>,
    text: Option<String>,
    /// What it shows cannot be told from what filters or half a word left over.
    is_narrowed: bool,
    /// By rank, over all pages of the list.
    pages: BTreeMap<u32, PageId>,
    done: BTreeMap<PageId, Acts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Acts {
    clicked: bool,
    left_soon: bool,
    /// Whether it was said to help, or not to.
    helped: Option<bool>,
}

/// What is known of a page for a query.
#[derive(Debug, Default)]
struct Pair {
    looks: u32,
    clicks: u32,
    satisfied: u32,
    people: BTreeSet<Pseudonym>,
}

impl Pair {
    fn relevance(&self) -> f64 {
        if self.clicks == 0 {
            return 0.0;
        }
        let share = |some: u32, of: u32| (f64::from(some) + 0.5) / (f64::from(of) + 1.0);
        share(self.clicks, self.looks) * share(self.satisfied, self.clicks)
    }

    fn grade(&self) -> i32 {
        let relevance = self.relevance();
        GRADES.iter().find(|(from, _)| relevance >= *from).map_or(0, |(_, grade)| *grade)
    }
}

impl List {
    fn show(&mut self, shown: Shown) {
        self.person = Some(shown.person);
        self.query = Some(shown.query);
        self.is_narrowed |= shown.filtered || shown.prefix;
        self.text = shown.text.or(self.text.take());
        self.pages.extend((shown.first_rank..).zip(shown.pages));
    }

    fn act(&mut self, done: Done) {
        let acts = self.done.entry(done.page).or_default();
        match done.kind {
            FeedbackKind::Click | FeedbackKind::Open => acts.clicked = true,
            FeedbackKind::Dwell => acts.left_soon = done.dwell_ms.is_some_and(|ms| ms < DWELL_MS_MIN),
            // Who says that a page helped has seen it.
            FeedbackKind::Helpful => (acts.clicked, acts.helped) = (true, Some(true)),
            FeedbackKind::NotHelpful => (acts.clicked, acts.helped) = (true, Some(false)),
        }
    }

    /// Adds what this list says; false when it says nothing.
    fn tell(&self, pairs: &mut BTreeMap<(Pseudonym, PageId), Pair>) -> bool {
        let acts = |page: &PageId| self.done.get(page).copied().unwrap_or_default();
        let last = self.pages.iter().rev().find(|(_, page)| acts(page).clicked).map(|(rank, _)| *rank);
        let (Some(last), Some(person), Some(query), false) = (last, &self.person, &self.query, self.is_narrowed) else {
            return false;
        };
        for (rank, page) in self.pages.range(..=last) {
            let pair = pairs.entry((query.clone(), page.clone())).or_default();
            let Acts { clicked, left_soon, helped } = acts(page);
            let satisfied = helped.unwrap_or(*rank == last && !left_soon);
            pair.looks += 1;
            pair.clicks += u32::from(clicked);
            pair.satisfied += u32::from(clicked && satisfied);
            pair.people.insert(person.clone());
        }
        true
    }
}

/// Reads the log in a folder and judges by the clicks of one workspace.
///
/// Holds the lists of the workspace in memory, which are no more than the bounded size of the log.
pub fn judge(folder: &Path, workspace: &WorkspaceId, least: Least) -> anyhow::Result<Clicked> {
    let mut lists: BTreeMap<ListId, List> = BTreeMap::new();
    let unread = record::each(folder, &mut |record| match record {
        record if record.workspace() != workspace => {}
        Record::Shown(shown) => lists.entry(shown.list).or_default().show(shown),
        // Of a list whose beginning was rotated away, nothing can be told.
        Record::Done(done) => _ = lists.get_mut(&done.list).map(|list| list.act(done)),
    })
    .with_context(|| format!("cannot read the log in {}", folder.display()))?;
    let mut clicked = judged(&lists, least)?;
    clicked.counts.unread = unread;
    Ok(clicked)
}

fn judged(lists: &BTreeMap<ListId, List>, least: Least) -> anyhow::Result<Clicked> {
    let mut pairs = BTreeMap::new();
    let mut clicked = Clicked::default();
    clicked.counts.lists = lists.len();
    let mut texts: BTreeMap<&Pseudonym, &String> = BTreeMap::new();
    for list in lists.values() {
        clicked.counts.lists_used += usize::from(list.tell(&mut pairs));
        texts.extend(list.query.as_ref().zip(list.text.as_ref()));
    }
    clicked.counts.pairs = pairs.len();
    for ((query, page), pair) in &pairs {
        if pair.looks < least.lists || pair.people.len() < least.people {
            continue;
        }
        clicked.qrels.judge(query.as_str(), page.as_str(), pair.grade())?;
        clicked.counts.judged += 1;
        if let Some(text) = texts.get(query) {
            clicked.texts.insert(query.as_str().to_owned(), (*text).clone());
        }
    }
    clicked.counts.queries = clicked.qrels.queries().len();
    clicked.counts.queries_with_text = clicked.texts.len();
    Ok(clicked)
}

impl Clicked {
    /// Writes a folder that is read as a collection over a workspace, and the same judgments as TREC qrels:
    ///
    /// ```text
    /// queries.jsonl       the queries whose text is known
    /// qrels/clicks.tsv    their judgments
    /// clicks.qrels        all judgments, those of queries without text too
    /// ```
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let failed = || format!("cannot write to {}", folder.display());
        fs::create_dir_all(folder.join("qrels")).with_context(failed)?;
        let create = |name: &str| File::create(folder.join(name)).map(BufWriter::new).with_context(failed);
        let mut queries = create("queries.jsonl")?;
        for (id, text) in &self.texts {
            writeln!(queries, "{}", serde_json::json!({"_id": id, "text": text})).with_context(failed)?;
        }
        queries.flush().with_context(failed)?;
        let mut table = create(&format!("qrels/{SPLIT}.tsv"))?;
        self.qrels
            .restricted(&|query, _| self.texts.contains_key(query))
            .write_beir(&mut table)
            .with_context(failed)?;
        table.flush().with_context(failed)?;
        let mut all = create(&format!("{SPLIT}.qrels"))?;
        self.qrels.write_trec(&mut all).with_context(failed)?;
        all.flush().with_context(failed)
    }
}

#[cfg(test)]
mod tests;
