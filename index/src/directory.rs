//! The folder of a generation as the engine sees it: mapped files, and a sealed `meta.json`.
//!
//! The engine ends every file of a segment with a checksum, and has none in `meta.json`, which says what the commit is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tantivy::Directory;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{DirectoryLock, FileHandle, Lock, MmapDirectory, WatchCallback, WatchHandle, WritePtr};

use crate::seal::{seal, unseal};

pub(crate) const META: &str = "meta.json";

/// Maps files, and seals `meta.json`.
#[derive(Clone, Debug)]
pub(crate) struct SealedDirectory(pub(crate) MmapDirectory);

impl Directory for SealedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.0.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.0.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.0.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.0.open_write(path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let bytes = self.0.atomic_read(path)?;
        if path != Path::new(META) {
            return Ok(bytes);
        }
        let damaged = |broken| io::Error::new(io::ErrorKind::InvalidData, broken);
        unseal(bytes).map_err(|broken| OpenReadError::wrap_io_error(damaged(broken), path.to_owned()))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        if path == Path::new(META) { self.0.atomic_write(path, &seal(data)) } else { self.0.atomic_write(path, data) }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.0.acquire_lock(lock)
    }

    fn watch(&self, watch_callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.0.watch(watch_callback)
    }
}
