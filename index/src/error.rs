//! What can go wrong with a stored index, told by what was being done.

use std::path::PathBuf;

/// An operation on the stored index failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The folder of the index cannot be made or read.
    #[error("cannot open the index folder {path}", path = .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds no index, and it was not to be made.
    #[error("there is no index in {path}; import something or start the server once", path = .0.display())]
    Absent(PathBuf),
    /// Another process writes to the index.
    #[error("another process writes to the index in {path}; stop it, or send the work to its server", path = .0.display())]
    Locked(PathBuf),
    /// The index was written in another format.
    #[error("the index in {path} has format {found}, this release reads {expected}; {}", way_out(*found, *expected), path = .path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// The index was made for other vectors or by a release with other fields.
    #[error("the index in {path} was made for other embeddings or by another release; use its model, or rebuild it", path = .0.display())]
    Shape(PathBuf),
    /// A file of the index cannot be read or written.
    #[error("cannot read or write {path}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of the index is not there.
    #[error("{path} is missing: the index is damaged; {RESTORE}", path = .0.display())]
    FileMissing(PathBuf),
    /// A file of the index does not hold what it should.
    #[error("{path} is damaged; {RESTORE}", path = .path.display())]
    FileDamaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer failed and was not opened again yet.
    #[error("the writer of the index failed and is not open")]
    WriterLost,
    /// The vectors of a segment cannot be read.
    #[error("the vectors of a segment cannot be read")]
    VectorFile(#[from] crate::vectors::VectorFileError),
    /// A query cannot be compared with the stored vectors.
    #[error("the vector search failed")]
    VectorSearch(#[from] crate::vectors::VectorSearchError),
    /// A stored record cannot be read.
    #[error("a stored {what} is damaged; verify the index and restore it from a snapshot")]
    Damaged {
        /// What kind of record.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The deadline passed before the work was done.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// An embedding does not fit this index.
    #[error("an embedding does not fit this index")]
    Vectors(#[from] crate::vectors::VectorError),
    /// The search engine failed.
    #[error("the search engine failed to {doing}")]
    Engine {
        /// What it was to do.
        doing: &'static str,
        /// The cause.
        #[source]
        source: tantivy::TantivyError,
    },
}

/// What to do about a damaged file.
const RESTORE: &str = "restore the index from a snapshot (`tessera restore`), or move its folder away and import again";

impl IndexError {
    /// True when a damaged file may be behind it that it does not name.
    pub(crate) fn may_be_damage(&self) -> bool {
        matches!(self, Self::Engine { .. } | Self::VectorFile(_) | Self::Damaged { .. })
    }
}

/// What to do about an index of another format.
fn way_out(found: u32, expected: u32) -> &'static str {
    if found > expected {
        "it was written by a newer release: use that one"
    } else {
        "run `tessera reindex`, which rebuilds it from its own records"
    }
}

/// Names what the engine was doing when it failed.
pub(crate) trait Doing<T> {
    /// Wraps the error.
    fn doing(self, doing: &'static str) -> Result<T, IndexError>;
}

impl<T, E: Into<tantivy::TantivyError>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T, IndexError> {
        self.map_err(|source| IndexError::Engine { doing, source: source.into() })
    }
}
