//! Machine-learning models behind one door: embeddings and generated text.
//!
//! The rest of the product names neither fastembed nor ONNX Runtime: it starts a model here, hands it text and gets vectors
//! back. This crate stores nothing, knows no page and no access rule, and reads nothing but its configuration and the files
//! that it names. Every vector it hands out is finite, of unit length and tagged by the [`embed::ModelId`] it came from.

pub mod embed;
pub mod extract;
pub mod genai;
pub mod generate;
pub mod metrics;
pub mod trace;
