//! `POST /v1/events`: batches of events.
//!
//! A batch is cut into events and each is checked on its own: a bad one is named in the answer and holds up none of the
//! others. Only a batch that cannot be cut, or of which nothing can be taken, is an error as a whole.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use schemas::api::events::{EventBatch, EventsResponse, RejectedEvent, Wait};
use schemas::event::{Event, InvalidCode, InvalidEvent};
use schemas::ids::WorkspaceId;
use schemas::limits::BATCH_EVENTS_MAX;
use schemas::problem::{Problem, ProblemCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::App;
use super::auth::{Identity, Scope};
use super::config::INGEST_TIMEOUT_MS;
use super::extract::{ApiQuery, RequestId, media_type, read_body};
use super::ingest::{IngestError, Refused};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;
use crate::deadline::Deadline;

/// What to wait for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsParams {
    /// What to wait for before the answer; `durable`.
    #[param(inline)]
    wait: Option<Wait>,
    /// How long to wait, in milliseconds.
    #[param(minimum = 100, maximum = 60_000)]
    timeout_ms: Option<u32>,
}

/// How a body holds its events.
#[derive(Clone, Copy)]
enum Form {
    /// One JSON object, or an array of them.
    Json,
    /// An array of JSON objects.
    Array,
    /// One JSON object a line.
    Lines,
}

/// A batch, cut and checked.
struct Batch {
    events: Vec<Event>,
    /// The place in the batch of each event.
    places: Vec<usize>,
    rejected: Vec<RejectedEvent>,
    /// The same as they came, to be kept.
    refused: Vec<Refused>,
}

