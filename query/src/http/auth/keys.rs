//! Service keys in a file: made, listed, replaced and revoked by `tessera keys`, and read anew by a server that runs.
//!
//! The file is JSON, written whole beside the former one and moved into its place, readable by its owner alone. Invariants: it
//! holds hashes, no key; a change holds within [`LOOK_EVERY`] without a restart; a file that cannot be read lets no key in, and is read again
//! until it can be.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use schemas::ids::WorkspaceId;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{SERVICE_KEY_PREFIX, Scope};

/// How long a change of the file may go unseen.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most keys in a file, those that ended included.
pub const KEYS_MAX: usize = 1_000;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Random bytes of a key.
const KEY_BYTES: usize = 32;

/// What is kept of a service key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Names this key among all, also those of one name: the first digits of its hash.
    pub id: String,
    /// How logs name its holder; a new key of the same holder has the same name.
    pub name: String,
    /// BLAKE3 of the key, as 64 hexadecimal digits.
    pub hash: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The workspaces it may touch; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<WorkspaceId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not valid; never without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether it is not valid any more.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }
}

/// A key for someone, before it is made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// How logs name its holder: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it may do; at least one thing.
    pub scopes: Vec<Scope>,
    /// The workspaces it may touch; empty for all.
    pub workspaces: Vec<WorkspaceId>,
    /// From when on it is not valid.
    pub ends_at: Option<Timestamp>,
}

/// Why keys could not be read or changed.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The file system failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no file of keys.
    #[error("{path} does not hold service keys")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file is too large.
    #[error(
        "{path} is larger than {FILE_BYTES_MAX} bytes or has more than {KEYS_MAX} keys; remove some with `keys prune`"
    )]
    TooMany {
        /// The file.
        path: PathBuf,
    },
    /// The name cannot be one.
    #[error("the name of a key must be 1 to 64 letters, digits, `-`, `_` and `.`")]
    Name,
    /// It could do nothing.
    #[error("a key must have a scope, of `ingest`, `search` and `admin`")]
    NoScope,
    /// No such key.
    #[error("there is no key `{id}` that is still valid")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// The system has no random bytes.
    #[error("cannot get random bytes")]
    Random(#[source] getrandom::Error),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    keys: Vec<KeyRecord>,
}

/// The file of keys, as those change it who run `tessera keys`.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Names the file; it may not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys, by when they were made.
    pub fn read(&self) -> Result<Vec<KeyRecord>, KeysError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.io("open", source)),
        };
        let too_many = || KeysError::TooMany { path: self.path.clone() };
        if file.metadata().map_err(|source| self.io("read", source))?.len() > FILE_BYTES_MAX {
            return Err(too_many());
        }
        let malformed = |source| KeysError::Malformed { path: self.path.clone(), source };
        let contents: Contents = serde_json::from_reader(io::BufReader::new(file)).map_err(malformed)?;
        if contents.keys.len() > KEYS_MAX { Err(too_many()) } else { Ok(contents.keys) }
    }

    /// Makes a key. It is in the answer, and nowhere else ever again.
    pub fn create(&self, new: NewKey, now: Timestamp) -> Result<(String, KeyRecord), KeysError> {
        self.change(|keys| add(keys, new, now))
    }

    /// Makes a key as another is, which goes on to be valid until `overlap_ends_at`.
    pub fn rotate(
        &self,
        id: &str,
        ends_at: Option<Timestamp>,
        overlap_ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<(String, KeyRecord), KeysError> {
        self.change(|keys| {
            let former = valid(keys, id, now)?;
            former.ends_at = Some(former.ends_at.map_or(overlap_ends_at, |end| end.min(overlap_ends_at)));
            let KeyRecord { name, scopes, workspaces, .. } = former.clone();
            add(keys, NewKey { name, scopes, workspaces, ends_at }, now)
        })
    }

    /// Ends a key.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<KeyRecord, KeysError> {
        self.change(|keys| {
            let key = valid(keys, id, now)?;
            key.ends_at = Some(now);
            Ok(key.clone())
        })
    }

    /// Forgets the keys that ended before a time, and returns how many.
    pub fn prune(&self, ended_before: Timestamp) -> Result<usize, KeysError> {
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|key| key.ends_at.is_none_or(|end| end >= ended_before));
            Ok(before - keys.len())
        })
    }

    /// Reads, changes and writes while no other process does.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<T, KeysError>) -> Result<T, KeysError> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(|source| self.io("make the folder of", source))?;
        let lock = self.path.with_extension("lock");
        let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _lock = lock.map_err(|source| self.io("lock", source))?;
        let mut keys = self.read()?;
        let changed = change(&mut keys)?;
        if keys.len() > KEYS_MAX {
            return Err(KeysError::TooMany { path: self.path.clone() });
        }
        let next = self.path.with_extension("next");
        let written = write_privately(&next, &Contents { keys }).and_then(|()| fs::rename(&next, &self.path));
        let written = written.and_then(|()| File::open(folder)?.sync_all());
        written.map_err(|source| self.io("write", source))?;
        Ok(changed)
    }

    fn io(&self, operation: &'static str, source: io::Error) -> KeysError {
        KeysError::Io { operation, path: self.path.clone(), source }
    }
}

