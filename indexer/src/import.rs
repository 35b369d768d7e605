//! Import.

pub mod desired;
pub mod diff;
pub mod position;
