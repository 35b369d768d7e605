//! Traces, sent to a collector over OTLP (protobuf over HTTP), where one is configured.
//!
//! The libraries make spans by `tracing` alone, see [`models::trace`]; here those are taken for a trace, from whoever calls to whoever is
//! called, and for those of indexing. What waits to be sent is bounded, and what does not fit is dropped: no request ever waits for the collector. Invariant: no
//! attribute leaves but those of [`ATTRIBUTES`] and of generative AI, and no message of the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use models::genai::{self, FINISH_REASONS};
use models::generate::Secret;
use models::trace::{Propagate, TARGET};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use query::trace::Adopt;
use serde::{Deserialize, Serialize};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;

use crate::config::Log;
use crate::parts;

/// By which a trace is handed on (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
/// Length of a `traceparent` of the version that there is.
const TRACEPARENT_BYTES: usize = 55;
/// All that a span may tell, beside its name, its times, how it ended, and what is told of generative AI ([`genai::ATTRIBUTES`]).
const ATTRIBUTES: [&str; 22] = [
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "mcp.method.name",
    "messaging.batch.message_count",
    "messaging.consumer.group.name",
    "messaging.destination.name",
    "messaging.destination.partition.id",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.system",
    "server.address",
    "server.port",
    "tessera.endpoint",
    "tessera.events",
    "tessera.first_text_ms",
    "tessera.pages",
    "tessera.passages",
    "tessera.request_id",
    "tessera.split_ms",
    "tessera.task",
];
/// How long what waits to be sent is waited for at the end.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Where traces are sent, and how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Address that takes traces over OTLP by HTTP, as `http://127.0.0.1:4318/v1/traces`. Empty, and then there are none.
    pub(crate) endpoint: String,
    /// Share of the requests that are traced, 0 to 1; 0.1. Of a caller that is trusted, the caller decides.
    pub(crate) ratio: f64,
    /// Whether a request goes on with its caller's trace, and is traced when that is; false. Otherwise it begins a trace of its own, which
    /// names the caller's as a link. Set it only where all who reach the server may cause traces.
    pub(crate) trust_callers: bool,
    /// What this service is called in traces; `tessera`.
    pub(crate) service_name: String,
    /// Spans that wait to be sent, 1 to 1,000,000; what comes beyond is dropped; 4,096, of about a kilobyte each.
    pub(crate) queue_len_max: usize,
    /// Spans that are sent together, 1 to `queue_len_max`; 512.
    pub(crate) batch_len_max: usize,
    /// How long spans are gathered before they are sent, in milliseconds, 10 to 600,000; 5,000.
    pub(crate) interval_ms: u32,
    /// How long the collector may take for one batch, in milliseconds, 10 to 600,000; 10,000.
    pub(crate) timeout_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            ratio: 0.1,
            trust_callers: false,
            service_name: "tessera".to_owned(),
            queue_len_max: 4_096,
            batch_len_max: 512,
            interval_ms: 5_000,
            timeout_ms: 10_000,
        }
    }
}

impl Config {
    /// Checks every value.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let endpoint = &self.endpoint;
        let address = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://"));
        if !endpoint.is_empty() && (address.is_none_or(str::is_empty) || reqwest::Url::parse(endpoint).is_err()) {
            bail!("traces configuration: `endpoint` must be an address, as http://127.0.0.1:4318/v1/traces");
        }
        if !(0.0..=1.0).contains(&self.ratio) {
            bail!("traces configuration: `ratio` must be from 0 to 1");
        }
        if self.service_name.is_empty() {
            bail!("traces configuration: `service_name` must not be empty");
        }
        if !(1..=1_000_000).contains(&self.queue_len_max) {
            bail!("traces configuration: `queue_len_max` must be from 1 to 1000000");
        }
        if !(1..=self.queue_len_max).contains(&self.batch_len_max) {
            bail!("traces configuration: `batch_len_max` must be from 1 to `queue_len_max`");
        }
        for (name, ms) in [("interval_ms", self.interval_ms), ("timeout_ms", self.timeout_ms)] {
            if !(10..=600_000).contains(&ms) {
                bail!("traces configuration: `{name}` must be from 10 to 600000");
            }
        }
        Ok(())
    }
}

/// The traces of this process.
pub(crate) struct Traces {
    provider: Option<SdkTracerProvider>,
    trust_callers: bool,
}

impl Traces {
    /// Starts the log, and traces beside it where they are configured. `authorization` is shown to the collector.
    pub(crate) fn start(config: &Config, authorization: Option<&Secret>, log: &Log) -> anyhow::Result<Self> {
        let trust_callers = config.trust_callers;
        if config.endpoint.is_empty() {
            parts::start_log(log)?;
            return Ok(Self { provider: None, trust_callers });
        }
        let provider = provider(config, authorization).context("cannot send traces")?;
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tessera"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET));
        parts::start_log_beside(log, Some(Box::new(layer)))?;
        tracing::info!(endpoint = config.endpoint, ratio = config.ratio, "sending traces");
        Ok(Self { provider: Some(provider), trust_callers })
    }

    /// How the traces of callers are taken up.
    pub(crate) fn adopt(&self) -> Option<Arc<Adopt>> {
        self.provider.as_ref()?;
        let trust_callers = self.trust_callers;
        Some(Arc::new(move |span, traceparent| {
            let Some(caller) = caller(traceparent) else { return };
            if trust_callers {
                // It fails only for a span that nobody traces.
                let _ = span.set_parent(caller);
            } else {
                span.add_link(caller.span().span_context().clone());
            }
        }))
    }

