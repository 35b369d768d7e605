//! Restoring: fetch into a folder aside, compare every byte, then put it in use in one step.
//!
//! The restored files become a new generation of the shard, so that the step is the one that replaces `CURRENT`. Invariant:
//! until then nothing of the former index is touched, and nothing that is not complete and on disk is put in use.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use tantivy::directory::error::LockError;
use tantivy::directory::{DirectoryLock, INDEX_WRITER_LOCK, MmapDirectory};
use tantivy::{Directory, TantivyError};

use super::stage::{RESTORING, ShardLock, remove_folder};
use super::transfer::Meter;
use super::{Archive, ArchiveError, ArchivedFile, Manifest, Progress};
use crate::IndexError;
use crate::error::Doing;
use crate::fields::FORMAT;
use crate::generation::{Current, DESCRIPTION, Description, generation_dir, generations};
use crate::rests::MANAGED;
use crate::seal::{seal, unseal};

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// The snapshot.
    pub id: String,
    /// The number of its commit.
    pub index_seq: u64,
    /// The generation it became.
    pub generation: u32,
    /// Files fetched.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

pub(super) async fn restore(
    archive: &Archive,
    id: &str,
    manifest: &Manifest,
    shard: &Path,
    replace: bool,
    progress: &dyn Fn(Progress),
) -> Result<RestoreReport, ArchiveError> {
    std::fs::create_dir_all(shard).map_err(|source| ArchiveError::file("make", shard, source))?;
    let lock = ShardLock::take(shard)?;
    if !replace && entries(shard)?.iter().any(|name| !name.starts_with('.')) {
        return Err(ArchiveError::Occupied(shard.to_owned()));
    }
    let _writing = keep_writers_out(shard)?;
    let incoming = lock.incoming()?;

    let meter = Meter::new(manifest.bytes(), progress);
    let files = stream::iter(&manifest.files).map(|file| fetch(archive, file, &incoming, &meter));
    files.buffer_unordered(archive.limits.transfers).try_collect::<()>().await?;

    let number = generations(shard)?.last().map_or(manifest.generation, |last| last + 1);
    complete(&incoming, manifest, number)?;
    let generation = generation_dir(shard, number);
    std::fs::rename(&incoming, &generation)
        .map_err(|source| ArchiveError::file("put in place", &generation, source))?;
    sync_folder(shard)?;
    Current { generation: number, previous: None, switched_at: 0 }.write(shard)?;

    let mark = generation.join(RESTORING);
    std::fs::remove_file(&mark).map_err(|source| ArchiveError::file("remove", &mark, source))?;
    remove_former(shard, number)?;
    if let Some(parent) = shard.parent().filter(|parent| parent.exists()) {
        sync_folder(parent)?;
    }
    Ok(RestoreReport {
        id: id.to_owned(),
        index_seq: manifest.payload.index_seq,
        generation: number,
        files: manifest.files.len(),
        bytes: manifest.bytes(),
    })
}

/// Removes the other generations, and the files of an index from before there were generations.
fn remove_former(shard: &Path, kept: u32) -> Result<(), ArchiveError> {
    for number in generations(shard)?.into_iter().filter(|number| *number != kept) {
        remove_folder(&generation_dir(shard, number))?;
    }
    for name in entries(shard)?.iter().filter(|name| !name.starts_with('.') && *name != "CURRENT") {
        let path = shard.join(name);
        if path.is_file() {
            std::fs::remove_file(&path).map_err(|source| ArchiveError::file("remove", &path, source))?;
        }
    }
    Ok(())
}

async fn fetch(archive: &Archive, file: &ArchivedFile, folder: &Path, meter: &Meter<'_>) -> Result<(), ArchiveError> {
    let path = folder.join(&file.name);
    let failed = |source| ArchiveError::file("write", &path, source);
    let mut out = File::create_new(&path).map_err(failed)?;
    archive
        .fetch(file, |piece| {
            meter.add(piece.len() as u64);
            out.write_all(piece).map_err(failed)
        })
        .await?;
    out.sync_all().map_err(failed)
}

/// Writes what a generation needs besides the files of a snapshot: its number, and the list of files that may be removed.
fn complete(folder: &Path, manifest: &Manifest, number: u32) -> Result<(), ArchiveError> {
    let path = folder.join(DESCRIPTION);
    let sealed = std::fs::read(&path).map_err(|source| ArchiveError::file("read", &path, source))?;
    let damaged = |source| IndexError::FileDamaged { path: path.clone(), source };
    let json = unseal(sealed).map_err(|broken| damaged(Box::new(broken)))?;
    let description: Description = serde_json::from_slice(&json).map_err(|error| damaged(Box::new(error)))?;
    if description.format > FORMAT {
        return Err(IndexError::Format { path, found: description.format, expected: FORMAT }.into());
    }
    let description = Description { number, ..description };
    let managed: Vec<&str> =
        manifest.files.iter().map(|file| file.name.as_str()).filter(|name| *name != DESCRIPTION).collect();
    let json = |bytes: serde_json::Result<Vec<u8>>| bytes.expect("numbers and text are JSON");
    write(&path, &seal(&json(serde_json::to_vec_pretty(&description))))?;
    write(&folder.join(MANAGED), &json(serde_json::to_vec(&managed)))?;
    write(&folder.join(RESTORING), &[])?;
    sync_folder(folder)
}

/// Holds the lock of the writer of every generation, whatever `CURRENT` says: it may be what was damaged.
fn keep_writers_out(shard: &Path) -> Result<Vec<DirectoryLock>, ArchiveError> {
    let mut locks = Vec::new();
    for number in generations(shard)? {
        let folder = MmapDirectory::open(generation_dir(shard, number)).map_err(TantivyError::from);
        let lock = match folder.doing("open its folder")?.acquire_lock(&INDEX_WRITER_LOCK) {
            Err(LockError::LockBusy) => return Err(ArchiveError::InUse(shard.to_owned())),
            lock => lock.doing("lock for writing")?,
        };
        locks.push(lock);
    }
    Ok(locks)
}

fn entries(folder: &Path) -> Result<Vec<String>, ArchiveError> {
    let failed = |source| ArchiveError::file("list", folder, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| ArchiveError::file("write", path, source))
}

fn sync_folder(path: &Path) -> Result<(), ArchiveError> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| ArchiveError::file("write", path, source))
}
