//! Why the write side did not take something in, and what the sender can do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use index::IndexError;

use crate::config::BadConfig;
use crate::decode::BatchTooLarge;

/// Why events were not taken in, or are not known to be safe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// More waits to be committed than is allowed. Nothing of the batch was taken in.
    #[error("too much waits to be indexed; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The batch as a whole is over a limit. Nothing of it was taken in.
    #[error(transparent)]
    TooLarge(#[from] BatchTooLarge),
    /// The write side is shutting down, or its commit thread has ended. Send the batch again after the restart.
    #[error("the write side has stopped")]
    Stopped,
    /// The events are taken in and their commit did not come in time; it may still come. Sending them again does no harm.
    #[error("the events are taken in, but were not committed within {} ms", waited.as_millis())]
    NotYetCommitted {
        /// How long was waited.
        waited: Duration,
    },
    /// The events are taken in, and commits fail: a full disk, for one. They are tried again until one succeeds; only if the
    /// process ends before are the events lost. Sending them again does no harm.
    #[error("the events are taken in, but could not be committed within {} ms", waited.as_millis())]
    Failing {
        /// How long was waited.
        waited: Duration,
        /// Why the last commit failed.
        source: Arc<IndexError>,
    },
    /// A stored record could not be read. Part of the batch may be taken in; sending it again does no harm.
    #[error("the events cannot be merged with what is stored")]
    Unreadable(#[source] IndexError),
    /// Events that were turned down could not be sent to the topic of dead letters.
    #[error("cannot write to the topic {topic}")]
    DeadLetterTopic {
        /// The topic.
        topic: String,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Events that were turned down could not be kept. Sending the batch again does no harm.
    #[error("cannot write {}", path.display())]
    DeadLetters {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Why the write side did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A configured value is out of its range.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The index cannot be written to.
    #[error("cannot write to the index")]
    Index(#[from] IndexError),
    /// The index was built with another embedding model. A model is changed by building a new generation.
    #[error(
        "the index was built with the embedding model {index}, not with {model}: run `tessera reindex` to change it"
    )]
    OtherModel {
        /// Its model.
        index: String,
        /// The one that was given.
        model: String,
    },
    /// The index was built for vectors of another length.
    #[error("the index was built for vectors of {index} numbers, the model gives {model}: run `tessera reindex`")]
    OtherDimensions {
        /// Numbers in a vector of the index.
        index: usize,
        /// Numbers that the model gives.
        model: usize,
    },
    /// A thread cannot be started.
    #[error("cannot start the {name} thread: raise the limit on processes")]
    Thread {
        /// Which.
        name: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Retryable,
    /// The input must be changed.
    Invalid,
    /// A limit was reached; less load helps.
    Exhausted,
}

impl IngestError {
    /// What a caller can do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Overloaded { .. } => ErrorKind::Exhausted,
            Self::TooLarge(_) => ErrorKind::Invalid,
            Self::Stopped
            | Self::NotYetCommitted { .. }
            | Self::Failing { .. }
            | Self::Unreadable(_)
            | Self::DeadLetterTopic { .. }
            | Self::DeadLetters { .. } => ErrorKind::Retryable,
        }
    }
}
