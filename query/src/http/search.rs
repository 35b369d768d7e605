//! `/v1/search`, `/v1/suggest` and `/v1/similar`.

use axum::Json;
use axum::extract::State;
use schemas::api::Consistency;
use schemas::api::search::{Facet, LIMIT_DEFAULT, Mode, SearchRequest, SearchResponse};
use schemas::api::suggest::{SimilarResponse, SuggestResponse};
use schemas::ids::PageId;
use schemas::problem::Problem;
use serde::Deserialize;

use super::App;
use super::audit::writing;
use super::auth::Identity;
use super::extract::{ApiJson, ApiQuery, RequestId};
use super::openapi::{Always, CallerHeaders};
use super::problem::ApiError;
use crate::audit::act::{Kind, What};
use crate::deadline::Deadline;

/// A search in the query string; see the body of `POST /v1/search` for what is behind it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParams {
    /// The query in the query language.
    #[serde(default)]
    #[param(max_length = 1000, required = false)]
    query: String,
    /// What to count, separated by commas: `type`, `author`, `tag`, `in`.
    #[param(pattern = r"^(type|author|tag|in)(,(type|author|tag|in)){0,3}$")]
    facets: Option<String>,
    /// Most hits to give; 20.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the response before.
    #[param(max_length = 200)]
    cursor: Option<String>,
    /// Which retrievers to use; `hybrid`.
    #[param(inline)]
    mode: Option<Mode>,
    /// Whether each hit says how its score came about.
    score_details: Option<bool>,
    /// What must have been committed at least.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    index_seq: Option<u64>,
    /// How much of access must have been heeded at least.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    access_seq: Option<u64>,
    /// How long the answer may take, in milliseconds.
    #[param(minimum = 100, maximum = 60_000)]
    timeout_ms: Option<u32>,
    /// Whether the last word is still being typed.
    prefix: Option<bool>,
    /// Whether to look through the trash instead.
    include_trashed: Option<bool>,
}

impl SearchParams {
    fn into_request(self) -> Result<SearchRequest, ApiError> {
        let named = |name: &str| {
            let facets = [("type", Facet::Type), ("author", Facet::Author), ("tag", Facet::Tag), ("in", Facet::In)];
            facets.into_iter().find(|(known, _)| *known == name).map(|(_, facet)| facet)
        };
        let facets: Option<Vec<Facet>> = match &self.facets {
            None => Some(Vec::new()),
            Some(list) => list.split(',').map(named).collect(),
        };
        let at_least = Consistency { index_seq: self.index_seq.unwrap_or(0), access_seq: self.access_seq.unwrap_or(0) };
        Ok(SearchRequest {
            query: self.query,
            facets: facets.ok_or_else(|| ApiError::field("facets", "must be of `type`, `author`, `tag`, `in`"))?,
            limit: self.limit.unwrap_or(LIMIT_DEFAULT),
            cursor: self.cursor,
            mode: self.mode.unwrap_or_default(),
            score_details: self.score_details.unwrap_or(false),
            at_least: Some(at_least),
            timeout_ms: self.timeout_ms,
            prefix: self.prefix.unwrap_or(false),
            include_trashed: self.include_trashed.unwrap_or(false),
            ..SearchRequest::default()
        })
    }
}

/// Searches the pages that the caller can find.
#[utoipa::path(
    get, path = "/v1/search", tag = "search", operation_id = "search_by_query",
    params(SearchParams, CallerHeaders),
    responses(
        (status = 200, description = "The hits.", body = SearchResponse),
        (status = 409, description = "What `index_seq` or `access_seq` ask for was not visible in time.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn search_by_query(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(params): ApiQuery<SearchParams>,
) -> Result<Json<SearchResponse>, ApiError> {
    search(&app, request_id, &identity, params.into_request()?).await
}

/// Searches the pages that the caller can find.
#[utoipa::path(
    post, path = "/v1/search", tag = "search", operation_id = "search",
    params(CallerHeaders),
    request_body = SearchRequest,
    responses(
        (status = 200, description = "The hits.", body = SearchResponse),
        (status = 409, description = "What `at_least` asks for was not visible in time.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn search_by_body(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiJson(request): ApiJson<SearchRequest>,
) -> Result<Json<SearchResponse>, ApiError> {
    search(&app, request_id, &identity, request).await
}

async fn search(
    app: &App,
    request_id: String,
    identity: &Identity,
    request: SearchRequest,
) -> Result<Json<SearchResponse>, ApiError> {
    let caller = identity.caller()?;
    let deadline = Deadline::after(app.engine().config().timeout(request.timeout_ms));
    let who = writing(identity, &request.query);
    let response = match app.feedback() {
        Some(feedback) => app.engine().search_recorded(&caller, request, feedback, deadline).await?,
        None => app.engine().search(&caller, request, deadline).await?,
    };
    let what = What::new(Kind::Search).within(&caller.workspace).on(response.results.iter().map(|hit| &hit.page.id));
    app.note(who, &request_id, what)?;
    Ok(Json(SearchResponse { request_id, ..response }))
}

/// What to complete.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SuggestParams {
    /// What was typed so far.
    #[param(min_length = 1, max_length = 200)]
    query: String,
    /// Most suggestions to give; 10.
    #[param(minimum = 1, maximum = 50)]
    limit: Option<u32>,
}

/// Suggests titles and words that begin as typed, from pages that the caller can find.
#[utoipa::path(
    get, path = "/v1/suggest", tag = "search",
    params(SuggestParams, CallerHeaders),
    responses((status = 200, description = "The suggestions.", body = SuggestResponse), Always),
)]
pub(super) async fn suggest(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(SuggestParams { query, limit }): ApiQuery<SuggestParams>,
) -> Result<Json<SuggestResponse>, ApiError> {
    let caller = identity.caller()?;
    let deadline = Deadline::after(app.engine().config().timeout(None));
    let response = app.engine().suggest(&caller, &query, limit.unwrap_or(10), deadline).await?;
    app.note(writing(&identity, &query), &request_id, What::new(Kind::Suggest).within(&caller.workspace))?;
    Ok(Json(SuggestResponse { request_id, ..response }))
}

/// Which page to compare with.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SimilarParams {
    /// The page.
    #[param(min_length = 1, max_length = 128)]
    page: String,
    /// Most pages to give; 10.
    #[param(minimum = 1, maximum = 50)]
    limit: Option<u32>,
}

/// Finds pages that are about the same as one that the caller can read.
#[utoipa::path(
    get, path = "/v1/similar", tag = "search",
    params(SimilarParams, CallerHeaders),
    responses(
        (status = 200, description = "The pages.", body = SimilarResponse),
        (status = 404, description = "There is no such page for this caller.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn similar(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    ApiQuery(SimilarParams { page, limit }): ApiQuery<SimilarParams>,
) -> Result<Json<SimilarResponse>, ApiError> {
    let caller = identity.caller()?;
    // A text that is no id names no page.
    let page = PageId::new(page).map_err(|_| ApiError::not_found())?;
    let deadline = Deadline::after(app.engine().config().timeout(None));
    let response = app.engine().similar(&caller, &page, limit.unwrap_or(10), deadline).await?;
    let what = What::new(Kind::Similar).within(&caller.workspace).on([&page]);
    let what = what.on(response.results.iter().map(|hit| &hit.page.id));
    app.note(&identity, &request_id, what)?;
    Ok(Json(SimilarResponse { request_id, ..response }))
}
