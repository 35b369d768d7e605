//! `tessera suggest`: completes what a person is typing, from the committed index.

use std::io::Write;
use std::time::Duration;

use access::{Caller, Subject};
use anyhow::Context;
use index::OpenMode;
use query::deadline::Deadline;
use schemas::api::suggest::Suggestion;
use schemas::ids::{UserId, WorkspaceId};

use crate::config::{Config, Log};
use crate::parts;

/// Whom to complete for, and what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What was typed so far.
    typed: String,
    /// Workspace to look in.
    #[arg(long)]
    workspace: WorkspaceId,
    /// Person who types.
    #[arg(long = "as", value_name = "USER")]
    user: UserId,
    /// Most suggestions.
    #[arg(long, default_value_t = 8)]
    limit: u32,
    /// Print the response of the HTTP API.
    #[arg(long)]
    json: bool,
}

/// Suggests.
pub(crate) fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "error".to_owned(), json: false })?;
    let index = parts::open_index(config, OpenMode::ReadOnly)?;
    let engine = parts::open_query(config, index, None, None)?;
    let caller = Caller { workspace: arguments.workspace, subject: Subject::User(arguments.user) };
    let deadline = Deadline::after(Duration::from_secs(10));
    let suggested = engine.suggest(&caller, &arguments.typed, arguments.limit, deadline);
    let response = parts::small_runtime()?.block_on(suggested).context("cannot suggest")?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&response)?)?;
        return Ok(());
    }
    for suggestion in &response.results {
        match suggestion {
            Suggestion::Page { page, breadcrumb } => {
                let crumbs: Vec<&str> = breadcrumb.iter().map(|crumb| crumb.title.as_str()).collect();
                writeln!(out, "page  {}  [{}]  {}", page.title, page.id, crumbs.join(" / "))?;
            }
            Suggestion::Term { text } => writeln!(out, "word  {text}")?,
        }
    }
    Ok(())
}
