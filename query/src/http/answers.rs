//! `/v1/answers`: a question answered, whole as JSON or piece by piece as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use schemas::api::answers::{AnswerRequest, AnswerResponse};
use schemas::problem::Problem;
use serde::Serialize;

use super::App;
use super::auth::Identity;
use super::extract::{ApiJson, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;
use crate::answer::answering::{AnswerEvent, Answering};

/// Answers a question from the pages that the caller can find, with citations.
///
/// With `stream` or `Accept: text/event-stream` the events are `sources` (`SourcesEvent`), `delta` (`DeltaEvent`), `citation`
/// (`CitationEvent`), `usage`, and at the end `done` (`DoneEvent`) or `error` (`ErrorEvent`).
#[utoipa::path(
    post, path = "/v1/answers", tag = "answers",
    params(CallerHeaders),
    request_body = AnswerRequest,
    responses(
        (status = 200, description = "The answer; as server-sent events where asked for.", content(
            (AnswerResponse = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 409, description = "What `at_least` asks for was not visible in time.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
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
    let stream = request.stream || accepts_events(&headers);
    let answering = app.engine().ask(&caller, AnswerRequest { stream, ..request }, request_id).await?;
    if !stream {
        return Ok(Json(answering.whole().await?).into_response());
    }
    Ok(events(answering, Duration::from_millis(u64::from(app.engine().config().answer.heartbeat_ms))))
}

/// Whether the client asks for events rather than JSON.
fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/event-stream"))
}

/// An answer as a stream of events with numbers; comments are sent while nothing else goes out.
fn events(answering: Answering, heartbeat: Duration) -> Response {
    let stream = unfold((answering, 0_u64), |(mut answering, number)| async move {
        let event = answering.next().await?;
        Some((Ok::<_, Infallible>(event_of(&event).id(number.to_string())), (answering, number + 1)))
    });
    let alive = KeepAlive::new().interval(heartbeat).text("heartbeat");
    let mut response = Sse::new(stream).keep_alive(alive).into_response();
    // Proxies would hold events back otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn event_of(event: &AnswerEvent) -> Event {
    match event {
        AnswerEvent::Sources(data) => named("sources", data),
        AnswerEvent::Delta(data) => named("delta", data),
        AnswerEvent::Citation(data) => named("citation", data),
        AnswerEvent::Usage(data) => named("usage", data),
        AnswerEvent::Done(data) => named("done", data),
        AnswerEvent::Error(data) => named("error", data),
    }
}

fn named(name: &str, data: &impl Serialize) -> Event {
    let data = serde_json::to_string(data).expect("an event is text, numbers and lists of them");
    Event::default().event(name).data(data)
}
