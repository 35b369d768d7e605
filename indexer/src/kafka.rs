//! Kafka: reading block changes from a topic into engines, and writing to topics.
//!
//! ```text
//! poll thread:  consumer -> decode -> queue of the lane, pausing partitions that wait too much
//! lane thread:  dead letters kept -> a turn of the queue -> one engine, with the offsets it was read to
//! engine:       events and offsets in one commit
//! ```
//!
//! The offset of truth is in the commit of the index: reading begins there, and the offsets of the group are only told to
//! Kafka afterwards, for dashboards ([ADR 8](../../../docs/adr/0008-the-offset-of-truth-is-in-the-commit.md)). Invariants:
//!
//! - An offset moves only when all before it are merged or kept as dead letters; nothing is dropped.
//! - What waits is bounded by bytes, for each partition by its share: a workspace of which too much waits is passed over and
//!   read again later, so that it holds nobody up; where that is not enough the partition is paused, and polling goes on.
//! - Events commute, so that reading some again, or in another order among workspaces, changes nothing.

mod catch_up;
pub mod client;
pub mod config;
mod dead_letters;
mod decoders;
pub mod group;
mod lane;
mod lanes;
mod owner;
pub mod produce;
mod queue;
mod reader;
mod source;

pub use source::{Source, SourceError};
