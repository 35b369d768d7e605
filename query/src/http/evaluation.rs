//! `/v1/evaluation`: what the latest evaluation of search found. For those who may administer every workspace.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::api::evaluation::EvaluationSummary;
use schemas::problem::Problem;

use super::App;
use super::auth::Identity;
use super::extract::{ApiQuery, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::operate::NoParams;
use super::problem::ApiError;

/// Reads the latest evaluation; none where there is none, or it cannot be read, which is logged. It may block.
pub type Evaluated = dyn Fn() -> Option<EvaluationSummary> + Send + Sync;

/// Says what the latest evaluation of search found. For service keys with the scope `admin` for every workspace.
#[utoipa::path(
    get, path = "/v1/evaluation", tag = "operate",
    params(CallerHeaders),
    responses(
        (status = 200, description = "What it found.", body = EvaluationSummary),
        (status = 404, description = "The server knows of none.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn evaluation(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(NoParams {}): ApiQuery<NoParams>,
) -> Result<Json<EvaluationSummary>, ApiError> {
    identity.operates()?;
    let evaluated = app.0.evaluated.as_ref().map(Arc::clone).ok_or_else(ApiError::not_found)?;
    let read = tokio::task::spawn_blocking(move || evaluated()).await;
    let summary = read.map_err(|error| ApiError::internal().caused_by(error))?.ok_or_else(ApiError::not_found)?;
    Ok(Json(EvaluationSummary { request_id, ..summary }))
}
