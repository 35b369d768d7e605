//! A read side served over HTTP, asked in the ways that other software asks: chats in OpenAI's shape, and the tools of assistants.

use std::collections::BTreeSet;
use std::sync::Arc;

use access::{Caller, Subject};
use eval::leak::request::{Answer, Body};
use query::engine::Engine;
use query::http::auth::{Auth, AuthConfig, Secrets, USER_HEADER, WORKSPACE_HEADER};
use query::http::ingest::{Ingest, IngestError, Kept, Refused, Submitted};
use query::http::{App, HttpConfig};
use schemas::api::events::Wait;
use schemas::api::operate::IngestStatus;
use schemas::event::Event;
use schemas::ids::PageId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::site::PATIENCE;

/// A server on this machine; it stops when this is dropped.
pub(crate) struct Served {
    url: String,
    client: reqwest::Client,
    _stop: DropGuard,
}

/// Takes no events: they are written beside the server.
struct Closed;

impl Ingest for Closed {
    fn submit(&self, _: Vec<Event>, _: Wait, _: query::deadline::Deadline) -> Submitted {
        Box::pin(async { Err(IngestError::Closed) })
    }

    fn reject(&self, _: Vec<Refused>) -> Kept {
        Box::pin(async { Err(IngestError::Closed) })
    }

    fn status(&self) -> IngestStatus {
        IngestStatus::default()
    }
}

impl Served {
    /// Serves an engine, on the runtime that this is called in.
    pub(crate) async fn start(engine: Engine) -> Self {
        let insecure = AuthConfig { insecure_development: true, ..AuthConfig::default() };
        let auth = Auth::new(&insecure, Secrets::default()).unwrap();
        let mut config = HttpConfig::default();
        (config.rate.caller_per_second, config.rate.workspace_per_second) = (0, 0);
        let app = App::new(engine, Arc::new(Closed), auth, config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { app.run(listener, stopped).await.unwrap() });
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { url, client, _stop: stop.drop_guard() }
    }

    /// The answer to a question in OpenAI's shape, whole or in chunks: all that went out, an error included.
    pub(crate) async fn chat(&self, caller: &Caller, question: &str, stream: bool) -> Answer {
        let messages = json!([{"role": "user", "content": question}]);
        let request = json!({"model": "tessera", "messages": messages, "stream": stream});
        let (_, json) = self.post(caller, "/v1/chat/completions", &request).await;
        Answer { pages: BTreeSet::new(), json, body: Body::Answer }
    }

    /// What the tool `search` gives.
    pub(crate) async fn tool_search(&self, caller: &Caller, query: &str) -> Answer {
        let (json, given) = self.tool(caller, "search", &json!({"query": query, "limit": 50})).await;
        let results = given["results"].as_array().unwrap_or_else(|| panic!("{query}: {json}"));
        let page = |result: &Value| PageId::new(result["id"].as_str().unwrap()).unwrap();
        Answer { pages: results.iter().map(page).collect(), json, body: Body::Answer }
    }

    /// What the tool `fetch` gives; no page where there is none for the caller.
    pub(crate) async fn tool_fetch(&self, caller: &Caller, page: &PageId) -> Answer {
        let (json, given) = self.tool(caller, "fetch", &json!({"id": page})).await;
        let pages = given["id"].as_str().map(|id| PageId::new(id).unwrap()).into_iter().collect();
        Answer { pages, json, body: Body::Answer }
    }

    /// All that a tool says, and what of it is structured.
    async fn tool(&self, caller: &Caller, name: &str, arguments: &Value) -> (String, Value) {
        let params = json!({"name": name, "arguments": arguments});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let (status, body) = self.post(caller, "/mcp", &call).await;
        assert_eq!(status, 200, "{body}");
        let given: Value = serde_json::from_str(&body).unwrap();
        (body, given["result"]["structuredContent"].clone())
    }

    async fn post(&self, caller: &Caller, path: &str, body: &Value) -> (u16, String) {
        let Subject::User(user) = &caller.subject else { panic!("these are asked by people") };
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-06-18"),
            ("x-request-id", "same"),
            (WORKSPACE_HEADER, caller.workspace.as_str()),
            (USER_HEADER, user.as_str()),
        ];
        let mut request = self.client.post(format!("{}{path}", self.url)).body(body.to_string());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}
