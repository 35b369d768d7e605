//! Why a request was not answered, for those who branch on it. No message holds a query or content.

use thiserror::Error;

/// Why a request was not answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A field of the request breaks a bound.
    #[error("field `{field}` {reason}")]
    InvalidRequest {
        /// The field, as the request names it.
        field: &'static str,
        /// What its value must be.
        reason: String,
    },
    /// The cursor was not made here, or not for this request.
    #[error("the cursor does not belong to this request")]
    InvalidCursor,
    /// There is no such page, or not for this caller.
    #[error("there is no such page for this caller")]
    NotFound,
    /// What the request asks for at least had not been read by the deadline.
    #[error("the changes asked for were not visible by the deadline")]
    NotYetVisible,
    /// The caller lost a page that the answer was being made from.
    #[error("access changed while the answer was written")]
    AccessChanged,
    /// Nothing could be answered by the deadline.
    #[error("the deadline passed before there was an answer")]
    DeadlineExceeded,
    /// More searches run than are allowed, and none ended in time.
    #[error("no permit for a search became free by the deadline")]
    Overloaded,
    /// The index could not be read.
    #[error("cannot {operation}")]
    Index {
        /// What was being done.
        operation: &'static str,
        /// What the index said.
        source: index::IndexError,
    },
    /// A stage panicked: a bug.
    #[error("a stage of the search panicked")]
    Panicked {
        /// What the runtime said.
        source: tokio::task::JoinError,
    },
}

/// What a caller can do about a [`QueryError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same request may succeed later.
    Retryable,
    /// The request must be changed.
    Invalid,
    /// There is nothing here for this caller.
    NotFound,
    /// A limit was reached; less load or a higher limit helps.
    Exhausted,
    /// Neither caller nor operator can help.
    Bug,
}

impl QueryError {
    /// What a caller can do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidRequest { .. } | Self::InvalidCursor => ErrorKind::Invalid,
            Self::NotFound => ErrorKind::NotFound,
            Self::NotYetVisible | Self::AccessChanged | Self::DeadlineExceeded => ErrorKind::Retryable,
            Self::Overloaded => ErrorKind::Exhausted,
            Self::Index { .. } | Self::Panicked { .. } => ErrorKind::Bug,
        }
    }

    /// Wraps an error of the index.
    pub(crate) fn index(operation: &'static str) -> impl FnOnce(index::IndexError) -> Self {
        move |source| Self::Index { operation, source }
    }
}

/// An error and what caused it, in one line, for the log.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push_str(": ");
        causes.push_str(&cause.to_string());
        next = cause.source();
    }
    causes
}
