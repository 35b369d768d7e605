//! `/v1/chat/completions` and `/v1/models` in the shapes of OpenAI's API, so that its clients can ask over a workspace.
//!
//! The last message is the question, those before it are the conversation; the answer is the one of `/v1/answers`, through the same gate.
//! Who is asking is found out as everywhere: such clients send `Authorization: Bearer` and can send further headers. What a request asks
//! for that would make another answer and cannot be had is refused by name; what only tunes how a model writes is let pass.

mod read;
mod tell;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use schemas::api::openai::{ChatCompletion, ChatRequest, ModelList, ModelView, OpenAiError, OpenAiProblem};
use schemas::problem::{Problem, ProblemCode};

use super::App;
use super::audit::writing;
use super::auth::{Identity, Scope};
use super::extract::{ApiJson, PathId, RequestId};
use super::openapi::{CallerHeaders, OpenAiAlways};
use super::problem::ApiError;
use crate::audit::act::{Kind, What};
use read::Question;
use tell::Teller;

/// Answers with a language model, where one is configured.
const MODEL: &str = "tessera";
/// Answers with sentences of the sources alone.
const EXTRACTIVE_MODEL: &str = "tessera-extractive";
/// When these names came into use.
const CREATED: i64 = 1_795_824_000;

/// Whether a path is one of this API, whose errors have OpenAI's shape.
pub(super) fn is_ours(path: &str) -> bool {
    path == "/v1/chat/completions" || path == "/v1/models" || path.starts_with("/v1/models/")
}

/// Answers the last message of a conversation from the pages that the caller can find, in the shape of OpenAI's API.
///
/// With `stream` each event is a `ChatChunk`, and `[DONE]` the last; an `OpenAiProblem` ends a stream that ends badly.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "openai",
    params(CallerHeaders),
    request_body = ChatRequest,
    responses(
        (status = 200, description = "The answer; as server-sent events where asked for.", content(
            (ChatCompletion = "application/json"),
            (String = "text/event-stream"),
        )),
        OpenAiAlways,
    ),
)]
pub(super) async fn chat(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiJson(request): ApiJson<ChatRequest>,
) -> Result<Response, ApiError> {
    let caller = identity.caller()?;
    let Question { request, sampling, model, include_usage } = read::question(&request)?;
    let stream = request.stream;
    let who = writing(&identity, &request.question);
    let telling = Teller {
        app: app.clone(),
        id: format!("chatcmpl-{request_id}"),
        model,
        created: Timestamp::now().as_second(),
        include_usage,
    };
    let answering = app.engine().ask_sampled(&caller, request, sampling, request_id.clone()).await?;
    let what = What::new(Kind::Answer).within(&caller.workspace).on(answering.source_pages());
    app.note(who, &request_id, what)?;
    if stream {
        return Ok(telling.streamed(answering, app.heartbeat()));
    }
    Ok(Json(telling.whole(answering.whole().await?)).into_response())
}

/// Lists what `model` of a conversation can name.
#[utoipa::path(
    get, path = "/v1/models", tag = "openai",
    params(CallerHeaders),
    responses((status = 200, description = "The names.", body = ModelList), OpenAiAlways),
)]
pub(super) async fn models(identity: Identity) -> Result<Json<ModelList>, ApiError> {
    identity.require(Scope::Search)?;
    Ok(Json(ModelList { object: "list", data: [MODEL, EXTRACTIVE_MODEL].map(view).to_vec() }))
}

/// Tells of one name.
#[utoipa::path(
    get, path = "/v1/models/{model}", tag = "openai",
    params(("model" = String, Path, description = "The name."), CallerHeaders),
    responses((status = 200, description = "The name.", body = ModelView), OpenAiAlways),
)]
pub(super) async fn model(identity: Identity, name: PathId<String>) -> Result<Json<ModelView>, ApiError> {
    identity.require(Scope::Search)?;
    // A text that is no name names no model.
    known(&name.named().unwrap_or_default()).map(|name| Json(view(name)))
}

fn view(id: &'static str) -> ModelView {
    ModelView { id, object: "model", created: CREATED, owned_by: "tessera" }
}

/// The name, if there is such a model.
fn known(name: &str) -> Result<&'static str, ApiError> {
    let found = [MODEL, EXTRACTIVE_MODEL].into_iter().find(|known| *known == name);
    found.ok_or_else(|| {
        ApiError::new(ProblemCode::NotFound, format!("there is no such model: name `{MODEL}` or `{EXTRACTIVE_MODEL}`"))
            .with_error("model", "must be the name of a model")
    })
}

/// A problem in the shape of OpenAI's API.
pub(super) fn problem(problem: &Problem) -> OpenAiProblem {
    let first = problem.errors.first();
    let param = first.map(|error| error.field.clone()).filter(|field| field != "body");
    let code = match (problem.code, param.as_deref()) {
        (ProblemCode::NotFound, Some("model")) => "model_not_found",
        (ProblemCode::BudgetExhausted, _) => "insufficient_quota",
        (ProblemCode::TooManyRequests, _) => "rate_limit_exceeded",
        (code, _) => code.as_str(),
    };
    let kind = match problem.status {
        401 => "authentication_error",
        403 => "permission_error",
        429 if problem.code == ProblemCode::BudgetExhausted => "insufficient_quota",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let message = match first {
        Some(error) if problem.code == ProblemCode::InvalidRequest => format!("`{}` {}", error.field, error.reason),
        _ => problem.detail.clone(),
    };
    OpenAiProblem { error: OpenAiError { message, kind, param, code } }
}
