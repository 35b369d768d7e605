//! The read side through its front doors: the engine and the HTTP API over a small real index.

mod generated;
