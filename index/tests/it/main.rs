//! The stored index through its public face: what is written, committed and searched, without the crates around it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod archive;
mod commits;
mod content;
mod damage;
mod generations;
mod languages;
mod masks;
mod purge;
mod records;
mod titles;
mod whole_pages;
mod words;
mod workspaces;
