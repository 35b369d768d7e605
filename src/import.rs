//! `tessera import`: takes pages, groups and members in from files, with a progress bar.
//!
//! It writes to the index itself: a running server holds the lock, and an import of events can go to it by HTTP instead.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use index::OpenMode;
use indexer::engine::{Engine, ImportTarget};
use indexer::import::manifest::Manifest;
use indexer::import::report::{Progress, Report, Stage};
use indexer::import::{Options, Source};
use indicatif::{ProgressBar, ProgressStyle};
use query::audit::act::{Kind, What};
use schemas::grant::Role;
use schemas::ids::{UserId, WorkspaceId};

use crate::config::Config;
use crate::{audit, import_postgres, parts};

/// Warnings printed; the count tells of the rest.
const WARNINGS_SHOWN: usize = 20;
/// Longest wait for the last commit of an import.
pub(crate) const COMMIT_WAIT: Duration = Duration::from_hours(1);

/// What to import, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    format: Format,
    /// Workspace to import into [default: that of the manifest].
    #[arg(long, global = true)]
    workspace: Option<WorkspaceId>,
    /// Manifest with members, groups, teamspaces and grants [default: `workspace.toml` in the folder].
    #[arg(long, global = true, value_name = "FILE")]
    access: Option<PathBuf>,
    /// Member to add, as `ada` or `ada:guest`; may be repeated.
    #[arg(long = "member", global = true, value_name = "USER[:ROLE]", value_parser = parse_member)]
    members: Vec<(UserId, Role)>,
    /// Delete pages that an earlier import made and that the source no longer has.
    #[arg(long, global = true)]
    prune: bool,
    /// Do not wait until everything is embedded: the next `serve` or import goes on with it.
    #[arg(long, global = true)]
    text_only: bool,
    /// Print the report as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Format {
    /// A folder of Markdown, or JSON lines of pages (`.jsonl`, also `.gz` or `.zst`).
    Markdown {
        /// The folder or file.
        path: PathBuf,
    },
    /// A Notion export: the zip of "Markdown & CSV" or "HTML".
    NotionExport {
        /// The zip.
        zip: PathBuf,
    },
    /// Events, one a line.
    Ndjson {
        /// The file, also `.gz` or `.zst`.
        file: PathBuf,
    },
    /// What a PostgreSQL database holds: see docs/backfill.md.
    Postgres {
        #[command(subcommand)]
        what: import_postgres::What,
    },
    /// Pages as they were, then the edits made to them.
    History {
        /// The pages at the beginning.
        base: PathBuf,
        /// The edits, in order.
        edits: PathBuf,
    },
}

/// Imports.
pub(crate) fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    parts::start_log(&crate::config::Log { filter: "warn".to_owned(), json: config.log.json })?;
    let (source, from) = match arguments.format {
        Format::Markdown { path } => (Source::detect(&path)?, "markdown"),
        Format::NotionExport { zip } => (Source::Notion(zip), "notion_export"),
        Format::Ndjson { file } => (Source::Events(file), "ndjson"),
        Format::Postgres { what } => {
            anyhow::ensure!(
                arguments.access.is_none() && arguments.members.is_empty() && !arguments.prune,
                "`--access`, `--member` and `--prune` are not for a database, which says itself who may see what and what is gone"
            );
            let how = import_postgres::How { text_only: arguments.text_only, json: arguments.json };
            return import_postgres::run(config, &what, arguments.workspace.as_ref(), how);
        }
        Format::History { base, edits } => (Source::History { base, edits }, "history"),
    };
    let manifest = match (&arguments.access, &source) {
        (Some(path), _) => Some(Manifest::read(path)?),
        (None, Source::Markdown(folder)) => Manifest::find(folder)?,
        (None, _) => None,
    };
    let named = arguments.workspace.or_else(|| manifest.and_then(|manifest| manifest.workspace));
    let workspace = named.context("name the workspace with --workspace")?;
    let mut options = Options::new(workspace.clone(), jiff::Timestamp::now());
    options.access = arguments.access;
    options.members = arguments.members;
    options.prune = arguments.prune;

    let index = parts::open_index(config, OpenMode::ReadWrite)?;
    let embedder = if arguments.text_only { None } else { parts::start_embedder(config, &index) };
    let engine = parts::open_indexer(config, index, embedder.clone())?;
    let taken_in = What::new(Kind::Imported).within(&workspace).noting("from", from);
    audit::note_about(config, Some(engine.index()), None, taken_in)?;
    let mut target = ImportTarget::new(engine.clone(), workspace.clone());
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let imported = indexer::import::run(&source, &options, &mut target, &mut |progress| show(&bar, &progress));
    bar.set_message("committing");
    anyhow::ensure!(engine.wait_idle(COMMIT_WAIT), "the last commit did not come; run the import again");
    bar.finish_and_clear();
    let report = imported.context("the import stopped; run it again and it goes on from there")?;
    print(&report, &workspace, target.rejected(), &engine, arguments.json)?;
    if embedder.is_some() {
        embed(&engine);
    }
    anyhow::ensure!(engine.close(), "what was imported last could not be committed; run the import again");
    Ok(())
}

