//! Problems: the one shape of an error over HTTP (RFC 9457).
//!
//! The text is safe to show: it holds no content, no query and nothing about what the caller may not see.

use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable address of the kind of problem: `urn:tessera:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(format = "uri")]
    pub kind: String,
    /// The kind of problem in words, always the same for one code.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// This occurrence: `urn:tessera:request:` and the request id.
    #[schema(format = "uri")]
    pub instance: String,
    /// The kind of problem, for programs.
    pub code: ProblemCode,
    /// The request, as logs name it.
    pub request_id: String,
    /// What is wrong where, when several things are or a field is to blame.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// The field or parameter.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $text:literal $status:literal $title:literal,)*) => {
        /// The kinds of problems, for programs. A code keeps its meaning and its status for good.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
        }

        impl ProblemCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The title that goes with it.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The body or a parameter cannot be read or breaks a bound.
    InvalidRequest "invalid_request" 400 "The request is not valid",
    /// The cursor was not made by this API, or for another request.
    InvalidCursor "invalid_cursor" 400 "The cursor is not valid for this request",
    /// The request does not say on whose behalf or in which workspace it is made.
    CallerRequired "caller_required" 400 "The request does not name its caller",
    /// None of the events could be taken.
    InvalidEvents "invalid_events" 400 "No event of the batch is valid",
    /// There is no valid identity.
    Unauthenticated "unauthenticated" 401 "No valid identity was given",
    /// The identity is not allowed to use this endpoint.
    Forbidden "forbidden" 403 "This identity may not use this endpoint",
    /// There is nothing here, or nothing for this caller.
    NotFound "not_found" 404 "Not found",
    /// The endpoint does not take this method.
    MethodNotAllowed "method_not_allowed" 405 "The method is not allowed here",
    /// What `at_least` asks for had not been read when the deadline came.
    NotYetVisible "not_yet_visible" 409 "The changes asked for are not visible yet",
    /// The answer whose connection broke is kept no longer, or not for this caller; ask anew.
    StreamGone "stream_gone" 410 "The answer cannot be gone on with",
    /// The body is larger than allowed.
    TooLarge "too_large" 413 "The request is too large",
    /// The body has a media type or encoding that is not taken.
    UnsupportedMediaType "unsupported_media_type" 415 "The media type is not supported",
    /// More than the quota or the queue allows; try again after `Retry-After`.
    TooManyRequests "too_many_requests" 429 "Too many requests",
    /// The tokens of the workspace or of the person are used up; there are some again after `Retry-After`.
    BudgetExhausted "budget_exhausted" 429 "The budget of tokens is used up",
    /// It takes a language model, and none is configured for it.
    NoLanguageModel "no_language_model" 501 "No language model is configured for this",
    /// The language models turned the request down, or broke off.
    ModelFailed "model_failed" 502 "The language model failed",
    /// No language model answers for the moment; try again after `Retry-After`.
    ModelUnavailable "model_unavailable" 503 "No language model answers for the moment",
    /// A bug, or a disk that fails.
    Internal "internal" 500 "Internal error",
    /// The server is overloaded, starting or stopping; try again after `Retry-After`.
    Unavailable "unavailable" 503 "The service is unavailable for the moment",
    /// The deadline came before there was anything to answer with.
    DeadlineExceeded "deadline_exceeded" 503 "The deadline was exceeded",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_they_are_written() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
