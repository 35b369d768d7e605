//! Import.

pub mod desired;
pub mod diff;
pub mod fit;
pub mod front;
pub mod markdown;
pub mod position;
