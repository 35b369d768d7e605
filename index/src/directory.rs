//! The folder of a generation as the engine sees it: mapped files, and a sealed `meta.json`.
//!
//! The engine ends every file of a segment with a checksum, and has none in `meta.json`, which says what the commit is. It
//! also lets merges run on when its writer is closed, where they would meet the next writer: here they can be stopped, and
//! give way to whoever waits. It does not say what merges take, which is counted here too.

use std::cell::RefCell;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite, WatchCallback, WatchHandle,
    WritePtr,
};
use tantivy::index::SegmentComponent;
use tantivy::{Directory, TantivyError};

use crate::commit::CommitPayload;
use crate::error::{Doing, IndexError};
use crate::seal::{seal, unseal};

pub(crate) const META: &str = "meta.json";

/// Begins the names of the engine's threads that merge.
const MERGE_THREAD: &str = "merge_thread";
/// What a thread that merges leaves to commits and searches when the cores are busy: it gets a tenth of what one of those gets.
/// As `nice` counts, 0 to 19.
const MERGE_NICENESS: i32 = 10;

/// Maps files, and seals `meta.json`.
#[derive(Clone, Debug)]
pub(crate) struct SealedDirectory {
    mapped: MmapDirectory,
    merges: Merges,
}

/// The merges of a folder. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merges {
    are_stopped: Arc<AtomicBool>,
    taken: Arc<Taken>,
}

/// What merges took since the folder was opened.
#[derive(Debug, Default)]
struct Taken {
    begun: AtomicU64,
    nanoseconds: AtomicU64,
}

thread_local! {
    /// The segment that this thread writes by a merge, and until when its time is counted.
    static MERGING: RefCell<Option<(String, Instant)>> = const { RefCell::new(None) };
}

impl Merges {
    /// Lets those that run, and any that begin, fail when they next write.
    pub(crate) fn stop(&self) {
        self.are_stopped.store(true, Ordering::Release);
    }

    /// Lets them write again. Call it when none of the stopped ones is left.
    pub(crate) fn resume(&self) {
        self.are_stopped.store(false, Ordering::Release);
    }

    /// How many began since the folder was opened, and the time from the first file of each to the last one that it has
    /// finished. What a merge does before it writes, which is to compare its sources with their checksums, is left out.
    pub(crate) fn taken(&self) -> (u64, Duration) {
        let nanoseconds = self.taken.nanoseconds.load(Ordering::Relaxed);
        (self.taken.begun.load(Ordering::Relaxed), Duration::from_nanos(nanoseconds))
    }

    fn is_merge() -> bool {
        std::thread::current().name().is_some_and(|name| name.starts_with(MERGE_THREAD))
    }

    fn check(&self) -> io::Result<()> {
        if self.are_stopped.load(Ordering::Acquire) && Self::is_merge() {
            return Err(io::Error::other("the index is being closed"));
        }
        Ok(())
    }

