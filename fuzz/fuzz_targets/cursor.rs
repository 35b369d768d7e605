//! Cursors: text from a client. What is taken for a cursor is written as that very text, what is written is read
//! again, and neither another request nor a changed digit is let through.
//!
//! The first line is the request, the second the text of the cursor; the bytes of the request also make numbers for one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use query::cursor::{Cursor, RequestHash};
use schemas::api::Consistency;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (request_bytes, rest) = bytes.split_at(at);
    let request = RequestHash::of([request_bytes]);
    if let Ok(text) = std::str::from_utf8(rest.get(1..).unwrap_or_default())
        && let Some(cursor) = Cursor::decode(text, &request)
    {
        assert_eq!(cursor.encode(&request), text);
    }

    let number = |from: usize| {
        let mut number = [0; 8];
        for (digit, byte) in number.iter_mut().zip(request_bytes.iter().skip(from)) {
            *digit = *byte;
        }
        u64::from_le_bytes(number)
    };
    let consistency = Consistency { index_seq: number(4), access_seq: number(12) };
    let cursor = Cursor { offset: number(0) as u32, consistency, list: None };
    let text = cursor.encode(&request);
    assert_eq!(Cursor::decode(&text, &request), Some(cursor));
    assert_eq!(Cursor::decode(&text, &RequestHash::of([request_bytes, b""])), None);
    let changed = number(1) as usize % text.len();
    let digit = if text.as_bytes()[changed] == b'0' { "1" } else { "0" };
    let mut forged = text;
    forged.replace_range(changed..=changed, digit);
    assert_eq!(Cursor::decode(&forged, &request), None);
});
