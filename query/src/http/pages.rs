//! `/v1/pages/{id}`: a page by its id.

use axum::Json;
use axum::extract::{Path, State};
use schemas::api::pages::PageView;
use schemas::ids::PageId;
use schemas::problem::Problem;

use super::App;
use super::auth::Identity;
use super::extract::RequestId;
use super::openapi::{Always, CallerHeaders, WorkspaceParam};
use super::problem::ApiError;
use crate::deadline::Deadline;

/// Opens a page with its blocks. Public pages open without a token, given the workspace.
#[utoipa::path(
    get, path = "/v1/pages/{id}", tag = "pages", security((), ("bearer" = [])),
    params(
        ("id" = String, Path, description = "The page.", min_length = 1, max_length = 128),
        WorkspaceParam, CallerHeaders,
    ),
    responses(
        (status = 200, description = "The page.", body = PageView),
        (status = 404, description = "There is no such page for this caller.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn page(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Json<PageView>, ApiError> {
    let caller = identity.reader()?;
    // A text that is no id names no page.
    let page = id.ok().and_then(|Path(id)| PageId::new(id).ok()).ok_or_else(ApiError::not_found)?;
    let deadline = Deadline::after(app.engine().config().timeout(None));
    let view = app.engine().page(&caller, &page, deadline).await?;
    Ok(Json(PageView { request_id, ..view }))
}
