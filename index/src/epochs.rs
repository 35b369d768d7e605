//! Epochs: the data folders of one partition of a stream, one after the other, each written by one owner alone.
//!
//! ```text
//! shards/<topic>-<partition>/
//!   epoch-000001/      a data folder: index/ and the files beside it
//!   epoch-000002/      claimed by the next owner, which began with the last commit of the one before
//! ```
//!
//! Taking a partition over makes the next folder, which succeeds for one process alone, and links the files of a commit into
//! it, which are never changed. So nothing is locked against a former owner that was frozen and wakes up: it goes on writing
//! in its own folder, which nobody reads any more, until it asks [`Epoch::is_superseded`]. What it wrote since is read again
//! from the stream, for the offsets are in the commit. Invariant: the highest epoch that is whole holds a commit that was
//! made in full; an epoch is whole once its index has `CURRENT`.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tantivy::Directory;
use tantivy::directory::{INDEX_WRITER_LOCK, MmapDirectory};

use crate::directory::{META, files_of_commit};
use crate::error::IndexError;
use crate::generation::{CURRENT, Current, DESCRIPTION, generation_dir, generations};
use crate::rests::MANAGED;

/// The folder of the index within an epoch.
const INDEX: &str = "index";
/// Times a claim begins again because what it links is replaced meanwhile.
const TRIES: usize = 20;

/// The folder of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    root: PathBuf,
    number: u32,
}

impl Epoch {
    /// Takes over the partition whose epochs are in `root`, which is made if need be: makes the next epoch from the last
    /// commit of the one before. `beside` are files beside the index that are copied, in this order, where they are there.
    ///
    /// The files of the commit are linked, so that it costs no room. Whoever held the partition learns of it by
    /// [`Epoch::is_superseded`].
    pub fn claim(root: &Path, beside: &[&str]) -> Result<Self, IndexError> {
        std::fs::create_dir_all(root).map_err(|source| folder(root, source))?;
        let mut tries_left = TRIES;
        loop {
            let claimed = Self::claim_once(root, beside);
            match claimed {
                // The former epoch was removed, or its commit replaced, while it was linked.
                Err(IndexError::File { source, .. } | IndexError::Folder { source, .. })
                    if tries_left > 0 && matches!(source.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) =>
                {
                    tries_left -= 1;
                }
                claimed => return claimed,
            }
        }
    }

    fn claim_once(root: &Path, beside: &[&str]) -> Result<Self, IndexError> {
        let numbers = numbers(root)?;
        let former = numbers.iter().rev().map(|number| Self { root: root.to_owned(), number: *number });
        let former = former.into_iter().find(Self::is_whole);
        let claimed = Self { root: root.to_owned(), number: numbers.last().map_or(1, |last| last + 1) };
        let dir = claimed.dir();
        // This is the claim: one process alone makes the folder.
        std::fs::create_dir(&dir).map_err(|source| folder(&dir, source))?;
        if let Some(former) = former {
            let generation = link_index(&former.dir().join(INDEX), &dir.join(INDEX))?;
            // After the commit: what was turned down before its offsets is in these files by now.
            for name in beside {
                let from = former.dir().join(name);
                match std::fs::copy(&from, dir.join(name)) {
                    Ok(_) => sync(&dir.join(name))?,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(source) => return Err(IndexError::File { path: from, source }),
                }
            }
            // Now it is whole.
            Current { generation, previous: None, switched_at: 0 }.write(&dir.join(INDEX))?;
        }
        sync(&dir)?;
        sync(root)?;
        Ok(claimed)
    }

    /// The newest epoch that is whole: the one to read.
    pub fn latest(root: &Path) -> Result<Option<Self>, IndexError> {
        let numbers = numbers(root)?;
        let epochs = numbers.into_iter().rev().map(|number| Self { root: root.to_owned(), number });
        Ok(epochs.into_iter().find(Self::is_whole))
    }

    /// The data folder of this epoch.
    pub fn dir(&self) -> PathBuf {
        self.root.join(format!("epoch-{:06}", self.number))
    }

