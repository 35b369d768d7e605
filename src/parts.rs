//! Opens the parts that several subcommands need: the log, the models, the index.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use index::{Index, OpenMode};
use models::embed::{Embedder, Embedders};
use models::generate::{Generate, Ledger, Providers, SystemClock};
use models::trace::Propagate;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{Config, Log};

/// The folder of the ledger of what language models took.
pub(crate) const USAGE: &str = "usage";

/// What takes lines of the log and spans.
pub(crate) type AnyLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts the log, on standard error.
pub(crate) fn start_log(log: &Log) -> anyhow::Result<()> {
    start_log_beside(log, None)
}

/// As [`start_log`], beside something else that takes spans.
pub(crate) fn start_log_beside(log: &Log, other: Option<AnyLayer>) -> anyhow::Result<()> {
    // The Model Context Protocol's library writes requests and responses into its lines, headers and pages included, and the exporter of
    // traces what the collector answers, which may repeat what it was shown. The spans of traces say nothing that lines do not.
    let mut filter = EnvFilter::try_new(&log.filter).context("`log.filter` is not a filter")?;
    let exporter = ["opentelemetry-otlp=info", "opentelemetry_otlp=info"].map(str::to_owned);
    for left_out in ["rmcp=error".to_owned(), format!("{}=off", models::trace::TARGET)].into_iter().chain(exporter) {
        filter = filter.add_directive(left_out.parse().context("a directive of ours is not one")?);
    }
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = if log.json { lines.json().with_filter(filter).boxed() } else { lines.with_filter(filter).boxed() };
    let layers: Vec<AnyLayer> = std::iter::once(lines).chain(other).collect();
    let started = tracing_subscriber::registry().with(layers).try_init();
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

/// Starts the embedding model that the index was built with; that of the configuration for an index without vectors. Without
/// it search goes on by words alone, and says so.
pub(crate) fn start_embedder(config: &Config, index: &Index) -> Option<Embedder> {
    if !config.models.enabled {
        return None;
    }
    let wanted = with_absolute_paths(config.models.embed.clone());
    let mut settings = wanted.clone();
    if let Some(recipe) = index.description().recipe.filter(|recipe| recipe.model_id.is_some())
        && let Ok(built_with) = serde_json::from_value(recipe.model)
        && settings.for_model_of(&built_with) != settings
    {
        settings = settings.for_model_of(&built_with);
        if settings.model_dir.is_dir() {
            tracing::warn!(
                "the configuration names another model than the index was built with: run `tessera reindex`"
            );
        } else {
            // The folder was moved: if the configuration names another model, the write side says so.
            settings = wanted;
        }
    }
    start_model(&settings)
}

/// Starts an embedding model; none where it cannot be had, which is logged.
pub(crate) fn start_model(settings: &models::embed::Config) -> Option<Embedder> {
    match Embedder::start(with_absolute_paths(settings.clone())) {
        Ok(embedder) => Some(embedder),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "no embedding model: search goes by words alone; see the message for the way out");
            None
        }
    }
}

/// Makes clients for the language models and opens the ledger of what they take; `None` where no endpoint is configured, or they
/// cannot be used. An endpoint without its key is left out. Everything else goes on without them, and says so.
///
/// With `propagate`, they are told the trace that they are asked in.
pub(crate) fn open_generate(config: &Config, propagate: Option<&Propagate>) -> Option<Arc<Providers>> {
    let mut settings = config.models.generate.clone();
    for endpoint in config.endpoints_without_key() {
        tracing::error!(endpoint.name, variable = endpoint.key_env, "no key in the variable: the endpoint is left out");
        settings.endpoints.retain(|other| other.name != endpoint.name);
    }
    if settings.endpoints.is_empty() {
        return None;
    }
    let dir = config.data_dir.join(USAGE);
    match Providers::open_traced(settings, config.model_keys(), &dir, Arc::new(SystemClock), propagate) {
        Ok(providers) => Some(Arc::new(providers)),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "no language model can be used");
            None
        }
    }
}

/// The ledger of what language models took: the one they write, or where none can be used the one of a time when one could; `None` where
/// there was none.
pub(crate) fn open_usage(config: &Config, generate: Option<&Providers>) -> Option<Arc<Ledger>> {
    if let Some(generate) = generate {
        return Some(Arc::clone(generate.ledger()));
    }
    let dir = config.data_dir.join(USAGE);
    if !dir.exists() {
        return None;
    }
    match Ledger::open(&dir, config.models.generate.ledger.clone(), jiff::Timestamp::now()) {
        Ok(ledger) => Some(Arc::new(ledger)),
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "what language models took before cannot be told");
            None
        }
    }
}

