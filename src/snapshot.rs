//! `tessera snapshot`: keeps copies of the index in a folder or in S3, lists them and reads them through.
//!
//! It reads the index beside a running server and takes nothing from it but the files of its last commit.

use std::io::Write;

use anyhow::Context;
use clap::Subcommand;
use index::archive::{Archive, Damage, Limits, Progress};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use query::audit::act::{Kind, What};

use crate::config::{Config, Log};
use crate::{audit, parts};

/// Begins the variables that say how S3 is reached.
const S3_PREFIX: &str = "AWS_";

/// Where to, or what to do with what is there.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Folder, or s3://bucket/prefix with AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the
    /// environment. Each index needs a destination of its own.
    #[arg(value_name = "DEST", required = true)]
    destination: Option<String>,
    /// Keep the newest N snapshots, this one included. What only older ones held is removed a day after they were retired.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[command(flatten)]
    transfers: TransferArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the snapshots, oldest first.
    List {
        /// Where they are.
        #[arg(value_name = "DEST")]
        destination: String,
        /// Print them as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Reads every object and compares it with its hash.
    Verify {
        /// Where they are.
        #[arg(value_name = "DEST")]
        destination: String,
        /// The snapshot, or `latest` [default: all].
        id: Option<String>,
        #[command(flatten)]
        transfers: TransferArguments,
    },
}

/// What transfers may use, and how they are told of.
#[derive(clap::Args)]
pub(crate) struct TransferArguments {
    /// Files transferred side by side.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    transfers: u32,
    /// Size of a part of a large file, in MiB. Two parts of each transfer are in memory.
    #[arg(long, value_name = "MIB", default_value_t = 8, value_parser = clap::value_parser!(u32).range(5..=1024))]
    part_mib: u32,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl TransferArguments {
    pub(crate) fn limits(&self) -> Limits {
        Limits { transfers: self.transfers as usize, part_bytes: (self.part_mib as usize) << 20 }
    }
}

/// Takes, lists or verifies.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "warn".to_owned(), json: config.log.json })?;
    match (&arguments.command, &arguments.destination) {
        (Some(Command::List { destination, json }), _) => list(destination, *json),
        (Some(Command::Verify { destination, id, transfers }), _) => verify(destination, id.as_deref(), transfers),
        (None, Some(destination)) => take(config, destination, arguments.keep, &arguments.transfers),
        (None, None) => anyhow::bail!("name a destination"),
    }
}

fn take(config: &Config, destination: &str, keep: Option<u32>, transfers: &TransferArguments) -> anyhow::Result<()> {
    let archive = Archive::create(destination, &s3_options(), transfers.limits())?;
    let (now, release) = (Timestamp::now(), env!("CARGO_PKG_VERSION"));
    let saved = with_bar(|progress| archive.save(&parts::index_dir(config), now, release, progress));
    let saved = saved.context("no snapshot was taken")?;
    audit::note(config, What::new(Kind::SnapshotTaken).noting("snapshot", &saved.id))?;
    let pruned = keep.map(|keep| archive.prune(keep as usize, now)).transpose();
    let pruned = pruned.with_context(|| format!("snapshot {} was taken, but older ones stay", saved.id))?;
    let pruned = pruned.unwrap_or_default();
    let mut out = std::io::stdout().lock();
    if transfers.json {
        let report = serde_json::json!({
            "id": saved.id, "index_seq": saved.index_seq,
            "uploaded_files": saved.uploaded_files, "uploaded_bytes": saved.uploaded_bytes,
            "reused_files": saved.reused_files, "reused_bytes": saved.reused_bytes,
            "retired": pruned.retired, "removed_objects": pruned.removed_objects, "removed_bytes": pruned.removed_bytes,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(
        out,
        "snapshot {}: commit {}, {} files sent ({}), {} were there ({})",
        saved.id,
        saved.index_seq,
        saved.uploaded_files,
        HumanBytes(saved.uploaded_bytes),
        saved.reused_files,
        HumanBytes(saved.reused_bytes)
    )?;
    if keep.is_some() {
        writeln!(
            out,
            "{} snapshots retired, {} objects removed ({})",
            pruned.retired.len(),
            pruned.removed_objects,
            HumanBytes(pruned.removed_bytes)
        )?;
    }
    Ok(())
}

fn list(destination: &str, json: bool) -> anyhow::Result<()> {
    let archive = Archive::open(destination, &s3_options(), Limits::default())?;
    let mut out = std::io::stdout().lock();
    let mut listed = Vec::new();
    for id in archive.list()? {
        let manifest = archive.find(&id).map(|(_, manifest)| manifest);
        match manifest {
            Ok(manifest) if json => listed.push(serde_json::json!({
                "id": id, "created_at": manifest.created_at, "release": manifest.release,
                "generation": manifest.generation, "commit": manifest.payload,
                "files": manifest.files.len(), "bytes": manifest.bytes(),
            })),
            Err(error) if json => listed.push(serde_json::json!({ "id": id, "error": error.to_string() })),
            Ok(manifest) => writeln!(
                out,
                "{id}  commit {}, {} files, {}",
                manifest.payload.index_seq,
                manifest.files.len(),
                HumanBytes(manifest.bytes())
            )?,
            Err(error) => writeln!(out, "{id}  {error}")?,
        }
    }
    if json {
        writeln!(out, "{}", serde_json::Value::Array(listed))?;
    }
    Ok(())
}

fn verify(destination: &str, id: Option<&str>, transfers: &TransferArguments) -> anyhow::Result<()> {
    let archive = Archive::open(destination, &s3_options(), transfers.limits())?;
    let ids = match id {
        Some(id) => vec![archive.find(id)?.0],
        None => archive.list()?,
    };
    anyhow::ensure!(!ids.is_empty(), "{destination} has no snapshot");
    let report = with_bar(|progress| archive.verify(&ids, progress))?;
    let mut out = std::io::stdout().lock();
    if transfers.json {
        let told = |damage: &Damage| serde_json::json!({ "what": damage.what, "snapshots": damage.snapshots });
        let damages: Vec<_> = report.damages.iter().map(told).collect();
        let report = serde_json::json!({
            "snapshots": report.snapshots, "objects": report.objects, "bytes": report.bytes, "damages": damages,
        });
        writeln!(out, "{report}")?;
    } else {
        for damage in &report.damages {
            writeln!(out, "{}; in {}", damage.what, damage.snapshots.join(", "))?;
        }
        let (objects, bytes) = (report.objects, HumanBytes(report.bytes));
        writeln!(out, "{} snapshots, {objects} objects read ({bytes})", report.snapshots)?;
    }
    let damaged = report.damages.len();
    anyhow::ensure!(damaged == 0, "{damaged} objects are not as they were written");
    Ok(())
}

/// How S3 is reached. Libraries do not read the environment; no other variable leaves this function.
pub(crate) fn s3_options() -> Vec<(String, String)> {
    let variables = std::env::vars_os();
    let variables = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.filter(|(name, _)| name.starts_with(S3_PREFIX)).collect()
}

/// Runs a transfer with a bar on standard error, where that is a terminal.
pub(crate) fn with_bar<T>(transfer: impl FnOnce(&dyn Fn(Progress)) -> T) -> T {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} [{elapsed}, {eta} left]");
    let bar = ProgressBar::new(0).with_style(style.expect("the template is well formed"));
    let done = transfer(&|progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    done
}
