//! A line of the audit log: sealed when it is written, proven when it is read.
//!
//! ```text
//! {"seq":17,"time":"…","prev":"…","who_hash":"…","what_hash":"…","hash":"…","mac":"…","who":{"salt":…},"what":{"salt":…}}
//!  └───────────────────────── what `hash` is over ────────────┘
//! ```
//!
//! `hash` is the SHA-256 of the bytes before `,"hash":`, `prev` that of the line before, `who_hash` and `what_hash` those of the bytes of the two
//! parts. So a part can be taken out, and `null` put in its place, without breaking the chain; its salt goes with it, so that what it
//! said cannot be found out by trying. `mac`, where there is a key, is the HMAC-SHA-256 of the bytes that `hash` is over, cut to 16 bytes.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::act::{Act, What, Who};
use crate::hex::{hex, unhex};

/// Longest line: the ranges of the lines that lose something in the largest segment.
pub(super) const LINE_BYTES_MAX: usize = 2 << 20;
/// Bytes of a `mac`.
const MAC_BYTES: usize = 16;
/// Fewest bytes of a key.
pub const KEY_BYTES_MIN: usize = 32;

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// What the first line of all says of the line before.
pub(super) const NO_HASH: Hash = [0; 32];

/// The key that lines are authenticated with. Its `Debug` prints nothing.
#[derive(Clone)]
pub struct AuditKey {
    mac: Hmac<Sha256>,
    id: String,
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey")
    }
}

impl AuditKey {
    /// Takes a secret; none where it has fewer than [`KEY_BYTES_MIN`] bytes.
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.len() < KEY_BYTES_MIN {
            return None;
        }
        let mac = Hmac::new_from_slice(secret).ok()?;
        let id = hex(&mac.clone().chain_update(b"tessera audit key id").finalize().into_bytes()[..4]);
        Some(Self { mac, id })
    }

    /// Names it; says nothing of what it is.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Authenticates bytes.
    pub fn mac(&self, bytes: &[u8]) -> String {
        hex(&self.mac.clone().chain_update(bytes).finalize().into_bytes()[..MAC_BYTES])
    }

    /// Whether it authenticated them. In constant time.
    pub fn proves(&self, bytes: &[u8], mac: &str) -> bool {
        unhex::<MAC_BYTES>(mac)
            .is_some_and(|mac| self.mac.clone().chain_update(bytes).verify_truncated_left(&mac).is_ok())
    }
}

/// Makes lines.
#[derive(Debug)]
pub(super) struct Sealer {
    pub(super) key: Option<AuditKey>,
    salts: [u8; 32],
}

/// A line on its way to the file.
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) hash: Hash,
}

/// A part with its salt.
#[derive(Serialize)]
struct Salted<'a, T> {
    salt: String,
    #[serde(flatten)]
    part: &'a T,
}

