//! What the read side offers to be watched: requests, the stages of a search, what was left out, what the gate turned away.
//!
//! Counts and times alone, over all workspaces together. Labels are the templates of routes, statuses, and names written
//! here: no id, no query, no text. Invariant: gauges are looked up when `Metrics::text` is called; all else is counted as
//! it happens.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, TextEncoder,
    register_histogram_vec_with_registry, register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_with_registry,
};
use schemas::api::search::Degraded;
use tracing::Span;

use crate::trace;

/// Bounds of the time of a request, in seconds: from a lookup to the longest that a server allows.
const REQUEST_SECONDS: [f64; 13] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];
/// Bounds of the time of a stage, in seconds.
const STAGE_SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// A part of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for a turn to search.
    Wait,
    /// Taking away the pages that filters and conditions do not want.
    Narrow,
    /// Retrieving by words.
    Lexical,
    /// Retrieving by meaning, the embedding of the query included.
    Semantic,
    /// Fusing, rescoring and grouping.
    Rank,
    /// Reading what is shown, and letting it out.
    Present,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Narrow => "narrow",
            Self::Lexical => "lexical",
            Self::Semantic => "semantic",
            Self::Rank => "rank",
            Self::Present => "present",
        }
    }
}

/// What was full when a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// As many connections as may be.
    Connections,
    /// As many requests as may be worked on.
    Requests,
    /// As many bytes of bodies as may be held.
    Bodies,
    /// As many searches as have a turn, for too long.
    Searches,
    /// As many documents as are laid out side by side, for too long.
    Documents,
    /// As many texts as are written side by side.
    Answers,
    /// As many of them as are written for one caller.
    CallerAnswers,
    /// As many of them as are written for one workspace.
    WorkspaceAnswers,
    /// Requests of one caller in a second.
    CallerRate,
    /// Requests of one workspace in a second.
    WorkspaceRate,
    /// Nothing: the server is stopping.
    Stopping,
}

impl Bound {
    const ALL: [Self; 11] = [
        Self::Connections,
        Self::Requests,
        Self::Bodies,
        Self::Searches,
        Self::Documents,
        Self::Answers,
        Self::CallerAnswers,
        Self::WorkspaceAnswers,
        Self::CallerRate,
        Self::WorkspaceRate,
        Self::Stopping,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Bodies => "bodies",
            Self::Searches => "searches",
            Self::Documents => "documents",
            Self::Answers => "answers",
            Self::CallerAnswers => "caller_answers",
            Self::WorkspaceAnswers => "workspace_answers",
            Self::CallerRate => "caller_rate",
            Self::WorkspaceRate => "workspace_rate",
            Self::Stopping => "stopping",
        }
    }
}

/// How an answer was made that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerKind {
    /// A language model wrote it for this question.
    Model,
    /// One had written it before.
    Cached,
    /// Sentences of the sources were picked.
    Extractive,
    /// The sources do not say it.
    NotFound,
}

impl AnswerKind {
    const ALL: [Self; 4] = [Self::Model, Self::Cached, Self::Extractive, Self::NotFound];

    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Cached => "cached",
            Self::Extractive => "extractive",
            Self::NotFound => "not_found",
        }
    }
}

/// Counters of a read side. Cloning is cheap; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Held while they are read: what is looked up for them is looked up once at a time.
    reading: Arc<Mutex<()>>,
    request_seconds: HistogramVec,
    in_flight_requests: IntGauge,
    stage_seconds: HistogramVec,
    degraded: IntCounterVec,
    shed: IntCounterVec,
    permit_dropped: IntCounter,
    answers_begun: IntCounter,
    answers: IntCounterVec,
    answer_streams: IntGauge,
    unshown: IntCounter,
    feedback_dropped: IntCounter,
    audit_recorded: IntCounter,
    audit_lost: IntCounter,
    erasures_unfinished: IntGauge,
}

