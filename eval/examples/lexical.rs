//! Measures what analysis finds by words alone: nDCG@10 and Recall@100 of the lexical leg, by page.
//!
//! Each collection is imported through the write side that ships, without a model, into an index of its own, and asked with
//! `mode=lexical` under the default configuration. Quick enough to run after every change of `index::analysis`; it keeps
//! nothing and compares nothing.
//!
//! `cargo run -p eval --example lexical -- [--no-title] [--split NAME] [--keep DIR] [--limit N] [--ranks FILE] FOLDER...`
//!
//! `--no-title` leaves titles out of the index, as XQuAD asks for; `--keep` makes the index in a folder, or takes the one
//! that is there; `--limit` asks for fewer pages, which is
//! quicker and makes the recall that of so many; `--ranks` writes the rank of the best relevant page of each query.

#![expect(clippy::print_stdout, reason = "it prints its findings")]

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use access::{Caller, Subject};
use anyhow::{Context, Result, ensure};
use eval::dataset::{Corpus, Dataset};
use eval::metrics::{Metric, Missing, evaluate, mean};
use eval::runs::Run;
use index::{Index, OpenMode};
use indexer::engine::ImportTarget;
use indexer::import::{Options, Source, Target};
use query::deadline::Deadline;
use query::engine::Engine;
use schemas::api::search::{Mode, SearchRequest};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::grant::{Grant, Level, Principal, Role};
use schemas::ids::{BlockId, PageId, RegionId, UserId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::version::{Timestamp, VectorClock, Version};

/// Vectors are not made; an index has to have a width for them.
const DIMENSIONS: usize = 8;
/// Pages asked for, unless `--limit` says otherwise.
const LIMIT: u32 = 100;
/// Events handed over at once.
const BATCH_EVENTS: usize = 2_000;
const PATIENCE: Duration = Duration::from_hours(1);
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Arguments {
    folders: Vec<PathBuf>,
    no_title: bool,
    split: Option<String>,
    keep: Option<PathBuf>,
    limit: Option<u32>,
    ranks: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = read_arguments()?;
    let mut ranks = arguments.ranks.as_ref().map(std::fs::File::create).transpose()?;
    println!("{:>24} {:>7} {:>7} {:>7} {:>10}", "", "queries", "nDCG@10", "R@100", "s");
    for folder in &arguments.folders {
        for dataset in Dataset::find(folder)? {
            measure(&dataset, &arguments, ranks.as_mut())?;
        }
    }
    Ok(())
}

fn read_arguments() -> Result<Arguments> {
    let mut read = Arguments::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--no-title" => read.no_title = true,
            "--split" => read.split = Some(arguments.next().context("--split takes a name")?),
            "--keep" => read.keep = Some(arguments.next().context("--keep takes a folder")?.into()),
            "--limit" => read.limit = Some(arguments.next().context("--limit takes a number")?.parse()?),
            "--ranks" => read.ranks = Some(arguments.next().context("--ranks takes a file")?.into()),
            _ => read.folders.push(argument.into()),
        }
    }
    ensure!(!read.folders.is_empty(), "name at least one folder of a collection");
    Ok(read)
}

