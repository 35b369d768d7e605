//! The read side: retrieve, fuse, present, and the HTTP API.
//!
//! A search reads as one sentence in [`engine`]: mask, parse, retrieve both legs, fuse, rescore, group, present. It
//! writes nothing but the logs of [`feedback`], where that is on, and of [`audit`], [`conversations`], and the jobs of [`erasure`]; it
//! knows nothing of the write side, and lets no text out but through [`gate`].

pub mod answer;
pub mod audit;
mod buffers;
pub mod config;
pub mod conversations;
pub mod cursor;
pub mod deadline;
pub mod engine;
pub mod erasure;
pub mod error;
pub mod export;
mod facets;
pub mod feedback;
pub mod filter;
pub mod fuse;
pub mod gate;
pub mod generate;
pub mod group;
mod hex;
pub mod http;
pub mod interleave;
pub mod mark;
pub mod mcp;
pub mod metrics;
pub mod parse;
pub mod plan;
mod present;
pub mod random_id;
pub mod rescore;
mod retrieve;
mod scribe;
pub mod smooth;
pub mod snippet;
mod tasks;
pub mod trace;
mod turns;