/// What is looked up when the counters are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Requests that are worked on.
    pub(crate) in_flight_requests: usize,
    /// Streamed answers that are kept: those that are being written and those that can be gone on with.
    pub(crate) answer_streams: usize,
    /// Pages that the gate turned away since the start.
    pub(crate) permit_dropped_total: u64,
    /// Lines of feedback that were lost since the start.
    pub(crate) feedback_dropped_total: u64,
    /// Lines of the audit log that were written since the start.
    pub(crate) audit_recorded_total: u64,
    /// Acts that it lost since the start.
    pub(crate) audit_lost_total: u64,
    /// Erasures that wait or are worked on.
    pub(crate) erasures_unfinished: usize,
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
        let metrics = Self {
            request_seconds: register_histogram_vec_with_registry!(
                "tessera_query_request_seconds",
                "Time until a request was answered; of a stream, until it began.",
                &["route", "status"],
                REQUEST_SECONDS.to_vec(),
                registry
            )?,
            in_flight_requests: register_int_gauge_with_registry!(
                "tessera_query_in_flight_requests",
                "Requests that are worked on.",
                registry
            )?,
            stage_seconds: register_histogram_vec_with_registry!(
                "tessera_query_stage_seconds",
                "Time that a stage of a search took, waiting for its turn included.",
                &["stage"],
                STAGE_SECONDS.to_vec(),
                registry
            )?,
            degraded: register_int_counter_vec_with_registry!(
                "tessera_query_degraded_total",
                "Searches from which something was left out.",
                &["stage"],
                registry
            )?,
            shed: register_int_counter_vec_with_registry!(
                "tessera_query_shed_total",
                "Requests and connections that were turned away.",
                &["bound"],
                registry
            )?,
            permit_dropped: counter(
                "tessera_query_permit_dropped_total",
                "Pages that were retrieved and turned away at the last check.",
            )?,
            answers_begun: counter("tessera_query_answers_begun_total", "Answers that were begun.")?,
            answers: register_int_counter_vec_with_registry!(
                "tessera_query_answers_total",
                "Answers that came to their end, by how they were made.",
                &["kind"],
                registry
            )?,
            answer_streams: register_int_gauge_with_registry!(
                "tessera_query_answer_streams",
                "Streamed answers that are kept.",
                registry
            )?,
            unshown: counter("tessera_query_export_unshown_total", "Characters of PDF documents that no font has.")?,
            feedback_dropped: counter(
                "tessera_query_feedback_dropped_total",
                "Lines of the log of feedback that were lost.",
            )?,
            audit_recorded: counter("tessera_query_audit_recorded_total", "Acts that were written to the audit log.")?,
            erasures_unfinished: register_int_gauge_with_registry!(
                "tessera_query_erasures_unfinished",
                "Erasures that wait or are worked on.",
                registry
            )?,
            audit_lost: counter("tessera_query_audit_lost_total", "Acts that the audit log lost.")?,
            registry,
            reading: Arc::default(),
        };
        // What can be there is there from the start, so that a first one is seen as a rise.
        for stage in [Stage::Wait, Stage::Narrow, Stage::Lexical, Stage::Semantic, Stage::Rank, Stage::Present] {
            metrics.stage_seconds.with_label_values(&[stage.name()]);
        }
        for stage in [Degraded::Lexical, Degraded::Semantic, Degraded::Facets] {
            metrics.degraded.with_label_values(&[left_out_name(stage)]);
        }
        for kind in AnswerKind::ALL {
            metrics.answers.with_label_values(&[kind.name()]);
        }
        for bound in Bound::ALL {
            metrics.shed.with_label_values(&[bound.name()]);
        }
        metrics.request_seconds.with_label_values(&["/v1/search", "200"]);
        Ok(metrics)
    }

    /// Counts a request by the template of its route, never by its path.
    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        self.request_seconds.with_label_values(&[route, &status.to_string()]).observe(took.as_secs_f64());
    }

    /// Measures a stage until what it gives is dropped.
    pub(crate) fn stage(&self, stage: Stage) -> Running {
        let seconds = self.stage_seconds.with_label_values(&[stage.name()]);
        Running { started: Instant::now(), seconds, span: trace::part(stage.name()) }
    }

    /// Counts what was left out of a search.
    pub(crate) fn degraded(&self, left_out: &[Degraded]) {
        for stage in left_out {
            self.degraded.with_label_values(&[left_out_name(*stage)]).inc();
        }
    }

    /// Counts an answer that is begun.
    pub(crate) fn answer_begun(&self) {
        self.answers_begun.inc();
    }

    /// Counts an answer that came to its end.
    pub(crate) fn answer_ended(&self, kind: AnswerKind) {
        self.answers.with_label_values(&[kind.name()]).inc();
    }

    /// Counts what was turned away.
    pub(crate) fn shed(&self, bound: Bound) {
        self.shed.with_label_values(&[bound.name()]).inc();
    }

    /// Counts characters of documents that no font has.
    pub(crate) fn unshown(&self, characters: u64) {
        self.unshown.inc_by(characters);
    }

    /// All of it, with what was looked up just now, in the text format of Prometheus.
    pub(crate) fn text(&self, looked: Looked) -> String {
        // Nothing is left half done by a reader that panicked.
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.in_flight_requests.set(looked.in_flight_requests as i64);
        self.answer_streams.set(looked.answer_streams as i64);
        let catch_up = |counter: &IntCounter, total: u64| counter.inc_by(total.saturating_sub(counter.get()));
        catch_up(&self.permit_dropped, looked.permit_dropped_total);
        catch_up(&self.feedback_dropped, looked.feedback_dropped_total);
        catch_up(&self.audit_recorded, looked.audit_recorded_total);
        catch_up(&self.audit_lost, looked.audit_lost_total);
        self.erasures_unfinished.set(looked.erasures_unfinished as i64);
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("what was declared has a name and a value")
    }
}

fn left_out_name(stage: Degraded) -> &'static str {
    match stage {
        Degraded::Lexical => "lexical",
        Degraded::Semantic => "semantic",
        Degraded::Facets => "facets",
    }
}

/// A stage that is being measured. One that is given up counts as long as it was waited for.
#[derive(Debug)]
pub(crate) struct Running {
    started: Instant,
    seconds: Histogram,
    span: Span,
}

impl Running {
    /// The span of the stage in traces, for what is done within it.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.seconds.observe(self.started.elapsed().as_secs_f64());
    }
}