    /// Its number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether another process took over since. Cost: reads a small folder.
    pub fn is_superseded(&self) -> Result<bool, IndexError> {
        Ok(numbers(&self.root)?.last().is_some_and(|last| *last > self.number))
    }

    /// Removes the epochs before this one that nobody writes to any more; false when some are left. Does nothing before this
    /// one is whole.
    pub fn remove_former(&self) -> Result<bool, IndexError> {
        if !self.is_whole() {
            return Ok(false);
        }
        let mut is_alone = true;
        for number in numbers(&self.root)?.into_iter().filter(|number| *number < self.number) {
            let former = Self { root: self.root.clone(), number }.dir();
            if is_written(&former.join(INDEX)) {
                is_alone = false;
                continue;
            }
            remove(&former)?;
        }
        Ok(is_alone)
    }

    /// Removes this epoch, once its owner has closed it, if a later one is whole.
    pub fn remove_superseded(&self) -> Result<(), IndexError> {
        match Self::latest(&self.root)? {
            Some(latest) if latest.number > self.number => remove(&self.dir()),
            _ => Ok(()),
        }
    }

    fn is_whole(&self) -> bool {
        self.dir().join(INDEX).join(CURRENT).is_file()
    }
}

/// Links the last commit of the generation in use into another folder; gives its number.
fn link_index(from: &Path, to: &Path) -> Result<u32, IndexError> {
    let current = Current::read(from)?.ok_or_else(|| missing(from.join(CURRENT)))?;
    let (origin, copy) = (generation_dir(from, current.generation), generation_dir(to, current.generation));
    std::fs::create_dir_all(&copy).map_err(|source| folder(&copy, source))?;
    link(&origin, &copy, DESCRIPTION)?;
    // A generation that was made and not written to has no files.
    if origin.join(META).is_file() {
        // A copy of what is replaced at every commit. What it names, garbage collection may remove: then the claim begins
        // again. No lock is taken, for a frozen owner may hold it.
        let path = origin.join(META);
        std::fs::copy(&path, copy.join(META)).map_err(|source| IndexError::File { path, source })?;
        sync(&copy.join(META))?;
        let (names, _) = files_of_commit(&copy)?;
        names.iter().try_for_each(|name| link(&origin, &copy, name))?;
        let managed: Vec<&str> = names.iter().map(String::as_str).chain([META]).collect();
        let path = copy.join(MANAGED);
        let json = serde_json::to_vec(&managed).expect("text is JSON");
        std::fs::write(&path, json).map_err(|source| IndexError::File { path: path.clone(), source })?;
        sync(&path)?;
    }
    sync(&copy)?;
    sync(to)?;
    Ok(current.generation)
}

fn link(from: &Path, to: &Path, name: &str) -> Result<(), IndexError> {
    let path = from.join(name);
    std::fs::hard_link(&path, to.join(name)).map_err(|source| IndexError::File { path, source })
}

/// Whether a living process has an index open for writing.
fn is_written(shard: &Path) -> bool {
    generations(shard).unwrap_or_default().into_iter().any(|number| {
        let Ok(folder) = MmapDirectory::open(generation_dir(shard, number)) else { return false };
        folder.acquire_lock(&INDEX_WRITER_LOCK).is_err()
    })
}

fn numbers(root: &Path) -> Result<Vec<u32>, IndexError> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(folder(root, source)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(|source| folder(root, source))?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix("epoch-")?.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn remove(dir: &Path) -> Result<(), IndexError> {
    match std::fs::remove_dir_all(dir) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(folder(dir, source)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), IndexError> {
    let synced = File::open(path).and_then(|opened| opened.sync_all());
    synced.map_err(|source| IndexError::File { path: path.to_owned(), source })
}

fn missing(path: PathBuf) -> IndexError {
    IndexError::File { path, source: ErrorKind::NotFound.into() }
}

fn folder(path: &Path, source: std::io::Error) -> IndexError {
    IndexError::Folder { path: path.to_owned(), source }
}
