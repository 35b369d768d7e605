//! The stored index: passages, vectors, records and payload in one commit.

pub mod analysis;
pub mod vectors;
