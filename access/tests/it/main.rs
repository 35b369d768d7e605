//! What the access crate promises, seen from outside.

#[path = "../oracle/oracle.rs"]
mod oracle;

mod explain;
mod fence;
mod model;
mod truth_table;
mod world;