fn measure(dataset: &Dataset, arguments: &Arguments, mut ranks: Option<&mut std::fs::File>) -> Result<()> {
    let started = Instant::now();
    let temporary = tempfile::tempdir()?;
    let dir = arguments.keep.as_ref().map_or(temporary.path(), |keep| keep);
    let is_there = dir.join("index").is_dir();
    let config = index::Config { dir: dir.join("index"), dimensions: DIMENSIONS, ..index::Config::default() };
    let index = Index::open(&config, OpenMode::ReadWrite)?;
    if !is_there {
        fill(&index, dir, dataset, arguments.no_title)?;
    }
    let made_s = started.elapsed().as_secs_f64();
    let documents = documents_by_page(&dataset.corpus)?;
    let engine = Engine::new(index, None, query::config::Config::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (split, qrels) in &dataset.splits {
        if arguments.split.as_ref().is_some_and(|wanted| wanted != split) {
            continue;
        }
        let mut run = Run::new("lexical");
        let asked = Instant::now();
        for (id, judgments) in qrels.queries() {
            let text = dataset.queries[id].text.clone();
            let limit = arguments.limit.unwrap_or(LIMIT);
            let request = SearchRequest { query: text, mode: Mode::Lexical, limit, ..SearchRequest::default() };
            let response = runtime.block_on(engine.search(&caller()?, request, Deadline::after(DEADLINE)))?;
            let name = |page: &PageId| documents.get(page).cloned().unwrap_or_else(|| page.to_string());
            let found: Vec<String> = response.results.iter().map(|hit| name(&hit.page.id)).collect();
            if let Some(file) = &mut ranks {
                let rank = found.iter().position(|document| judgments.get(document).is_some_and(|grade| *grade > 0));
                writeln!(file, "{id}\t{}\t{}", rank.map_or(0, |at| at + 1), found[..found.len().min(5)].join("\t"))?;
            }
            run.insert_in_order(id, found)?;
        }
        let (ndcg, recall) = ("nDCG@10".parse::<Metric>()?, "R@100".parse::<Metric>()?);
        let scores = evaluate(qrels, &run, &[ndcg, recall], Missing::Zero);
        println!(
            "{:>24} {:>7} {:>7.4} {:>7.4} {made_s:>4.0} + {:>3.0}",
            format!("{} {split}", dataset.name),
            qrels.queries().count(),
            mean(&scores[&ndcg]),
            mean(&scores[&recall]),
            asked.elapsed().as_secs_f64()
        );
        let mut tags: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (id, score) in &scores[&ndcg] {
            dataset.queries[id].tags.iter().for_each(|tag| tags.entry(tag).or_default().push(*score));
        }
        for (tag, scores) in tags {
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            println!("{tag:>24} {:>7} {mean:>7.4}", scores.len());
        }
    }
    Ok(())
}

/// Imports the documents of a collection.
fn fill(index: &Index, dir: &Path, dataset: &Dataset, no_title: bool) -> Result<()> {
    let config = indexer::config::Config { data_dir: dir.to_owned(), ..indexer::config::Config::default() };
    let engine = indexer::engine::Engine::open(index.clone(), None, config)?;
    let mut target = ImportTarget::new(engine.clone(), workspace()?);
    match &dataset.corpus {
        Corpus::Pages(path) => {
            let mut options = Options::new(workspace()?, jiff::Timestamp::UNIX_EPOCH);
            options.members = vec![(user()?, Role::Member)];
            indexer::import::run(&Source::Pages(path.clone()), &options, &mut target, &mut |_| {})?;
        }
        Corpus::Texts(_) => {
            let mut events = vec![event(1, Change::MemberChanged { user: user()?, role: Role::Member })?];
            let mut count = 1;
            dataset.corpus.each(&mut |document| {
                let title = if no_title { String::new() } else { document.title };
                for change in page(&document.id, title, &document.text)? {
                    count += 1;
                    events.push(event(count, change)?);
                }
                if events.len() >= BATCH_EVENTS {
                    target.apply(std::mem::take(&mut events)).map_err(anyhow::Error::from_boxed)?;
                }
                Ok(())
            })?;
            target.apply(events).map_err(anyhow::Error::from_boxed)?;
        }
    }
    ensure!(engine.wait_idle(PATIENCE), "the last commit did not come");
    let stats = engine.workspace_status(&workspace()?).context("the workspace was just imported")?.stats;
    println!("{}: {} pages, {} passages, {} tokens", dataset.name, stats.pages, stats.passages, stats.tokens);
    ensure!(engine.close(), "what was imported last could not be committed");
    index.reload()?;
    Ok(())
}

/// A page of plain text, a block for each line.
fn page(id: &str, title: String, text: &str) -> Result<Vec<Change>> {
    let page = PageId::new(id)?;
    let patch = PagePatch { title: Some(title), parent: Some(Parent::Workspace), ..PagePatch::default() };
    let open = Grant { principal: Principal::Workspace, level: Level::View };
    let mut changes = vec![
        Change::PageUpserted { page: page.clone(), patch: Box::new(patch) },
        Change::PageAccessChanged { page: page.clone(), grants: vec![open], restricted: false },
    ];
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let content = Some(BlockContent::text(BlockType::Paragraph, line));
        let patch = BlockPatch { page: page.clone(), parent: None, position: format!("{at:06}"), content };
        changes.push(Change::BlockUpserted { block: BlockId::new(format!("{id}-{at}"))?, patch });
    }
    Ok(changes)
}

fn event(count: u64, change: Change) -> Result<Event> {
    let region = RegionId::new("eval")?;
    let version =
        Version { clock: VectorClock::of(&region, count), timestamp: Timestamp { wall_ms: 1, logical: 0 }, region };
    let (id, source) = (format!("eval:{count}"), "eval".to_owned());
    Ok(Event { id, source, workspace: workspace()?, time: None, version, change })
}

/// The name that the judgments have for each page.
fn documents_by_page(corpus: &Corpus) -> Result<HashMap<PageId, String>> {
    match corpus {
        Corpus::Texts(_) => Ok(HashMap::new()),
        Corpus::Pages(path) => {
            let ids = indexer::import::page_ids(&Source::Pages(path.clone()))?;
            Ok(ids.into_iter().map(|(path, page)| (page, path)).collect())
        }
    }
}

fn caller() -> Result<Caller> {
    Ok(Caller { workspace: workspace()?, subject: Subject::User(user()?) })
}

fn workspace() -> Result<WorkspaceId> {
    Ok(WorkspaceId::new("docs")?)
}

fn user() -> Result<UserId> {
    Ok(UserId::new("ada")?)
}
