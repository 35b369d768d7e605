//! `/metrics`: what is counted in this process, for Prometheus.
//!
//! It tells of all workspaces together, so it is for operators alone: for service keys that may administer every workspace,
//! and, where the operator names an address for it, for whoever reaches a listener of its own. Invariant: no counter holds
//! an id or a text.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::App;
use super::auth::Identity;
use super::openapi::Always;
use super::problem::ApiError;
use crate::metrics::Looked;

/// Gives what some part of the process counts, in the text format of Prometheus. It may block.
pub type Gather = dyn Fn() -> String + Send + Sync;

/// The text format of Prometheus.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Gives what is counted. For service keys with the scope `admin` for every workspace.
#[utoipa::path(
    get, path = "/metrics", tag = "operate",
    responses((status = 200, description = "What is counted, in the text format of Prometheus.", body = String, content_type = "text/plain"), Always),
)]
pub(super) async fn metrics(State(app): State<App>, identity: Identity) -> Result<Response, ApiError> {
    identity.operates()?;
    Ok(read(app.gather()).await)
}

/// Serves `/metrics` alone, to whoever reaches the listener, until `shutdown` is cancelled.
///
/// Cancel safety: not safe; cancel `shutdown` instead.
pub async fn serve(listener: TcpListener, gather: Arc<Gather>, shutdown: CancellationToken) -> std::io::Result<()> {
    let router = Router::new().route("/metrics", get(move || read(gather.clone())));
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn read(gather: Arc<Gather>) -> Response {
    match spawn_blocking(move || gather()).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the counters cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl App {
    /// What is counted on the read side, and what the other parts count.
    pub fn gather(&self) -> Arc<Gather> {
        let app = self.clone();
        Arc::new(move || {
            let looked = Looked {
                in_flight_requests: app.config().in_flight_max - app.0.in_flight.available_permits(),
                answer_streams: app.streams().count(),
                permit_dropped_total: app.engine().permit_dropped_total(),
                feedback_dropped_total: app.feedback().map_or(0, crate::feedback::Feedback::dropped_total),
                audit_recorded_total: app.audit().map_or(0, crate::audit::Audit::recorded_total),
                erasures_unfinished: app.erasures().map_or(0, crate::erasure::Erasures::unfinished),
                audit_lost_total: app.audit().map_or(0, crate::audit::Audit::lost_total),
            };
            let others = app.0.gather.as_ref().map(|gather| gather()).unwrap_or_default();
            app.engine().metrics().text(looked) + &others
        })
    }
}
