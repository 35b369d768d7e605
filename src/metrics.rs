//! `/metrics`: what the parts of this process count, put together, with what the process itself comes to.
//!
//! [docs/metrics.md](../docs/metrics.md) lists all of it; a test compares the two. Invariant: no id and no text is in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use index::Index;
use indexer::engine::Engine;
use models::embed::Embedders;
use models::generate::Providers;
use prometheus::{
    Gauge, IntGauge, Registry, TextEncoder, register_gauge_with_registry, register_int_gauge_vec_with_registry,
    register_int_gauge_with_registry,
};
use query::http::metrics::Gather;
use schemas::api::operate::StreamStatus;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::listen::listen;

/// Where else counters can be read than at `/metrics` of the HTTP API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Where to listen for `GET /metrics` alone, as `127.0.0.1:9464`; whoever reaches it may read, so leave it to the network of
    /// operators. Empty, and then nobody listens.
    pub(crate) listen: String,
}

impl Config {
    /// Checks every value.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.address().map(drop)
    }

    /// Where to listen, if anywhere.
    pub(crate) fn address(&self) -> anyhow::Result<Option<SocketAddr>> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let address = self.listen.parse();
        address.map(Some).context("metrics configuration: `listen` must be an address and a port, as 127.0.0.1:9464")
    }
}

/// What the process itself comes to.
#[derive(Clone, Debug)]
struct Process {
    registry: Registry,
    resident_memory_bytes: IntGauge,
}

impl Process {
    fn declare() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let started: Gauge = register_gauge_with_registry!(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970.",
            registry
        )?;
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        started.set(since_1970.map_or(0.0, |since| since.as_secs_f64()));
        let build = register_int_gauge_vec_with_registry!("tessera_build_info", "1.", &["version"], registry)?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let resident_memory_bytes = register_int_gauge_with_registry!(
            "process_resident_memory_bytes",
            "Bytes in memory, mapped files included; 0 where the system does not say.",
            registry
        )?;
        Ok(Self { registry, resident_memory_bytes })
    }

    fn text(&self) -> String {
        self.resident_memory_bytes.set(resident_bytes().unwrap_or(0));
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("what was declared has a name and a value")
    }
}

/// Bytes of this process in memory; none where the system does not say.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

/// What is counted of the write side: its counters, and the engines and the stream that there are at the moment.
pub(crate) struct Writing {
    pub(crate) metrics: indexer::metrics::Metrics,
    pub(crate) engines: Box<dyn Fn() -> Vec<Engine> + Send + Sync>,
    pub(crate) stream: Box<dyn Fn() -> Option<StreamStatus> + Send + Sync>,
}

/// What is counted of models: those that are loaded, and the language models where some are configured.
#[derive(Default)]
pub(crate) struct Modelling {
    pub(crate) embedders: Embedders,
    pub(crate) providers: Option<Arc<Providers>>,
}

/// Gives what the write side, the indexes, the models and the process count.
pub(crate) fn gather(writing: Writing, modelling: Modelling) -> Arc<Gather> {
    let Modelling { embedders, providers } = modelling;
    let models = providers.as_ref().map(|providers| providers.metrics().clone()).unwrap_or_default();
    let process = Process::declare().expect("the names are valid, and each is there once");
    let indexes = index::metrics::Metrics::default();
    Arc::new(move || {
        let engines = (writing.engines)();
        let opened: Vec<Index> = engines.iter().map(|engine| engine.index().clone()).collect();
        let written = writing.metrics.text(&engines, (writing.stream)().as_ref());
        written + &indexes.text(&opened) + &models.text(&embedders, providers.as_deref()) + &process.text()
    })
}

