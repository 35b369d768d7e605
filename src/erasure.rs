//! `tessera erasure`: lists erasures, and verifies a receipt against the files as they are now.

pub(crate) mod stores;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use index::OpenMode;
use index::raw::{Found, look_for, look_for_words};
use query::audit::act::Kind;
use query::audit::verify::{Wanted, verify};
use query::erasure::{FOLDER, Subject, read_jobs, receipt};
use schemas::api::erasures::{Erasure, ErasureCheck, ErasureReceipt};
use serde::Serialize;

use crate::config::Config;
use crate::{audit, parts};

/// Largest receipt that is read.
const RECEIPT_BYTES_MAX: u64 = 1 << 20;

/// What to do with erasures.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists them, the oldest first.
    List {
        /// Print each as JSON, with its receipt.
        #[arg(long)]
        json: bool,
    },
    /// Says whether a receipt is as it was made, and looks into the files again. Fails where something is wrong or left.
    Verify {
        /// A file with the receipt, or with the erasure that holds it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A text that must be nowhere in the data folder, as a word of the page; several by repeating it. Reads all files.
        #[arg(long = "text", value_name = "TEXT")]
        texts: Vec<String>,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What was found of a receipt.
#[derive(Serialize)]
struct Report {
    /// Whether all is as the receipt says.
    holds: bool,
    /// Whether the receipt is as it was made.
    whole: bool,
    /// Whether the audit log says that it was made; none where there is no log.
    recorded: Option<bool>,
    /// What the stores hold now.
    checks: Vec<ErasureCheck>,
    /// Where texts were found.
    found: Vec<Found>,
    /// What is wrong.
    problems: Vec<String>,
}

/// Runs it.
pub(crate) fn run(config: &Config, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::List { json } => list(config, *json),
        Command::Verify { file, texts, json } => {
            let receipt = read_receipt(file)?;
            let report = look_again(config, &receipt, texts)?;
            print(&receipt, &report, *json)?;
            anyhow::ensure!(report.holds, "the receipt does not hold");
            Ok(())
        }
    }
}

fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for job in read_jobs(&config.data_dir.join(FOLDER))? {
        if json {
            writeln!(out, "{}", serde_json::to_string(&job)?)?;
            continue;
        }
        let kind = serde_json::to_value(job.kind)?;
        let status = serde_json::to_value(job.status)?;
        let (kind, status) = (kind.as_str().unwrap_or_default(), status.as_str().unwrap_or_default());
        let trouble = job.trouble.map(|trouble| format!("  ({trouble})")).unwrap_or_default();
        let (id, at, workspace, subject) = (&job.id, job.requested_at, &job.workspace, &job.subject);
        writeln!(out, "{id}  {at:.0}  {status:<8}  {kind:<10}  {subject}  in {workspace}{trouble}")?;
    }
    Ok(())
}

fn read_receipt(file: &Path) -> anyhow::Result<ErasureReceipt> {
    let named = || file.display().to_string();
    let bytes = std::fs::metadata(file).with_context(|| format!("cannot read {}", named()))?.len();
    anyhow::ensure!(bytes <= RECEIPT_BYTES_MAX, "{} is larger than any receipt", named());
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", named()))?;
    if let Ok(receipt) = serde_json::from_slice(&text) {
        return Ok(receipt);
    }
    let erasure: Erasure = serde_json::from_slice(&text).with_context(|| format!("{} holds no receipt", named()))?;
    erasure.receipt.with_context(|| format!("the erasure in {} is not over: it has no receipt yet", named()))
}

fn look_again(config: &Config, receipt: &ErasureReceipt, texts: &[String]) -> anyhow::Result<Report> {
    let key = audit::key()?;
    let mut problems = Vec::new();
    let whole = receipt::is_whole(receipt, key.as_ref());
    if !whole {
        problems.push("the receipt is not as it was made, or not made with this key".to_owned());
    }
    let audit = config.data_dir.join(query::audit::FOLDER);
    let mut recorded = None;
    if audit.exists() {
        let note = Some((Kind::ErasureFinished, "receipt", receipt.hash.as_str()));
        let proven =
            verify(&audit, Wanted { key: key.as_ref(), note, holds: None }).context("cannot read the audit log")?;
        recorded = proven.noted;
        if recorded != Some(true) {
            problems.push("the audit log does not say that it was made; its segment may be retired".to_owned());
        }
        if !proven.intact {
            problems.push("the audit log is not what was written: see `tessera audit verify`".to_owned());
        }
    }
    let subject = Subject::of(receipt.kind, &receipt.workspace, &receipt.subject);
    let subject = subject.context("the receipt names nothing that could be erased")?;
    let index = parts::open_index(config, OpenMode::ReadOnly)?;
    let checks = stores::look_from_outside(&index, &config.data_dir, &subject)?;
    for check in checks.iter().filter(|check| check.left > 0) {
        problems.push(format!("{} left in `{}`: {}", check.left, check.store, check.looked_for));
    }
    let mut found = Vec::new();
    if !texts.is_empty() {
        anyhow::ensure!(texts.iter().all(|text| !text.is_empty()), "an empty text is everywhere");
        found = look_for(&config.data_dir, texts).context("cannot read the files")?;
        found.extend(look_for_words(index.dir(), texts).context("cannot read the dictionaries")?);
        for place in &found {
            problems.push(format!("`{}` is in {}", place.text, place.path.display()));
        }
    }
    Ok(Report { holds: problems.is_empty(), whole, recorded, checks, found, problems })
}

fn print(receipt: &ErasureReceipt, report: &Report, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    for check in &report.checks {
        let state = if !check.present {
            "absent"
        } else if check.left == 0 {
            "nothing"
        } else {
            "LEFT"
        };
        writeln!(out, "{:<14} {state:<8} {}", check.store, check.looked_for)?;
        for kept in &check.kept {
            writeln!(out, "{:<14} keeps    {kept}", "")?;
        }
    }
    for place in &receipt.not_reached {
        writeln!(out, "{:<14} {:<8} {place}", "", "not seen")?;
    }
    for problem in &report.problems {
        writeln!(out, "WRONG: {problem}")?;
    }
    if report.holds {
        writeln!(out, "the receipt holds")?;
    }
    Ok(())
}
