//! Seals: a checksum inside a small file of JSON, so that a flipped byte is noticed when the file is read.
//!
//! A sealed file is an object with one more member in front, `{"seal":"<32 digits>",`, which is half the BLAKE3 hash of the file
//! without it. Who knows nothing of seals reads the same object. A file that begins as people and serializers write it, with
//! a line break behind the brace, carries no seal and is taken as it is: it may have been written by hand. So a single
//! flipped byte never makes a sealed file pass for one without a seal.

const BEGIN: &[u8] = br#"{"seal":""#;
const END: &[u8] = br#"","#;
const DIGITS: usize = 32;

/// The seal does not fit the content.
#[derive(Debug, thiserror::Error)]
#[error("its content does not fit its checksum")]
pub(crate) struct BrokenSeal;

/// Seals an object that has members and begins on a line of its own.
pub(crate) fn seal(json: &[u8]) -> Vec<u8> {
    debug_assert!(json.starts_with(b"{\n") && json != b"{\n}");
    [BEGIN, digits(json).as_bytes(), END, json.get(1..).unwrap_or_default()].concat()
}

/// The object that was sealed.
pub(crate) fn unseal(bytes: Vec<u8>) -> Result<Vec<u8>, BrokenSeal> {
    if bytes.starts_with(b"{\n") {
        return Ok(bytes);
    }
    let (found, rest) = bytes.strip_prefix(BEGIN).and_then(|rest| rest.split_at_checked(DIGITS)).ok_or(BrokenSeal)?;
    let json = [b"{", rest.strip_prefix(END).ok_or(BrokenSeal)?].concat();
    if digits(&json).as_bytes() == found { Ok(json) } else { Err(BrokenSeal) }
}

fn digits(json: &[u8]) -> String {
    blake3::hash(json).to_hex()[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_single_byte_can_be_changed_unnoticed() {
        let json = b"{\n  \"generation\": 12,\n  \"previous\": null\n}".to_vec();
        let sealed = seal(&json);
        assert_eq!(unseal(sealed.clone()).unwrap(), json);
        assert_eq!(unseal(json.clone()).unwrap(), json);
        let value: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(value["generation"], 12, "who knows nothing of seals reads the same");
        for at in 0..sealed.len() {
            for flip in 1..=255 {
                let mut damaged = sealed.clone();
                damaged[at] ^= flip;
                let read =
                    unseal(damaged).ok().and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
                assert!(read.is_none(), "byte {at} flipped by {flip:#x}");
            }
        }
        for len in 0..sealed.len() {
            let read = unseal(sealed[..len].to_vec()).ok();
            assert!(read.is_none(), "cut to {len} bytes");
        }
    }
}
