//! Asking the API: requests of a [`Client`], as somebody of `acme` for most, and what comes back.

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::harness::Client;
use super::identities::token;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: axum::http::HeaderMap,
    /// The body, if it is JSON.
    pub json: Value,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The events of a stream, by name.
    pub fn events(&self) -> Vec<(String, Value)> {
        let text = String::from_utf8(self.body.to_vec()).unwrap();
        let event = |block: &str| {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            Some((field("event:")?.to_owned(), serde_json::from_str(field("data:")?).unwrap()))
        };
        text.split("\n\n").filter_map(event).collect()
    }

    /// The code of a problem.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().or(self.json["error"]["code"].as_str()).unwrap_or("no code")
    }

    /// Ids of the pages of a list.
    pub fn pages(&self) -> Vec<&str> {
        let results = self.json["results"].as_array().unwrap();
        results.iter().map(|hit| hit["page"]["id"].as_str().unwrap()).collect()
    }
}

impl Client {
    /// Sends a request, and reads nothing of what comes back.
    pub async fn begin(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request.
    pub async fn send(&self, request: Request<Body>) -> Reply {
        let (parts, body) = self.begin(request).await.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Reply { status: parts.status, headers: parts.headers, json, body }
    }

    /// `GET` as somebody of `acme`.
    pub async fn get_as(&self, user: &str, path: &str) -> Reply {
        let bearer = format!("Bearer {}", token("acme", user, ""));
        self.get(path, &[("authorization", &bearer)]).await
    }

    /// `DELETE` as somebody of `acme`.
    pub async fn delete_as(&self, user: &str, path: &str) -> Reply {
        let bearer = format!("Bearer {}", token("acme", user, ""));
        let request = Request::delete(path).header("authorization", bearer).header("x-request-id", "same");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// `GET` with headers.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// `POST` of a text with headers.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// An answer as somebody of `acme`.
    pub async fn answer_as(&self, user: &str, request: Value) -> Reply {
        self.post_as(user, "/v1/answers", request).await
    }

    /// A text that is made, as somebody of `acme`.
    pub async fn generate_as(&self, user: &str, request: Value) -> Reply {
        self.post_as(user, "/v1/generate", request).await
    }

    /// An answer in OpenAI's shape, as somebody of `acme`.
    pub async fn chat_as(&self, user: &str, request: Value) -> Reply {
        self.post_as(user, "/v1/chat/completions", request).await
    }

    /// JSON that is sent as somebody of `acme`.
    pub async fn post_as(&self, user: &str, path: &str, request: Value) -> Reply {
        let bearer = format!("Bearer {}", token("acme", user, ""));
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-request-id", "same")];
        self.post(path, &headers, request.to_string()).await
    }

    /// A search as somebody of `acme`.
    pub async fn search_as(&self, user: &str, request: Value) -> Reply {
        let bearer = format!("Bearer {}", token("acme", user, ""));
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.post("/v1/search", &headers, request.to_string()).await
    }

    /// A tool of `/mcp`, called as somebody of `acme`.
    pub async fn tool_as(&self, user: &str, tool: &str, arguments: Value) -> Reply {
        self.mcp_as(user, "tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// A method of `/mcp`, called as somebody of `acme`.
    pub async fn mcp_as(&self, user: &str, method: &str, params: Value) -> Reply {
        let bearer = format!("Bearer {}", token("acme", user, ""));
        let headers = [
            ("host", "localhost"),
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-06-18"),
        ];
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.post("/mcp", &headers, body.to_string()).await
    }

    /// Feedback from somebody of `acme`.
    pub async fn feedback_as(&self, user: &str, body: Value) -> Reply {
        self.post_as(user, "/v1/feedback", body).await
    }
}
