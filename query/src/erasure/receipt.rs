//! Receipts: what an erasure did and found, sealed so that a change is seen.

use jiff::Timestamp;
use schemas::api::erasures::{Erasure, ErasureCheck, ErasureReceipt};
use sha2::{Digest as _, Sha256};

use crate::audit::AuditKey;
use crate::hex::hex;

/// Of the document.
const FORMAT: u32 = 1;

/// Makes the receipt of an erasure that is over.
pub(super) fn make(
    job: &Erasure,
    checks: Vec<ErasureCheck>,
    not_reached: Vec<String>,
    now: Timestamp,
    key: Option<&AuditKey>,
) -> ErasureReceipt {
    let mut receipt = ErasureReceipt {
        format: FORMAT,
        erasure: job.id.clone(),
        workspace: job.workspace.clone(),
        kind: job.kind,
        subject: job.subject.clone(),
        requested_at: job.requested_at,
        finished_at: now,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        checks,
        not_reached,
        hash: String::new(),
        mac: None,
    };
    let bytes = sealed(&receipt);
    (receipt.hash, receipt.mac) = (hex(&Sha256::digest(&bytes)), key.map(|key| key.mac(&bytes)));
    receipt
}

/// What `hash` and `mac` are over: the document without them, as compact JSON, its fields in the order of their names.
fn sealed(receipt: &ErasureReceipt) -> Vec<u8> {
    let mut value = serde_json::to_value(receipt).expect("a receipt is text, numbers and lists of them");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("hash");
        fields.remove("mac");
    }
    value.to_string().into_bytes()
}

/// Whether a receipt is as it was made: by its hash, and by its `mac` where a key is given, in which case it must have one.
pub fn is_whole(receipt: &ErasureReceipt, key: Option<&AuditKey>) -> bool {
    let bytes = sealed(receipt);
    let is_proven = |key: &AuditKey| receipt.mac.as_ref().is_some_and(|mac| key.proves(&bytes, mac));
    hex(&Sha256::digest(&bytes)) == receipt.hash && key.is_none_or(is_proven)
}