    /// How traces are handed on to language models.
    pub(crate) fn propagate(&self) -> Option<Propagate> {
        self.provider.as_ref()?;
        Some(Arc::new(|span| {
            let mut headers = HashMap::new();
            TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
            headers.remove(TRACEPARENT)
        }))
    }

    /// Sends what still waits, for a few seconds at most. Not to be called within a runtime.
    pub(crate) fn stop(self) {
        let Some(provider) = self.provider else { return };
        if let Err(error) = provider.shutdown_with_timeout(STOP_MAX) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last traces could not be sent");
        }
    }
}

fn provider(config: &Config, authorization: Option<&Secret>) -> anyhow::Result<SdkTracerProvider> {
    use secrecy::ExposeSecret as _;
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    let client = reqwest::blocking::Client::builder()
        .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
        // What is shown to the collector goes nowhere else, and the environment is not looked at.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(ms(config.timeout_ms))
        .build()
        .context("cannot make an HTTP client")?;
    let shown = authorization.map(|shown| ("authorization".to_owned(), shown.expose_secret().to_owned()));
    let exporter = OtlpExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(&config.endpoint)
        .with_timeout(ms(config.timeout_ms))
        .with_headers(shown.into_iter().collect())
        .build()
        .context("cannot use the endpoint")?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(config.queue_len_max)
        .with_max_export_batch_size(config.batch_len_max)
        .with_scheduled_delay(ms(config.interval_ms))
        .build();
    let processor = BatchSpanProcessor::builder(Checked(exporter)).with_batch_config(batches).build();
    let resource = Resource::builder_empty()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.ratio))))
        .with_resource(resource.build())
        .build())
}

/// The span that a caller names; none where the header cannot be read.
fn caller(traceparent: &str) -> Option<Context> {
    if traceparent.len() != TRACEPARENT_BYTES {
        return None;
    }
    let headers = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.span().span_context().is_valid().then_some(context)
}

/// Lets nothing out but what is known.
#[derive(Debug)]
struct Checked<E>(E);

impl<E: SpanExporter> SpanExporter for Checked<E> {
    fn export(&self, mut batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        batch.iter_mut().for_each(check);
        self.0.export(batch)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn check(span: &mut SpanData) {
    span.events.events.clear();
    let is_known = |key: &str| ATTRIBUTES.contains(&key) || genai::ATTRIBUTES.contains(&key);
    span.attributes.retain(|attribute| is_known(attribute.key.as_str()));
    for attribute in &mut span.attributes {
        if let (FINISH_REASONS, Value::String(reason)) = (attribute.key.as_str(), &attribute.value) {
            attribute.value = Value::Array(Array::String(vec![reason.clone()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry::trace::{Span as _, Tracer as _};

    use super::*;

    /// Keeps what is let out.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn settings_are_checked() {
        #[track_caller]
        fn check(text: &str, named: Option<&str>) {
            let config: Config = toml::from_str(text).unwrap();
            let told = config.check().map_err(|error| error.to_string());
            assert_eq!(told.is_ok(), named.is_none(), "{told:?}");
            assert!(named.is_none_or(|named| told.unwrap_err().contains(named)), "{text}");
        }
        check("", None);
        check("endpoint = \"http://127.0.0.1:4318/v1/traces\"\nratio = 1.0", None);
        check("endpoint = \"https://collector.example.com/v1/traces\"\nratio = 0.0", None);
        check("endpoint = \"127.0.0.1:4318\"", Some("endpoint"));
        check("endpoint = \"http://\"", Some("endpoint"));
        check("ratio = 1.5", Some("ratio"));
        check("ratio = nan", Some("ratio"));
        check("service_name = \"\"", Some("service_name"));
        check("queue_len_max = 0", Some("queue_len_max"));
        check("queue_len_max = 10\nbatch_len_max = 11", Some("batch_len_max"));
        check("interval_ms = 1", Some("interval_ms"));
        check("timeout_ms = 0", Some("timeout_ms"));
    }

    #[test]
    fn a_caller_is_known_by_a_header_as_the_standard_has_it() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01";
        let known = caller(trace).unwrap();
        let known = known.span().span_context().clone();
        assert_eq!(known.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(known.is_sampled() && known.is_remote());
        for other in [
            "",
            "00",
            &trace.replace("-01", ""),
            &trace.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &trace.replace("b7ad6b7169203331", "0000000000000000"),
            &trace.replace("4bf9", "xyz!"),
            &trace.replace("00-", "ff-"),
            &format!("{trace}-more"),
        ] {
            assert!(caller(other).is_none(), "{other}");
        }
    }

    #[test]
    fn only_known_attributes_are_let_out() {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(Checked(kept.clone())).build();
        let mut span = provider.tracer("test").start("request");
        for key in ["http.route", "query.text", "enduser.id", FINISH_REASONS, "tessera.request_id"] {
            span.set_attribute(KeyValue::new(key, "x"));
        }
        span.add_event("a message of the log", vec![KeyValue::new("error", "x")]);
        span.end();
        let [span] = std::mem::take(&mut *kept.0.lock().unwrap()).try_into().unwrap();
        let keys: Vec<&str> = span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(keys, ["http.route", FINISH_REASONS, "tessera.request_id"]);
        assert!(matches!(span.attributes[1].value, Value::Array(_)));
        assert!(span.events.events.is_empty());
    }
}
