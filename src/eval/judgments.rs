//! `tessera eval judgments`: makes judgments of what people clicked, as a folder that is read as a collection.

use std::io::Write;
use std::path::PathBuf;

use eval::judgments::{Least, judge};
use query::feedback::FOLDER;
use schemas::ids::WorkspaceId;

use crate::config::Config;

/// Of what to make judgments, and where to put them.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder to write to, made if it is not there.
    folder: PathBuf,
    /// Workspace whose clicks to take.
    #[arg(long)]
    workspace: WorkspaceId,
    /// Lists in which a page must have been looked at for a query.
    #[arg(long, default_value_t = Least::default().lists)]
    lists_min: u32,
    /// People who must have looked at it.
    #[arg(long, default_value_t = Least::default().people)]
    people_min: usize,
    /// Print the counts as JSON.
    #[arg(long)]
    json: bool,
}

/// Judges.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let least = Least { lists: arguments.lists_min, people: arguments.people_min };
    let clicked = judge(&config.data_dir.join(FOLDER), &arguments.workspace, least)?;
    clicked.write(&arguments.folder)?;
    let counts = clicked.counts;
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&counts)?)?;
        return Ok(());
    }
    writeln!(out, "{} lists, {} of use; {} pairs of query and page", counts.lists, counts.lists_used, counts.pairs)?;
    writeln!(
        out,
        "{} judgments of {} queries, {} with their text, in {}",
        counts.judged,
        counts.queries,
        counts.queries_with_text,
        arguments.folder.display()
    )?;
    if counts.unread > 0 {
        writeln!(out, "{} lines of the log could not be read", counts.unread)?;
    }
    Ok(())
}
