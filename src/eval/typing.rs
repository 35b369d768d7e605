//! `tessera eval typing`: how soon a page comes up while its title is typed, and how fast the answers are.

use std::io::Write;

use access::{Caller, Subject};
use eval::typing::{Latency, Report, Typing, measure};
use index::OpenMode;
use schemas::api::search::Mode;
use schemas::ids::{UserId, WorkspaceId};

use crate::config::Config;
use crate::parts;

/// Whose typing to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Workspace to type in.
    #[arg(long)]
    workspace: WorkspaceId,
    /// Person who types.
    #[arg(long = "as", value_name = "USER")]
    user: UserId,
    /// Titles to type.
    #[arg(long, default_value_t = Typing::default().titles)]
    titles: usize,
    /// Letters of each to type.
    #[arg(long, default_value_t = Typing::default().chars)]
    chars: usize,
    /// Where the random numbers begin.
    #[arg(long, default_value_t = Typing::default().seed)]
    seed: u64,
    /// Search by meaning too, at every letter; otherwise by words alone.
    #[arg(long)]
    hybrid: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Types.
pub(crate) fn run(config: &Config, arguments: Arguments) -> anyhow::Result<()> {
    let index = parts::open_index(config, OpenMode::ReadOnly)?;
    let embedder = if arguments.hybrid { parts::start_embedder(config, &index) } else { None };
    let engine = parts::open_query(config, index.clone(), embedder, None)?;
    let caller = Caller { workspace: arguments.workspace, subject: Subject::User(arguments.user) };
    let mode = if arguments.hybrid { Mode::Hybrid } else { Mode::Lexical };
    let typing = Typing { titles: arguments.titles, chars: arguments.chars, mode, seed: arguments.seed };
    let report = parts::small_runtime()?.block_on(measure(&engine, &index, &caller, &typing))?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(());
    }
    print(&mut out, &report)
}

fn print(out: &mut impl Write, report: &Report) -> anyhow::Result<()> {
    writeln!(out, "{} titles of {}", report.titles, report.titles_known)?;
    writeln!(out, "letters  titles  suggest success@5  search success@5  to be had")?;
    for after in &report.by_chars {
        let (suggest, search) = (after.suggest_success_at_5, after.search_success_at_5);
        writeln!(
            out,
            "{:>7}  {:>6}  {suggest:>17.3}  {search:>16.3}  {:>9.3}",
            after.chars, after.titles, after.to_be_had
        )?;
    }
    for (what, Latency { requests, p50_ms, p95_ms, p99_ms, max_ms }) in
        [("suggest", report.suggest), ("search", report.search)]
    {
        writeln!(
            out,
            "{what}: {requests} requests, p50 {p50_ms:.2} ms, p95 {p95_ms:.2} ms, p99 {p99_ms:.2} ms, longest {max_ms:.2} ms"
        )?;
    }
    Ok(())
}
