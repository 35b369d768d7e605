//! The write side as its callers see it: events in, over real index folders, with an embedder that needs no model.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod access_changes;
mod batches;
mod convergence;
mod durability;
mod embedding;
mod epochs;
mod erasure;
mod faults;
mod history;
mod imports;
mod kafka;
mod postgres;
mod reindex;
mod searching;
mod site;
mod source;
mod verify;
