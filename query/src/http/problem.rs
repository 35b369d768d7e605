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

use super::openai;
use super::sheds::{Kind, Sheds};
use crate::error::{QueryError, with_causes};

/// Seconds after which a request that was shed may come again, where nothing else is known.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Why a request was not answered, on its way to the client.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: ProblemCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldProblem>,
    /// Seconds, for those that may come again.
    retry_after: u64,
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

    /// Says when the request may come again, in whole seconds, rounded up; at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = whole_seconds(wait);
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

    /// The first field that is to blame.
    #[cfg(test)]
    pub(super) fn first_field(&self) -> Option<&str> {
        self.errors.first().map(|error| error.field.as_str())
    }

    /// The body that is sent.
    pub(super) fn body(&self, request_id: &str) -> Problem {
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

    fn log(&self, sheds: &Sheds) {
        let causes = self.cause.as_deref().map(|cause| with_causes(cause)).unwrap_or_default();
        let (code, status) = (self.code.as_str(), self.code.status());
        if status == 500 {
            tracing::error!(code, causes, "request failed");
            return;
        }
        tracing::debug!(code, causes, "request refused");
        if [429, 503].contains(&status) {
            sheds.shed(Kind { code, detail: self.detail.clone() }, causes);
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

/// Writes out the problem that a response to a path carries; other responses stay as they are.
pub(super) fn finish(mut response: Response, path: &str, request_id: &str, sheds: &Sheds) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    error.log(sheds);
    let problem = error.body(request_id);
    let (media_type, body) = if openai::is_ours(path) {
        ("application/json", serde_json::to_vec(&openai::problem(&problem)))
    } else {
        (PROBLEM_JSON, serde_json::to_vec(&problem))
    };
    let body = body.expect("a problem is text and numbers");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if openai::is_ours(path) && [ProblemCode::BudgetExhausted, ProblemCode::ModelFailed].contains(&error.code) {
        // Clients of OpenAI try again by themselves otherwise.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
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

/// A time to wait in whole seconds, rounded up, at least one.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1_000).clamp(1, u128::from(u64::MAX)) as u64
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
            QueryError::StreamGone => {
                Self::new(ProblemCode::StreamGone, "ask anew, without `Last-Event-ID`; what came before may not be kept")
            }
            QueryError::NotYetVisible => {
                Self::new(ProblemCode::NotYetVisible, "try again, or ask for less in `at_least`")
            }
            QueryError::AccessChanged => {
                Self::new(ProblemCode::Unavailable, "access changed while this was made; ask again")
            }
            QueryError::DeadlineExceeded => {
                Self::new(ProblemCode::DeadlineExceeded, "try again, or allow more in `timeout_ms`")
            }
            QueryError::Overloaded => Self::overloaded(),
            QueryError::TooManyAnswers { whose } => Self::new(
                ProblemCode::TooManyRequests,
                format!("as many texts are being written for this {whose} as may be; come again when one of them has ended"),
            ),
            QueryError::NoLanguageModel => Self::new(
                ProblemCode::NoLanguageModel,
                "this takes a language model, and none is configured for it; see docs/providers.md",
            ),
            QueryError::BudgetExhausted { whose, retry_after } => Self::new(
                ProblemCode::BudgetExhausted,
                format!("the budget of tokens of this {whose} is used up; there are some again after the time in `Retry-After`"),
            )
            .retry_after(retry_after),
            QueryError::ModelUnavailable { retry_after } => Self::new(
                ProblemCode::ModelUnavailable,
                "no language model answers; try again after the time in `Retry-After`",
            )
            .retry_after(retry_after),
            QueryError::ModelRefused => {
                Self::new(ProblemCode::ModelFailed, "the language model turned the request down; the log says more")
            }
            QueryError::ModelInterrupted => {
                Self::new(ProblemCode::ModelFailed, "the language model broke off; try again")
            }
            QueryError::Index { .. }
            | QueryError::Disk { .. }
            | QueryError::Document { .. }
            | QueryError::Panicked { .. } => Self::internal().caused_by(error),
        }
    }
}

impl ApiError {
    /// More is being done than is allowed.
    pub fn overloaded() -> Self {
        Self::new(ProblemCode::Unavailable, "the server is busy; try again after the time in `Retry-After`")
    }
}
