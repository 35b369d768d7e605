//! The write side: sources, page state, splitting, embedding, committing.

pub mod decode;
pub mod import;
pub mod state;
