//! `/v1/pages/{id}`: a page by its id, and `/v1/pages/{id}/export`: the same as a document.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemas::api::pages::PageView;
use schemas::ids::PageId;
use schemas::problem::Problem;
use serde::Deserialize;

use super::App;
use super::auth::Identity;
use super::extract::{ApiQuery, PathId, RequestId};
use super::openapi::{Always, CallerHeaders, WorkspaceParam};
use super::problem::ApiError;
use crate::audit::act::{Kind, What};
use crate::deadline::Deadline;
use crate::export::ExportFormat;
use crate::trace;

/// How a page is exported.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportParams {
    /// What the document is; Markdown unless it says something else.
    #[serde(default)]
    #[param(required = false, inline)]
    format: ExportFormat,
}

/// Exports a page as a document. Public pages are exported without a token, given the workspace.
#[utoipa::path(
    get, path = "/v1/pages/{id}/export", tag = "pages", security((), ("bearer" = [])),
    params(
        ("id" = String, Path, description = "The page.", min_length = 1, max_length = 128),
        ExportParams, WorkspaceParam, CallerHeaders,
    ),
    responses(
        (status = 200, description = "The document.", content(
            (String = "text/markdown"),
            (String = "application/pdf"),
        )),
        (status = 400, description = "The document is longer than PDF may be.", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such page for this caller.", body = Problem, content_type = "application/problem+json"),
        Always,
    ),
)]
pub(super) async fn export(
    State(app): State<App>,
    RequestId(request_id): RequestId,
    identity: Identity,
    id: PathId<PageId>,
    ApiQuery(ExportParams { format }): ApiQuery<ExportParams>,
) -> Result<Response, ApiError> {
    let caller = identity.reader()?;
    let page = id.named()?;
    trace::on_page(&page);
    let deadline = Deadline::after(app.engine().config().timeout(None));
    let bytes = app.engine().export_page(&caller, &page, format, deadline).await?;
    app.note(&identity, &request_id, What::new(Kind::Export).within(&caller.workspace).on([&page]))?;
    Ok(file(format, bytes, "page"))
}

/// A document to be kept as a file.
pub(super) fn file(format: ExportFormat, bytes: Vec<u8>, name: &str) -> Response {
    let charset = if format == ExportFormat::Markdown { "; charset=utf-8" } else { "" };
    let content_type = format!("{}{charset}", format.media_type());
    let disposition = format!("attachment; filename=\"{name}.{}\"", format.ending());
    let headers = [(header::CONTENT_TYPE, content_type), (header::CONTENT_DISPOSITION, disposition)];
    (headers, bytes).into_response()
}

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
    id: PathId<PageId>,
) -> Result<Json<PageView>, ApiError> {
    let caller = identity.reader()?;
    let page = id.named()?;
    trace::on_page(&page);
    let deadline = Deadline::after(app.engine().config().timeout(None));
    let view = app.engine().page(&caller, &page, deadline).await?;
    app.note(&identity, &request_id, What::new(Kind::Open).within(&caller.workspace).on([&page]))?;
    Ok(Json(PageView { request_id, ..view }))
}
