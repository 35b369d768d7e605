//! The key of the log: names for people and queries that mean nothing without it, and proof that a tracking id is ours.
//!
//! A plain hash of a name or a query is undone by hashing all names there are. So the hash is keyed with random bytes that
//! lie beside the log and go nowhere else; delete the file, and no line can be traced to anyone any more.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use access::{Caller, Subject};
use schemas::ids::{UserId, WorkspaceId};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::hex::{hex, unhex};
use crate::random_id::fill_randomly;

/// Bytes of the key.
const KEY_BYTES: usize = 32;
/// Bytes of a list's name, and of the proof that follows it in a tracking id.
const ID_BYTES: usize = 16;
/// Divides the parts of what is hashed; no id holds it.
const BORDER: [u8; 1] = [0];

/// A list of hits: all pages of the answer to one search, shown to one person. Random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ListId(pub(crate) [u8; ID_BYTES]);

impl ListId {
    /// A new one, unlike any other.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; ID_BYTES];
        fill_randomly(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for ListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl From<ListId> for String {
    fn from(id: ListId) -> Self {
        hex(&id.0)
    }
}

impl TryFrom<String> for ListId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        unhex(&text).map(Self).ok_or("is not the name of a list")
    }
}

/// What a person or a query is called in the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pseudonym(String);

impl Pseudonym {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keys made of the one in the file, each for one use.
pub(super) struct Key {
    people: [u8; KEY_BYTES],
    queries: [u8; KEY_BYTES],
    tracking: [u8; KEY_BYTES],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Reads the key, or makes one that only the owner of the process can read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) if bytes.len() == KEY_BYTES => return Ok(Self::of(&bytes)),
            Ok(_) => return Err(io::Error::other("it is no key: remove it, and names in the log begin anew")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut bytes = [0; KEY_BYTES];
        fill_randomly(&mut bytes)?;
        // Written aside first: a key cut short by a crash would be none.
        let aside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&aside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        Ok(Self::of(&bytes))
    }

    fn of(bytes: &[u8]) -> Self {
        Self {
            people: blake3::derive_key("tessera 2026 feedback people", bytes),
            queries: blake3::derive_key("tessera 2026 feedback queries", bytes),
            tracking: blake3::derive_key("tessera 2026 feedback tracking", bytes),
        }
    }

    /// What a person of a workspace is called.
    pub(super) fn person(&self, workspace: &WorkspaceId, user: &UserId) -> Pseudonym {
        let parts = [workspace.as_str().as_bytes(), user.as_str().as_bytes()];
        Pseudonym(hex(&short(&self.people, parts)))
    }

    /// What a caller is called. Whoever is nobody has the name of none.
    pub(super) fn caller(&self, caller: &Caller) -> Pseudonym {
        match &caller.subject {
            Subject::User(user) => self.person(&caller.workspace, user),
            Subject::Anonymous => Pseudonym(hex(&short(&self.people, [caller.workspace.as_str().as_bytes(), b""]))),
        }
    }

    /// What a query of a workspace is called. Capitals and white space are not told apart.
    pub(super) fn query(&self, workspace: &WorkspaceId, text: &str, filters: &[u8]) -> Pseudonym {
        let plain = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        Pseudonym(hex(&short(&self.queries, [workspace.as_str().as_bytes(), plain.as_bytes(), filters])))
    }

    /// The tracking id of a list: its name, and a proof that it was shown to this caller.
    pub(super) fn tracking_id(&self, caller: &Caller, list: ListId) -> String {
        hex(&list.0) + &hex(&self.proof(caller, list))
    }

    /// The list of a tracking id, if this caller was given it.
    pub(super) fn list_of(&self, caller: &Caller, tracking_id: &str) -> Option<ListId> {
        let (list, proof) = tracking_id.split_at_checked(2 * ID_BYTES)?;
        let (list, proof) = (ListId(unhex(list)?), unhex::<ID_BYTES>(proof)?);
        bool::from(self.proof(caller, list).ct_eq(&proof)).then_some(list)
    }

    fn proof(&self, caller: &Caller, list: ListId) -> [u8; ID_BYTES] {
        let user = match &caller.subject {
            Subject::User(user) => user.as_str(),
            // No id is empty.
            Subject::Anonymous => "",
        };
        short(&self.tracking, [caller.workspace.as_str().as_bytes(), user.as_bytes(), &list.0])
    }
}

fn short<'a>(key: &[u8; KEY_BYTES], parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; ID_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part).update(&BORDER).update(&(part.len() as u64).to_le_bytes());
    }
    let mut short = [0; ID_BYTES];
    hasher.finalize_xof().fill(&mut short);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(workspace: &str, user: &str) -> Caller {
        let subject = Subject::User(UserId::new(user).unwrap());
        Caller { workspace: WorkspaceId::new(workspace).unwrap(), subject }
    }

    #[test]
    fn a_tracking_id_is_its_callers_alone() {
        let key = Key::of(&[7; KEY_BYTES]);
        let (ada, list) = (caller("acme", "ada"), ListId::random().unwrap());
        let id = key.tracking_id(&ada, list);
        assert_eq!(id.len(), schemas::api::feedback::TRACKING_ID_CHARS);
        assert_eq!(key.list_of(&ada, &id), Some(list));
        assert_eq!(key.list_of(&caller("acme", "bob"), &id), None);
        assert_eq!(key.list_of(&caller("globex", "ada"), &id), None);
        assert_eq!(Key::of(&[8; KEY_BYTES]).list_of(&ada, &id), None, "of another installation");
        for altered in ["", "é", &id[1..], &id.to_uppercase(), &format!("{id}0"), &id.replace(&id[..2], "zz")] {
            assert_eq!(key.list_of(&ada, altered), None, "{altered}");
        }
    }

    #[test]
    fn names_stay_over_a_restart_and_differ_by_workspace_and_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let (one, again) = (Key::open(&path).unwrap(), Key::open(&path).unwrap());
        let other = Key::open(&dir.path().join("other")).unwrap();
        let (acme, globex) = (WorkspaceId::new("acme").unwrap(), WorkspaceId::new("globex").unwrap());
        let ada = UserId::new("ada").unwrap();
        assert_eq!(one.person(&acme, &ada), again.person(&acme, &ada));
        assert_ne!(one.person(&acme, &ada), one.person(&globex, &ada));
        assert_ne!(one.person(&acme, &ada), other.person(&acme, &ada));
        assert_eq!(one.query(&acme, " Blue  green", b""), one.query(&acme, "blue green ", b""));
        assert_ne!(one.query(&acme, "blue green", b""), one.query(&acme, "blue green", b"type:row"));
        assert!(format!("{one:?}").len() < 5);
    }

    #[test]
    #[cfg(unix)]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        Key::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        assert!(Key::open(&path).is_err());
    }
}