    /// A file is begun, perhaps by a merge: the first of a segment begins its time.
    fn begin(&self, path: &Path) {
        // All files of a segment begin with its id.
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let segment = name.split('.').next().unwrap_or_default();
        if !Self::is_merge() {
            return;
        }
        MERGING.with_borrow_mut(|merging| {
            if merging.is_none() {
                give_way();
            }
            if merging.as_ref().is_none_or(|(other, _)| other != segment) {
                *merging = Some((segment.to_owned(), Instant::now()));
                self.taken.begun.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// A file is finished, perhaps by a merge: the time since the one before is taken.
    fn end(&self) {
        MERGING.with_borrow_mut(|merging| {
            if let Some((_, counted)) = merging {
                let now = Instant::now();
                let since = now.duration_since(*counted).as_nanos() as u64;
                self.taken.nanoseconds.fetch_add(since, Ordering::Relaxed);
                *counted = now;
            }
        });
    }
}

/// Has this thread run after others: Linux knows the priority of each.
#[cfg(target_os = "linux")]
fn give_way() {
    if let Err(error) = rustix::process::nice(MERGE_NICENESS) {
        tracing::debug!(error = &error as &dyn std::error::Error, "merges do not give way");
    }
}

/// Elsewhere it would be the whole process.
#[cfg(not(target_os = "linux"))]
fn give_way() {}

/// A file that a merge may be writing.
struct MergedFile {
    file: WritePtr,
    merges: Merges,
}

impl Write for MergedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.merges.check()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl TerminatingWrite for MergedFile {
    fn terminate_ref(&mut self, token: AntiCallToken) -> io::Result<()> {
        self.merges.check()?;
        self.file.terminate_ref(token)?;
        self.merges.end();
        Ok(())
    }
}

impl SealedDirectory {
    pub(crate) fn new(mapped: MmapDirectory) -> Self {
        Self { mapped, merges: Merges::default() }
    }

    pub(crate) fn merges(&self) -> Merges {
        self.merges.clone()
    }
}

impl Directory for SealedDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.mapped.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.mapped.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.mapped.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.merges.check().map_err(|error| OpenWriteError::wrap_io_error(error, path.to_owned()))?;
        let file = self.mapped.open_write(path)?;
        self.merges.begin(path);
        Ok(BufWriter::new(Box::new(MergedFile { file, merges: self.merges.clone() })))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let bytes = self.mapped.atomic_read(path)?;
        if path != Path::new(META) {
            return Ok(bytes);
        }
        let damaged = |broken| io::Error::new(io::ErrorKind::InvalidData, broken);
        unseal(bytes).map_err(|broken| OpenReadError::wrap_io_error(damaged(broken), path.to_owned()))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        if path == Path::new(META) {
            self.mapped.atomic_write(path, &seal(data))
        } else {
            self.mapped.atomic_write(path, data)
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.mapped.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.mapped.acquire_lock(lock)
    }

    fn watch(&self, watch_callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.mapped.watch(watch_callback)
    }
}

/// The names of the files of segments that `meta.json` in a folder names, and the payload of that commit. The files
/// themselves need not be there.
pub(crate) fn files_of_commit(dir: &Path) -> Result<(Vec<String>, CommitPayload), IndexError> {
    let path = dir.join(META);
    let sealed = std::fs::read(&path).map_err(|source| IndexError::File { path: path.clone(), source })?;
    unseal(sealed).map_err(|broken| IndexError::FileDamaged { path, source: Box::new(broken) })?;
    let folder = MmapDirectory::open(dir).map_err(TantivyError::from).doing("open its folder")?;
    let metas = tantivy::Index::open(SealedDirectory::new(folder)).and_then(|index| index.load_metas());
    let metas = metas.doing("read its description")?;
    let mut paths = metas.list_segment_files();
    for segment in metas.segments.iter().filter(|segment| !segment.has_deletes()) {
        paths.remove(&segment.relative_path(SegmentComponent::Delete));
    }
    let names = paths
        .into_iter()
        .map(|path| path.into_os_string().into_string().expect("segment files are named in hexadecimal digits"));
    let payload = metas.payload.as_deref().map(CommitPayload::decode).transpose()?;
    Ok((names.collect(), payload.map(|(_, payload)| payload).unwrap_or_default()))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// The niceness of a thread of a name after it wrote a file.
    fn niceness(directory: &SealedDirectory, thread: &str) -> i32 {
        let write = || {
            drop(directory.open_write(Path::new(&format!("{thread}.idx"))).unwrap());
            rustix::process::getpriority_process(None).unwrap()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(thread.to_owned()).spawn_scoped(scope, write);
            thread.unwrap().join().unwrap()
        })
    }

    #[test]
    fn threads_that_merge_give_way_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let directory = SealedDirectory::new(MmapDirectory::open(dir.path()).unwrap());
        let usual = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(niceness(&directory, "commit"), usual);
        assert_eq!(niceness(&directory, &format!("{MERGE_THREAD}_0")), (usual + MERGE_NICENESS).min(19));
    }
}
