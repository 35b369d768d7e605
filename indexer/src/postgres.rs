//! PostgreSQL: reading an outbox of events, and tables of pages and blocks, into an engine.
//!
//! ```text
//! outbox:  one snapshot -> rows of transactions that are over -> decode -> engine, with the position in the same commit
//! tables:  one snapshot -> groups, members, pages, blocks -> each row's events, under the row's version -> engine
//! ```
//!
//! It writes nothing to the database and decides no access. The schema it expects is in
//! [docs/backfill.md](../../../docs/backfill.md). Invariants:
//!
//! - A position moves only when all before it are merged or kept as dead letters; no row of a transaction that is not over is
//!   passed by, in whatever order transactions end.
//! - A row is taken whole or not at all, what it says of access first.
//! - Events commute and carry the versions of the rows, so that reading again, or beside a stream of the same changes, changes
//!   nothing.
//! - Memory is bounded by [`config::Config::fetch_bytes_max`] and one batch.

pub mod config;
mod connection;
mod error;
mod follow;
mod intake;
mod outbox;
mod rows;
mod tables;
mod tls;

pub use error::PostgresError;
pub use follow::Follower;
pub use intake::Taken;
pub use outbox::{OutboxReport, Position, read_outbox};
pub use tables::{TablesReport, read_tables};
