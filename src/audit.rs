//! `tessera audit`: proves the audit log and looks things up in it; and how commands leave their own acts there.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use jiff::Timestamp;
use query::audit::act::{Act, Actor, Kind, What, Who};
use query::audit::verify::{Filter, Report, Wanted, show, verify};
use query::audit::{AuditKey, Erased, FOLDER, OnFailure, record_once};
use schemas::ids::{PageId, UserId, WorkspaceId};

use crate::config::Config;

/// Most lines that are shown at once.
const LIMIT_MAX: u32 = 10_000;

/// What to do with the audit log.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Proves that nothing in it was changed, put in or left out, as far as that can be proven. Fails where something was.
    Verify {
        /// A line that must be there, as the `head` of a former proof named it: `17:5f3c…`. Proves that nothing up to it was cut off since.
        #[arg(long, value_name = "SEQ:HASH")]
        holds: Option<String>,
        /// The folder of another log, a copy for one [default: that of the data folder].
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the last lines that fit, oldest first.
    Show {
        /// Not before, as 2026-11-28T12:00:00Z.
        #[arg(long, value_name = "TIME")]
        since: Option<Timestamp>,
        /// Not after.
        #[arg(long, value_name = "TIME")]
        until: Option<Timestamp>,
        /// Who did it or whom it is about: the id of a person, the name of a key, a login name.
        #[arg(long, value_name = "NAME")]
        actor: Option<String>,
        /// What was done: search, open, answer, explain_access, refused, key_created, erasure_requested and so on.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// In which workspace.
        #[arg(long, value_name = "ID")]
        workspace: Option<WorkspaceId>,
        /// On which page.
        #[arg(long, value_name = "ID")]
        page: Option<PageId>,
        /// Most lines.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=LIMIT_MAX as i64))]
        limit: u32,
        /// Print each as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub(crate) fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let folder = config.data_dir.join(FOLDER);
    match command {
        Command::Verify { holds, folder: other, json } => {
            let key = key()?;
            let wanted = Wanted { key: key.as_ref(), holds: holds.as_deref(), note: None };
            let folder = other.unwrap_or(folder);
            let report = verify(&folder, wanted).with_context(|| format!("cannot read {}", folder.display()))?;
            print(&report, key.is_some(), json)?;
            anyhow::ensure!(report.intact, "the audit log is not what was written");
            Ok(())
        }
        Command::Show { since, until, actor, kind, workspace, page, limit, json } => {
            let kind = kind.map(|kind| kind_of(&kind)).transpose()?;
            let filter = Filter { since, until, actor, kind, workspace, page };
            let lines = show(&folder, &filter, limit as usize);
            let lines = lines.with_context(|| format!("cannot read {}", folder.display()))?;
            let mut out = std::io::stdout().lock();
            for line in lines {
                if json {
                    writeln!(out, "{}", serde_json::to_string(&line)?)?;
                    continue;
                }
                let (who, what) = (line.who.as_ref(), line.what.as_ref());
                let name = who.map_or("(erased)", |who| who.actor.name());
                let kind = what.map_or_else(|| "(erased)".to_owned(), |what| what.kind.name());
                let about = who.and_then(|who| who.about.as_ref()).map(|user| format!(" about {user}"));
                writeln!(
                    out,
                    "{:>8}  {:.0}  {name:<20}  {kind}{}{}",
                    line.seq,
                    line.time,
                    about.unwrap_or_default(),
                    what.map(told).unwrap_or_default()
                )?;
            }
            Ok(())
        }
    }
}

fn told(what: &What) -> String {
    let mut told: Vec<String> = what.workspace.iter().map(|workspace| format!(" in {workspace}")).collect();
    if !what.pages.is_empty() {
        let pages: Vec<&str> = what.pages.iter().map(PageId::as_str).collect();
        told.push(format!(": {}", pages.join(" ")));
    }
    if what.more > 0 {
        told.push(format!(" and {} more", what.more));
    }
    told.extend(what.notes.iter().map(|(name, value)| format!("  {name}={value}")));
    told.extend(what.log.iter().map(|log| format!("  {}", serde_json::to_string(log).unwrap_or_default())));
    told.concat()
}

fn kind_of(name: &str) -> anyhow::Result<Kind> {
    let kind = serde_json::from_value(serde_json::Value::String(name.to_owned()));
    kind.ok().with_context(|| format!("`{name}` is no kind of act; docs/audit.md lists them"))
}

fn print(report: &Report, has_key: bool, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    if report.lines == 0 {
        writeln!(out, "there is no line")?;
    } else {
        let (segments, lines, first, last) = (report.segments, report.lines, report.first_seq, report.last_seq);
        writeln!(out, "{lines} lines in {segments} segments, {first} to {last}")?;
        writeln!(out, "head {}", report.head)?;
    }
    let mut counts = vec![
        (report.retired, "lines before them were retired"),
        (report.erased_who, "lines say no more who, by an erasure"),
        (report.erased_both, "lines say nothing more, by an erasure"),
        (report.mended, "times a torn end was cut off"),
        (report.lost, "acts were lost, as the log says itself"),
    ];
    if has_key {
        counts.push((report.authenticated, "lines are authenticated by the key"));
    }
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{count} {what}")?;
    }
    for problem in &report.problems {
        writeln!(out, "WRONG: {problem}")?;
    }
    if report.more_problems > 0 {
        writeln!(out, "and {} more", report.more_problems)?;
    }
    if report.intact {
        let how = if has_key {
            "and, by the key, written by its holders"
        } else {
            "(without a key, whoever can write the files could have written all of them anew)"
        };
        writeln!(out, "intact {how}")?;
    }
    Ok(())
}

/// Records what this command does, beside a server that may run. Where that fails, the command goes on and says so, or ends, as configured.
pub(crate) fn note(config: &Config, what: What) -> anyhow::Result<()> {
    note_about(config, None, None, what)
}

/// As [`note`], for a person where one is named; `erased` knows who must not be named any more. Give it wherever the index is open: else the line
/// is cleaned when the log is next swept.
pub(crate) fn note_about(
    config: &Config,
    erased: Option<&dyn Erased>,
    about: Option<&UserId>,
    what: What,
) -> anyhow::Result<()> {
    let who = Who { about: about.cloned(), ..Actor::Operator { login: login() }.into() };
    let key = key()?;
    let recorded = record_once(&config.data_dir, &config.audit, key, erased, Act { who, what });
    match recorded {
        Err(error) if config.audit.on_failure == OnFailure::Refuse => {
            bail!("this cannot be recorded in the audit log: {error}")
        }
        Err(error) => eprintln!("warning: this is not recorded in the audit log: {error}"),
        Ok(()) => {}
    }
    Ok(())
}

/// Who runs this, as the environment says it; nobody proves it.
fn login() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(std::env::var_os);
    let named = named.filter_map(|name| name.into_string().ok()).find(|name| !name.is_empty() && name.len() <= 64);
    named.unwrap_or_else(|| "unknown".to_owned())
}

/// The key of the audit log, from the environment.
pub(crate) fn key() -> anyhow::Result<Option<AuditKey>> {
    let Some(secret) = std::env::var_os(KEY_VARIABLE).filter(|secret| !secret.is_empty()) else { return Ok(None) };
    let key = AuditKey::new(secret.as_encoded_bytes());
    let least = query::audit::KEY_BYTES_MIN;
    key.map(Some).with_context(|| format!("the key in {KEY_VARIABLE} must have at least {least} bytes"))
}

/// Holds the key that lines are authenticated with.
const KEY_VARIABLE: &str = "TESSERA_AUDIT_KEY";
