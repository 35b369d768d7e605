//! The write side: sources, page state, splitting, embedding, committing.

pub mod config;
pub mod dead_letters;
pub mod decode;
pub mod import;
pub mod state;
