//! What the access crate promises, seen from outside.

#![expect(clippy::unwrap_used, reason = "what the tests write themselves is valid")]

#[path = "../oracle/oracle.rs"]
mod oracle;

mod explain;
mod fence;
mod model;
mod truth_table;
mod world;
