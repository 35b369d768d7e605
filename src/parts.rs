//! Opens the parts that several subcommands need: the log, the embedding model, the index.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use index::{Index, OpenMode};
use models::embed::Embedder;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Log};

/// Starts the log, on standard error.
pub(crate) fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter).context("`log.filter` is not a filter")?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if log.json { subscriber.json().try_init() } else { subscriber.try_init() };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// Starts the embedding model. Without it search goes on by words alone, and says so.
pub(crate) fn start_embedder(config: &Config) -> Option<Embedder> {
    if !config.models.enabled {
        return None;
    }
    match Embedder::start(config.models.embed.clone()) {
        Ok(embedder) => Some(embedder),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "no embedding model: search goes by words alone; see the message for the way out");
            None
        }
    }
}

/// Opens the index.
pub(crate) fn open_index(config: &Config, mode: OpenMode) -> anyhow::Result<Index> {
    let index = index::Config {
        dir: index_dir(config),
        writer_memory_bytes: config.index.writer_memory_bytes,
        store_cache_bytes: config.index.store_cache_bytes,
        dimensions: config.models.embed.dimensions,
    };
    if mode == OpenMode::ReadWrite {
        index::archive::clear_leftovers(&index.dir).context("cannot remove what an interrupted snapshot left")?;
    }
    Index::open(&index, mode).context("cannot open the index")
}

/// Opens the write side over an index.
pub(crate) fn open_indexer(
    config: &Config,
    index: Index,
    embedder: Option<Embedder>,
) -> anyhow::Result<indexer::engine::Engine> {
    let settings = indexer::config::Config { data_dir: config.data_dir.clone(), ..config.indexer.clone() };
    indexer::engine::Engine::open(index, embedder, settings).context("cannot open the index for writing")
}

/// Opens the read side over an index.
pub(crate) fn open_query(
    config: &Config,
    index: Index,
    embedder: Option<Embedder>,
) -> anyhow::Result<query::engine::Engine> {
    query::engine::Engine::new(index, embedder, config.query.clone()).context("cannot use the configuration of search")
}

/// A runtime for a command that asks once.
pub(crate) fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// The folder of the index.
pub(crate) fn index_dir(config: &Config) -> PathBuf {
    config.data_dir.join("index")
}
