//! Write side and read side together, as a product and its people use them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod answers;
mod collections;
mod crash;
mod faults;
mod leak;
#[path = "../../../access/tests/oracle/oracle.rs"]
mod oracle;
mod race;
mod relevance;
mod sample;
mod served;
mod site;
mod trec_eval;
