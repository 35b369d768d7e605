//! `tessera verify`: compares the index with its records, names every difference, and writes anew what differs.
//!
//! Without `--repair` it looks at the last commit beside a running server, and waits for nothing.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use index::OpenMode;
use indexer::verify::{Options, Step, Summary, verify};
use indicatif::{ProgressBar, ProgressStyle};
use query::audit::act::{Kind, What};

use crate::config::{Config, Log};
use crate::{audit, parts};

/// Differences listed; the counts tell of the rest.
const LISTED_MAX: usize = 200;
/// Times that an index is gone through to repair it: what one repair leaves without a record, the next removes.
const ROUNDS_MAX: usize = 3;

/// What is done beside comparing.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Compare the words under which each passage is found with its text, too.
    #[arg(long)]
    deep: bool,
    /// Write anew what differs. No server may write to the index meanwhile.
    #[arg(long)]
    repair: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// A difference as it is listed.
#[derive(serde::Serialize)]
struct Listed {
    kind: &'static str,
    place: String,
    what: String,
    repaired: bool,
}

/// Verifies. An error when the index is not as it should be in the end.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "warn".to_owned(), json: config.log.json })?;
    if arguments.repair {
        audit::note(config, What::new(Kind::Repaired))?;
    }
    let started = Instant::now();
    let mut listed = Vec::new();
    let first = round(config, arguments, false, &mut listed)?;
    let mut last = first.clone();
    for _ in 1..ROUNDS_MAX {
        if !arguments.repair || last.is_clean() || last.repaired == 0 {
            break;
        }
        last = round(config, arguments, true, &mut Vec::new())?;
    }
    report(&first, &last, &listed, started.elapsed(), arguments.json)?;
    if last.is_clean() {
        return Ok(());
    }
    let is_repairable = last.differences.keys().all(|kind| kind.is_repairable());
    anyhow::ensure!(
        !is_repairable || arguments.repair,
        "the index differs from its records; stop the server and verify with --repair"
    );
    anyhow::bail!("the index is damaged beyond what its records say; restore it from a snapshot (`tessera restore`)")
}

fn round(
    config: &Config,
    arguments: &Arguments,
    skip_files: bool,
    listed: &mut Vec<Listed>,
) -> anyhow::Result<Summary> {
    let mode = if arguments.repair { OpenMode::ReadWrite } else { OpenMode::ReadOnly };
    let index = parts::open_index(config, mode)?;
    let has_model = index.description().recipe.is_some_and(|recipe| recipe.model_id.is_some());
    let embedder = if has_model { parts::start_embedder(config, &index) } else { None };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let options = Options { deep: arguments.deep, skip_files, repair: arguments.repair };
    let verified = verify(&index, embedder, options, &mut |step| match step {
        Step::Files => bar.set_message("comparing files with their checksums"),
        Step::Pages(done, total) => {
            if bar.length() != Some(total) {
                bar.set_length(total);
                bar.set_style(counted());
                bar.set_message("pages");
            }
            bar.set_position(done);
        }
        Step::Found(difference, repaired) => {
            if listed.len() < LISTED_MAX {
                let (kind, place) = (difference.kind.name(), difference.place.to_string());
                listed.push(Listed { kind, place, what: difference.kind.to_string(), repaired });
            }
        }
    });
    bar.finish_and_clear();
    verified.context("the index was not verified")
}

fn counted() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} [{elapsed}, {eta} left]")
        .expect("the template is well formed")
}

fn report(first: &Summary, last: &Summary, listed: &[Listed], took: Duration, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let counts = first.counts;
    let found: u64 = first.differences.values().sum();
    if json {
        let by_kind: serde_json::Map<_, _> =
            first.differences.iter().map(|(kind, count)| (kind.name().to_owned(), (*count).into())).collect();
        let report = serde_json::json!({
            "clean": last.is_clean(), "seconds": took.as_secs_f64(), "workspaces": counts.workspaces, "groups": counts.groups,
            "members": counts.members, "pages": counts.pages, "passages": counts.passages, "vectors": counts.vectors,
            "free_ordinals": counts.free_ordinals, "differences": by_kind, "repaired": first.repaired, "listed": listed,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    for difference in listed {
        let repaired = if difference.repaired { " (written anew)" } else { "" };
        writeln!(out, "{}: {}{repaired}", difference.place, difference.what)?;
    }
    if found > listed.len() as u64 {
        writeln!(out, "and {} more", found - listed.len() as u64)?;
    }
    for (kind, count) in &first.differences {
        writeln!(out, "{count:>8}  {}", kind.name())?;
    }
    writeln!(
        out,
        "{} workspaces, {} pages, {} passages, {} vectors in {:.1} s: {found} differences, {} written anew",
        counts.workspaces,
        counts.pages,
        counts.passages,
        counts.vectors,
        took.as_secs_f64(),
        first.repaired
    )?;
    Ok(())
}
