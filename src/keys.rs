//! `tessera keys`: makes, lists, replaces and revokes service keys. A server that runs sees it within a second.

use std::io::Write;

use anyhow::{Context, bail};
use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use query::audit::act::{Kind, What};
use query::http::auth::Scope;
use query::http::auth::keys::{KeyRecord, NewKey};
use schemas::ids::WorkspaceId;

use crate::audit;
use crate::config::Config;

/// What to do with service keys.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Makes a key and prints it, once.
    Create {
        /// Who holds it, as logs are to name it.
        name: String,
        /// What it may do: `ingest`, `search`, `admin`; several by commas.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<String>,
        /// The workspaces it may touch; all, unless some are named.
        #[arg(long = "workspace", value_name = "ID")]
        workspaces: Vec<String>,
        /// Days after which it is not valid any more; never, unless said.
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
    /// Lists keys, those that ended included.
    List {
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Makes a new key with the rights of another, which ends later.
    Rotate {
        /// The id of the other, as `list` shows it.
        id: String,
        /// Hours for which the former key is still valid.
        #[arg(long, default_value_t = 24)]
        overlap_hours: u32,
        /// Days after which the new one is not valid any more; never, unless said.
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
    /// Ends a key at once.
    Revoke {
        /// Its id, as `list` shows it.
        id: String,
    },
    /// Forgets the keys that ended long ago.
    Prune {
        /// How many days ago.
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
}

/// Runs it.
pub(crate) fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let file = config.key_file();
    let mut out = std::io::stdout().lock();
    let now = Timestamp::now();
    match command {
        Command::Create { name, scopes, workspaces, days } => {
            let scopes = scopes.iter().map(|scope| scope_of(scope)).collect::<anyhow::Result<_>>()?;
            let workspace =
                |id: &String| WorkspaceId::new(id).with_context(|| format!("`{id}` is no id of a workspace"));
            let workspaces = workspaces.iter().map(workspace).collect::<anyhow::Result<_>>()?;
            let ends_at = days.map(|days| after_days(now, days)).transpose()?;
            let (key, record) = file.create(NewKey { name, scopes, workspaces, ends_at }, now)?;
            audit::note(config, what(Kind::KeyCreated, &record))?;
            eprintln!("made the key {} of {}; it is shown once and kept nowhere:", record.id, record.name);
            writeln!(out, "{key}")?;
        }
        Command::Rotate { id, overlap_hours, days } => {
            let ends_at = days.map(|days| after_days(now, days)).transpose()?;
            let overlap =
                now.checked_add(SignedDuration::from_hours(overlap_hours.into())).context("too many hours")?;
            let (key, record) = file.rotate(&id, ends_at, overlap, now)?;
            audit::note(config, what(Kind::KeyRotated, &record).noting("former", &id))?;
            eprintln!(
                "made the key {} of {}, which is shown once and kept nowhere; {id} is valid until {overlap:.0} at most:",
                record.id, record.name
            );
            writeln!(out, "{key}")?;
        }
        Command::Revoke { id } => {
            let record = file.revoke(&id, now)?;
            audit::note(config, what(Kind::KeyRevoked, &record))?;
            eprintln!("the key {id} of {} is not valid any more", record.name);
        }
        Command::Prune { days } => {
            let before = now.checked_sub(SignedDuration::from_hours(24 * i64::from(days))).context("too many days")?;
            let forgotten = file.prune(before)?;
            audit::note(config, What::new(Kind::KeysPruned).noting("keys", forgotten.to_string()))?;
            eprintln!("{forgotten} keys forgotten");
        }
        Command::List { json: true } => writeln!(out, "{}", serde_json::to_string_pretty(&file.read()?)?)?,
        Command::List { json: false } => {
            writeln!(
                out,
                "{:<12}  {:<24}  {:<20}  {:<20}  {:<20}  workspaces",
                "id", "name", "scopes", "made", "ends"
            )?;
            for key in file.read()? {
                writeln!(out, "{}", line_of(&key, now))?;
            }
        }
    }
    Ok(())
}

/// What is recorded of a key: whose it is and what it may do, never the key.
fn what(kind: Kind, key: &KeyRecord) -> What {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let what = What::new(kind).noting("key", &key.id).noting("name", &key.name).noting("scopes", scopes.join(" "));
    what.noting_workspaces(&key.workspaces)
}

fn line_of(key: &KeyRecord, now: Timestamp) -> String {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let ends = match key.ends_at {
        None => "never".to_owned(),
        Some(_) if key.has_ended(now) => "ended".to_owned(),
        Some(end) => format!("{end:.0}"),
    };
    let workspaces: Vec<&str> = key.workspaces.iter().map(WorkspaceId::as_str).collect();
    let workspaces = if workspaces.is_empty() { "all".to_owned() } else { workspaces.join(" ") };
    let (id, name, scopes, made) = (&key.id, &key.name, scopes.join(","), key.created_at);
    format!("{id:<12}  {name:<24}  {scopes:<20}  {made:<20.0}  {ends:<20}  {workspaces}")
}

fn scope_of(text: &str) -> anyhow::Result<Scope> {
    let found = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
    let Some(scope) = found else { bail!("`{text}` is no scope; there are `ingest`, `search` and `admin`") };
    Ok(scope)
}

fn after_days(now: Timestamp, days: u32) -> anyhow::Result<Timestamp> {
    now.checked_add(SignedDuration::from_hours(24 * i64::from(days))).context("too many days")
}
