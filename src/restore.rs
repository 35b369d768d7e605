//! `tessera restore`: puts a snapshot in the place of the index.
//!
//! It starts nothing: `tessera serve` goes on from what was restored. Dead letters stay as they are.

use std::io::Write;

use anyhow::Context;
use index::archive::Archive;
use indicatif::HumanBytes;
use query::audit::act::{Kind, What};

use crate::config::{Config, Log};
use crate::snapshot::{TransferArguments, s3_options, with_bar};
use crate::{audit, parts};

/// Which snapshot.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder or s3://bucket/prefix of the snapshots; see `tessera snapshot --help`.
    #[arg(value_name = "DEST")]
    destination: String,
    /// The snapshot: its id, or as much of it as no other shares.
    #[arg(default_value = "latest")]
    id: String,
    /// Replace the index that is there. It stays until the restored one is complete.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    transfers: TransferArguments,
}

/// Restores.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    parts::start_log(&Log { filter: "warn".to_owned(), json: config.log.json })?;
    let archive = Archive::open(&arguments.destination, &s3_options(), arguments.transfers.limits())?;
    let (id, manifest) = archive.find(&arguments.id)?;
    let shard = parts::index_dir(config);
    audit::note(config, What::new(Kind::Restored).noting("snapshot", &id))?;
    let restored = with_bar(|progress| archive.restore(&id, &manifest, &shard, arguments.replace, progress));
    let restored = restored.context("nothing was restored; what was there is as it was")?;
    let mut out = std::io::stdout().lock();
    if arguments.transfers.json {
        let report = serde_json::json!({
            "id": restored.id, "index_seq": restored.index_seq, "generation": restored.generation,
            "files": restored.files, "bytes": restored.bytes, "index": shard,
        });
        writeln!(out, "{report}")?;
    } else {
        let (files, bytes) = (restored.files, HumanBytes(restored.bytes));
        writeln!(
            out,
            "{}: commit {}, {files} files ({bytes}) restored to {}",
            id,
            restored.index_seq,
            shard.display()
        )?;
    }
    Ok(())
}
