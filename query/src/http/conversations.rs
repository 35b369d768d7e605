//! `/v1/conversations`: what the caller asked before and was answered. Nobody sees those of others, administrators included.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemas::api::conversations::{CONVERSATIONS_LIMIT_DEFAULT, Conversation, ConversationList};
use schemas::problem::Problem;
use serde::Deserialize;

use super::App;
use super::auth::Identity;
use super::extract::{ApiQuery, PathId, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::operate::NoParams;
use super::problem::ApiError;
use crate::audit::act::{Kind, What};

/// Which conversations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Most conversations to give; 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the response before.
    #[param(max_length = 48)]
    cursor: Option<String>,
}

/// Lists the conversations of the caller, the one that was gone on with last first.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "answers",
    params(ListParams, CallerHeaders),
    responses((status = 200, description = "The conversations.", body = ConversationList), Always),
)]
pub(super) async fn list(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(ListParams { limit, cursor }): ApiQuery<ListParams>,
) -> Result<Json<ConversationList>, ApiError> {
    let caller = identity.caller()?;
    let limit = limit.unwrap_or(CONVERSATIONS_LIMIT_DEFAULT);
    let list = app.engine().conversations(app.conversations(), &caller, limit, cursor.as_deref()).await?;
    let what = What::new(Kind::ConversationsListed).within(&caller.workspace);
    app.note(&identity, &request_id, what.noting("conversations", list.results.len().to_string()))?;
    Ok(Json(ConversationList { request_id, ..list }))
}

/// Opens a conversation of the caller. A turn of which the caller can see a source no more is withdrawn, as long as that is so.
#[utoipa::path(
    get, path = "/v1/conversations/{id}", tag = "answers",
    params(("id" = String, Path, description = "The conversation."), CallerHeaders),
    responses(
        (status = 200, description = "The conversation.", body = Conversation),
        (status = 404, description = "The caller has no such conversation.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn open(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: PathId<String>,
    ApiQuery(NoParams {}): ApiQuery<NoParams>,
) -> Result<Json<Conversation>, ApiError> {
    let caller = identity.caller()?;
    let id = id.named()?;
    let conversation = app.engine().conversation(app.conversations(), &caller, &id).await?;
    let sources = conversation.turns.iter().flat_map(|turn| &turn.sources);
    let shown: BTreeSet<_> = sources.map(|source| &source.page.id).collect();
    let what = What::new(Kind::ConversationOpened).within(&caller.workspace).on(shown);
    app.note(&identity, &request_id, what.noting("conversation", id))?;
    Ok(Json(Conversation { request_id, ..conversation }))
}

/// Removes a conversation of the caller.
#[utoipa::path(
    delete, path = "/v1/conversations/{id}", tag = "answers",
    params(("id" = String, Path, description = "The conversation."), CallerHeaders),
    responses(
        (status = 204, description = "It is removed."),
        (status = 404, description = "The caller has no such conversation.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn remove(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: PathId<String>,
    ApiQuery(NoParams {}): ApiQuery<NoParams>,
) -> Result<StatusCode, ApiError> {
    let caller = identity.caller()?;
    let id = id.named()?;
    app.engine().find_conversation(app.conversations(), &caller, &id).await?;
    // Before it is gone: what cannot be recorded must not be done, where the operator wants it so.
    let what = What::new(Kind::ConversationRemoved).within(&caller.workspace).noting("conversation", &id);
    app.note(&identity, &request_id, what)?;
    app.engine().delete_conversation(app.conversations(), &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
