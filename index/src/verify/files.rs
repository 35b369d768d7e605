//! Checking files: each against the checksum that it carries, and the list of files against the folder.
//!
//! `CURRENT`, `generation.json` and `meta.json` are sealed; files of segments end with a checksum of what stands before, and
//! with the release that wrote them, which must be one for a segment. The list of files that may be removed has no checksum:
//! every file of a segment must be on it. What stays unnoticed is a name on that list of a file that is not there, and a
//! release in a file of deletes that lies between that of its segment and ours; neither is used for anything.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use tantivy::Directory;
use tantivy::directory::error::OpenReadError;
use tantivy::directory::footer::Footer;
use tantivy::directory::{ManagedDirectory, MmapDirectory};

use super::{Difference, Kind, Place};
use crate::directory::{META, SealedDirectory};
use crate::error::IndexError;
use crate::generation::{Current, Description, generation_dir};
use crate::open::Snapshot;
use crate::vectors::FILE_EXTENSION;

/// The list of the files that the engine may remove.
const MANAGED: &str = ".managed.json";
/// The files of a segment, by their extensions.
const EXTENSIONS: [&str; 7] = ["idx", "pos", "term", "store", "fast", "fieldnorm", FILE_EXTENSION];
const DELETES: &str = "del";

/// The files of one segment, by their names.
type SegmentFiles = Vec<PathBuf>;

/// Checks the generation of a snapshot. Its files are open: they are read even if whoever writes has removed them since.
pub(super) fn check(
    shard: &Path,
    number: u32,
    snapshot: &Snapshot,
    report: &mut dyn FnMut(Difference),
) -> Result<(), IndexError> {
    let dir = generation_dir(shard, number);
    for read in [Current::read(shard).map(drop), Description::read(shard, number).map(drop)] {
        match read {
            Err(IndexError::FileDamaged { path, .. }) => report(file(Kind::FileDamaged, path)),
            read => read?,
        }
    }
    let directory = snapshot.engine.index().directory();
    if let Some(kind) = state_of_meta(directory) {
        report(file(kind, dir.join(META)));
    }
    let segments = snapshot.engine.segment_readers().iter();
    let segments: Vec<SegmentFiles> =
        segments.map(|reader| files_of(&reader.segment_id().uuid_string(), reader.delete_opstamp())).collect();
    check_segments(&dir, directory, &segments, report);
    if !is_list_whole(&dir) {
        report(file(Kind::FileDamaged, dir.join(MANAGED)));
    }
    Ok(())
}

/// The first damaged file of a generation that does not open.
pub(crate) fn first_damaged(shard: &Path, number: u32) -> Option<IndexError> {
    let dir = generation_dir(shard, number);
    let mut found = Vec::new();
    let folder = SealedDirectory::new(MmapDirectory::open(&dir).ok()?);
    match folder.atomic_read(Path::new(META)).ok().and_then(|json| serde_json::from_slice::<Meta>(&json).ok()) {
        None => found.push(file(Kind::FileDamaged, dir.join(META))),
        Some(meta) => {
            let files = |segment: &MetaSegment| {
                let opstamp = segment.deletes.as_ref().map(|deletes| deletes.opstamp);
                files_of(&segment.segment_id.replace('-', ""), opstamp)
            };
            let segments: Vec<SegmentFiles> = meta.segments.iter().map(files).collect();
            match ManagedDirectory::wrap(Box::new(folder)) {
                Err(_) => found.push(file(Kind::FileDamaged, dir.join(MANAGED))),
                Ok(directory) => check_segments(&dir, &directory, &segments, &mut |difference| found.push(difference)),
            }
        }
    }
    let Difference { kind, place: Place::File(path) } = found.into_iter().next()? else { return None };
    if kind == Kind::FileMissing {
        return Some(IndexError::FileMissing(path));
    }
    Some(IndexError::FileDamaged { path, source: Box::new(crate::seal::BrokenSeal) })
}

/// What is read of `meta.json` where the engine cannot read it.
#[derive(serde::Deserialize)]
struct Meta {
    segments: Vec<MetaSegment>,
}

#[derive(serde::Deserialize)]
struct MetaSegment {
    segment_id: String,
    deletes: Option<MetaDeletes>,
}

