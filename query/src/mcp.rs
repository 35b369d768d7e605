//! The Model Context Protocol: `search` and `fetch` as tools for assistants that people use already.
//!
//! Shapes are those that ChatGPT and Claude expect of a source of documents: `search` gives `{"results": [{"id", "title", "url", …}]}`,
//! `fetch` gives `{"id", "title", "text", "url", "metadata"}`, each as structured content and as the same JSON in a text. The tools read
//! alone, and say so. Invariants: a call is for the one [`Caller`] that its request was admitted for, and goes through the same engine, mask
//! and gate as the HTTP API; a page that is not there and one that may not be seen are answered alike. What pages say is data: it is
//! handed over without characters that no reader sees, else as it stands, and whether an assistant obeys it is not ours to decide.

use access::Caller;
use axum::http::request::Parts;
use models::genai;
use rmcp::ErrorData;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use schemas::api::pages::PageView;
use schemas::api::search::{LIMIT_DEFAULT, LIMIT_MAX, QUERY_CHARS_MAX, SearchRequest};
use schemas::api::{Crumb, PageSummary};
use schemas::ids::PageId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::answer::defuse::visible;
use crate::audit::Audit;
use crate::audit::act::{Act, Actor, Kind, What, Who};
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::trace::{Place, at};

/// Longest text of a page that `fetch` hands over, in characters.
const FETCH_CHARS_MAX: usize = 100_000;
/// What assistants are told of the server.
const INSTRUCTIONS: &str = "Searches the pages of a workspace that the signed-in person can see. Use `search` first, then `fetch` a page \
                            by the id of a result to read it whole. Cite pages by their titles and addresses.";

/// The tools over one engine. Cloning is cheap.
#[derive(Clone)]
pub struct Tools {
    engine: Engine,
    /// Where the page at `/` is reached from outside, without a slash at the end; empty where that was not said.
    public_url: String,
    audit: Option<Audit>,
}

/// Whoever a call was admitted for.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// For whom.
    pub caller: Caller,
    /// As whom it is recorded.
    pub actor: Actor,
    /// The request.
    pub request_id: Option<String>,
    /// Where it is worked on, for traces and the log.
    pub(crate) place: Place,
}

/// What `search` is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SearchArguments {
    query: String,
    #[serde(default)]
    limit: Option<u32>,
}

/// What `fetch` is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchArguments {
    id: String,
}

/// A page that was found.
#[derive(Debug, Serialize)]
struct Found {
    id: PageId,
    title: String,
    url: String,
    /// The pages above it, from the root down.
    path: Vec<String>,
    /// The excerpt that fits best.
    text: String,
}

/// A page with its text.
#[derive(Debug, Serialize)]
struct Fetched {
    id: PageId,
    title: String,
    text: String,
    url: String,
    metadata: Value,
}

impl Tools {
    /// Over an engine; `public_url` is where the page at `/` is reached from outside, or empty. Calls are recorded where there is a log.
    pub fn new(engine: Engine, public_url: &str, audit: Option<Audit>) -> Self {
        Self { engine, public_url: public_url.trim_end_matches('/').to_owned(), audit }
    }

    /// Does what a tool is there for, in a span of its own.
    async fn call(&self, by: &Admitted, request: CallToolRequestParams) -> Result<CallToolResponse, ErrorData> {
        let given = request.arguments;
        let (span, answer) = match request.name.as_ref() {
            "search" => {
                let (span, arguments) = (genai::tool("search"), arguments(given)?);
                (span.clone(), self.search(by, arguments).instrument(span).await)
            }
            "fetch" => {
                let (span, arguments) = (genai::tool("fetch"), arguments(given)?);
                (span.clone(), self.fetch(by, arguments).instrument(span).await)
            }
            other => return Err(ErrorData::invalid_params(format!("there is no tool {other:?}"), None)),
        };
        let result = answer.map_or_else(
            |error| {
                genai::tool_failed(&span);
                failed(&error)
            },
            CallToolResult::structured,
        );
        Ok(result.into())
    }

    /// Records a call.
    fn note(&self, by: &Admitted, text: Option<String>, what: What) -> Result<(), QueryError> {
        let Some(audit) = &self.audit else { return Ok(()) };
        let who = Who { text, ..by.actor.clone().into() };
        let what = What { request: by.request_id.clone(), ..what.within(&by.caller.workspace) };
        audit.record(Act { who, what }).map_err(|_| QueryError::Overloaded)
    }

