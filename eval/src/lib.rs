//! Offline relevance and leak evaluation.
//!
//! It drives the write side and the read side together, as a product and its people would. Nothing here serves anybody.

pub mod compare;
pub mod crash;
pub mod gate;
pub mod generations;
pub mod leak;
mod lines;
pub mod metrics;
pub mod qrels;
pub mod runs;
pub mod statistics;
pub mod typos;
