//! Holding on to the files of one commit while a writer goes on: they are hard-linked into a folder aside.
//!
//! It sends nothing. Invariants: the files held are exactly those that the held `meta.json` names; one process at a time has
//! such a folder, and what a crash left of one goes with the next.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tantivy::Directory;
use tantivy::TantivyError;
use tantivy::directory::{META_LOCK, MmapDirectory};

use super::ArchiveError;
use crate::CommitPayload;
use crate::IndexError;
use crate::directory::{META, files_of_commit};
use crate::error::Doing;
use crate::generation::{Current, DESCRIPTION, Description, generation_dir, generations};

/// Lies in a restored generation until it is in use.
pub(super) const RESTORING: &str = ".restoring";

const LOCK: &str = ".archive.lock";
const OUTGOING: &str = ".archive-outgoing";
const INCOMING: &str = ".archive-incoming";

/// The right of one process to take or restore snapshots of a shard. Ends with the process.
pub(super) struct ShardLock {
    shard: PathBuf,
    _file: File,
}

impl ShardLock {
    /// Takes it, and removes what a crash left behind.
    pub(super) fn take(shard: &Path) -> Result<Self, ArchiveError> {
        let path = shard.join(LOCK);
        let failed = |source| ArchiveError::file("open", &path, source);
        let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ArchiveError::Busy(shard.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        remove_folder(&shard.join(OUTGOING))?;
        remove_folder(&shard.join(INCOMING))?;
        // What cannot be read, a restore is to replace; nothing is known of the marks then.
        let taken = Self { shard: shard.to_owned(), _file: file };
        let Ok(current) = Current::read(shard) else { return Ok(taken) };
        let current = current.map(|current| current.generation);
        for number in generations(shard)? {
            let generation = generation_dir(shard, number);
            let mark = generation.join(RESTORING);
            if !mark.exists() {
                continue;
            }
            if current == Some(number) {
                std::fs::remove_file(&mark).map_err(|source| ArchiveError::file("remove", &mark, source))?;
            } else {
                remove_folder(&generation)?;
            }
        }
        Ok(taken)
    }

    /// An empty folder for what is being fetched.
    pub(super) fn incoming(&self) -> Result<PathBuf, ArchiveError> {
        make_folder(self.shard.join(INCOMING))
    }

    /// An empty folder for what is being sent.
    fn outgoing(&self) -> Result<PathBuf, ArchiveError> {
        make_folder(self.shard.join(OUTGOING))
    }
}

/// Removes what interrupted snapshots and restores left in a shard; nothing while another process works at one.
///
/// Such leftovers are found by nobody, but hold disk space and the bytes of what was erased since.
pub fn clear_leftovers(shard: &Path) -> Result<(), ArchiveError> {
    if !shard.join(LOCK).exists() {
        return Ok(());
    }
    match ShardLock::take(shard) {
        Ok(_) | Err(ArchiveError::Busy(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The files of one commit, held until dropped.
pub(super) struct Held {
    pub(super) dir: PathBuf,
    /// The folder that they are of.
    pub(super) origin: PathBuf,
    pub(super) generation: u32,
    pub(super) payload: CommitPayload,
    pub(super) files: Vec<HeldFile>,
    _lock: ShardLock,
}

/// One of them.
pub(super) struct HeldFile {
    pub(super) name: String,
    pub(super) size: u64,
    /// Whether it belongs to a segment and so ends in a checksum of its own.
    pub(super) is_of_segment: bool,
}

impl HeldFile {
    /// Whether its name stands for its content: files of a segment are written once, under an id drawn at random. Marks of
    /// deleted documents are named by a count that may come again after a restore.
    pub(super) fn is_named_once(&self) -> bool {
        self.is_of_segment && Path::new(&self.name).extension().is_none_or(|extension| extension != "del")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What cannot be removed now goes with the next snapshot.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Held {
    /// Holds the last commit of the generation in use.
    pub(super) fn take(shard: &Path) -> Result<Self, ArchiveError> {
        let current = || Current::read(shard)?.ok_or_else(|| IndexError::Absent(shard.to_owned()));
        // Without an index there is no folder for the lock; under it, no restore puts another generation in use.
        current()?;
        let lock = ShardLock::take(shard)?;
        let generation = current()?.generation;
        let mut held = Self {
            dir: lock.outgoing()?,
            origin: generation_dir(shard, generation),
            generation,
            payload: CommitPayload::default(),
            files: Vec::new(),
            _lock: lock,
        };
        held.link_commit(shard)?;
        Ok(held)
    }

    /// Links the files of the last commit while the lock on `meta.json` keeps them from being removed: garbage collection
    /// takes that lock to find out which files are in use, whichever process it runs in.
    fn link_commit(&mut self, shard: &Path) -> Result<(), ArchiveError> {
        let origin = self.origin.clone();
        let folder = MmapDirectory::open(&origin).map_err(TantivyError::from).doing("open its folder")?;
        let meta_lock = folder.acquire_lock(&META_LOCK).map_err(TantivyError::from).doing("lock its description")?;
        // The file is replaced at every commit: which segments there are is read from our copy.
        copy(&origin, &self.dir, META)?;
        let (names, payload) = files_of_commit(&self.dir).map_err(|error| match error {
            IndexError::FileDamaged { .. } => ArchiveError::FileDamaged(origin.join(META)),
            error => error.into(),
        })?;
        for name in names {
            link(&origin, &self.dir, &name)?;
            self.add(name, true)?;
        }
        drop(meta_lock);
        Description::read(shard, self.generation)?;
        link(&origin, &self.dir, DESCRIPTION)?;
        self.add(DESCRIPTION.to_owned(), false)?;
        self.add(META.to_owned(), false)?;
        self.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.payload = payload;
        Ok(())
    }

    fn add(&mut self, name: String, is_of_segment: bool) -> Result<(), ArchiveError> {
        let path = self.dir.join(&name);
        let size = path.metadata().map_err(|source| ArchiveError::file("read", &path, source))?.len();
        self.files.push(HeldFile { name, size, is_of_segment });
        Ok(())
    }
}

/// Links a file, or copies it where the file system has no links.
fn link(from: &Path, to: &Path, name: &str) -> Result<(), ArchiveError> {
    match std::fs::hard_link(from.join(name), to.join(name)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(IndexError::FileMissing(from.join(name)).into()),
        Err(_) => copy(from, to, name),
    }
}

fn copy(from: &Path, to: &Path, name: &str) -> Result<(), ArchiveError> {
    let path = from.join(name);
    match std::fs::copy(&path, to.join(name)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(IndexError::FileMissing(path).into()),
        Err(source) => Err(ArchiveError::file("copy", &path, source)),
    }
}

fn make_folder(path: PathBuf) -> Result<PathBuf, ArchiveError> {
    std::fs::create_dir(&path).map_err(|source| ArchiveError::file("make", &path, source))?;
    Ok(path)
}

pub(super) fn remove_folder(path: &Path) -> Result<(), ArchiveError> {
    match std::fs::remove_dir_all(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(ArchiveError::file("remove", path, source)),
        _ => Ok(()),
    }
}
