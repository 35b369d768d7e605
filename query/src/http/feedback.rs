//! `/v1/feedback`: what people did with the hits of a search.

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use schemas::api::feedback::{FeedbackRequest, FeedbackResponse};
use schemas::problem::Problem;

use super::App;
use super::auth::Identity;
use super::extract::{ApiJson, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;

/// Takes what people did with the hits of a search, on a server that records it.
///
/// All events are taken or none. Sending them again does no harm.
#[utoipa::path(
    post, path = "/v1/feedback", tag = "search",
    params(CallerHeaders),
    request_body = FeedbackRequest,
    responses(
        (status = 202, description = "The feedback was taken.", body = FeedbackResponse),
        (status = 404, description = "This caller was not shown such a list, or not with such pages, or not lately, or cannot read them any more, or the server records nothing.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn feedback(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    request: Request,
) -> Result<(StatusCode, Json<FeedbackResponse>), ApiError> {
    let caller = identity.caller()?;
    let ApiJson(request) = ApiJson::<FeedbackRequest>::from_request(request, &app).await?;
    let feedback = app.feedback().ok_or_else(ApiError::not_found)?;
    let accepted = app.engine().take_feedback(feedback, &caller, &request)?;
    Ok((StatusCode::ACCEPTED, Json(FeedbackResponse { accepted, request_id })))
}
