//! What the write side offers to be watched: how much comes in, how soon it is found, what waits, what fails.
//!
//! Counts and times alone, over all workspaces and engines of a process together: no id, no text. The one label that is a
//! number is that of a partition, of which a process holds a bounded few. Invariant: gauges are looked up when
//! [`Metrics::text`] is called; all else is counted as it happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
    exponential_buckets, register_gauge_vec_with_registry, register_gauge_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use schemas::api::operate::StreamStatus;
use schemas::event::{InvalidCode, InvalidEvent};

use crate::engine::{CommitStatus, Engine, Load};

/// Bounds of the time until an event is found, in seconds; below a second they are close, for that is what is promised.
const FRESHNESS_SECONDS: [f64; 14] = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 600.0, 3_600.0];
/// Bounds of the time that one step takes, in seconds.
const STEP_SECONDS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Of what there is one of, or none.
const NO_LABEL: &[&str] = &[];

/// All reasons to turn an event down.
const CODES: [InvalidCode; 5] = [
    InvalidCode::Malformed,
    InvalidCode::LimitExceeded,
    InvalidCode::UnknownType,
    InvalidCode::ClockAhead,
    InvalidCode::WrongWorkspace,
];

/// Counters of a process. Cloning is cheap; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Held while they are read: what is looked up for them is looked up once at a time.
    reading: Arc<Mutex<()>>,
    events: IntCounterVec,
    conflicts: IntCounter,
    coalesced: IntCounter,
    dead_letters: IntCounterVec,
    overloaded: IntCounter,
    batch_events: Histogram,
    merge_seconds: Histogram,
    commit_events: Histogram,
    commit_bytes: Histogram,
    commit_seconds: Histogram,
    commit_failures: IntCounter,
    pages_written: IntCounter,
    passages_written: IntCounter,
    freshness_seconds: Histogram,
    embedded_passages: IntCounter,
    embed_failures: IntCounter,
    pending_events: IntGauge,
    pending_bytes: IntGauge,
    pending_seconds: Gauge,
    semantic_pending_passages: IntGauge,
    embed_queue_pages: IntGauge,
    /// Of a process that reads a stream alone, as those of partitions: at 0 in every other one, it would tell of brokers that are away.
    connected: IntGaugeVec,
    failing: IntGaugeVec,
    gaps: IntCounter,
    lag_events: IntGaugeVec,
    lag_seconds: GaugeVec,
    queue_bytes: IntGaugeVec,
    paused: IntGaugeVec,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::declare().expect("the names are valid, and each is there once")
    }
}