    async fn search(&self, by: &Admitted, arguments: SearchArguments) -> Result<Value, QueryError> {
        let caller = &by.caller;
        let limit = arguments.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(QueryError::InvalidRequest {
                field: "limit",
                reason: format!("must be from 1 to {LIMIT_MAX}"),
            });
        }
        let text = Some(arguments.query.clone());
        let request = SearchRequest { query: arguments.query, limit, ..SearchRequest::default() };
        let deadline = Deadline::after(self.engine.config().timeout(None));
        let response = self.engine.search(caller, request, deadline).await?;
        self.note(by, text, What::new(Kind::Search).on(response.results.iter().map(|hit| &hit.page.id)))?;
        let results = response.results.into_iter().map(|hit| Found {
            url: self.url(&hit.page),
            id: hit.page.id,
            title: visible(&hit.page.title),
            path: path(&hit.breadcrumb),
            text: visible(&hit.snippet.text),
        });
        Ok(json!({ "results": results.collect::<Vec<_>>() }))
    }

    async fn fetch(&self, by: &Admitted, arguments: FetchArguments) -> Result<Value, QueryError> {
        // A text that is no id names no page.
        let page = PageId::new(arguments.id).map_err(|_| QueryError::NotFound)?;
        let deadline = Deadline::after(self.engine.config().timeout(None));
        let view = self.engine.page(&by.caller, &page, deadline).await?;
        self.note(by, None, What::new(Kind::Open).on([&page]))?;
        let (text, truncated) = text_of(&view);
        let metadata = json!({
            "path": path(&view.breadcrumb),
            "kind": view.page.kind,
            "tags": view.page.tags.iter().map(|tag| visible(tag)).collect::<Vec<_>>(),
            "edited_at": view.page.edited_at,
            "edited_by": view.page.edited_by,
            "truncated": truncated,
        });
        let url = self.url(&view.page);
        let fetched = Fetched { id: view.page.id, title: visible(&view.page.title), text, url, metadata };
        Ok(serde_json::to_value(fetched).expect("a page is text, numbers and lists of them"))
    }

    /// Where people open a page: at the product, else on the page at `/`.
    fn url(&self, page: &PageSummary) -> String {
        match &page.url {
            Some(url) => url.clone(),
            None if self.public_url.is_empty() => String::new(),
            None => format!("{}/#/page/{}", self.public_url, page.id.as_str()),
        }
    }
}

/// The titles of the pages above one.
fn path(breadcrumb: &[Crumb]) -> Vec<String> {
    breadcrumb.iter().map(|crumb| visible(&crumb.title)).collect()
}

/// The text of a page, one line a block, indented as blocks are nested; and whether it was cut.
fn text_of(view: &PageView) -> (String, bool) {
    let mut text = String::new();
    let mut left = FETCH_CHARS_MAX;
    for block in view.blocks.iter().filter(|block| !block.text.is_empty()) {
        let line = format!("{}{}\n", "  ".repeat(block.depth.min(16) as usize), visible(&block.text));
        let chars = line.chars().count();
        if chars > left {
            text.extend(line.chars().take(left));
            return (text, true);
        }
        left -= chars;
        text.push_str(&line);
    }
    (text, false)
}

fn tools() -> Vec<Tool> {
    let schema = |schema: Value| schema.as_object().cloned().unwrap_or_else(JsonObject::new);
    let read_only = |title: &str| ToolAnnotations::with_title(title).read_only(true).open_world(false);
    let search = Tool::new(
        "search",
        "Finds the pages that fit a question or words, best first. Understands \"quoted phrases\", -exclusions, and the filters title: type: \
         author: in: tag: before: after:.",
        schema(json!({
            "type": "object",
            "properties": {
                "query": {"type": "string", "maxLength": QUERY_CHARS_MAX, "description": "What to look for."},
                "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "description": "Most pages to give; 20."},
            },
            "required": ["query"],
            "additionalProperties": false,
        })),
    );
    let fetch = Tool::new(
        "fetch",
        "Reads one page whole, by the id of a search result.",
        schema(json!({
            "type": "object",
            "properties": {"id": {"type": "string", "maxLength": 128, "description": "The id of the page."}},
            "required": ["id"],
            "additionalProperties": false,
        })),
    );
    vec![search.annotate(read_only("Search the workspace")), fetch.annotate(read_only("Read a page"))]
}

fn arguments<T: DeserializeOwned>(given: Option<JsonObject>) -> Result<T, ErrorData> {
    let given = Value::Object(given.unwrap_or_default());
    serde_json::from_value(given).map_err(|error| ErrorData::invalid_params(error.to_string(), None))
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("tessera", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let admitted = context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Admitted>());
        let by = admitted.ok_or_else(|| ErrorData::internal_error("the request was not admitted", None))?;
        at(by.place.clone(), Box::pin(self.call(by, request))).await
    }
}

/// What an assistant reads where a tool failed; causes are for the log.
fn failed(error: &QueryError) -> CallToolResult {
    let told = match error {
        QueryError::InvalidRequest { field, reason } => format!("{field}: {reason}"),
        QueryError::NotFound => "there is no such page for this person".to_owned(),
        QueryError::Overloaded => "the server is busy; try again in a moment".to_owned(),
        QueryError::DeadlineExceeded => "the server did not answer in time; try again".to_owned(),
        other => {
            tracing::error!(error = other as &dyn std::error::Error, "a tool failed");
            "the server could not answer".to_owned()
        }
    };
    CallToolResult::error(vec![ContentBlock::text(told)])
}
