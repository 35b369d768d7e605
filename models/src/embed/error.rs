//! Everything that can go wrong with an embedder, and what to do about it.
//!
//! A message says which operation failed and how to mend it; the cause is the source and is never repeated. No message holds
//! text that was to be embedded.

use std::error::Error;
use std::path::PathBuf;

use thiserror::Error;

/// What a library below reported.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why an embedder did not start or a text was not embedded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// There is no file where the ONNX Runtime library should be.
    #[error("no ONNX Runtime library at {}: run scripts/fetch-models.sh, or set `library` to its path", path.display())]
    LibraryMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is no ONNX Runtime library of this platform, or one too old.
    #[error("cannot load {} as ONNX Runtime 1.24 or newer: run scripts/fetch-models.sh to get one that fits", path.display())]
    LibraryRejected {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        source: Cause,
    },
    /// Another library was loaded by this process before; it cannot be unloaded.
    #[error("cannot load {}: this process already runs {}; name one `library` for all models and restart", path.display(), loaded.display())]
    LibraryConflict {
        /// The library asked for.
        path: PathBuf,
        /// The library in use.
        loaded: PathBuf,
    },
    /// A file of the model is not there.
    #[error("no model file at {}: run scripts/fetch-models.sh, or set `model_dir` to a folder that holds it", path.display())]
    ModelMissing {
        /// The file looked for.
        path: PathBuf,
    },
    /// A file of the model is there and could not be read.
    #[error("cannot read the model file {}: check that this user may read it", path.display())]
    ModelUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The model's files were read and do not make a model that can be used.
    #[error("the model in {} cannot be used: fetch it anew with scripts/fetch-models.sh, or choose another `model_dir`", path.display())]
    BadModel {
        /// Folder of the model.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },
    /// The model gives vectors of another length than configured.
    #[error("the model in {} gives {actual} dimensions where `dimensions` says {configured}: correct the one that is wrong", path.display())]
    WrongDimensions {
        /// Folder of the model.
        path: PathBuf,
        /// What the configuration says.
        configured: usize,
        /// What the model gives.
        actual: usize,
    },
    /// A configured value is out of its range.
    #[error("embedding configuration: `{key}` {requirement}")]
    BadConfig {
        /// The key.
        key: &'static str,
        /// What its value must be.
        requirement: &'static str,
    },
    /// As many queries as allowed are waiting already.
    #[error("{queue_len_max} queries wait for the embedding model already: try again, or raise `queue_len_max`")]
    Overloaded {
        /// The limit.
        queue_len_max: usize,
    },
    /// The caller's deadline came first.
    #[error("the deadline passed before the query was embedded")]
    DeadlinePassed,
    /// No thread could be started for the model.
    #[error("cannot start a thread for the embedding model: raise the limit on processes")]
    WorkerNotStarted {
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The worker thread ended while the embedder was in use.
    #[error("the embedding worker has stopped: see the log for what ended it, and restart")]
    WorkerGone,
    /// The model failed on a batch.
    #[error("the embedding model failed on a batch of {batch_len} texts")]
    Inference {
        /// Texts in the batch.
        batch_len: usize,
        /// What the model runtime said.
        source: Cause,
    },
    /// The model gave something that is no unit vector of the stated length.
    #[error("the embedding model gave a vector that is not finite and of unit length")]
    BadVector,
}

/// What a caller can do about an [`EmbedError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Retryable,
    /// The configuration or the model must be changed.
    Invalid,
    /// A file must be put where it is looked for.
    NotFound,
    /// A limit was reached; less load or a higher limit helps.
    Exhausted,
    /// Neither caller nor operator can help.
    Bug,
}

impl EmbedError {
    /// What a caller can do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::LibraryMissing { .. } | Self::ModelMissing { .. } => ErrorKind::NotFound,
            Self::LibraryRejected { .. }
            | Self::LibraryConflict { .. }
            | Self::ModelUnreadable { .. }
            | Self::BadModel { .. }
            | Self::WrongDimensions { .. }
            | Self::BadConfig { .. } => ErrorKind::Invalid,
            Self::Overloaded { .. } | Self::WorkerNotStarted { .. } => ErrorKind::Exhausted,
            Self::DeadlinePassed => ErrorKind::Retryable,
            Self::WorkerGone | Self::Inference { .. } | Self::BadVector => ErrorKind::Bug,
        }
    }
}
