//! The read side through its front doors: the engine and the HTTP API over a small real index.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]
#![expect(unreachable_pub, reason = "nothing is public in tests")]

mod access_table;
mod answers;
mod api;
mod api_page;
mod asking;
mod audit;
mod audit_table;
mod cached;
mod connections;
mod content;
mod conversations;
mod endpoints;
mod erasures;
mod export;
mod feedback;
mod gate;
mod generate;
mod generated;
mod harness;
mod headers;
mod identities;
mod injection;
mod leaks;
mod mcp;
mod openai;
mod overload;
mod paths;
mod resume;
mod scripted;
mod search;
mod serve;
mod usage;
mod web;
