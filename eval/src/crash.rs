//! The parts of the crash test: a product that never stops writing, an installation that is killed, and one that is not.
//!
//! ```text
//! traffic: random events ─┬─> child ── tasks ──> worker over a folder  <── killed at any moment, or at a file operation
//!                         │      <── answers ──                            (faults: operations that fail for a while)
//!                         └─> a clean installation that nobody disturbs
//! check: what is acknowledged is there; once the rest is sent again, the two hold the same
//! ```
//!
//! When and what is killed is for the test to decide. Invariant: events commute, so that what the clean installation holds
//! does not depend on the order in which the two were told.

pub mod check;
pub mod child;
pub mod faults;
pub mod site;
pub mod traffic;
pub mod worker;
