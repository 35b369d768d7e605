//! The Notion importer from the bytes of its zip: damaged archives are refused as a whole or passed over entry by entry,
//! and what could be read is imported once and for all.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzz::import_notion(bytes));