#[derive(serde::Deserialize)]
struct MetaDeletes {
    opstamp: u64,
}

fn file(kind: Kind, path: PathBuf) -> Difference {
    Difference { kind, place: Place::File(path) }
}

fn files_of(segment: &str, deletes: Option<u64>) -> SegmentFiles {
    let files = EXTENSIONS.iter().map(|extension| format!("{segment}.{extension}"));
    files.chain(deletes.map(|opstamp| format!("{segment}.{opstamp}.{DELETES}"))).map(PathBuf::from).collect()
}

fn state_of_meta(directory: &dyn Directory) -> Option<Kind> {
    match directory.atomic_read(Path::new(META)) {
        Ok(_) => None,
        Err(OpenReadError::FileDoesNotExist(_)) => Some(Kind::FileMissing),
        Err(_) => Some(Kind::FileDamaged),
    }
}

/// Whether a file of a segment holds what was written; `None` if it does.
pub(crate) fn state_of(directory: &ManagedDirectory, name: &Path) -> Option<Kind> {
    match directory.validate_checksum(name) {
        Ok(true) => None,
        Err(OpenReadError::FileDoesNotExist(_)) => Some(Kind::FileMissing),
        Ok(false) | Err(_) => Some(Kind::FileDamaged),
    }
}

fn check_segments(
    dir: &Path,
    directory: &ManagedDirectory,
    segments: &[SegmentFiles],
    report: &mut dyn FnMut(Difference),
) {
    for files in segments {
        let mut releases = BTreeMap::new();
        for name in files {
            if let Some(kind) = state_of(directory, name) {
                report(file(kind, dir.join(name)));
            } else if let Some(release) = release_of(dir, name) {
                releases.insert(name, release);
            }
        }
        for name in of_other_release(&releases) {
            report(file(Kind::FileDamaged, dir.join(name)));
        }
    }
}

/// A release of the engine, its numbers in order.
type Release = Vec<u64>;

/// The release that wrote a file; `None` when the file was removed meanwhile.
fn release_of(dir: &Path, name: &Path) -> Option<Release> {
    let file = MmapDirectory::open(dir).ok()?.open_read(name).ok()?;
    let (footer, _) = Footer::extract_footer(file).ok()?;
    numbers(&footer.version)
}

fn numbers(version: &tantivy::Version) -> Option<Release> {
    let version = serde_json::to_value(version).ok()?;
    ["major", "minor", "patch", "index_format_version"].iter().map(|part| version[part].as_u64()).collect()
}

/// The files of a segment that say another release than most. Deletes come later: they may say a newer one, up to ours.
fn of_other_release<'a>(releases: &BTreeMap<&'a PathBuf, Release>) -> Vec<&'a PathBuf> {
    let is_of_deletes = |name: &Path| name.extension().is_some_and(|extension| extension == DELETES);
    let count = |release: &Release| releases.values().filter(|other| *other == release).count();
    let Some(common) = releases.values().max_by_key(|release| count(release)) else { return Vec::new() };
    let ours = numbers(tantivy::version()).unwrap_or_default();
    let is_other = |name: &Path, release: &Release| {
        if is_of_deletes(name) { release < common || *release > ours } else { release != common }
    };
    releases.iter().filter(|(name, release)| is_other(name, release)).map(|(name, _)| *name).collect()
}

/// Whether every file of a segment in the folder, and the description, is on the list, as the engine notes them before it makes them.
fn is_list_whole(dir: &Path) -> bool {
    let read = || -> Option<HashSet<PathBuf>> { serde_json::from_slice(&std::fs::read(dir.join(MANAGED)).ok()?).ok() };
    let on_disk = std::fs::read_dir(dir).map(|entries| {
        let names = entries.flatten().map(|entry| PathBuf::from(entry.file_name()));
        names.filter(|name| is_of_segment(name) || name == Path::new(META)).collect::<Vec<_>>()
    });
    // Read after the folder, so that a file made meanwhile is on it; one removed meanwhile is not in the folder any more.
    let (Ok(on_disk), Some(listed)) = (on_disk, read()) else { return false };
    !on_disk.iter().any(|name| !listed.contains(name) && dir.join(name).exists())
}

fn is_of_segment(name: &Path) -> bool {
    let extension = name.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension) || extension == DELETES)
}
