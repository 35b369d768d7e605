//! `tessera produce`: writes events to Kafka, as a product would; for trying things out and for tests.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use indexer::import::afresh::Afresh;
use indexer::import::input::{self, Line, Lines};
use indexer::import::{self, Source, TargetError};
use indexer::kafka::produce::{Options, Producer, RATE_MIN, create_topic};
use indicatif::ProgressBar;
use query::audit::act::{Kind, What};
use schemas::event::Event;
use schemas::ids::WorkspaceId;
use schemas::limits::EVENT_BYTES_MAX;

use crate::config::Config;
use crate::{audit, parts};

/// What to write, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    format: Format,
    /// Events a second, 0.001 or more [default: as fast as can be].
    #[arg(long, global = true, value_name = "RATE")]
    rate: Option<f64>,
    /// Share of the events that are written twice, 0 to 1.
    #[arg(long, global = true, default_value_t = 0.0, value_name = "SHARE")]
    duplicates: f64,
    /// How many places an event may be written from where it belongs.
    #[arg(long, global = true, default_value_t = 0, value_name = "PLACES")]
    reorder: usize,
    /// Which duplicates and which order.
    #[arg(long, global = true, default_value_t = 0)]
    seed: u64,
    /// Make the topic with so many partitions, if it is not there.
    #[arg(long, global = true, value_name = "PARTITIONS")]
    create: Option<i32>,
    /// Copies of each partition, where the topic is made.
    #[arg(long, global = true, default_value_t = 1, value_name = "COPIES")]
    replication: i32,
}

#[derive(Subcommand)]
enum Format {
    /// Events, one a line.
    Ndjson {
        /// The file, also `.gz` or `.zst`.
        file: PathBuf,
    },
    /// Pages as they were, then the edits made to them, as a product would have sent them.
    History {
        /// The pages at the beginning.
        base: PathBuf,
        /// The edits, in order.
        edits: PathBuf,
        /// Workspace that has this history; may be repeated.
        #[arg(long = "workspace", required = true)]
        workspaces: Vec<WorkspaceId>,
    },
}

/// Writes.
pub(crate) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    parts::start_log(&crate::config::Log { filter: "warn".to_owned(), json: config.log.json })?;
    if !config.kafka.is_enabled() {
        bail!("name the brokers in `kafka.brokers`, or as TESSERA__KAFKA__BROKERS");
    }
    if !(0.0..=1.0).contains(&arguments.duplicates) {
        bail!("--duplicates must be 0 to 1");
    }
    if arguments.rate.is_some_and(|rate| rate.is_nan() || rate < RATE_MIN) {
        bail!("--rate must be {RATE_MIN} or more");
    }
    let secrets = config.kafka_secrets()?;
    audit::note(config, What::new(Kind::Produced).noting("topic", &config.kafka.topic))?;
    if let Some(partitions) = arguments.create {
        create_topic(&config.kafka, &secrets, partitions, arguments.replication)?;
    }
    let Arguments { rate, duplicates, reorder, seed, .. } = *arguments;
    let mut producer = Producer::open(&config.kafka, &secrets, Options { rate, duplicates, reorder, seed })?;
    let bar = ProgressBar::new_spinner();
    let mut send = |event: &Event| {
        bar.inc(1);
        producer.send(event).map_err(TargetError::from)
    };
    let sent = match &arguments.format {
        Format::Ndjson { file } => of_file(file, &mut send),
        Format::History { base, edits, workspaces } => {
            let source = Source::History { base: base.clone(), edits: edits.clone() };
            let options = import::Options::new(workspaces[0].clone(), jiff::Timestamp::now());
            let mut to_each = |event: &Event| {
                let mut event = event.clone();
                for workspace in workspaces {
                    event.workspace = workspace.clone();
                    send(&event)?;
                }
                Ok(())
            };
            import::run(&source, &options, &mut Afresh::new(&mut to_each), &mut |_| {}).map(drop).map_err(Into::into)
        }
    };
    bar.finish_and_clear();
    // What was sent before an error is in the topic, and is told.
    let produced = match (sent, producer.finish()) {
        (Ok(()), produced) => produced?,
        (Err(error), Ok(produced)) => {
            return Err(error.context(format!("it ended after {} messages, which are in the topic", produced.messages)));
        }
        (Err(error), Err(and)) => return Err(error.context(and)),
    };
    writeln!(
        std::io::stdout(),
        "{}: {} events in {} messages",
        config.kafka.topic,
        produced.events,
        produced.messages
    )?;
    Ok(())
}

/// The events of a file, in order. One that is none ends it: what reaches the topic should be what was meant.
fn of_file(file: &Path, send: &mut dyn FnMut(&Event) -> Result<(), TargetError>) -> anyhow::Result<()> {
    let read = || format!("cannot read {}", file.display());
    let now_ms = jiff::Timestamp::now().as_millisecond().unsigned_abs();
    let mut lines = Lines::new(input::open(file).with_context(read)?, EVENT_BYTES_MAX);
    while let Some(line) = lines.next_line().with_context(read)? {
        let decoded = match line {
            Line::Text(text) => Event::decode(text, now_ms).map_err(anyhow::Error::from),
            Line::TooLong => Err(anyhow::anyhow!("it is longer than {EVENT_BYTES_MAX} bytes")),
        };
        let event = decoded.with_context(|| format!("{}: line {} is no event", file.display(), lines.number))?;
        send(&event).map_err(|error| anyhow::anyhow!(error))?;
    }
    Ok(())
}
