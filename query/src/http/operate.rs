//! For operators: `/v1/explain-access`, `/v1/status`, `/healthz` and `/readyz`.

use access::Subject;
use axum::Json;
use axum::extract::State;
use schemas::api::operate::{ExplainAccess, Health, HealthStatus, Status};
use schemas::ids::{PageId, UserId};
use schemas::problem::{Problem, ProblemCode};
use serde::Deserialize;

use super::App;
use super::auth::Identity;
use super::extract::{ApiQuery, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;
use crate::audit::act::{Kind, What, Who};
use crate::trace;

/// Who and what to explain.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainParams {
    /// The page.
    #[param(value_type = String, min_length = 1, max_length = 128, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+$")]
    page: PageId,
    /// The person; without one, someone with the link and no identity.
    #[param(value_type = Option<String>, min_length = 1, max_length = 128, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+$")]
    user: Option<UserId>,
}

/// Says why a person can or cannot see or find a page. For administrators.
#[utoipa::path(
    get, path = "/v1/explain-access", tag = "operate",
    params(ExplainParams, CallerHeaders),
    responses((status = 200, description = "The reasons.", body = ExplainAccess), Always),
)]
pub(super) async fn explain_access(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(ExplainParams { page, user }): ApiQuery<ExplainParams>,
) -> Result<Json<ExplainAccess>, ApiError> {
    let workspace = identity.administered()?;
    trace::on_page(&page);
    let about = user.clone();
    let subject = user.map_or(Subject::Anonymous, Subject::User);
    let asking = identity.caller().ok();
    let explained = app.engine().explain_access(workspace, asking.as_ref(), &subject, &page);
    let what = What::new(Kind::ExplainAccess).within(workspace).on([&page]);
    app.note(Who { about, ..Who::from(&identity) }, &request_id, what)?;
    Ok(Json(ExplainAccess { request_id, ..explained }))
}

/// Says how the server stands.
#[utoipa::path(
    get, path = "/v1/status", tag = "operate",
    params(CallerHeaders),
    responses((status = 200, description = "How it stands.", body = Status), Always),
)]
pub(super) async fn status(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(NoParams {}): ApiQuery<NoParams>,
) -> Result<Json<Status>, ApiError> {
    identity.require_known()?;
    let admin = identity.is_admin();
    let status = app.engine().status(identity.workspace(), admin);
    // The write side works for all workspaces, and tells of all of them.
    let ingest = identity.operates().is_ok().then(|| app.0.ingest.status());
    Ok(Json(Status { ready: app.ready(), ingest, request_id, ..status }))
}

/// An endpoint without parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// Says that the process is there.
#[utoipa::path(
    get, path = "/healthz", tag = "operate", security(()),
    responses((status = 200, description = "It is there.", body = Health)),
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: HealthStatus::Ok })
}

/// Says whether requests should be sent here.
#[utoipa::path(
    get, path = "/readyz", tag = "operate", security(()),
    responses(
        (status = 200, description = "Send requests.", body = Health),
        (status = 503, description = "Send them elsewhere.", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn readyz(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    if !app.ready() {
        return Err(ApiError::new(ProblemCode::Unavailable, "the server is stopping"));
    }
    Ok(Json(Health { status: HealthStatus::Ok }))
}
