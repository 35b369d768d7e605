//! `tessera dead-letters`: lists the events that were turned down, or writes them to the stream again.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use index::epochs::Epoch;
use indexer::dead_letters::{StoredLetter, read};
use indexer::kafka::produce::{Options, Producer};
use query::audit::act::{Kind, What};
use schemas::event::Event;

use crate::config::Config;
use crate::index_stream::SHARDS;
use crate::{audit, parts};

/// What to do with them.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Prints them, oldest first: when, why, and where they were read.
    List {
        #[command(flatten)]
        which: Which,
        /// Print each as JSON, with the event.
        #[arg(long)]
        json: bool,
    },
    /// Writes those to the stream again that are events by now: after their clock came, or a newer release that knows them.
    /// The letters stay; what is still turned down becomes a new one. What was sent for a workspace that its sender may not
    /// write to is never written.
    Replay {
        #[command(flatten)]
        which: Which,
        /// Say what would be written, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which of them.
#[derive(clap::Args)]
pub(crate) struct Which {
    /// Of one kind: malformed, limit_exceeded, unknown_type, clock_ahead or wrong_workspace.
    #[arg(long)]
    code: Option<String>,
    /// Turned down at this time or later, as 2026-11-28T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<jiff::Timestamp>,
}

impl Which {
    fn holds(&self, letter: &StoredLetter) -> bool {
        self.code.as_deref().is_none_or(|code| code == code_of(letter))
            && self.since.is_none_or(|since| letter.time >= since)
    }
}

fn code_of(letter: &StoredLetter) -> String {
    serde_json::to_value(letter.code).ok().and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Runs it.
pub(crate) fn run(config: &Config, command: &Command) -> anyhow::Result<()> {
    parts::start_log(&crate::config::Log { filter: "warn".to_owned(), json: config.log.json })?;
    match command {
        Command::List { which, json } => {
            audit::note(config, What::new(Kind::DeadLettersListed))?;
            list(config, which, *json)
        }
        Command::Replay { which, dry_run } => {
            if !dry_run {
                audit::note(config, What::new(Kind::DeadLettersReplayed))?;
            }
            replay(config, which, *dry_run)
        }
    }
}

/// The folders that hold dead letters: the data folder, and the folder in use of each partition.
fn folders(config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![config.data_dir.clone()];
    let shards = config.data_dir.join(SHARDS);
    if shards.is_dir() {
        let entries = std::fs::read_dir(&shards).with_context(|| format!("cannot read {}", shards.display()))?;
        let mut roots = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        roots.sort();
        for root in roots {
            folders.extend(Epoch::latest(&root)?.map(|epoch| epoch.dir()));
        }
    }
    Ok(folders)
}

/// Gives each letter that is asked for to `take`.
fn each(
    config: &Config,
    which: &Which,
    take: &mut dyn FnMut(StoredLetter) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for folder in folders(config)? {
        let mut taken = Ok(());
        let mut one = |letter: StoredLetter| {
            if which.holds(&letter) {
                taken = take(letter);
            }
            if taken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        read(&folder, &mut one).with_context(|| format!("cannot read the dead letters in {}", folder.display()))?;
        taken?;
    }
    Ok(())
}

fn list(config: &Config, which: &Which, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    each(config, which, &mut |letter| {
        if json {
            writeln!(out, "{}", serde_json::to_string(&letter)?)?;
            return Ok(());
        }
        let of_stream = letter.topic.as_ref().zip(letter.partition).zip(letter.offset);
        let of_stream = of_stream.map(|((topic, partition), offset)| format!("{topic} {partition} {offset}"));
        let of_table = letter.table.as_ref().zip(letter.row.as_ref()).map(|(table, row)| format!("{table} {row}"));
        let place = of_stream.or(of_table).unwrap_or_else(|| "-".to_owned());
        let field = if letter.field.is_empty() { "the event" } else { &letter.field };
        writeln!(out, "{}  {}  {place}  {field}: {}", letter.time, code_of(&letter), letter.reason)?;
        Ok(())
    })
}

fn replay(config: &Config, which: &Which, dry_run: bool) -> anyhow::Result<()> {
    if !config.kafka.is_enabled() && !dry_run {
        bail!("name the brokers in `kafka.brokers`, or as TESSERA__KAFKA__BROKERS");
    }
    let open =
        || Producer::open(&config.kafka, &config.kafka_secrets()?, Options::default()).map_err(anyhow::Error::from);
    let mut producer = if dry_run { None } else { Some(open()?) };
    let now_ms = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let (mut replayed, mut still_bad, mut foreign, mut unknown) = (0_u64, 0_u64, 0_u64, 0_u64);
    let read = each(config, which, &mut |letter| {
        let Some(Ok(event)) = letter.event.as_ref().map(|event| Event::decode(event.as_bytes(), now_ms)) else {
            still_bad += 1;
            return Ok(());
        };
        if !letter.may_be_taken(&event) {
            foreign += 1;
            return Ok(());
        }
        if let Some(producer) = &mut producer {
            producer.send(&event)?;
        }
        replayed += 1;
        // A database may write for all.
        unknown += u64::from(letter.sent_for.is_none() && letter.table.is_none());
        Ok(())
    });
    // What was sent before an error is there.
    if let Some(producer) = producer {
        producer.finish()?;
    }
    let verb = if dry_run { "would be written" } else { "written" };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{replayed} {verb} to {}; {still_bad} are no events", config.kafka.topic)?;
    if foreign > 0 {
        writeln!(out, "{foreign} stay: their senders may not write to the workspaces that they name")?;
    }
    if unknown > 0 {
        writeln!(out, "of {unknown} of those {verb} it is not known who sent them: an older release kept them")?;
    }
    read
}
