//! The write side: sources, page state, splitting, embedding, committing.
