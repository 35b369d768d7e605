//! `tessera explain-access`: why a person can or cannot see a page, for those who administer the workspace.

use std::io::Write;

use access::Subject;
use anyhow::Context;
use index::OpenMode;
use query::audit::act::{Kind, What};
use schemas::ids::{PageId, UserId, WorkspaceId};

use crate::config::{Config, Log};
use crate::{audit, parts};

/// Whom and what it is about.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Workspace of the page.
    #[arg(long)]
    workspace: WorkspaceId,
    /// Person it is about.
    #[arg(long)]
    user: UserId,
    /// Page it is about.
    #[arg(long)]
    page: PageId,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Explains.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "error".to_owned(), json: false })?;
    let index = parts::open_index(config, OpenMode::ReadOnly)?;
    let what = What::new(Kind::ExplainAccess).within(&arguments.workspace).on([&arguments.page]);
    audit::note_about(config, Some(&index), Some(&arguments.user), what)?;
    let mut out = std::io::stdout().lock();
    let subject = Subject::User(arguments.user.clone());
    if arguments.json {
        let engine = parts::open_query(config, index, None, None)?;
        let explained = engine.explain_access(&arguments.workspace, None, &subject, &arguments.page);
        writeln!(out, "{}", serde_json::to_string_pretty(&explained)?)?;
        return Ok(());
    }
    let workspace = index.catalog().get(&arguments.workspace).context("nothing is known of this workspace")?;
    writeln!(out, "{}", workspace.read().access.explain(&subject, &arguments.page))?;
    Ok(())
}
