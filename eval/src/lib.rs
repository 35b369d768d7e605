//! Offline evaluation: relevance, leaks, crashes.
//!
//! It drives the write side and the read side together, as a product and its people would. Nothing here serves anybody.
//!
//! Relevance is measured in this order; the steps below know no index:
//!
//! ```text
//! dataset: documents, queries, qrels -> (queries -> typos) -> a system -> runs -> metrics -> compare (statistics) -> gate
//! ```

pub mod answers;
pub mod baselines;
pub mod compare;
pub mod configuration;
pub mod crash;
pub mod dataset;
pub mod drive;
pub mod evaluate;
pub mod evaluation;
pub mod gate;
pub mod generations;
pub mod interleaving;
pub mod judgments;
pub mod kept;
pub mod leak;
mod lines;
pub mod metrics;
pub mod personas;
pub mod progress;
pub mod qrels;
pub mod questions;
pub mod report;
pub mod runs;
pub mod statistics;
pub mod typing;
pub mod typos;
pub mod workspace;