/// The configuration of a model with paths that mean the same in every process.
pub(crate) fn with_absolute_paths(mut model: models::embed::Config) -> models::embed::Config {
    for path in [&mut model.model_dir, &mut model.library] {
        // Without a working directory, relative paths lead nowhere anyway.
        *path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    }
    model
}

/// Opens the index.
pub(crate) fn open_index(config: &Config, mode: OpenMode) -> anyhow::Result<Index> {
    if mode == OpenMode::ReadWrite {
        index::archive::clear_leftovers(&index_dir(config))
            .context("cannot remove what an interrupted snapshot left")?;
    }
    Index::open(&index_config(config), mode).context("cannot open the index")
}

/// Opens the write side over an index.
pub(crate) fn open_indexer(
    config: &Config,
    index: Index,
    embedder: Option<Embedder>,
) -> anyhow::Result<indexer::engine::Engine> {
    open_counting_indexer(config, index, embedder, indexer::metrics::Metrics::default())
}

/// As [`open_indexer`], counting together with others.
pub(crate) fn open_counting_indexer(
    config: &Config,
    index: Index,
    embedder: Option<Embedder>,
    metrics: indexer::metrics::Metrics,
) -> anyhow::Result<indexer::engine::Engine> {
    let settings = indexer::config::Config { data_dir: config.data_dir.clone(), ..config.indexer.clone() };
    indexer::engine::Engine::open_counting(index, embedder, settings, metrics)
        .context("cannot open the index for writing")
}

/// Starts reading the stream, where one is configured.
pub(crate) fn start_stream(
    config: &Config,
    engine: indexer::engine::Engine,
) -> anyhow::Result<Option<indexer::kafka::Source>> {
    if !config.kafka.is_enabled() {
        return Ok(None);
    }
    let source = indexer::kafka::Source::start(&config.kafka, &config.kafka_secrets()?, engine);
    source.map(Some).context("cannot read the stream")
}

/// Starts following the outbox of a database, where that is configured.
pub(crate) fn start_follower(
    config: &Config,
    engine: indexer::engine::Engine,
) -> anyhow::Result<Option<indexer::postgres::Follower>> {
    if !config.postgres.follow {
        return Ok(None);
    }
    let follower = indexer::postgres::Follower::start(&config.postgres, &config.postgres_secrets()?, engine);
    follower.map(Some).context("cannot follow the outbox")
}

/// Opens the read side over an index, with language models to write answers where there are any.
pub(crate) fn open_query(
    config: &Config,
    index: Index,
    embedders: impl Into<Embedders>,
    generate: Option<Arc<dyn Generate>>,
) -> anyhow::Result<query::engine::Engine> {
    query::engine::Engine::with_writer(index, embedders, generate, config.query.clone())
        .context("cannot use the configuration of search")
}

/// A runtime that listens for signals beside a command that blocks.
pub(crate) fn signal_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("cannot start a runtime")
}

/// A runtime for a command that asks once.
pub(crate) fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// The configuration of the index.
pub(crate) fn index_config(config: &Config) -> index::Config {
    index::Config {
        dir: index_dir(config),
        writer_memory_bytes: config.index.writer_memory_bytes,
        store_cache_bytes: config.index.store_cache_bytes,
        dimensions: config.models.embed.dimensions,
    }
}

/// The folder of the index.
pub(crate) fn index_dir(config: &Config) -> PathBuf {
    config.data_dir.join("index")
}

#[cfg(test)]
mod tests {
    use models::generate::Task;

    use super::*;

    #[test]
    fn a_language_model_without_its_key_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let open = |endpoints: &str| {
            let mut config = Config::of(&endpoints.parse().unwrap()).unwrap();
            config.data_dir = dir.path().to_owned();
            let providers = open_generate(&config, None);
            let ledger = open_usage(&config, providers.as_deref());
            assert_eq!(ledger.is_some(), dir.path().join(USAGE).exists(), "it is told of where there is one");
            providers.map(|providers| providers.models(Task::Answer))
        };
        let endpoint = |name: &str, rest: &str| {
            format!(
                "[[models.generate.endpoints]]\nname = \"{name}\"\nbase_url = \"http://a/v1\"\nmodel = \"{name}\"\n{rest}\n"
            )
        };
        let keyless = endpoint("keyless", "key_env = \"TESSERA_NO_SUCH_KEY\"");
        assert_eq!(open(""), None);
        assert_eq!(open(&keyless), None);
        assert!(!dir.path().join("usage").exists(), "nothing is kept where there is no model");
        assert_eq!(open(&(keyless + &endpoint("free", ""))), Some(vec!["free".to_owned()]));
        assert!(dir.path().join("usage/usage.ndjson").exists());
        assert_eq!(open(""), None);
    }
}