/// Serves `/metrics` at an address of its own, if one is configured, until `shutdown` is cancelled.
pub(crate) async fn serve(config: &Config, gather: Arc<Gather>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Some(address) = config.address()? else { return Ok(()) };
    let listener = listen(address, "`metrics.listen`").await?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics");
    tokio::spawn(async move {
        if let Err(error) = query::http::metrics::serve(listener, gather, shutdown).await {
            tracing::error!(error = &error as &dyn std::error::Error, "/metrics is not served any more");
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use index::OpenMode;
    use models::generate::SystemClock;
    use query::http::auth::{Auth, AuthConfig, Secrets};
    use query::http::{App, HttpConfig, Records};
    use schemas::api::operate::PartitionStatus;

    use super::*;
    use crate::ingest::IndexerIngest;

    /// What a server with a stream of one partition gives.
    fn served() -> String {
        let dir = tempfile::tempdir().unwrap();
        let config = index::Config { dir: dir.path().join("index"), ..index::Config::default() };
        let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
        let settings =
            indexer::config::Config { data_dir: dir.path().to_owned(), ..indexer::config::Config::default() };
        let metrics = indexer::metrics::Metrics::default();
        let engine = Engine::open_counting(index.clone(), None, settings, metrics.clone()).unwrap();
        let ingest = IndexerIngest { indexer: engine.clone(), stream: None, feedback: None, audit: None };
        let partitions = vec![PartitionStatus { lag_events: Some(3), lag_ms: 1_500, ..PartitionStatus::default() }];
        let stream = StreamStatus { partitions, ..StreamStatus::default() };
        let writing = Writing {
            metrics,
            engines: Box::new(move || vec![engine.clone()]),
            stream: Box::new(move || Some(stream.clone())),
        };
        let reader = query::engine::Engine::new(index, None, query::config::Config::default()).unwrap();
        let insecure = AuthConfig { insecure_development: true, ..AuthConfig::default() };
        let auth = Auth::new(&insecure, Secrets::default()).unwrap();
        let endpoints = "[[endpoints]]\nname = \"local\"\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"any\"";
        let endpoints = toml::from_str(endpoints).unwrap();
        let usage = dir.path().join("usage");
        let providers = Providers::open(endpoints, HashMap::new(), &usage, Arc::new(SystemClock)).unwrap();
        let modelling = Modelling { providers: Some(Arc::new(providers)), ..Modelling::default() };
        let records = Records { metrics: Some(gather(writing, modelling)), ..Records::default() };
        App::recording(reader, Arc::new(ingest), records, auth, HttpConfig::default()).gather()()
    }

    /// Type and labels of each metric. Fails where a line is not as the text format has it.
    fn parse(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
        let mut found: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
        let mut helped = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                helped.push(rest.split_once(' ').unwrap().0.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(helped.last().map(String::as_str), Some(name), "the help comes before the type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(
                    found.insert(name.to_owned(), (kind.to_owned(), Vec::new())).is_none(),
                    "{name} is there twice"
                );
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let family = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
                let family = family.filter(|family| found.contains_key(*family)).unwrap_or(name);
                let labels = labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty());
                let names = labels.map(|label| label.split_once('=').unwrap().0).filter(|name| *name != "le");
                found.get_mut(family).unwrap_or_else(|| panic!("{line} has no type")).1 =
                    names.map(str::to_owned).collect();
            }
        }
        found
    }

    #[test]
    fn what_is_served_is_what_the_documentation_lists() {
        let documented = include_str!("../docs/metrics.md").lines().filter_map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let name = cells.first()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
            // Alerts are in a table of their own.
            if name.starts_with("Tessera") {
                return None;
            }
            let labels = cells.get(2)?.split(", ").filter(|label| *label != "-");
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            Some((name, ((*cells.get(1)?).to_owned(), labels)))
        });
        let documented: BTreeMap<String, (String, Vec<String>)> = documented.collect();
        let served = parse(&served());
        assert!(served.len() > 30, "{served:?}");
        assert_eq!(served, documented);
    }

    #[test]
    fn names_say_what_they_count_and_in_which_unit() {
        for (name, (kind, labels)) in parse(&served()) {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(name.starts_with("tessera_") || name.starts_with("process_"), "{name}");
            assert!(!name.contains("_ms") && !name.contains("kib"), "{name} is not in a base unit");
            assert!(labels.len() <= 2, "{name} {labels:?}");
        }
    }

    #[test]
    fn an_address_to_listen_on_is_checked() {
        let check = |listen: &str| Config { listen: listen.to_owned() }.check();
        assert!(check("").is_ok() && check("127.0.0.1:9464").is_ok() && check("[::1]:9464").is_ok());
        assert!(check("localhost").unwrap_err().to_string().contains("listen"));
    }
}
