//! `DELETE /v1/pages/{id}`, `/v1/users/{id}` and `/v1/workspaces/{id}`, and `/v1/erasures/{id}`: erasures and their receipts.
//!
//! For administrators of the workspace. Whether there is such a page or person is not told: what is erased may be in a log alone.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use schemas::api::erasures::Erasure;
use schemas::ids::{PageId, UserId, WorkspaceId};
use schemas::problem::{Problem, ProblemCode};

use super::App;
use super::auth::{Identity, Scope};
use super::extract::{PathId, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;
use crate::audit::act::Actor;
use crate::erasure::{EraseError, Subject};
use crate::trace;

/// A job that was begun, and where it is looked after.
type Begun = (StatusCode, [(HeaderName, String); 1], Json<Erasure>);

/// Erases a page with its blocks from everything that is kept. For administrators.
///
/// Pages below it stay and belong to nobody any more. Asking again gives the same job, unless something of the page came back since.
#[utoipa::path(
    delete, path = "/v1/pages/{id}", tag = "operate", operation_id = "erase_page",
    params(("id" = String, Path, description = "The page.", min_length = 1, max_length = 128), CallerHeaders),
    responses(
        (status = 202, description = "It is being erased; `Location` says where to look.", body = Erasure),
        (status = 404, description = "That names no page, or this server erases nothing.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many erasures wait as may.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn erase_page(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: PathId<PageId>,
) -> Result<Begun, ApiError> {
    let workspace = identity.administered()?.clone();
    let page = id.named()?;
    trace::on_page(&page);
    begin(app, &identity, request_id, Subject::Page(workspace, page)).await
}

/// Erases a person of a workspace from everything that is kept. For administrators.
///
/// Asking again gives the same job.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "operate", operation_id = "erase_user",
    params(("id" = String, Path, description = "The person.", min_length = 1, max_length = 128), CallerHeaders),
    responses(
        (status = 202, description = "It is being erased; `Location` says where to look.", body = Erasure),
        (status = 404, description = "That names nobody, or this server erases nothing.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many erasures wait as may.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn erase_user(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: PathId<UserId>,
) -> Result<Begun, ApiError> {
    let workspace = identity.administered()?.clone();
    begin(app, &identity, request_id, Subject::User(workspace, id.named()?)).await
}

/// Erases a workspace from everything that is kept, for good: nothing of it is taken in any more. For its administrators.
///
/// Asking again gives the same job.
#[utoipa::path(
    delete, path = "/v1/workspaces/{id}", tag = "operate", operation_id = "erase_workspace",
    params(("id" = String, Path, description = "The workspace.", min_length = 1, max_length = 128), CallerHeaders),
    responses(
        (status = 202, description = "It is being erased; `Location` says where to look.", body = Erasure),
        (status = 404, description = "That names none, or this server erases nothing.", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "As many erasures wait as may.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn erase_workspace(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: PathId<WorkspaceId>,
) -> Result<Begun, ApiError> {
    identity.require(Scope::Admin)?;
    let workspace = id.named()?;
    if !identity.may_administer(&workspace) {
        return Err(ApiError::new(ProblemCode::Forbidden, "this token or key may not administer that workspace"));
    }
    begin(app, &identity, request_id, Subject::Workspace(workspace)).await
}

/// Says how far an erasure is; once it is over, with its receipt. For administrators of the workspace.
#[utoipa::path(
    get, path = "/v1/erasures/{id}", tag = "operate",
    params(("id" = String, Path, description = "The erasure."), CallerHeaders),
    responses(
        (status = 200, description = "How far it is.", body = Erasure),
        (status = 404, description = "There is no such erasure for this caller.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn erasure(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: PathId<String>,
) -> Result<Json<Erasure>, ApiError> {
    identity.require(Scope::Admin)?;
    let id = id.named()?;
    let found = app.erasures().and_then(|erasures| erasures.get(&id));
    let erasure =
        found.filter(|erasure| identity.may_administer(&erasure.workspace)).ok_or_else(ApiError::not_found)?;
    Ok(Json(Erasure { request_id, ..erasure }))
}

async fn begin(app: App, identity: &Identity, request_id: String, subject: Subject) -> Result<Begun, ApiError> {
    let erasures = app.erasures().cloned().ok_or_else(ApiError::not_found)?;
    let (by, id) = (Actor::from(identity), request_id.clone());
    // It waits for the disk. The job goes on when the request does not.
    let begun = tokio::task::spawn_blocking(move || erasures.begin(&subject, by, &id)).await;
    let begun = begun.map_err(|error| ApiError::internal().caused_by(error))??;
    let location = [(header::LOCATION, format!("/v1/erasures/{}", begun.id))];
    Ok((StatusCode::ACCEPTED, location, Json(Erasure { request_id, ..begun })))
}

impl From<EraseError> for ApiError {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::Full => {
                Self::new(ProblemCode::TooManyRequests, "as many erasures wait as may; ask again when some are over")
            }
            EraseError::Unwritten(_) => Self::new(
                ProblemCode::Unavailable,
                "the erasure cannot be written down or recorded at the moment; ask again later",
            )
            .caused_by(error),
            EraseError::Closed => Self::new(ProblemCode::Unavailable, "the server is stopping"),
        }
    }
}
