//! Integration tests of the crate `models`: one contract for every embedder, the real model against a reference, and language
//! models behind scripted providers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod contract;
mod generate;
mod loading;
mod real_model;
mod reference;
