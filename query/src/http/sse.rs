//! Texts as server-sent events: told piece by piece to whoever asked for that, with signs of life between.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, unfold};
use serde::Serialize;
use tokio::runtime::Handle;

use crate::answer::outgoing::{AnswerEvent, Telling};
use crate::answer::resume::Reader;
use crate::trace::in_place;

/// Whether the client asks for a media type by its name, rather than for JSON.
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with(media_type))
}

/// A text as a stream of events with numbers.
pub(super) fn told(telling: impl Telling, heartbeat: Duration) -> Response {
    let stream = unfold(Told { telling: Some(telling), events: 0 }, |mut told| async move {
        let Some(event) = told.telling.as_mut()?.next().await else {
            drop(told.telling.take());
            return None;
        };
        let number = told.events;
        told.events += 1;
        Some((event_of(&event).id(number.to_string()), told))
    });
    streamed(stream, heartbeat)
}

/// A text that nobody can go on with: when the connection breaks, it ends there.
struct Told<T: Telling> {
    /// Nothing once its last event was told.
    telling: Option<T>,
    events: u64,
}

impl<T: Telling> Drop for Told<T> {
    fn drop(&mut self) {
        // Of one whose first event was not told, nobody knows.
        let telling = self.telling.take().filter(|_| self.events > 0);
        // Without a runtime the process is at its end.
        if let (Some(mut telling), Ok(runtime)) = (telling, Handle::try_current()) {
            runtime.spawn(async move { telling.leave().await });
        }
    }
}

/// A text that is read where it can be gone on with.
pub(super) fn read(reader: Reader, heartbeat: Duration) -> Response {
    let stream = unfold(reader, |mut reader| async move {
        let (id, event) = reader.next().await?;
        Some((event_of(&event).id(id), reader))
    });
    streamed(stream, heartbeat)
}

/// The id of the last event that a client has, where its connection broke.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty())
}

/// A stream of events; comments are sent while nothing else goes out.
pub(super) fn streamed(events: impl Stream<Item = Event> + Send + 'static, heartbeat: Duration) -> Response {
    use futures_util::StreamExt as _;
    // What is written later is still work for this request.
    let events = in_place(events);
    let alive = KeepAlive::new().interval(heartbeat).text("heartbeat");
    let mut response = Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(alive).into_response();
    // Proxies would hold events back otherwise.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    // Nobody is to keep it, not even to ask whether it is still so.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
