//! Every shape that crosses a process or is stored: ids, versions, events, blocks, grants, records, API bodies.
//!
//! Pure: no I/O, no engine, no clock. JSON Schema and OpenAPI are generated from these types.

pub mod api;
pub mod block;
pub mod event;
pub mod grant;
pub mod ids;
pub mod limits;
pub mod page;
pub mod page_text;
pub mod problem;
pub mod record;
pub mod register;
pub mod version;
