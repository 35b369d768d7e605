//! The write side: sources, page state, splitting, embedding, committing.
//!
//! ```text
//! decode -> state -> (access graph and heads, at once) -> split -> embed what is new -> one commit -> publish -> acknowledge
//! ```
//!
//! `decode`, `state` and `split` are pure; `engine` holds the threads and the waiting; `import` turns other formats into the
//! same events that a product would send. Nothing here searches, and nothing here decides who may read what.

pub mod config;
pub mod dead_letters;
pub mod decode;
pub mod engine;
pub mod error;
pub mod import;
pub mod kafka;
pub mod metrics;
pub mod postgres;
pub mod rebuild_older;
pub mod split;
pub mod state;
mod trace;
pub mod verify;
