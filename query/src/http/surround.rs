//! What surrounds every request: its id, its span, the limit on how many run, its time limit, and how problems go out.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::problem::ProblemCode;

use super::App;
use super::audit::{Refused, shown};
use super::auth::Known;
use super::connections::Reserved;
use super::extract::RequestId;
use super::problem::{self, ApiError};
use crate::metrics::Bound;
use crate::trace;

/// Names a request, in both directions.
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The trace that a request is sent in (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
/// Longest request id that is taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// What an answer says to browsers, unless its endpoint says something of its own: it is what it says it is, it is no page, nothing may be
/// loaded by it or show it in a frame, and nobody keeps it, for what its reader may see may change at any moment.
const GUARDS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Answers a request, and sees to it that the answer has an id and the shape of a problem if it is one.
pub(super) async fn surround(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = taken_id(&request).unwrap_or_else(new_id);
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let known = Known::default();
    request.extensions_mut().insert(known.clone());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let traced = trace::request(request.method(), &route, &request_id);
    if let (Some(adopt), Some(traceparent)) = (&app.0.traces, only(request.headers(), TRACEPARENT)) {
        adopt(&traced, traceparent);
    }
    let logged = traced.in_scope(|| trace::logged(request.method(), &route, &request_id));
    let metrics = app.engine().metrics().clone();
    let path = request.uri().path().to_owned();
    let (method, shown) = (request.method().to_string(), shown(request.headers()));
    let answered = traced.clone();
    let response = async {
        let response = within_limits(&app, request, next).await;
        let mut response = problem::finish(response, &path, &request_id, &app.0.sheds);
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        for (name, value) in GUARDS {
            response.headers_mut().entry(name).or_insert(value);
        }
        let took = started.elapsed();
        let status = response.status().as_u16();
        metrics.answered(&route, status, took);
        trace::answered(&answered, status);
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&response.status()) {
            app.note_refused(&request_id, Refused { method, route, shown, status: response.status(), known });
        }
        tracing::debug!(status, took_ms = took.as_millis() as u64, "request answered");
        app.0.sheds.answered();
        response
    };
    trace::within(traced, logged, response).await
}

async fn within_limits(app: &App, request: Request, next: Next) -> Response {
    let shed = |bound: Bound| {
        app.engine().metrics().shed(bound);
        match bound {
            Bound::Stopping => ApiError::new(ProblemCode::Unavailable, "the server is stopping").into_response(),
            _ => ApiError::overloaded().into_response(),
        }
    };
    // A server that is busy is healthy, and says how busy it is. Events may take access away.
    let of_health = ["/healthz", "/readyz", "/metrics"].contains(&request.uri().path());
    let of_events = request.uri().path() == "/v1/events";
    if !app.is_taking() && !of_health {
        return shed(Bound::Stopping);
    }
    if request.extensions().get::<Reserved>().is_some() && !of_health && !of_events {
        return shed(Bound::Connections);
    }
    let permit = match app.0.in_flight.try_acquire() {
        Err(_) if of_events => app.0.intake.try_acquire(),
        permit => permit,
    };
    if permit.is_err() && !of_health {
        return shed(Bound::Requests);
    }
    let Some(_room) = app.0.bodies.take(request.headers(), of_events) else {
        return shed(Bound::Bodies);
    };
    let timeout = Duration::from_millis(u64::from(app.config().request_timeout_ms));
    tokio::time::timeout(timeout, next.run(request)).await.unwrap_or_else(|_| {
        ApiError::new(ProblemCode::DeadlineExceeded, "the request took longer than the server allows").into_response()
    })
}

/// A header that is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

/// The client's id, if it is short and plain enough to be repeated in headers and logs.
fn taken_id(request: &Request) -> Option<String> {
    let id = request.headers().get(REQUEST_ID_HEADER)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let taken = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain);
    taken.then(|| id.to_owned())
}

/// A new id: unlike any other of this process, and unlikely to be one of another.
fn new_id() -> String {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{:016x}", SEED.hash_one((count, 0u8)), SEED.hash_one((count, 1u8)))
}
