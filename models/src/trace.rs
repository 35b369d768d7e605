//! Which spans are for traces, rather than for the log, and how a trace is handed on to whoever is called.
//!
//! A span whose target is [`TARGET`] says where time goes; those who collect traces take these alone, and the log takes all others.
//! Invariant: an attribute of such a span is a number or one of a few names. No text, query, key or id of a person or page is in one.

use std::sync::Arc;

/// The target of spans for traces.
pub const TARGET: &str = "tessera::trace";

/// Gives the `traceparent` (W3C Trace Context) by which whoever is called can go on with the trace of a span; none where it is in no
/// trace.
pub type Propagate = Arc<dyn Fn(&tracing::Span) -> Option<String> + Send + Sync>;
