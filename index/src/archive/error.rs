//! What can go wrong with snapshots, told by operation and object.

use std::path::{Path, PathBuf};

use crate::IndexError;

/// Taking, keeping or restoring a snapshot failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The destination is none that is known.
    #[error("`{0}` is no destination: name a folder or s3://bucket/prefix")]
    Destination(String),
    /// No thread can wait for transfers.
    #[error("cannot start the transfers")]
    Runtime(#[source] std::io::Error),
    /// The destination turned an operation down.
    #[error("cannot {doing} {object}: {cause}")]
    Store {
        /// What was to be done.
        doing: &'static str,
        /// With which object or destination.
        object: String,
        /// The cause. Its message tells its own causes: in the chain of causes they would be told again and again.
        cause: object_store::Error,
    },
    /// A local file or folder cannot be used.
    #[error("cannot {doing} {path}", path = .path.display())]
    File {
        /// What was to be done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The index cannot be read.
    #[error("cannot read the index")]
    Index(#[from] IndexError),
    /// A file of the index does not fit its own checksum.
    #[error("{path} is damaged and was not taken into a snapshot; restore the index from an earlier one", path = .0.display())]
    FileDamaged(PathBuf),
    /// Another process takes or restores a snapshot of this index.
    #[error("another process is taking or restoring a snapshot of {path}; wait for it", path = .0.display())]
    Busy(PathBuf),
    /// A process writes to the index that was to be replaced.
    #[error("a process writes to the index in {path}; stop it before its index is replaced", path = .0.display())]
    InUse(PathBuf),
    /// There is something where an index was to be restored.
    #[error("{path} is not empty; to put the snapshot in its place, add --replace", path = .0.display())]
    Occupied(PathBuf),
    /// The destination does not have this snapshot.
    #[error("{destination} has no snapshot `{wanted}`")]
    NoSnapshot {
        /// What was asked for.
        wanted: String,
        /// Where.
        destination: String,
    },
    /// Several snapshots begin like this.
    #[error("several snapshots begin with `{0}`; give more of the id")]
    Ambiguous(String),
    /// A manifest is not what was written.
    #[error("the manifest {0} is damaged; use another snapshot, and remove it when no other copy is left")]
    ManifestDamaged(String),
    /// A manifest was written by a newer release.
    #[error(
        "the manifest {object} has format {found}, this release reads up to {newest}; use the release that wrote it"
    )]
    Format {
        /// The manifest.
        object: String,
        /// Its format.
        found: u32,
        /// Ours.
        newest: u32,
    },
    /// An object of a snapshot is not there.
    #[error("{object}, which holds {file}, is missing; restore another snapshot")]
    ObjectMissing {
        /// The object.
        object: String,
        /// The file whose bytes it had.
        file: String,
    },
    /// An object of a snapshot is not what was written.
    #[error(
        "{object}, which holds {file}, is damaged: its bytes do not have the hash in its name; restore another snapshot, or put a good copy in its place"
    )]
    ObjectDamaged {
        /// The object.
        object: String,
        /// The file whose bytes it had.
        file: String,
    },
    /// The snapshot took longer than what it counts on is sure to stay.
    #[error("the snapshot took longer than {} hours and was not completed; take it again, what was sent is kept", super::SAVE_LONGEST.as_secs() / 3600)]
    TooSlow,
}

impl ArchiveError {
    pub(super) fn store(doing: &'static str, object: &str, cause: object_store::Error) -> Self {
        Self::Store { doing, object: object.to_owned(), cause }
    }

    pub(super) fn file(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }
}
