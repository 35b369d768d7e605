//! The read side: retrieve, fuse, present, and the HTTP API.