impl Sealer {
    /// Salts are made of random bytes that are kept nowhere.
    pub(super) fn new(key: Option<AuditKey>) -> std::io::Result<Self> {
        let mut salts = [0; 32];
        getrandom::fill(&mut salts).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Self { key, salts })
    }

    fn part<T: Serialize>(&self, part: &T, seq: u64, name: &str, time: Timestamp) -> Vec<u8> {
        let of = format!("{name} {seq} {}", time.as_nanosecond());
        let salt = hex(&blake3::keyed_hash(&self.salts, of.as_bytes()).as_bytes()[..16]);
        serde_json::to_vec(&Salted { salt, part }).expect("a part has text for its keys and no number that JSON lacks")
    }

    /// Seals an act as the line after `prev`.
    pub(super) fn seal(&self, act: &Act, seq: u64, time: Timestamp, prev: &Hash) -> Sealed {
        let (who, what) = (self.part(&act.who, seq, "who", time), self.part(&act.what, seq, "what", time));
        let (who_hash, what_hash) = (hex(&Sha256::digest(&who)), hex(&Sha256::digest(&what)));
        let head = format!(
            r#"{{"seq":{seq},"time":"{time:.3}","prev":"{}","who_hash":"{who_hash}","what_hash":"{what_hash}""#,
            hex(prev)
        );
        let hash: Hash = Sha256::digest(head.as_bytes()).into();
        let mac = self.key.as_ref().map(|key| key.mac(head.as_bytes()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(format!(r#","hash":"{}""#, hex(&hash)).as_bytes());
        if let Some(mac) = mac {
            bytes.extend_from_slice(format!(r#","mac":"{mac}""#).as_bytes());
        }
        for (name, part) in [("who", &who), ("what", &what)] {
            bytes.extend_from_slice(format!(r#","{name}":"#).as_bytes());
            bytes.extend_from_slice(part);
        }
        bytes.extend_from_slice(b"}\n");
        Sealed { bytes, hash }
    }
}

/// A line as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) time: Timestamp,
    pub(super) prev: &'a str,
    who_hash: &'a str,
    what_hash: &'a str,
    pub(super) hash: &'a str,
    #[serde(default)]
    pub(super) mac: Option<&'a str>,
    #[serde(borrow)]
    who: Option<&'a RawValue>,
    #[serde(borrow)]
    what: Option<&'a RawValue>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it cannot be read")]
    Unreadable,
    #[error("its hash is not that of its bytes")]
    Hash,
    #[error("who did it is not what was recorded")]
    Who,
    #[error("what was done is not what was recorded")]
    What,
    #[error("it is not authenticated by this key")]
    Mac,
}

impl<'a> Line<'a> {
    /// Reads a line, without its end.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        serde_json::from_slice(bytes).map_err(|_| Fault::Unreadable)
    }

    /// What `hash` and `mac` are over.
    pub(super) fn head(bytes: &[u8]) -> &[u8] {
        let end = bytes.windows(8).position(|window| window == br#","hash":"#);
        &bytes[..end.unwrap_or(0)]
    }

    /// Its hash, where that is one.
    pub(super) fn own_hash(&self) -> Option<Hash> {
        unhex(self.hash)
    }

    /// Whether it is as it was written, apart from parts that were taken out. `bytes` are those that it was read from.
    pub(super) fn check(&self, bytes: &[u8], key: Option<&AuditKey>) -> Result<(), Fault> {
        let head = Self::head(bytes);
        if hex(&Sha256::digest(head)) != self.hash {
            return Err(Fault::Hash);
        }
        let is_right = |part: Option<&RawValue>, hash: &str| {
            part.is_none_or(|part| hex(&Sha256::digest(part.get().as_bytes())) == hash)
        };
        if !is_right(self.who, self.who_hash) {
            return Err(Fault::Who);
        }
        if !is_right(self.what, self.what_hash) {
            return Err(Fault::What);
        }
        match (key, self.mac) {
            (Some(key), Some(mac)) if !key.proves(head, mac) => Err(Fault::Mac),
            _ => Ok(()),
        }
    }

    /// Who did it; none where that was taken out, or is of a later release.
    pub(super) fn who(&self) -> Option<Who> {
        serde_json::from_str(self.who?.get()).ok()
    }

    /// What was done; none where that was taken out, or is of a later release.
    pub(super) fn what(&self) -> Option<What> {
        serde_json::from_str(self.what?.get()).ok()
    }

    /// Whether a part was taken out: who, what.
    pub(super) fn lacks(&self) -> (bool, bool) {
        (self.who.is_none(), self.what.is_none())
    }

    /// The line without who, or without both. With its end.
    pub(super) fn without(&self, bytes: &[u8], both: bool) -> Vec<u8> {
        let mut kept = Self::head(bytes).to_vec();
        kept.extend_from_slice(format!(r#","hash":"{}""#, self.hash).as_bytes());
        if let Some(mac) = self.mac {
            kept.extend_from_slice(format!(r#","mac":"{mac}""#).as_bytes());
        }
        let what = self.what.filter(|_| !both).map_or("null", RawValue::get);
        kept.extend_from_slice(format!(r#","who":null,"what":{what}}}"#).as_bytes());
        kept.push(b'\n');
        kept
    }
}
