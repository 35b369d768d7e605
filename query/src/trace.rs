//! The spans of a request for traces: one for all of it, and one for each part of the work, see [`models::trace`].
//!
//! Where nobody collects traces a span costs a look at a flag. Invariant: what a span tells is a number or a name written here or in
//! the routes, the request's own id apart.

use std::pin::Pin;

use axum::http::Method;
use futures_util::Stream;
use futures_util::stream::poll_fn;
use models::trace::TARGET;
use schemas::ids::{PageId, WorkspaceId};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

/// Takes up the trace of whoever calls: is given the span of a request, before anything is done in it, and the `traceparent` that came
/// with it, whatever that holds.
pub type Adopt = dyn Fn(&Span, &str) + Send + Sync;

/// The span of a request. Its status is told by [`answered`].
pub(crate) fn request(method: &Method, route: &str, request_id: &str) -> Span {
    // Anybody may invent a method.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH") => known,
        _ => "_OTHER",
    };
    tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.response.status_code = Empty,
        http.route = route,
        tessera.request_id = request_id,
    )
}

/// The span of a request for the log. What it is about is told by [`in_workspace`] and [`on_page`]: ids, and no text.
pub(crate) fn logged(method: &Method, route: &str, request_id: &str) -> Span {
    tracing::info_span!("request", request_id, route, %method, workspace_id = Empty, page_id = Empty)
}

/// Tells the log in whose workspace the request that is worked on asks.
pub(crate) fn in_workspace(workspace: &WorkspaceId) {
    // Outside of a request there is nothing to tell it to.
    let _ = REQUEST.try_with(|spans| {
        spans.logged.record("workspace_id", workspace.as_str());
    });
}

/// Tells the log which page the request that is worked on names.
pub(crate) fn on_page(page: &PageId) {
    let _ = REQUEST.try_with(|spans| {
        spans.logged.record("page_id", page.as_str());
    });
}

/// Tells the status of an answer.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of a part of the work, below the span that is current.
pub(crate) fn part(name: &'static str) -> Span {
    tracing::info_span!(target: TARGET, "part", otel.name = name)
}

tokio::task_local! {
    /// The spans of the request that is worked on.
    static REQUEST: Spans;
}

/// The spans of a request: those who take one of them need not take the other.
#[derive(Clone, Debug)]
struct Spans {
    traced: Span,
    logged: Span,
}

/// Works on a request in its spans, for traces and for the log.
pub(crate) async fn within<T>(traced: Span, logged: Span, work: impl Future<Output = T>) -> T {
    let spans = Spans { traced: traced.clone(), logged: logged.clone() };
    REQUEST.scope(spans, work.instrument(logged).instrument(traced)).await
}

/// The spans in which something is done, so that it can go on in them elsewhere: the one that is current alone would lead to either
/// the trace or the log.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    request: Option<Spans>,
    current: Span,
}

impl Place {
    /// The place of whoever asks.
    pub(crate) fn here() -> Self {
        Self { request: REQUEST.try_with(Spans::clone).ok(), current: Span::current() }
    }

    /// Does something there.
    pub(crate) fn go_on<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(request) = &self.request else { return self.current.in_scope(work) };
        let work = || request.logged.in_scope(|| self.current.in_scope(work));
        REQUEST.sync_scope(request.clone(), || request.traced.in_scope(work))
    }
}

/// Work that is done where it is made, in whichever task it runs.
pub(crate) fn going_on<T>(work: impl Future<Output = T> + Send + 'static) -> impl Future<Output = T> + Send {
    at(Place::here(), work)
}

/// Work that is done at a place, in whichever task it runs.
pub(crate) async fn at<T>(place: Place, work: impl Future<Output = T> + Send) -> T {
    let mut work: Pin<&mut (dyn Future<Output = T> + Send)> = std::pin::pin!(work);
    std::future::poll_fn(move |context| place.go_on(|| work.as_mut().poll(context))).await
}

/// A stream that works where it is made, whoever asks it for more later.
pub(crate) fn in_place<T>(stream: impl Stream<Item = T> + Send + 'static) -> impl Stream<Item = T> + Send {
    let place = Place::here();
    let mut stream: Pin<Box<dyn Stream<Item = T> + Send>> = Box::pin(stream);
    poll_fn(move |context| place.go_on(|| stream.as_mut().poll_next(context)))
}
