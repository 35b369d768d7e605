//! The spans of the write side for traces: what a stream brings, what a commit does, what the model is given; see [`models::trace`].
//!
//! ```text
//! poll TOPIC      messages that came together, fetched and decoded
//! process TOPIC   a turn of the lane: some of them merged ──(link)──> index
//! index           from the first change until searches find it: gathering, then write (split …), commit, publish
//! embed           pages given to the model, one after the other
//! ```
//!
//! Where nobody collects traces a span costs a look at a flag. Each of these is a trace of its own, so that a share of them can be recorded. How many
//! there are is bounded by what is done, not by what it is done to: a commit is one, whatever it writes, with no more than [`SPLITS_MAX`] of its pages. Invariant:
//! attributes are counts, and the names of a topic, a partition and a group.

use models::trace::TARGET;
use tracing::Span;
use tracing::field::Empty;

/// Pages of a commit whose cutting has a span of its own. Of all of them together, `index` tells the time.
pub(crate) const SPLITS_MAX: u64 = 16;
/// Pages of one span of embedding.
const EMBED_PAGES_MAX: u64 = 64;

/// Messages of a topic that come together, by a group's consumer. How many is told by [`messages`].
pub(crate) fn poll(topic: &str, group: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "poll",
        otel.name = format_args!("poll {topic}"),
        otel.kind = "client",
        messaging.system = "kafka",
        messaging.operation.name = "poll",
        messaging.operation.type = "receive",
        messaging.destination.name = topic,
        messaging.consumer.group.name = group,
        messaging.batch.message_count = Empty,
    )
}

/// Says how many messages came.
pub(crate) fn messages(span: &Span, count: usize) {
    span.record("messaging.batch.message_count", count as u64);
}

/// A turn of a lane: so many messages of a topic, of one partition where it is one, are merged.
pub(crate) fn process(topic: &str, partition: Option<i32>, count: usize) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        "process",
        otel.name = format_args!("process {topic}"),
        otel.kind = "consumer",
        messaging.system = "kafka",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = topic,
        messaging.destination.partition.id = Empty,
        messaging.batch.message_count = count as u64,
    );
    if let Some(partition) = partition {
        span.record("messaging.destination.partition.id", tracing::field::display(partition));
    }
    span
}

/// What is made searchable together, from its first change on.
pub(crate) fn index() -> Span {
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "index",
        otel.name = "index",
        otel.status_code = Empty,
        tessera.events = Empty,
        tessera.pages = Empty,
        tessera.passages = Empty,
        tessera.split_ms = Empty,
    )
}

/// A part of the work, below the span that is current.
pub(crate) fn part(name: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "part", otel.name = name)
}

/// Says that it failed. Why stands in the log.
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// Pages that are given to the model.
#[derive(Debug)]
pub(crate) struct Embedding {
    span: Span,
    pages: u64,
    passages: u64,
}

impl Embedding {
    /// None yet.
    pub(crate) fn begin() -> Self {
        let span = tracing::info_span!(
            target: TARGET,
            parent: None,
            "embed",
            otel.name = "embed",
            otel.status_code = Empty,
            tessera.pages = Empty,
            tessera.passages = Empty,
        );
        Self { span, pages: 0, passages: 0 }
    }

    /// Works on one more of them.
    pub(crate) fn page<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.pages += 1;
        self.span.in_scope(work)
    }

    /// So many vectors were found or made for it.
    pub(crate) fn made(&mut self, passages: usize) {
        self.passages += passages as u64;
        self.span.record("tessera.pages", self.pages).record("tessera.passages", self.passages);
    }

    /// Says that the model failed.
    pub(crate) fn failed(&self) {
        failed(&self.span);
    }

    /// Whether the next page belongs to another span.
    pub(crate) fn is_full(&self) -> bool {
        self.pages >= EMBED_PAGES_MAX
    }
}
