//! Taking a snapshot: hold the files of a commit, send those that are not there, write the manifest.
//!
//! It removes nothing. Invariant: the manifest is written after all that it names, and names only what stays long enough:
//! what this snapshot sent, what the newest snapshot names, and what was sent lately.

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::ObjectStoreExt;
use tantivy::TantivyError;
use tantivy::directory::{ManagedDirectory, MmapDirectory};

use super::manifest::{hash_of, object_name};
use super::stage::{Held, HeldFile};
use super::transfer::{Meter, hash_file};
use super::{Archive, ArchiveError, ArchivedFile, Manifest, Progress, SAVE_LONGEST};
use crate::error::Doing;

/// What a snapshot took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaveReport {
    /// Its id.
    pub id: String,
    /// The number of the commit that it holds.
    pub index_seq: u64,
    /// Files sent.
    pub uploaded_files: usize,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Files whose content was there already.
    pub reused_files: usize,
    /// Their bytes.
    pub reused_bytes: u64,
}

pub(super) async fn save(
    archive: &Archive,
    shard: &FilePath,
    now: Timestamp,
    release: &str,
    progress: &dyn Fn(Progress),
) -> Result<SaveReport, ArchiveError> {
    let began = Instant::now();
    let held = Held::take(shard)?;
    let kept = Kept::find(archive, now).await?;
    let checksums = MmapDirectory::open(&held.dir).map_err(TantivyError::from);
    let checksums = checksums.and_then(|dir| ManagedDirectory::wrap(Box::new(dir))).doing("open its folder")?;
    let meter = Meter::new(held.files.iter().map(|file| file.size).sum(), progress);
    let outgoing = Outgoing { archive, held: &held, kept: &kept, checksums: &checksums, meter: &meter, now };
    let files = stream::iter(&held.files).map(|file| outgoing.place(file));
    let files: Vec<(ArchivedFile, bool)> = files.buffer_unordered(archive.limits.transfers).try_collect().await?;
    if began.elapsed() > SAVE_LONGEST {
        return Err(ArchiveError::TooSlow);
    }
    let mut report = SaveReport { index_seq: held.payload.index_seq, ..SaveReport::default() };
    for (file, is_uploaded) in &files {
        let (count, bytes) = if *is_uploaded {
            (&mut report.uploaded_files, &mut report.uploaded_bytes)
        } else {
            (&mut report.reused_files, &mut report.reused_bytes)
        };
        *count += 1;
        *bytes += file.size;
    }
    let files = files.into_iter().map(|(file, _)| file).collect();
    let (id, bytes) = Manifest::new(release, now, held.generation, held.payload.clone(), files).encode();
    let location = archive.live(&id);
    let written = archive.store.put(&location, bytes.into()).await;
    written.map_err(|source| ArchiveError::store("write", location.as_ref(), source))?;
    report.id = id;
    Ok(report)
}

/// What is there already and may be counted on.
struct Kept {
    /// Files of the newest snapshot, by name.
    by_name: HashMap<String, ArchivedFile>,
    /// Objects of the newest snapshot and those sent lately, by hash.
    by_hash: HashMap<String, String>,
}

impl Kept {
    async fn find(archive: &Archive, now: Timestamp) -> Result<Self, ArchiveError> {
        let newest = match archive.ids().await?.last() {
            Some(id) => archive.manifest(&archive.live(id)).await?.files,
            None => Vec::new(),
        };
        let folder = archive.root.clone().join("objects");
        let mut sizes = HashMap::new();
        let mut by_hash = HashMap::new();
        let mut listed = archive.store.list(Some(&folder));
        while let Some(object) = listed.try_next().await.map_err(|source| archive.lost(source))? {
            let Some(name) = object.location.filename() else { continue };
            let age = now.as_second() - object.last_modified.timestamp();
            if let Some(hash) = hash_of(name).filter(|_| age < SAVE_LONGEST.as_secs() as i64) {
                by_hash.insert(hash.to_owned(), name.to_owned());
            }
            sizes.insert(name.to_owned(), object.size);
        }
        // Somebody may have removed objects by hand.
        let newest = newest.into_iter().filter(|file| sizes.get(&file.object) == Some(&file.size));
        let by_name: HashMap<_, _> = newest.map(|file| (file.name.clone(), file)).collect();
        by_hash.extend(by_name.values().map(|file| (file.blake3.clone(), file.object.clone())));
        Ok(Self { by_name, by_hash })
    }
}

struct Outgoing<'a> {
    archive: &'a Archive,
    held: &'a Held,
    kept: &'a Kept,
    checksums: &'a ManagedDirectory,
    meter: &'a Meter<'a>,
    now: Timestamp,
}

impl Outgoing<'_> {
    /// Sees to it that the content of a file is there; true when it was sent for this.
    async fn place(&self, file: &HeldFile) -> Result<(ArchivedFile, bool), ArchiveError> {
        let known = self.kept.by_name.get(&file.name).filter(|known| known.size == file.size);
        if let Some(known) = known.filter(|_| file.is_named_once()) {
            self.meter.add(file.size);
            return Ok((known.clone(), false));
        }
        let path = self.held.dir.join(&file.name);
        if file.is_of_segment && !self.checksums.validate_checksum(FilePath::new(&file.name)).unwrap_or(false) {
            return Err(ArchiveError::FileDamaged(self.held.origin.join(&file.name)));
        }
        let hash = hash_file(&path)?;
        let blake3 = hash.to_hex().to_string();
        let kept = self.kept.by_hash.get(&blake3);
        let object = kept.cloned().unwrap_or_else(|| object_name(&hash, self.now));
        let placed = ArchivedFile { name: file.name.clone(), size: file.size, blake3, object };
        if kept.is_some() {
            self.meter.add(file.size);
            return Ok((placed, false));
        }
        self.archive.send(&path, file.size, &self.archive.object(&placed.object), self.meter).await?;
        Ok((placed, true))
    }
}
