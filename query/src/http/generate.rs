//! `/v1/generate`: a text made of a given text or of pages, whole as JSON or piece by piece as server-sent events.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use schemas::api::generate::{GenerateRequest, GenerateResponse};
use schemas::problem::Problem;

use super::App;
use super::auth::Identity;
use super::extract::{ApiJson, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;
use super::sse::{accepts, told};
use crate::audit::act::{Kind, What};

/// Makes a text of a given text, or of pages that the caller can read.
///
/// With `stream` or `Accept: text/event-stream` the events are those of `/v1/answers`; what takes a language model ends with `error` where
/// none answers.
#[utoipa::path(
    post, path = "/v1/generate", tag = "answers",
    params(CallerHeaders),
    request_body = GenerateRequest,
    responses(
        (status = 200, description = "The text; as server-sent events where asked for.", content(
            (GenerateResponse = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 404, description = "One of the pages is not there for this caller.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "What `at_least` asks for was not visible in time.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The budget of tokens is used up, or as many texts are being written for the caller or the workspace as may be; see `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        (status = 501, description = "It takes a language model, and none is configured.", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The language model failed.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn generate(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    headers: HeaderMap,
    ApiJson(request): ApiJson<GenerateRequest>,
) -> Result<Response, ApiError> {
    let caller = identity.caller()?;
    let stream = request.stream || accepts(&headers, "text/event-stream");
    let composing = app.engine().generate(&caller, GenerateRequest { stream, ..request }, request_id.clone()).await?;
    let what = What::new(Kind::Generate).within(&caller.workspace).on(composing.source_pages());
    app.note(&identity, &request_id, what)?;
    if !stream {
        return Ok(Json(composing.whole().await?).into_response());
    }
    Ok(told(composing, app.heartbeat()))
}
