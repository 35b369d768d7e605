//! Why a request was not answered, for those who branch on it. No message holds a query or content.

use std::time::Duration;

use models::generate::GenerateError;
use thiserror::Error;

/// When to come again where it is not known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

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
    /// The answer whose connection broke is not kept, or not for this caller.
    #[error("there is no answer to go on with for this caller")]
    StreamGone,
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
    /// As many texts are being written for the caller or the workspace as may be.
    #[error("as many texts are being written for this {whose} as may be")]
    TooManyAnswers {
        /// `caller` or `workspace`.
        whose: &'static str,
    },
    /// It takes a language model, and none is configured for it.
    #[error("no language model is configured for this")]
    NoLanguageModel,
    /// The tokens of the workspace or of the caller are used up.
    #[error("the budget of the {whose} is used up")]
    BudgetExhausted {
        /// `workspace` or `user`.
        whose: &'static str,
        /// When there are some again.
        retry_after: Duration,
    },
    /// No language model answers, and nothing can be done without one.
    #[error("no language model answers")]
    ModelUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The language models turned the request down.
    #[error("the language model turned the request down")]
    ModelRefused,
    /// The language model broke off.
    #[error("the language model broke off")]
    ModelInterrupted,
    /// The index could not be read.
    #[error("cannot {operation}")]
    Index {
        /// What was being done.
        operation: &'static str,
        /// What the index said.
        source: index::IndexError,
    },
    /// What is kept on disk could not be read or written.
    #[error("cannot {operation}")]
    Disk {
        /// What was being done.
        operation: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A document could not be written: a bug.
    #[error("cannot write a document")]
    Document {
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// It takes something that the operator has not configured.
    NotConfigured,
    /// A limit was reached; less load or a higher limit helps.
    Exhausted,
    /// Neither caller nor operator can help.
    Bug,
}

impl QueryError {
    /// What a caller can do about this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidRequest { .. } | Self::InvalidCursor | Self::ModelRefused => ErrorKind::Invalid,
            Self::NotFound | Self::StreamGone => ErrorKind::NotFound,
            Self::NotYetVisible
            | Self::AccessChanged
            | Self::DeadlineExceeded
            | Self::ModelUnavailable { .. }
            | Self::ModelInterrupted => ErrorKind::Retryable,
            Self::Overloaded | Self::TooManyAnswers { .. } | Self::BudgetExhausted { .. } => ErrorKind::Exhausted,
            Self::NoLanguageModel => ErrorKind::NotConfigured,
            Self::Index { .. } | Self::Disk { .. } | Self::Document { .. } | Self::Panicked { .. } => ErrorKind::Bug,
        }
    }

    /// What is said where a language model was needed and failed.
    pub(crate) fn of_model(error: &GenerateError) -> Self {
        match *error {
            GenerateError::NotConfigured => Self::NoLanguageModel,
            GenerateError::Budget { whose, retry_after } => Self::BudgetExhausted { whose, retry_after },
            GenerateError::Busy { retry_after } => Self::ModelUnavailable { retry_after },
            GenerateError::Unavailable(_) => Self::ModelUnavailable { retry_after: RETRY_AFTER },
            GenerateError::Refused(_) => Self::ModelRefused,
            GenerateError::Interrupted(_) => Self::ModelInterrupted,
            GenerateError::Late => Self::DeadlineExceeded,
        }
    }

    /// Wraps an error of the index.
    pub(crate) fn index(operation: &'static str) -> impl FnOnce(index::IndexError) -> Self {
        move |source| Self::Index { operation, source }
    }

    /// Wraps an error of a file.
    pub(crate) fn disk(operation: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Disk { operation, source }
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
