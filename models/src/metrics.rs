//! What models offer to be watched: calls to language models and what they took, whom nobody asks at the moment, and what waits.
//!
//! Counts and times alone, over all workspaces together: no id, no text, no key. Labels are the names of endpoints in the configuration, of
//! which there are a few, and names written here. Invariant: gauges are looked up when [`Metrics::text`] is called; all else is counted as it
//! happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    HistogramVec, IntCounterVec, IntGaugeVec, Registry, TextEncoder, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_vec_with_registry,
};

use crate::embed::Embedders;
use crate::generate::{Outcome, Providers, Usage};

/// Bounds of the time of a call, and until its first text, in seconds: from a cached prompt to the longest text.
const CALL_SECONDS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 45.0, 120.0];

/// Counters of a process. Cloning is cheap; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Held while they are read: what is looked up for them is looked up once at a time.
    reading: Arc<Mutex<()>>,
    calls: IntCounterVec,
    tokens: IntCounterVec,
    call_seconds: HistogramVec,
    first_text_seconds: HistogramVec,
    breaker_open: IntGaugeVec,
    queue_len: IntGaugeVec,
}

/// A call to an endpoint that is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    /// The name of the endpoint.
    pub(crate) endpoint: &'a str,
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    pub(crate) took: Duration,
    /// How soon its first text came, if one did.
    pub(crate) first_text: Option<Duration>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::declare().expect("the names are valid, and each is there once")
    }
}

impl Metrics {
    fn declare() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };
        let gauges =
            |name: &str, help: &str, label: &str| register_int_gauge_vec_with_registry!(name, help, &[label], registry);
        let seconds = |name: &str, help: &str| {
            register_histogram_vec_with_registry!(name, help, &["endpoint"], CALL_SECONDS.to_vec(), registry)
        };
        let metrics = Self {
            calls: counters(
                "tessera_models_calls_total",
                "Calls to language models by how they ended.",
                &["endpoint", "outcome"],
            )?,
            tokens: counters("tessera_models_tokens_total", "Tokens read and written.", &["endpoint", "kind"])?,
            call_seconds: seconds("tessera_models_call_seconds", "Time of a call until it ended, however that was.")?,
            first_text_seconds: seconds("tessera_models_first_text_seconds", "Time until the first text of a call.")?,
            breaker_open: gauges("tessera_models_breaker_open", "1 while an endpoint is left alone.", "endpoint")?,
            queue_len: gauges("tessera_models_queue_len", "What waits for a model.", "queue")?,
            registry,
            reading: Arc::default(),
        };
        for queue in ["queries", "passages", "texts"] {
            metrics.queue_len.with_label_values(&[queue]);
        }
        Ok(metrics)
    }

    /// Begins to count for an endpoint: what can be there is there from the start, so that a first one is seen as a rise.
    pub(crate) fn expect(&self, endpoint: &str) {
        for outcome in Outcome::ALL {
            self.calls.with_label_values(&[endpoint, outcome.name()]);
        }
        for kind in ["prompt", "completion"] {
            self.tokens.with_label_values(&[endpoint, kind]);
        }
        self.call_seconds.with_label_values(&[endpoint]);
        self.first_text_seconds.with_label_values(&[endpoint]);
        self.breaker_open.with_label_values(&[endpoint]);
    }

    pub(crate) fn ended(&self, call: Ended<'_>) {
        let Ended { endpoint, outcome, usage, took, first_text } = call;
        self.calls.with_label_values(&[endpoint, outcome.name()]).inc();
        self.tokens.with_label_values(&[endpoint, "prompt"]).inc_by(usage.prompt_tokens);
        self.tokens.with_label_values(&[endpoint, "completion"]).inc_by(usage.completion_tokens);
        self.call_seconds.with_label_values(&[endpoint]).observe(took.as_secs_f64());
        if let Some(after) = first_text {
            self.first_text_seconds.with_label_values(&[endpoint]).observe(after.as_secs_f64());
        }
    }

    /// All of it, with what is looked up just now, in the text format of Prometheus.
    pub fn text(&self, embedders: &Embedders, providers: Option<&Providers>) -> String {
        // Nothing is left half done by a reader that panicked.
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut queries, mut passages) = (0, 0);
        for embedder in embedders.loaded() {
            let (of_queries, of_passages) = embedder.queue_lens();
            queries += of_queries;
            passages += of_passages;
        }
        let texts = providers.map_or(0, Providers::queue_len);
        for (queue, len) in [("queries", queries), ("passages", passages), ("texts", texts)] {
            self.queue_len.with_label_values(&[queue]).set(len as i64);
        }
        for (endpoint, is_left_alone) in providers.map(Providers::left_alone).unwrap_or_default() {
            self.breaker_open.with_label_values(&[endpoint]).set(i64::from(is_left_alone));
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("what was declared has a name and a value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::Embedder;

    #[test]
    fn a_call_is_counted_with_what_it_took_and_an_outcome_is_called_as_the_ledger_calls_it() {
        let metrics = Metrics::default();
        metrics.expect("local");
        let usage = Usage { prompt_tokens: 210, completion_tokens: 12, cost_micros: 0 };
        let took = Duration::from_millis(700);
        let call = Ended { endpoint: "local", outcome: Outcome::Complete, usage, took, first_text: Some(took) };
        metrics.ended(call);
        let nothing = Usage::default();
        metrics.ended(Ended { outcome: Outcome::Busy, usage: nothing, first_text: None, ..call });
        let text = metrics.text(&Embedders::from(Some(Embedder::fake(32))), None);
        for line in [
            r#"tessera_models_calls_total{endpoint="local",outcome="complete"} 1"#,
            r#"tessera_models_calls_total{endpoint="local",outcome="busy"} 1"#,
            r#"tessera_models_calls_total{endpoint="local",outcome="silent"} 0"#,
            r#"tessera_models_tokens_total{endpoint="local",kind="prompt"} 210"#,
            r#"tessera_models_tokens_total{endpoint="local",kind="completion"} 12"#,
            r#"tessera_models_call_seconds_count{endpoint="local"} 2"#,
            r#"tessera_models_first_text_seconds_count{endpoint="local"} 1"#,
            r#"tessera_models_breaker_open{endpoint="local"} 0"#,
            r#"tessera_models_queue_len{queue="queries"} 0"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in {text}");
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }
}