impl Metrics {
    fn declare() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let counters = |name: &str, help: &str, label: &str| {
            register_int_counter_vec_with_registry!(name, help, &[label], registry)
        };
        let gauge = |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        let seconds = |name: &str, help: &str, bounds: &[f64]| {
            register_histogram_with_registry!(name, help, bounds.to_vec(), registry)
        };
        let sizes = |name: &str, help: &str, smallest: f64| {
            register_histogram_with_registry!(name, help, exponential_buckets(smallest, 4.0, 9)?, registry)
        };
        let of_partitions =
            |name: &str, help: &str| register_int_gauge_vec_with_registry!(name, help, &["partition"], registry);
        let of_stream = |name: &str, help: &str| register_int_gauge_vec_with_registry!(name, help, NO_LABEL, registry);
        let metrics = Self {
            events: counters("tessera_indexer_events_total", "Events by what became of them.", "outcome")?,
            conflicts: counter("tessera_indexer_conflicts_total", "Events that met a concurrent write.")?,
            coalesced: counter(
                "tessera_indexer_coalesced_total",
                "Events that were written together with another of the same page, group or person.",
            )?,
            dead_letters: counters("tessera_indexer_dead_letters_total", "Events that were turned down.", "code")?,
            overloaded: counter("tessera_indexer_overloaded_total", "Batches turned away because too much waited.")?,
            batch_events: sizes("tessera_indexer_batch_events", "Events of a batch that was merged.", 1.0)?,
            merge_seconds: seconds("tessera_indexer_merge_seconds", "Time to merge a batch.", &STEP_SECONDS)?,
            commit_events: sizes("tessera_indexer_commit_events", "Events of a commit.", 1.0)?,
            commit_bytes: sizes("tessera_indexer_commit_bytes", "Bytes of the events of a commit.", 1_024.0)?,
            commit_seconds: seconds("tessera_indexer_commit_seconds", "Time of a commit.", &STEP_SECONDS)?,
            commit_failures: counter("tessera_indexer_commit_failures_total", "Commits that failed.")?,
            pages_written: counter("tessera_indexer_pages_written_total", "Page records written.")?,
            passages_written: counter("tessera_indexer_passages_written_total", "Passages written.")?,
            freshness_seconds: seconds(
                "tessera_indexer_freshness_seconds",
                "Time from the writing of an event until searches find it.",
                &FRESHNESS_SECONDS,
            )?,
            embedded_passages: counter("tessera_indexer_embedded_passages_total", "Passages given to the model.")?,
            embed_failures: counter("tessera_indexer_embed_failures_total", "Times that the model failed.")?,
            pending_events: gauge("tessera_indexer_pending_events", "Events that are merged and not committed.")?,
            pending_bytes: gauge("tessera_indexer_pending_bytes", "Bytes of these events.")?,
            pending_seconds: register_gauge_with_registry!(
                "tessera_indexer_pending_seconds",
                "Age of the oldest change that is merged and not searchable.",
                registry
            )?,
            semantic_pending_passages: gauge(
                "tessera_indexer_semantic_pending_passages",
                "Passages that wait for their vector.",
            )?,
            embed_queue_pages: gauge("tessera_indexer_embed_queue_pages", "Pages that wait for the model.")?,
            connected: of_stream("tessera_indexer_stream_connected", "1 while the brokers answer.")?,
            failing: of_stream("tessera_indexer_stream_failing", "1 while events of the stream cannot be merged.")?,
            gaps: counter(
                "tessera_indexer_stream_gaps_total",
                "Times the brokers had dropped events before they were read.",
            )?,
            lag_events: of_partitions("tessera_indexer_lag_events", "Events of a partition that are not merged.")?,
            lag_seconds: register_gauge_vec_with_registry!(
                "tessera_indexer_lag_seconds",
                "Age of the first event of a partition that was read and is not merged.",
                &["partition"],
                registry
            )?,
            queue_bytes: of_partitions(
                "tessera_indexer_queue_bytes",
                "Bytes of a partition's events that were read and are not merged.",
            )?,
            paused: of_partitions("tessera_indexer_partition_paused", "1 while a partition is not read.")?,
            registry,
            reading: Arc::default(),
        };
        // What can be there is there from the start, so that a first one is seen as a rise.
        for outcome in ["accepted", "unchanged", "rejected"] {
            metrics.events.with_label_values(&[outcome]);
        }
        for code in CODES {
            metrics.dead_letters.with_label_values(&[code_name(code)]);
        }
        Ok(metrics)
    }

    pub(crate) fn merged(&self, events: usize, took: Duration) {
        self.batch_events.observe(events as f64);
        self.merge_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn taken(&self, accepted: u64, unchanged: u64, conflicts: u64) {
        self.events.with_label_values(&["accepted"]).inc_by(accepted);
        self.events.with_label_values(&["unchanged"]).inc_by(unchanged);
        self.conflicts.inc_by(conflicts);
    }

    pub(crate) fn rejected<'a>(&self, errors: impl Iterator<Item = &'a InvalidEvent>) {
        for error in errors {
            self.events.with_label_values(&["rejected"]).inc();
            self.dead_letters.with_label_values(&[code_name(error.code)]).inc();
        }
    }

    pub(crate) fn overloaded(&self) {
        self.overloaded.inc();
    }

    /// Counts a commit that is searchable, of so many events and bytes, which changed so many records.
    pub(crate) fn committed(&self, commit: &CommitStatus, load: Load, records: usize) {
        let Load { events, bytes } = load;
        self.commit_events.observe(events as f64);
        self.commit_bytes.observe(bytes as f64);
        self.commit_seconds.observe(commit.took_ms as f64 / 1e3);
        self.coalesced.inc_by(events.saturating_sub(records) as u64);
        self.pages_written.inc_by(commit.pages);
        self.passages_written.inc_by(commit.passages);
    }

    /// Notes that events are searchable that were written at these times, in milliseconds since 1970.
    pub(crate) fn found(&self, written_ms: &[i64], now_ms: i64) {
        for written_ms in written_ms {
            // A clock elsewhere may be ahead of ours.
            self.freshness_seconds.observe((now_ms - written_ms).max(0) as f64 / 1e3);
        }
    }

    pub(crate) fn commit_failed(&self) {
        self.commit_failures.inc();
    }

    pub(crate) fn embedded(&self, passages: usize) {
        self.embedded_passages.inc_by(passages as u64);
    }

    pub(crate) fn embedding_failed(&self) {
        self.embed_failures.inc();
    }

    /// All of it, with how these engines and this stream stand now, in the text format of Prometheus.
    pub fn text(&self, engines: &[Engine], stream: Option<&StreamStatus>) -> String {
        // Nothing is left half done by a reader that panicked.
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let statuses: Vec<_> = engines.iter().map(Engine::status).collect();
        let sum = |of: fn(&crate::engine::Status) -> u64| statuses.iter().map(of).sum::<u64>() as i64;
        self.pending_events.set(sum(|status| status.pending_events));
        self.pending_bytes.set(sum(|status| status.pending_bytes));
        self.pending_seconds.set(statuses.iter().map(|status| status.lag_ms).max().unwrap_or(0) as f64 / 1e3);
        self.semantic_pending_passages.set(sum(|status| status.semantic_pending));
        self.embed_queue_pages.set(sum(|status| status.embed_queue_pages));
        // A partition that went to another process is not told of any more, nor is a stream where there is none.
        self.connected.reset();
        self.failing.reset();
        self.lag_events.reset();
        self.lag_seconds.reset();
        self.queue_bytes.reset();
        self.paused.reset();
        if let Some(stream) = stream {
            self.connected.with_label_values(NO_LABEL).set(i64::from(stream.connected));
            self.failing.with_label_values(NO_LABEL).set(i64::from(stream.failing));
            self.gaps.inc_by(stream.gaps_total.saturating_sub(self.gaps.get()));
            for partition in &stream.partitions {
                let name = partition.partition.to_string();
                if let Some(lag_events) = partition.lag_events {
                    self.lag_events.with_label_values(&[&name]).set(lag_events as i64);
                }
                self.lag_seconds.with_label_values(&[&name]).set(partition.lag_ms as f64 / 1e3);
                self.queue_bytes.with_label_values(&[&name]).set(partition.in_flight_bytes as i64);
                self.paused.with_label_values(&[&name]).set(i64::from(partition.paused));
            }
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("what was declared has a name and a value")
    }
}

