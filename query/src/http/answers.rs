//! `/v1/answers`: a question answered, whole as JSON or piece by piece as server-sent events.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use schemas::api::answers::{AnswerRequest, AnswerResponse};
use schemas::problem::Problem;

use super::App;
use super::audit::writing;
use super::auth::Identity;
use super::extract::{ApiJson, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::pages::markdown;
use super::problem::ApiError;
use super::sse::{accepts, told};
use crate::audit::act::{Kind, What};
use crate::export;

/// Answers a question from the pages that the caller can find, with citations.
///
/// `Accept: text/markdown` asks for a document, whole, with a list of the sources.
///
/// With `stream` or `Accept: text/event-stream` the events are `sources` (`SourcesEvent`), `delta` (`DeltaEvent`), `citation`
/// (`CitationEvent`), `usage`, and at the end `done` (`DoneEvent`) or `error` (`ErrorEvent`).
#[utoipa::path(
    post, path = "/v1/answers", tag = "answers",
    params(CallerHeaders),
    request_body = AnswerRequest,
    responses(
        (status = 200, description = "The answer; as server-sent events or as a document where asked for.", content(
            (AnswerResponse = "application/json"),
            (String = "text/event-stream"),
            (String = "text/markdown"),
        )),
        (status = 409, description = "What `at_least` asks for was not visible in time.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The budget of tokens is used up; see `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn answer(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    headers: HeaderMap,
    ApiJson(request): ApiJson<AnswerRequest>,
) -> Result<Response, ApiError> {
    let caller = identity.caller()?;
    let is_document = accepts(&headers, "text/markdown");
    let stream = !is_document && (request.stream || accepts(&headers, "text/event-stream"));
    let question = request.question.clone();
    let answering = app.engine().ask(&caller, AnswerRequest { stream, ..request }, request_id.clone()).await?;
    let what = What::new(Kind::Answer).within(&caller.workspace).on(answering.source_pages());
    app.note(writing(&identity, &question), &request_id, what)?;
    if is_document {
        let answer = answering.whole().await?;
        let document = export::answer(&question, &answer.answer, &answer.sources, &|page| app.page_address(page));
        return Ok(markdown(document, "answer.md"));
    }
    if !stream {
        return Ok(Json(answering.whole().await?).into_response());
    }
    Ok(told(answering, app.heartbeat()))
}