fn parse_member(text: &str) -> Result<(UserId, Role), String> {
    let (user, role) = text.split_once(':').unwrap_or((text, "member"));
    let role = match role {
        "member" => Role::Member,
        "guest" => Role::Guest,
        "removed" => Role::Removed,
        other => return Err(format!("a role is member, guest or removed, not `{other}`")),
    };
    Ok((UserId::new(user).map_err(|error| error.to_string())?, role))
}

fn show(bar: &ProgressBar, progress: &Progress) {
    if let Some(total) = progress.total.filter(|_| bar.length() != progress.total) {
        bar.set_length(total);
        bar.set_style(counted());
    }
    bar.set_position(progress.done);
    let stage = match progress.stage {
        Stage::Read => "reading",
        _ => "importing",
    };
    bar.set_message(format!("{stage}, {} events", progress.events));
}

fn counted() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} [{elapsed}, {eta} left]")
        .expect("the template is well formed")
}

/// Waits for the embeddings with a bar. Interrupting loses nothing: what is missing is taken up when the index is next opened.
pub(crate) fn embed(engine: &Engine) {
    let pending = engine.status().semantic_pending;
    if pending == 0 {
        return;
    }
    let bar = ProgressBar::new(pending).with_style(counted()).with_message("passages embedded; text is searchable");
    while !engine.wait_embedded(Duration::from_millis(500)) {
        let left = engine.status().semantic_pending;
        bar.set_position(pending.saturating_sub(left));
    }
    bar.finish();
}

fn print(report: &Report, workspace: &WorkspaceId, rejected: u64, engine: &Engine, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let status = engine.status();
    if json {
        let report = serde_json::json!({
            "workspace": workspace, "pages_seen": report.pages_seen, "pages_changed": report.pages_changed,
            "pages_removed": report.pages_removed, "events": report.events, "rejected": rejected,
            "warnings": report.warning_count(), "semantic_pending": status.semantic_pending,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    for warning in report.warnings.iter().take(WARNINGS_SHOWN) {
        let line = warning.line.map(|line| format!(":{line}")).unwrap_or_default();
        writeln!(out, "warning: {}{line}: {}", warning.file, warning.reason)?;
    }
    let warnings = report.warning_count();
    if warnings > WARNINGS_SHOWN as u64 {
        writeln!(out, "and {} more warnings", warnings - WARNINGS_SHOWN as u64)?;
    }
    writeln!(
        out,
        "{workspace}: {} pages read, {} changed, {} removed; {} events, {rejected} turned down; {} passages to embed",
        report.pages_seen, report.pages_changed, report.pages_removed, report.events, status.semantic_pending
    )?;
    Ok(())
}