fn code_name(code: InvalidCode) -> &'static str {
    match code {
        InvalidCode::Malformed => "malformed",
        InvalidCode::LimitExceeded => "limit_exceeded",
        InvalidCode::UnknownType => "unknown_type",
        InvalidCode::ClockAhead => "clock_ahead",
        InvalidCode::WrongWorkspace => "wrong_workspace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They stood at 0 in every process, and whoever ran a server without Kafka was woken after five minutes.
    #[test]
    fn a_stream_is_told_of_only_while_there_is_one() {
        let metrics = Metrics::default();
        let of_stream = |stream: Option<&StreamStatus>| -> Vec<String> {
            let text = metrics.text(&[], stream);
            let gauges = text.lines().filter(|line| {
                line.starts_with("tessera_indexer_stream_") && !line.starts_with("tessera_indexer_stream_gaps_total")
            });
            gauges.map(str::to_owned).collect()
        };
        assert_eq!(of_stream(None), Vec::<String>::new());
        let away = StreamStatus { failing: true, ..StreamStatus::default() };
        let told = ["tessera_indexer_stream_connected 0", "tessera_indexer_stream_failing 1"];
        assert_eq!(of_stream(Some(&away)), told);
        assert_eq!(of_stream(None), Vec::<String>::new(), "it ended");
    }
}
