//! `/v1/answers`: a question answered, whole as JSON or piece by piece as server-sent events, which may be stopped.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemas::api::answers::{AnswerRequest, AnswerResponse};
use schemas::problem::Problem;

use super::App;
use super::audit::writing;
use super::auth::Identity;
use super::extract::{ApiJson, ApiQuery, PathId, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::operate::NoParams;
use super::pages::file;
use super::problem::ApiError;
use super::sse::{accepts, last_event_id, read, told};
use crate::answer::outgoing::Telling;
use crate::answer::resume::AskedBy;
use crate::audit::act::{Kind, What};
use crate::export::{self, ExportFormat};

/// Where a stream is gone on with.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "described here, read where a stream is begun")]
pub(super) struct LastEventId {
    /// The id of the last event of a stream that broke off: the same request then goes on after it.
    #[param(rename = "Last-Event-ID", nullable = false, max_length = 64)]
    last_event_id: Option<String>,
}

/// Answers a question from the pages that the caller can find, with citations.
///
/// `Accept: text/markdown` and `Accept: application/pdf` ask for a document, whole, with a list of the sources.
///
/// With `stream` or `Accept: text/event-stream` the events are `sources` (`SourcesEvent`), `delta` (`DeltaEvent`), `citation`
/// (`CitationEvent`), `usage`, and at the end `done` (`DoneEvent`) or `error` (`ErrorEvent`). When the connection breaks, the same request
/// with `Last-Event-ID` goes on after that event, for a while.
#[utoipa::path(
    post, path = "/v1/answers", tag = "answers",
    params(CallerHeaders, LastEventId),
    request_body = AnswerRequest,
    responses(
        (status = 200, description = "The answer; as server-sent events or as a document where asked for.", content(
            (AnswerResponse = "application/json"),
            (String = "text/event-stream"),
            (String = "text/markdown"),
            (String = "application/pdf"),
        )),
        (status = 404, description = "The caller has no such conversation.", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "What `at_least` asks for was not visible in time.", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "The answer of `Last-Event-ID` is not kept any more: ask anew.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The budget of tokens is used up, or as many texts are being written for the caller or the workspace as may be; see `Retry-After`.", body = Problem, content_type = "application/problem+json"),
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
    let format = ExportFormat::ALL.into_iter().find(|of| accepts(&headers, of.media_type()));
    let stream = format.is_none() && (request.stream || accepts(&headers, "text/event-stream"));
    let question = request.question.clone();
    let request = AnswerRequest { stream, ..request };
    let asked = AskedBy::new(&caller, &request);
    if let Some(last) = last_event_id(&headers).filter(|_| stream) {
        let reader = app.streams().resume(&asked, last)?;
        // Of which pages it is told stands in the record of its beginning.
        let what = What::new(Kind::Answer).within(&caller.workspace).noting("resumed", "true");
        app.note(writing(&identity, &question), &request_id, what)?;
        return Ok(read(reader, app.heartbeat()));
    }
    let answering = app.engine().ask_in(app.conversations(), &caller, request, request_id.clone()).await?;
    let what = What::new(Kind::Answer).within(&caller.workspace).on(answering.source_pages());
    app.note(writing(&identity, &question), &request_id, what)?;
    if let Some(format) = format {
        let watch = answering.watch();
        let answer = answering.whole().await?;
        let document = export::answer(&question, &answer.answer, &answer.sources, &|page| app.page_address(page));
        let may = move || watch.is_none_or(|mut watch| watch.let_out(()).is_some());
        return Ok(file(format, app.engine().export(document, format, "Accept", may).await?, "answer"));
    }
    if !stream {
        return Ok(Json(answering.whole().await?).into_response());
    }
    match app.streams().begin(asked, answering) {
        Ok(reader) => Ok(read(reader, app.heartbeat())),
        Err(answering) => Ok(told(answering, app.heartbeat())),
    }
}

/// Stops an answer that is being streamed, and forgets one that was: nobody can go on with it then.
///
/// The model stops at once, as it does not when the connection is only closed. Of a turn of a conversation the question is kept.
#[utoipa::path(
    delete, path = "/v1/answers/{stream}", tag = "answers",
    params(("stream" = String, Path, description = "The stream: what stands before the `-` in the ids of its events."), CallerHeaders),
    responses(
        (status = 204, description = "It is stopped."),
        (status = 404, description = "The caller has no such stream.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn stop(
    State(app): State<App>,
    identity: Identity,
    stream: PathId<String>,
    ApiQuery(NoParams {}): ApiQuery<NoParams>,
) -> Result<StatusCode, ApiError> {
    let caller = identity.caller()?;
    app.streams().stop(&caller, &stream.named()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
