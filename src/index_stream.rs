//! `tessera indexer`: a member of a consumer group that keeps an index for each partition it is given, until it is told to stop.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use index::OpenMode;
use indexer::engine::Engine;
use indexer::kafka::group::{Group, OpenError};
use indexer::metrics::Metrics;
use models::embed::{Embedder, Embedders};
use schemas::limits::{BATCH_BYTES_MAX, PAGE_BLOCKS_MAX};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::{Modelling, Writing};
use crate::serve::stop_on_signals;
use crate::traces::Traces;
use crate::{memory, metrics, parts};

/// Folder of the partitions, below the data folder.
pub(crate) const SHARDS: &str = "shards";
/// How often it is seen whether the member gave up.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often it is logged how far the partitions are behind.
const REPORT_INTERVAL: Duration = Duration::from_mins(1);

/// Indexes until SIGINT or SIGTERM: then what was merged is committed and the partitions go to others. A second signal exits
/// at once.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    let traces = Traces::start(&config.traces, Config::traces_authorization()?.as_ref(), &config.log)?;
    if !config.kafka.is_enabled() {
        bail!("name the brokers in `kafka.brokers`, or as TESSERA__KAFKA__BROKERS");
    }
    if config.postgres.follow {
        bail!("`postgres.follow` is for `tessera serve`: indexers read Kafka alone, see docs/backfill.md");
    }
    let config = Arc::new(of_one_partition(config)?);
    let embedder = if config.models.enabled { parts::start_model(&config.models.embed) } else { None };
    let embedders = Embedders::from(embedder.clone());
    let shards = config.data_dir.join(SHARDS);
    let open_config = Arc::clone(&config);
    let counters = Metrics::default();
    let open = {
        let counters = counters.clone();
        move |dir: &Path| open(&open_config, embedder.clone(), counters.clone(), dir).map_err(OpenError::from)
    };
    let group = Arc::new(Group::join(&config.kafka, &config.kafka_secrets()?, &shards, Box::new(open))?);
    let (engines, status) = (Arc::clone(&group), Arc::clone(&group));
    let writing = Writing {
        metrics: counters,
        engines: Box::new(move || engines.engines()),
        stream: Box::new(move || Some(status.status())),
    };
    let modelling = Modelling { embedders, ..Modelling::default() };
    let gather = metrics::gather(writing, modelling);
    tracing::info!(group = config.kafka.group, topic = config.kafka.topic, shards = %shards.display(), "indexing");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let served: anyhow::Result<()> = runtime.context("cannot start a runtime")?.block_on(async {
        let shutdown = CancellationToken::new();
        tokio::spawn(stop_on_signals(shutdown.clone()));
        metrics::serve(&config.metrics, gather, shutdown.clone()).await?;
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        let mut report = tokio::time::interval(REPORT_INTERVAL);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = look.tick() => if group.has_ended() { return Ok(()) },
                _ = report.tick() => {
                    for partition in group.status().partitions {
                        tracing::info!(
                            partition = partition.partition,
                            position = partition.position,
                            committed = partition.committed,
                            lag_events = partition.lag_events,
                            lag_ms = partition.lag_ms,
                            "read"
                        );
                    }
                }
            }
        }
    });
    let left = group.leave();
    traces.stop();
    left?;
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the engine of a partition.
fn open(config: &Config, embedder: Option<Embedder>, counters: Metrics, dir: &Path) -> anyhow::Result<Engine> {
    let config = Config { data_dir: dir.to_owned(), ..config.clone() };
    let index = parts::open_index(&config, OpenMode::ReadWrite)?;
    parts::open_counting_indexer(&config, index, embedder, counters)
}

/// The configuration of one partition's index: what a process has for its one index, divided among as many partitions as it
/// may hold.
fn of_one_partition(config: &Config) -> anyhow::Result<Config> {
    let mut one = config.clone();
    let partitions = config.kafka.partitions_max;
    one.index.writer_memory_bytes = (one.index.writer_memory_bytes / partitions).max(15 << 20);
    one.index.store_cache_bytes = (one.index.store_cache_bytes / partitions).max(1 << 20);
    one.indexer.pending_bytes_max = (one.indexer.pending_bytes_max / partitions).max(BATCH_BYTES_MAX);
    one.indexer.pending_blocks_max = (one.indexer.pending_blocks_max / partitions).max(2 * PAGE_BLOCKS_MAX);
    let bytes = memory::bytes_of_writing(&one) * partitions as u64
        + (one.kafka.in_flight_bytes_max + one.kafka.fetch_bytes_max) as u64;
    if bytes > config.memory_bytes {
        bail!(
            "{partitions} partitions take {bytes} bytes, `memory_bytes` is {}: lower `kafka.partitions_max` or raise it",
            config.memory_bytes
        );
    }
    Ok(one)
}