/// Takes a batch of events: one CloudEvents object, an array of them, or one a line.
///
/// Events that are not valid are listed in the answer and hold up none of the others. Sending a batch again does no
/// harm.
#[utoipa::path(
    post, path = "/v1/events", tag = "events",
    params(EventsParams, CallerHeaders),
    request_body(content(
        (EventBatch = "application/json"),
        (EventBatch = "application/cloudevents-batch+json"),
        (schemas::api::events::EventDocument = "application/cloudevents+json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "With `wait=searchable`: searches find what was taken.", body = EventsResponse),
        (status = 202, description = "What was taken is committed to disk.", body = EventsResponse),
        (status = 413, description = "The batch has too many bytes or events.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The media type is not taken.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The queue is full; send the batch again after `Retry-After`.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn submit(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(params): ApiQuery<EventsParams>,
    request: Request,
) -> Result<(StatusCode, Json<EventsResponse>), ApiError> {
    identity.require(Scope::Ingest)?;
    let form = form(&media_type(request.headers())?)?;
    let timeout_ms = params.timeout_ms.unwrap_or(app.config().ingest_timeout_ms);
    if !INGEST_TIMEOUT_MS.contains(&u64::from(timeout_ms)) {
        return Err(ApiError::field("timeout_ms", "must be from 100 to 60000"));
    }
    let deadline = Deadline::after(std::time::Duration::from_millis(u64::from(timeout_ms)));
    let body = read_body(request, &app).await?;
    // Decoding a full batch takes tens of milliseconds: too long between awaits.
    let decoded = app.0.decoding.run(deadline, move || Ok(read_batch(&body, form, &identity))).await?;
    let Batch { events, places, mut rejected, refused } = decoded?;
    if !refused.is_empty() {
        app.0.ingest.reject(refused).await?;
    }
    if events.is_empty() && !rejected.is_empty() {
        return Err(nothing_valid(&rejected));
    }
    let wait = params.wait.unwrap_or_default();
    let receipt = app.0.ingest.submit(events, wait, deadline).await?;
    let turned_down = receipt
        .rejected
        .iter()
        .filter_map(|(at, invalid)| places.get(*at).map(|&place| rejection(place, None, invalid.clone())));
    rejected.extend(turned_down);
    rejected.sort_by_key(|event| event.index);
    if receipt.accepted + receipt.unchanged == 0 && !rejected.is_empty() {
        return Err(nothing_valid(&rejected));
    }
    let status = match wait {
        Wait::Searchable => StatusCode::OK,
        Wait::Durable => StatusCode::ACCEPTED,
    };
    let response = EventsResponse {
        accepted: receipt.accepted,
        unchanged: receipt.unchanged,
        conflicts: receipt.conflicts,
        rejected,
        index_seq: receipt.index_seq,
        request_id,
    };
    Ok((status, Json(response)))
}

fn form(media_type: &str) -> Result<Form, ApiError> {
    match media_type {
        "application/json" | "application/cloudevents+json" => Ok(Form::Json),
        "application/cloudevents-batch+json" => Ok(Form::Array),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Form::Lines),
        _ => Err(ApiError::new(
            ProblemCode::UnsupportedMediaType,
            "send application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json",
        )),
    }
}

fn read_batch(body: &Bytes, form: Form, identity: &Identity) -> Result<Batch, ApiError> {
    let pieces = cut(body, form)?;
    if pieces.len() > BATCH_EVENTS_MAX {
        let detail = format!("the batch has {} events, the limit is {BATCH_EVENTS_MAX}", pieces.len());
        return Err(ApiError::new(ProblemCode::TooLarge, detail));
    }
    let now_ms = jiff::Timestamp::now().as_millisecond().max(0) as u64;
    let events = Vec::with_capacity(pieces.len());
    let mut batch = Batch { events, places: Vec::new(), rejected: Vec::new(), refused: Vec::new() };
    for (place, piece) in pieces.into_iter().enumerate() {
        let event = Event::decode(piece, now_ms).and_then(|event| {
            if identity.may_write(&event.workspace) {
                return Ok(event);
            }
            Err(InvalidEvent::new(
                InvalidCode::WrongWorkspace,
                "workspaceid",
                "is not one that this sender may write to",
            ))
        });
        match event {
            Ok(event) => {
                batch.events.push(event);
                batch.places.push(place);
            }
            Err(invalid) => {
                let sent_for = readable_workspace(piece).filter(|workspace| identity.may_write(workspace));
                batch.refused.push(Refused { event: piece.to_vec(), error: invalid.clone(), sent_for });
                batch.rejected.push(rejection(place, readable_id(piece), invalid));
            }
        }
    }
    Ok(batch)
}

/// Cuts a body into the JSON of its events.
fn cut(body: &[u8], form: Form) -> Result<Vec<&[u8]>, ApiError> {
    let array = || {
        let items: Result<Vec<&RawValue>, _> = serde_json::from_slice(body);
        let items = items.map_err(|error| ApiError::field("body", error.to_string()))?;
        Ok(items.into_iter().map(|item| item.get().as_bytes()).collect())
    };
    match form {
        Form::Array => array(),
        Form::Json if body.trim_ascii_start().starts_with(b"[") => array(),
        Form::Json => {
            let item: Result<&RawValue, _> = serde_json::from_slice(body);
            Ok(vec![item.map_err(|error| ApiError::field("body", error.to_string()))?.get().as_bytes()])
        }
        Form::Lines => {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            Ok(lines.filter(|line| !line.is_empty()).collect())
        }
    }
}

/// The id of an event that cannot be taken, as far as it can be read.
fn readable_id(json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct IdAlone {
        id: String,
    }
    let IdAlone { id } = serde_json::from_slice(json).ok()?;
    (id.len() <= 512).then_some(id)
}

/// The workspace that an event names that cannot be taken, as far as it can be read.
fn readable_workspace(json: &[u8]) -> Option<WorkspaceId> {
    #[derive(Deserialize)]
    struct WorkspaceAlone {
        workspaceid: WorkspaceId,
    }
    let WorkspaceAlone { workspaceid } = serde_json::from_slice(json).ok()?;
    Some(workspaceid)
}

fn rejection(place: usize, id: Option<String>, invalid: InvalidEvent) -> RejectedEvent {
    RejectedEvent { index: place as u64, id, field: invalid.field, code: invalid.code, reason: invalid.reason }
}

/// Most reasons that are told when nothing could be taken.
const REASONS_MAX: usize = 100;

fn nothing_valid(rejected: &[RejectedEvent]) -> ApiError {
    let problem = ApiError::new(ProblemCode::InvalidEvents, "correct the events named in `errors` and send them again");
    rejected.iter().take(REASONS_MAX).fold(problem, |problem, event| {
        let dot = if event.field.is_empty() { "" } else { "." };
        problem.with_error(format!("[{}]{dot}{}", event.index, event.field), event.reason.clone())
    })
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Busy => {
                Self::new(ProblemCode::TooManyRequests, "the queue of events is full; send the batch again later")
            }
            IngestError::Late => Self::new(
                ProblemCode::DeadlineExceeded,
                "the batch was not committed in time and may still be; sending it again does no harm",
            ),
            IngestError::Failing(_) => Self::new(
                ProblemCode::Unavailable,
                "the server cannot write to its disk at the moment and goes on trying; send the batch again later",
            )
            .caused_by(error),
            IngestError::Closed => Self::new(ProblemCode::Unavailable, "events are not taken at the moment"),
            IngestError::Failed(_) => Self::internal().caused_by(error),
        }
    }
}
