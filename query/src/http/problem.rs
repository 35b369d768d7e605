//! From errors to `application/problem+json`: the one place where that happens.
//!
//! What the client reads and what the log says are two things: the first is fixed text and the names of fields, the
//! second the chain of causes. The request id is put in at the way out, so a problem is carried as an extension of an
//! empty response until then.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::problem::{FieldProblem, PROBLEM_JSON, Problem, ProblemCode};
use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{QueryError, with_causes};

/// Seconds after which a request that was shed may come again, where nothing else is known.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why a request was not answered, on its way to the client.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: ProblemCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldProblem>,
    /// Seconds, for those that may come again.
    retry_after: u32,
    /// For the log alone.
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// A problem of a kind; `detail` is for the client.
    pub fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: RETRY_AFTER_SECONDS, cause: None }
    }

    /// A field or parameter that is wrong.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        let detail = "a field or parameter is not valid; see `errors`";
        Self::new(ProblemCode::InvalidRequest, detail).with_error(field, reason)
    }

    /// Adds what is wrong where.
    #[must_use]
    pub fn with_error(mut self, field: impl Into<String>, reason: impl Into<String>) -> Self {
        self.errors.push(FieldProblem { field: field.into(), reason: reason.into() });
        self
    }

    /// Says when the request may come again, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
        self
    }

    /// Adds a cause, for the log alone.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
    }

    /// What kind of problem it is.
    pub fn code(&self) -> ProblemCode {
        self.code
    }

    /// Nothing is here, or nothing for this caller: the two are told in the same words.
    pub fn not_found() -> Self {
        Self::new(ProblemCode::NotFound, "there is nothing here for this caller")
    }

    /// A bug of ours.
    pub fn internal() -> Self {
        Self::new(ProblemCode::Internal, "this is a bug or a failing disk; the log says more under the request id")
    }

    /// The body that is sent.
    fn body(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("urn:tessera:problem:{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail.clone().into_owned(),
            instance: format!("urn:tessera:request:{request_id}"),
            code: self.code,
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
        }
    }

    fn log(&self) {
        let causes = self.cause.as_deref().map(|cause| with_causes(cause)).unwrap_or_default();
        match self.code.status() {
            500 => tracing::error!(code = self.code.as_str(), causes, "request failed"),
            503 => tracing::warn!(code = self.code.as_str(), causes, "request shed"),
            _ => tracing::debug!(code = self.code.as_str(), causes, "request refused"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes out the problem that a response carries; other responses stay as they are.
pub(super) fn finish(mut response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    error.log();
    let body = serde_json::to_vec(&error.body(request_id)).expect("a problem is text and numbers");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    match error.code.status() {
        401 => {
            // An endpoint may have said more.
            let challenge = HeaderValue::from_static("Bearer realm=\"tessera\"");
            headers.entry(header::WWW_AUTHENTICATE).or_insert(challenge);
        }
        409 | 429 | 503 => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(error.retry_after));
        }
        _ => {}
    }
    *response.body_mut() = Body::from(body);
    response
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::InvalidRequest { field, reason } => Self::field(field, reason),
            QueryError::InvalidCursor => Self::new(
                ProblemCode::InvalidCursor,
                "start without a cursor, and send the rest of the request unchanged when you go on",
            ),
            QueryError::NotFound => Self::not_found(),
            QueryError::NotYetVisible => {
                Self::new(ProblemCode::NotYetVisible, "try again, or ask for less in `at_least`")
            }
            QueryError::AccessChanged => {
                Self::new(ProblemCode::Unavailable, "access changed while the answer was written; ask again")
            }
            QueryError::DeadlineExceeded => {
                Self::new(ProblemCode::DeadlineExceeded, "try again, or allow more in `timeout_ms`")
            }
            QueryError::Overloaded => Self::overloaded(),
            QueryError::Index { .. } | QueryError::Panicked { .. } => Self::internal().caused_by(error),
        }
    }
}

impl ApiError {
    /// More is being done than is allowed.
    pub fn overloaded() -> Self {
        Self::new(ProblemCode::Unavailable, "the server is busy; try again after the time in `Retry-After`")
    }
}
