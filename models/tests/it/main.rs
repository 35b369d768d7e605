//! Integration tests of the crate `models`: one contract for every embedder, and the real model against a reference.

mod contract;
mod loading;
mod real_model;
mod reference;
