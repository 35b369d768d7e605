//! `tessera eval interleaving`: which of two interleaved rankings people prefer.

use std::io::Write;

use eval::interleaving::analyse;
use eval::statistics::Effort;
use query::feedback::FOLDER;
use schemas::ids::WorkspaceId;

use crate::config::Config;

/// Whose clicks to count.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Workspace to count [default: all].
    #[arg(long)]
    workspace: Option<WorkspaceId>,
    /// Count from this time on, as 2026-03-01T00:00:00Z: when the second configuration last changed.
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

/// Counts.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let folder = config.data_dir.join(FOLDER);
    let found = analyse(&folder, arguments.workspace.as_ref(), arguments.since, &Effort::default())?;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
        return Ok(());
    }
    writeln!(out, "{} lists interleaved, {} with a click, {} votes", found.lists, found.lists_clicked, found.votes)?;
    writeln!(
        out,
        "for the ranking in use {}, for the second {}, for neither {}",
        found.wins_a, found.wins_b, found.ties
    )?;
    let (low, high) = (found.interval.low, found.interval.high);
    writeln!(out, "preference for the second {:+.3} ({low:+.3} to {high:+.3})", found.preference_b)?;
    writeln!(out, "sign test p = {:.4}", found.p_value.value)?;
    if found.unread > 0 {
        writeln!(out, "{} lines of the log could not be read", found.unread)?;
    }
    Ok(())
}
