//! The stored index: passages, vectors, records and payload in one commit.
//!
//! It alone knows tantivy and the form in which things are stored. It stores no grants with the text: a search takes an
//! [`access::Mask`], which only the access graph can make, and asks it about every candidate. There is no search
//! without one.

pub mod analysis;
pub mod archive;
pub mod catalog;
mod commit;
mod compaction;
mod directory;
mod documents;
pub mod epochs;
mod error;
mod fields;
pub mod generation;
pub mod metrics;
pub mod older;
mod open;
mod pages;
pub mod passages;
pub mod raw;
pub mod records;
mod rests;
mod seal;
mod search;
mod tokens;
pub mod vectors;
pub mod verify;

pub use commit::{CommitPayload, Follows, PurgeExtent, Purged, RecordId, Writer, WrittenRecord};
pub use error::IndexError;
pub use open::{Config, Index, OpenMode};
pub use passages::Passage;
pub use search::{Bm25Shape, Candidate, Clause, ClauseKind, Field, LexicalQuery, Occur, PassageAddress, Searcher};
