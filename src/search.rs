//! `tessera search`: what a person finds, from the committed index. Works beside a running server.

use std::io::Write;
use std::time::Duration;

use access::{Caller, Subject};
use anyhow::Context;
use index::OpenMode;
use query::audit::act::{Kind, What};
use query::deadline::Deadline;
use schemas::api::search::{Hit, Mode, SearchRequest, SearchResponse};
use schemas::ids::{UserId, WorkspaceId};

use crate::config::{Config, Log};
use crate::{audit, parts};

/// Whom to search as, and for what.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Arguments {
    /// The query, as in the search field: words, "phrases", -exclusions, title: type: author: in: tag: before: after:.
    query: String,
    /// Workspace to search.
    #[arg(long)]
    workspace: WorkspaceId,
    /// Person to search as.
    #[arg(long = "as", value_name = "USER")]
    user: UserId,
    /// Most pages to list.
    #[arg(long, default_value_t = 10)]
    limit: u32,
    /// Search by words alone, without loading the model.
    #[arg(long)]
    lexical: bool,
    /// Show how scores came about.
    #[arg(long)]
    score_details: bool,
    /// Search the trash.
    #[arg(long)]
    trash: bool,
    /// Print the response of the HTTP API.
    #[arg(long)]
    json: bool,
}

/// Searches.
pub(crate) fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "error".to_owned(), json: false })?;
    let index = parts::open_index(config, OpenMode::ReadOnly)?;
    let embedder = if arguments.lexical { None } else { parts::start_embedder(config, &index) };
    let engine = parts::open_query(config, index.clone(), embedder, None)?;
    let (workspace, user) = (arguments.workspace.clone(), arguments.user.clone());
    let caller = Caller { workspace: arguments.workspace, subject: Subject::User(arguments.user) };
    let request = SearchRequest {
        query: arguments.query,
        limit: arguments.limit,
        mode: if arguments.lexical { Mode::Lexical } else { Mode::Hybrid },
        score_details: arguments.score_details,
        include_trashed: arguments.trash,
        ..SearchRequest::default()
    };
    let deadline = Deadline::after(Duration::from_secs(30));
    let response =
        parts::small_runtime()?.block_on(engine.search(&caller, request, deadline)).context("search failed")?;
    let what = What::new(Kind::Search).within(&workspace).on(response.results.iter().map(|hit| &hit.page.id));
    audit::note_about(config, Some(&index), Some(&user), what)?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&response)?)?;
        return Ok(());
    }
    print(&mut out, &response)
}

fn print(out: &mut impl Write, response: &SearchResponse) -> anyhow::Result<()> {
    if response.results.is_empty() {
        writeln!(out, "nothing found in what this person can see")?;
    }
    for (rank, hit) in response.results.iter().enumerate() {
        let crumbs: Vec<&str> = hit.breadcrumb.iter().map(|crumb| crumb.title.as_str()).collect();
        writeln!(out, "{:>2}. {}  [{}]", rank + 1, hit.page.title, hit.page.id)?;
        if !crumbs.is_empty() {
            writeln!(out, "    {}", crumbs.join(" / "))?;
        }
        writeln!(out, "    {}", marked(hit).replace('\n', " "))?;
        if let Some(details) = &hit.score_details {
            writeln!(out, "    {}", serde_json::to_string(details)?)?;
        }
    }
    if !response.degraded.is_empty() {
        writeln!(out, "degraded: {}", serde_json::to_string(&response.degraded)?)?;
    }
    if response.semantic_pending {
        writeln!(out, "some passages are not embedded yet: they are found by words alone")?;
    }
    Ok(())
}

/// The snippet with its highlights between asterisks.
fn marked(hit: &Hit) -> String {
    let text: Vec<char> = hit.snippet.text.chars().collect();
    let starts = |at: usize| hit.snippet.highlights.iter().any(|range| range[0] as usize == at);
    let ends = |at: usize| hit.snippet.highlights.iter().any(|range| range[1] as usize == at);
    let mut out = String::new();
    for at in 0..=text.len() {
        if ends(at) {
            out.push('*');
        }
        if starts(at) {
            out.push('*');
        }
        out.extend(text.get(at));
    }
    out
}
