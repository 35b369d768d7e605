//! The vectors of the stored index: one file per tantivy segment, rows aligned with doc ids, written and merged
//! by a segment plugin and therefore part of the one commit.
//!
//! It does not embed anything and decides nothing about access: a search is told which documents it may look at.
//! Invariants: a row belongs to exactly one document of its segment, a deleted document is never returned, and
//! vectors of two models are never compared.
//!
//! A row is the embedding as signed eight-bit integers with one scale, tagged with its model. A search reads the
//! sign bits first when there are many candidates, and scores the best of them, or all of them when there are
//! few, from the integers.

mod file;
mod kernel;
mod plugin;
mod query;
mod row;
mod search;
mod segment;
#[cfg(test)]
mod tests;

pub use file::VectorFileError;
pub use plugin::{FIELD_TYPE, FILE_EXTENSION, VectorField, VectorPlugin};
pub use query::QueryVector;
pub use row::{DIMENSIONS_MAX, ModelTag, StoredVector, VectorError};
pub use search::{Neighbour, VectorSearchError, search, search_listed};
pub use segment::SegmentVectors;
