//! `/v1/session`: who the server takes the caller for. What the page at `/` asks first.

use axum::Json;
use axum::extract::State;
use schemas::api::session::Session;

use super::App;
use super::auth::{Identity, IdentityKind};
use super::extract::{ApiQuery, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::operate::NoParams;
use super::problem::ApiError;

/// Most people listed in insecure development.
const PEOPLE_MAX: usize = 1_000;

/// Says who the server takes the caller for. Nobody is refused: a caller who shows nothing is nobody.
#[utoipa::path(
    get, path = "/v1/session", tag = "operate", security((), ("bearer" = [])),
    params(CallerHeaders),
    responses((status = 200, description = "Who is asking.", body = Session), Always),
)]
pub(super) async fn session(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(NoParams {}): ApiQuery<NoParams>,
) -> Result<Json<Session>, ApiError> {
    let caller = identity.caller().ok();
    let development = *identity.kind() == IdentityKind::Development;
    // Whoever is believed by word alone could name any of them.
    let people = if development { app.engine().people(PEOPLE_MAX) } else { Vec::new() };
    Ok(Json(Session {
        development,
        workspace: caller.as_ref().map(|caller| caller.workspace.clone()),
        user: identity.user().filter(|_| caller.is_some()).cloned(),
        administrator: identity.is_admin(),
        conversations: app.conversations().is_some(),
        people,
        request_id,
    }))
}
