//! The description of the API in OpenAPI 3.1, made from the handlers and the shapes in `schemas`.
//!
//! A copy is checked in under `schemas/generated`, and a test compares the two.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use schemas::api::answers::{CitationEvent, DeltaEvent, DoneEvent, ErrorEvent, SourcesEvent};
use schemas::api::openai::{ChatChunk, OpenAiProblem};
use schemas::problem::{PROBLEM_JSON, Problem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use super::App;

/// The problems that every endpoint with an identity can answer with.
pub(super) struct Always;

impl IntoResponses for Always {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            ("400", "The request is not valid."),
            ("401", "No valid identity was given."),
            ("403", "The identity may not use this endpoint."),
            ("500", "A bug, or a failing disk."),
            ("503", "The server is busy, or the deadline came first; see `Retry-After`."),
        ]
        .into_iter()
        .map(|(status, description)| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
            let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
            (status.to_owned(), response.build().into())
        })
        .collect()
    }
}

/// The errors in OpenAI's shape that its endpoints can answer with.
pub(super) struct OpenAiAlways;

impl IntoResponses for OpenAiAlways {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        [
            ("400", "The request is not valid, or asks for what cannot be had."),
            ("401", "No valid identity was given."),
            ("403", "The identity may not use this endpoint."),
            ("404", "There is no such model."),
            ("413", "The body is too large."),
            ("415", "The body is not JSON."),
            ("429", "The budget of tokens is used up, or as many texts are being written for the caller or the workspace as may be; see `Retry-After`."),
            ("500", "A bug, or a failing disk."),
            ("503", "The server is busy, or the deadline came first; see `Retry-After`."),
        ]
        .into_iter()
        .map(|(status, description)| {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(OpenAiProblem::name()))).build();
            let response = ResponseBuilder::new().description(description).content("application/json", content);
            (status.to_owned(), response.build().into())
        })
        .collect()
    }
}

/// For whom and where a request is made, when no token says so.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "described here, read where identities are found out")]
pub(super) struct CallerHeaders {
    /// The workspace, for service keys and insecure development.
    #[param(
        rename = "Tessera-Workspace",
        nullable = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+$"
    )]
    workspace: Option<String>,
    /// The person that a service key acts for.
    #[param(
        rename = "Tessera-Act-As",
        nullable = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+$"
    )]
    act_as: Option<String>,
    /// The person, in insecure development.
    #[param(
        rename = "Tessera-User",
        nullable = false,
        min_length = 1,
        max_length = 128,
        pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+$"
    )]
    user: Option<String>,
}

/// Where a page is that is opened without a token.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described here, read where identities are found out")]
pub(super) struct WorkspaceParam {
    /// The workspace, when no token or header says so.
    #[param(nullable = false, min_length = 1, max_length = 128, pattern = r"^[^\s\x00-\x1f\x7f-\x9f]+$")]
    workspace: Option<String>,
}

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some("A JSON Web Token of the product, or a service key that begins with `tsk_`."));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tessera",
        description = "Search over workspace content that shows each person exactly what they may see.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact(),
    ),
    paths(
        super::search::search_by_body,
        super::search::search_by_query,
        super::search::suggest,
        super::search::similar,
        super::answers::answer,
        super::answers::stop,
        super::conversations::list,
        super::conversations::open,
        super::conversations::remove,
        super::generate::generate,
        super::openai::chat,
        super::openai::models,
        super::openai::model,
        super::feedback::feedback,
        super::pages::page,
        super::pages::export,
        super::erasures::erase_page,
        super::erasures::erase_user,
        super::erasures::erase_workspace,
        super::erasures::erasure,
        super::events::submit,
        super::operate::explain_access,
        super::operate::status,
        super::session::session,
        super::usage::usage,
        super::evaluation::evaluation,
        super::operate::healthz,
        super::operate::readyz,
        super::metrics::metrics,
        openapi_json,
    ),
    components(schemas(Problem, OpenAiProblem, ChatChunk, SourcesEvent, DeltaEvent, CitationEvent, DoneEvent, ErrorEvent)),
    security(("bearer" = [])),
    modifiers(&Security),
)]
struct Document;

/// The document as JSON text, ending in a line break.
pub fn document() -> String {
    let mut text = Document::openapi().to_pretty_json().expect("the document has text keys and finite numbers");
    text.push('\n');
    text
}

/// Describes this API.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operate", security(()),
    responses((status = 200, description = "The description in OpenAPI 3.1.", body = Object, content_type = "application/json")),
)]
pub(super) async fn openapi_json(State(app): State<App>) -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(document);
    static INSECURE_TEXT: LazyLock<String> = LazyLock::new(insecure_document);
    let text = if app.auth().is_insecure() { &INSECURE_TEXT } else { &TEXT };
    ([(header::CONTENT_TYPE, "application/json")], text.as_str())
}

/// The document of a server that believes callers without proof: no token is required there.
fn insecure_document() -> String {
    let mut document = Document::openapi();
    document.security = None;
    document.to_pretty_json().expect("the document has text keys and finite numbers")
}
