//! Manifests: what one snapshot is made of, and the id that tells whether a manifest is whole.
//!
//! It reads and writes nothing. Invariant: a decoded manifest has the hash in its id, and names only plain files.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ArchiveError;
use crate::CommitPayload;

/// The newest form of a manifest.
const FORMAT: u32 = 1;
/// Digits of the manifest's hash in its id.
const ID_HASH_DIGITS: usize = 16;

/// What a snapshot is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this manifest.
    pub format: u32,
    /// The release that took the snapshot.
    pub release: String,
    /// When it was taken.
    pub created_at: Timestamp,
    /// The number that its generation had.
    pub generation: u32,
    /// What the commit said of itself.
    pub payload: CommitPayload,
    /// The files of the generation, by name.
    pub files: Vec<ArchivedFile>,
}

/// What all forms of a manifest have.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedFile {
    /// Its name in the folder of the generation.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// The hash of its bytes, as 64 hexadecimal digits.
    pub blake3: String,
    /// The object that holds them; its name begins with the hash.
    pub object: String,
}

impl Manifest {
    pub(super) fn new(
        release: &str,
        created_at: Timestamp,
        generation: u32,
        payload: CommitPayload,
        mut files: Vec<ArchivedFile>,
    ) -> Self {
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Self { format: FORMAT, release: release.to_owned(), created_at, generation, payload, files }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Its id, which begins with the time so that ids sort by age, and its stored form.
    pub(super) fn encode(&self) -> (String, Vec<u8>) {
        let bytes = serde_json::to_vec_pretty(self).expect("numbers and text are JSON");
        let hash = blake3::hash(&bytes).to_hex();
        let time = self.created_at.strftime("%Y%m%dT%H%M%S.%3fZ");
        (format!("{time}-{}-{}", self.payload.index_seq, &hash[..ID_HASH_DIGITS]), bytes)
    }

    /// Reads the manifest at a location that ends in its id.
    pub(super) fn decode(location: &str, bytes: &[u8]) -> Result<Self, ArchiveError> {
        let damaged = || ArchiveError::ManifestDamaged(location.to_owned());
        let stored = location.strip_suffix(".json").and_then(|id| id.rsplit_once('-')).map(|(_, hash)| hash);
        if stored != Some(&blake3::hash(bytes).to_hex()[..ID_HASH_DIGITS]) {
            return Err(damaged());
        }
        let Form { format } = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        if format > FORMAT {
            return Err(ArchiveError::Format { object: location.to_owned(), found: format, newest: FORMAT });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        let mut names = HashSet::new();
        if !manifest.files.iter().all(|file| file.is_sound() && names.insert(file.name.as_str())) {
            return Err(damaged());
        }
        Ok(manifest)
    }
}

impl ArchivedFile {
    /// True when it stays in its folder and its object is one of ours.
    fn is_sound(&self) -> bool {
        let is_plain = !self.name.is_empty() && !self.name.starts_with('.') && !self.name.contains(['/', '\\']);
        is_plain && hash_of(&self.object) == Some(&self.blake3)
    }
}

/// The name of the object for bytes with this hash, sent by the snapshot of this time.
pub(super) fn object_name(hash: &blake3::Hash, sent: Timestamp) -> String {
    format!("{}-{:x}", hash.to_hex(), sent.as_millisecond())
}

/// The hash in the name of an object.
pub(super) fn hash_of(object: &str) -> Option<&str> {
    let (hash, sent) = object.split_once('-')?;
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hash.len() == 64 && is_hex(hash) && is_hex(sent)).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str) -> Manifest {
        let hash = blake3::hash(b"x");
        let now: Timestamp = "2026-03-01T10:00:00.25Z".parse().unwrap();
        let object = object_name(&hash, now);
        let file = ArchivedFile { name: name.to_owned(), size: 1, blake3: hash.to_hex().to_string(), object };
        Manifest::new("0.1.0", now, 3, CommitPayload { index_seq: 7, ..CommitPayload::default() }, vec![file])
    }

    #[test]
    fn a_manifest_is_read_back_and_its_id_begins_with_time_and_commit() {
        let manifest = manifest("meta.json");
        let (id, bytes) = manifest.encode();
        assert!(id.starts_with("20260301T100000.250Z-7-"), "{id}");
        assert_eq!(Manifest::decode(&format!("snapshots/{id}.json"), &bytes).unwrap(), manifest);
    }

    #[test]
    fn every_flipped_bit_of_a_manifest_is_noticed() {
        let (id, bytes) = manifest("meta.json").encode();
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let error = Manifest::decode(&format!("{id}.json"), &flipped).unwrap_err();
            assert!(matches!(error, ArchiveError::ManifestDamaged(_)), "{error}");
        }
    }

    #[test]
    fn names_that_leave_the_folder_and_newer_forms_are_refused() {
        for name in ["../x", "/etc/x", "a/b", "", ".hidden", "a\\b"] {
            let (id, bytes) = manifest(name).encode();
            assert!(Manifest::decode(&format!("{id}.json"), &bytes).is_err(), "{name}");
        }
        let (id, bytes) = Manifest { format: 2, ..manifest("meta.json") }.encode();
        let error = Manifest::decode(&format!("{id}.json"), &bytes).unwrap_err();
        assert!(matches!(error, ArchiveError::Format { found: 2, newest: 1, .. }), "{error}");
    }
}