fn add(keys: &mut Vec<KeyRecord>, new: NewKey, now: Timestamp) -> Result<(String, KeyRecord), KeysError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !(1..=64).contains(&new.name.len()) || !new.name.chars().all(is_plain) {
        return Err(KeysError::Name);
    }
    if new.scopes.is_empty() {
        return Err(KeysError::NoScope);
    }
    let mut random = [0; KEY_BYTES];
    getrandom::fill(&mut random).map_err(KeysError::Random)?;
    let key = random.iter().fold(SERVICE_KEY_PREFIX.to_owned(), |key, byte| format!("{key}{byte:02x}"));
    let hash = blake3::hash(key.as_bytes()).to_hex().to_string();
    let id = hash[..12].to_owned();
    let NewKey { name, scopes, workspaces, ends_at } = new;
    let record = KeyRecord { id, name, hash, scopes, workspaces, created_at: now, ends_at };
    keys.push(record.clone());
    Ok((key, record))
}

fn valid<'a>(keys: &'a mut [KeyRecord], id: &str, now: Timestamp) -> Result<&'a mut KeyRecord, KeysError> {
    let found = keys.iter_mut().find(|key| key.id == id && !key.has_ended(now));
    found.ok_or_else(|| KeysError::Unknown { id: id.to_owned() })
}

fn write_privately(path: &Path, contents: &Contents) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    serde_json::to_writer_pretty(&mut file, contents)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// All keys that a server believes: those of the configuration, which stay as they are, and those of the file.
#[derive(Debug)]
pub(super) struct KeyRing {
    fixed: Vec<KeyRecord>,
    file: Option<Keys>,
}

impl KeyRing {
    /// These keys, and those of the file where there is one.
    pub(super) fn new(fixed: Vec<KeyRecord>, file: Option<Keys>) -> Self {
        Self { fixed, file }
    }

    /// Whether no key is valid.
    pub(super) fn is_empty(&self) -> bool {
        let now = Timestamp::now();
        let of_file = self.file.as_ref().map(Keys::current);
        self.fixed.iter().chain(of_file.iter().flat_map(|keys| keys.iter())).all(|key| key.has_ended(now))
    }

    /// The valid key with a hash. Every key is compared, so that time tells nothing about which one is near.
    pub(super) fn find(&self, hash: &blake3::Hash) -> Option<KeyRecord> {
        let (mut found, hash, now) = (None, hash.to_hex(), Timestamp::now());
        let of_file = self.file.as_ref().map(Keys::current);
        for key in self.fixed.iter().chain(of_file.iter().flat_map(|keys| keys.iter())) {
            if bool::from(key.hash.as_bytes().ct_eq(hash.as_bytes())) && !key.has_ended(now) {
                found = Some(key);
            }
        }
        found.cloned()
    }
}

/// The keys of a file, as a server that runs asks for them.
#[derive(Debug)]
pub struct Keys {
    file: KeyFile,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    looked: Instant,
    of: Option<Stamp>,
    /// Whether it could not be read: then it is read again, changed or not.
    has_failed: bool,
    keys: Arc<[KeyRecord]>,
}

/// Which file it was: when it was changed, how long it was, and its number, for each change of ours is a new file.
type Stamp = (SystemTime, u64, u64);

impl Keys {
    /// Reads the file. Fails on one that is there and cannot be read, so that a server does not start over it.
    pub fn open(file: KeyFile) -> Result<Self, KeysError> {
        let of = stamp(&file.path);
        let keys = file.read()?.into();
        Ok(Self { file, seen: Mutex::new(Seen { looked: Instant::now(), of, has_failed: false, keys }) })
    }

    fn current(&self) -> Arc<[KeyRecord]> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looked.elapsed() >= LOOK_EVERY {
            seen.looked = Instant::now();
            let of = stamp(&self.file.path);
            if of != seen.of || seen.has_failed {
                let read = self.file.read();
                if let (Err(error), false) = (&read, seen.has_failed) {
                    let causes = crate::error::with_causes(error);
                    tracing::error!(
                        causes,
                        "cannot read the service keys; none of them is let in until they can be read"
                    );
                }
                seen.of = of;
                seen.has_failed = read.is_err();
                seen.keys = read.unwrap_or_default().into();
            }
        }
        Arc::clone(&seen.keys)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests;
