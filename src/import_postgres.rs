//! `tessera import postgres`: takes in what a database holds, its outbox or its tables.
//!
//! It writes to the index itself, as the other imports do; a server follows the outbox by itself, where `postgres.follow` is set.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use index::OpenMode;
use indexer::postgres::{OutboxReport, PostgresError, TablesReport, read_outbox, read_tables};
use indicatif::ProgressBar;
use query::audit::act;
use schemas::ids::WorkspaceId;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::import::{COMMIT_WAIT, embed};
use crate::serve::stop_on_signals;
use crate::{audit, parts};

/// What to take in of a database.
#[derive(Subcommand)]
pub(crate) enum What {
    /// The events of the outbox, from where the index ends.
    Outbox {
        /// Read it from its start, whatever the index says: what is known changes nothing.
        #[arg(long)]
        from_start: bool,
    },
    /// Members, groups, pages and blocks, as they are now.
    Tables,
}

/// How to take it in.
#[derive(Clone, Copy)]
pub(crate) struct How {
    pub(crate) text_only: bool,
    pub(crate) json: bool,
}

/// Imports. SIGINT and SIGTERM end it after the batch at hand, with what was read committed.
pub(crate) fn run(config: &Config, what: &What, workspace: Option<&WorkspaceId>, how: How) -> anyhow::Result<()> {
    if let (What::Outbox { .. }, Some(workspace)) = (what, workspace) {
        anyhow::bail!(
            "an outbox is read whole, for there is one place up to which it was read: leave `--workspace {workspace}` out"
        );
    }
    let secrets = config.postgres_secrets()?;
    anyhow::ensure!(config.postgres.is_enabled(&secrets), PostgresError::NoDatabase);
    let index = parts::open_index(config, OpenMode::ReadWrite)?;
    let embedder = if how.text_only { None } else { parts::start_embedder(config, &index) };
    let engine = parts::open_indexer(config, index, embedder.clone())?;
    let from = if matches!(what, What::Tables) { "postgres_tables" } else { "postgres_outbox" };
    let done = act::What::new(act::Kind::Imported).noting("from", from);
    let done = workspace.map_or(done.clone(), |workspace| done.within(workspace));
    audit::note_about(config, Some(engine.index()), None, done)?;
    let stop = CancellationToken::new();
    let runtime = parts::signal_runtime()?;
    runtime.spawn(stop_on_signals(stop.clone()));

    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let imported = match what {
        What::Outbox { from_start } => {
            let show = &mut |report: &OutboxReport| bar.set_message(format!("{} events", report.rows));
            read_outbox(&config.postgres, &secrets, &engine, *from_start, &stop, show).map(Imported::Outbox)
        }
        What::Tables => {
            let show = &mut |report: &TablesReport| bar.set_message(rows(report));
            read_tables(&config.postgres, &secrets, &engine, workspace, &stop, show).map(Imported::Tables)
        }
    };
    bar.set_message("committing");
    anyhow::ensure!(engine.wait_idle(COMMIT_WAIT), "the last commit did not come; run the import again");
    bar.finish_and_clear();
    let imported = imported.context("the import stopped; run it again, and what is known by now changes nothing")?;
    let mut out = std::io::stdout().lock();
    let pending = engine.status().semantic_pending;
    if how.json {
        writeln!(out, "{}", imported.json(pending))?;
    } else {
        imported.print(&mut out, pending)?;
    }
    drop(out);
    if embedder.is_some() && !stop.is_cancelled() {
        embed(&engine);
    }
    anyhow::ensure!(engine.close(), "what was imported last could not be committed; run the import again");
    Ok(())
}

enum Imported {
    Outbox(OutboxReport),
    Tables(TablesReport),
}

impl Imported {
    fn json(&self, pending: u64) -> Value {
        let (mut report, taken) = match self {
            Self::Outbox(OutboxReport { rows, taken, held_back, position }) => {
                let position = position.map(|at| json!({"transaction": at.transaction, "id": at.id}));
                (json!({"rows": rows, "held_back": held_back, "position": position}), taken)
            }
            Self::Tables(TablesReport { rows, taken }) => (json!({"rows": rows}), taken),
        };
        report["accepted"] = taken.accepted.into();
        report["unchanged"] = taken.unchanged.into();
        report["rejected"] = taken.rejected.into();
        report["semantic_pending"] = pending.into();
        report
    }

    fn print(&self, out: &mut dyn Write, pending: u64) -> std::io::Result<()> {
        let taken = match self {
            Self::Outbox(report) => {
                if report.held_back > 0 {
                    writeln!(
                        out,
                        "note: {} rows wait for transactions that are not over; they come with the next import",
                        report.held_back
                    )?;
                }
                match report.position {
                    Some(at) => writeln!(
                        out,
                        "{} events read, up to transaction {}, id {}",
                        report.rows, at.transaction, at.id
                    )?,
                    None => writeln!(out, "the outbox is empty")?,
                }
                report.taken
            }
            Self::Tables(report) => {
                writeln!(out, "read: {}", rows(report))?;
                report.taken
            }
        };
        writeln!(
            out,
            "{} events changed something, {} did not, {} rows turned down; {pending} passages to embed",
            taken.accepted, taken.unchanged, taken.rejected
        )
    }
}

fn rows(report: &TablesReport) -> String {
    let rows: Vec<_> = report.rows.iter().map(|(table, rows)| format!("{rows} {table}")).collect();
    rows.join(", ")
}
