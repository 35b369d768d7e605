//! The parts of the leak test: a product that writes random events, what they add up to, and what may be answered.
//!
//! ```text
//! product: random events -> delivered late, twice and out of order -> write side -> index -> read side
//!                        -> known: what the delivered ones add up to  -> judge <- request, answer
//! ```
//!
//! Who may see a page is not decided here: the test brings the verdicts of an oracle that shares no code with the `access`
//! crate. Invariant: every page and block carries words that stand nowhere else, so that a leak shows in whatever part of
//! a response it happens.

pub mod broken;
pub mod judge;
pub mod known;
pub mod parrot;
pub mod pdf_text;
pub mod product;
pub mod request;
pub mod talk;
