//! Offline relevance and leak evaluation.
//!
//! It drives the write side and the read side together, as a product and its people would. Nothing here serves anybody.

pub mod crash;
pub mod generations;
pub mod leak;
mod lines;
pub mod metrics;
pub mod qrels;
pub mod runs;
