//! Cursors: where a list goes on.
//!
//! A cursor is opaque to clients and carries no secret: the place in the list, the states of index and access under
//! which the list was made, its name where feedback is recorded, and a checksum over these, the request and the caller. So it works on every node, and one
//! that was altered, cut, or belongs to another request or caller is refused. What it leads to is masked and checked
//! like any other request, so nothing is gained by forging one.
//!
//! Lists are made anew for each page, always under the newest access state. While nothing changes in between, pages
//! follow each other without gap or overlap; when something did, a hit may be missed or come twice, which
//! [`Cursor::consistency`] lets the log tell.

use schemas::api::Consistency;

use crate::feedback::ListId;

/// The request and its caller, as far as they decide what is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHash([u8; 32]);

impl RequestHash {
    /// Hashes the parts of a request; their order and borders count.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("tessera 2026 cursor");
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// Where a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Pages that were listed before.
    pub offset: u32,
    /// The state under which they were.
    pub consistency: Consistency,
    /// The list, where feedback on it is recorded.
    pub list: Option<ListId>,
}

/// A cursor of a list without a name.
const NAMELESS: u8 = 1;
/// A cursor of a list with a name.
const NAMED: u8 = 2;
const BODY_LEN: usize = 1 + 4 + 8 + 8;
const LIST_LEN: usize = 16;
const CHECK_LEN: usize = 12;

impl Cursor {
    /// Writes the cursor as text: letters and digits only.
    pub fn encode(&self, request: &RequestHash) -> String {
        let mut bytes = Vec::with_capacity(BODY_LEN + LIST_LEN + CHECK_LEN);
        bytes.push(if self.list.is_some() { NAMED } else { NAMELESS });
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.consistency.index_seq.to_be_bytes());
        bytes.extend(self.consistency.access_seq.to_be_bytes());
        bytes.extend(self.list.iter().flat_map(|list| list.0));
        bytes.extend(check(&bytes, request));
        bytes.iter().flat_map(|byte| [hex(byte >> 4), hex(byte & 15)]).collect()
    }

    /// Reads a cursor of this request; `None` for anything else.
    pub fn decode(text: &str, request: &RequestHash) -> Option<Self> {
        if text.len() > 2 * (BODY_LEN + LIST_LEN + CHECK_LEN) || !text.len().is_multiple_of(2) {
            return None;
        }
        let digits: Option<Vec<u8>> = text.chars().map(unhex).collect();
        let bytes: Vec<u8> = digits?.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_LEN)?)?;
        if check(body, request) != checksum {
            return None;
        }
        let list = match (*body.first()?, body.len().checked_sub(BODY_LEN)?) {
            (NAMELESS, 0) => None,
            (NAMED, LIST_LEN) => Some(ListId(body[BODY_LEN..].try_into().ok()?)),
            _ => return None,
        };
        Some(Self {
            offset: u32::from_be_bytes(body[1..5].try_into().ok()?),
            consistency: Consistency {
                index_seq: u64::from_be_bytes(body[5..13].try_into().ok()?),
                access_seq: u64::from_be_bytes(body[13..21].try_into().ok()?),
            },
            list,
        })
    }
}

fn check(body: &[u8], request: &RequestHash) -> [u8; CHECK_LEN] {
    let hash = blake3::keyed_hash(&request.0, body);
    let mut short = [0; CHECK_LEN];
    short.copy_from_slice(&hash.as_bytes()[..CHECK_LEN]);
    short
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0')
}

fn unhex(digit: char) -> Option<u8> {
    // Capital letters are refused: one cursor has one text.
    digit.to_digit(16).filter(|_| !digit.is_ascii_uppercase()).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(name: &str) -> RequestHash {
        RequestHash::of([name.as_bytes()])
    }

    fn cursor() -> Cursor {
        Cursor { offset: 20, consistency: Consistency { index_seq: 7, access_seq: 9 }, list: None }
    }

    fn named() -> Cursor {
        Cursor { list: Some(ListId([3; LIST_LEN])), ..cursor() }
    }

    #[test]
    fn a_cursor_reads_back_for_its_own_request_alone() {
        for cursor in [cursor(), named()] {
            let text = cursor.encode(&request("a"));
            assert!(text.len() <= schemas::api::search::CURSOR_CHARS_MAX);
            assert_eq!(Cursor::decode(&text, &request("a")), Some(cursor));
            assert_eq!(Cursor::decode(&text, &request("b")), None);
        }
    }

    #[test]
    fn where_parts_of_a_request_end_counts() {
        assert_ne!(RequestHash::of([&b"ab"[..], b"c"]), RequestHash::of([&b"a"[..], b"bc"]));
    }

    proptest! {
        #[test]
        fn an_altered_cursor_is_refused(
            is_named: bool, at in 0usize..98, digit in prop::char::range('\u{20}', '\u{7e}')
        ) {
            let text = if is_named { named() } else { cursor() }.encode(&request("a"));
            let mut altered: Vec<char> = text.chars().collect();
            let at = at % altered.len();
            prop_assume!(altered[at] != digit);
            altered[at] = digit;
            prop_assert_eq!(Cursor::decode(&altered.into_iter().collect::<String>(), &request("a")), None);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in any::<String>()) {
            prop_assert_eq!(Cursor::decode(&text, &request("a")), None);
        }
    }
}
