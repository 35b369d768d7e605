//! Rests: files of a generation that belong to nothing, for a crash or a failed commit left them half written.
//!
//! They are removed while the lock of the folder is held. Invariant: no file of a commit is among them.

use std::ffi::OsStr;
use std::path::Path;

use tantivy::IndexWriter;

/// Where the engine lists the files it may remove.
pub(crate) const MANAGED: &str = ".managed.json";
/// Begins the names of files that the engine writes and then renames.
const TEMPORARY: &str = ".tmp";
/// Ends the name of one file of every segment.
const STORE: &str = "store";

/// Removes what it can, so that it takes no room from what comes. The rest is tried again when the writer is next opened.
pub(crate) fn remove(dir: &Path, engine: &IndexWriter) {
    for name in names(dir) {
        if name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            // Of another user, or gone: it only takes room.
            let _ = std::fs::remove_file(dir.join(name));
        }
    }
    if let Err(error) = engine.garbage_collect_files().wait() {
        tracing::warn!(error = &error as &dyn std::error::Error, "files that nothing needs cannot be removed");
    }
}

/// Whether documents were ever written to a folder: not when the process ended while it was being made.
pub(crate) fn holds_segments(dir: &Path) -> bool {
    names(dir).iter().any(|name| Path::new(name).extension() == Some(OsStr::new(STORE)))
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    std::fs::read_dir(dir).map_or_else(|_| Vec::new(), |entries| entries.flatten().map(|e| e.file_name()).collect())
}
