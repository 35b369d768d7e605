//! What answers say to browsers, whatever they are: a page, JSON, a stream of events, a document, counters, nothing, an error.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use query::http::HttpConfig;
use serde_json::json;

use super::endpoints;
use super::harness::{ADMIN_KEY, Client, Reply, token};

fn value<'a>(headers: &'a HeaderMap, name: &str, of: &str) -> &'a str {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    let [value] = values.as_slice() else { panic!("{of}: `{name}` is there {} times", values.len()) };
    value.to_str().unwrap()
}

/// What holds for every answer.
#[track_caller]
fn check(reply: &Reply, of: &str) {
    let headers = &reply.headers;
    assert_eq!(value(headers, "x-content-type-options", of), "nosniff");
    assert_eq!(value(headers, "referrer-policy", of), "no-referrer");
    let policy = value(headers, "content-security-policy", of);
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{of}: {policy}");
    assert!(!policy.contains("unsafe"), "{of}: {policy}");
    value(headers, "x-request-id", of);
    assert!(!headers.contains_key("server") && !headers.contains_key("set-cookie"), "{of}: {headers:?}");
    let is_of_page = ["/ui/", "GET / "].iter().any(|part| format!("{of} ").contains(part));
    let kept = if is_of_page { "no-cache" } else { "no-store" };
    assert_eq!(value(headers, "cache-control", of), kept, "{of}");
    if !reply.body.is_empty() {
        value(headers, "content-type", of);
    }
}

#[tokio::test]
async fn every_endpoint_keeps_its_answers_to_itself() {
    let client = Client::new();
    let bearer = format!("Bearer {}", token("acme", "ada", "admin"));
    for endpoint in endpoints::all() {
        let (method, template) = endpoint.split_once(' ').unwrap();
        let path = template.replace("{id}", "runbook").replace("{model}", "tessera").replace("{file}", "main.js");
        for authorization in [None, Some(&bearer)] {
            let mut request = Request::builder().method(method).uri(&path).header("content-type", "application/json");
            if let Some(bearer) = authorization {
                request = request.header("authorization", bearer);
            }
            check(&client.send(request.body(Body::from("{}")).unwrap()).await, &endpoint);
        }
    }
}

#[tokio::test]
async fn answers_of_each_kind_say_what_they_are() {
    let client = Client::new();
    let bearer = format!("Bearer {}", token("acme", "bob", ""));
    let asked = json!({"question": "How long does a rollback take?", "stream": true}).to_string();
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let (key, none) = (format!("Bearer {ADMIN_KEY}"), [("x", "y")]);
    let kinds = [
        ("GET / ", client.get("/", &[]).await, 200, "text/html; charset=utf-8"),
        ("GET /ui/main.js", client.get("/ui/main.js", &[]).await, 200, "text/javascript; charset=utf-8"),
        ("JSON", client.get_as("bob", "/v1/search?query=deploy").await, 200, "application/json"),
        ("a stream", client.post("/v1/answers", &headers, asked).await, 200, "text/event-stream"),
        ("a document", client.get_as("bob", "/v1/pages/runbook/export").await, 200, "text/markdown; charset=utf-8"),
        (
            "counters",
            client.get("/metrics", &[("authorization", &key)]).await,
            200,
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("a tool", client.tool_as("bob", "search", json!({"query": "deploy"})).await, 200, "application/json"),
        ("not known", client.get("/v1/search", &none).await, 401, "application/problem+json"),
        ("not there", client.get_as("bob", "/v1/pages/absent").await, 404, "application/problem+json"),
        ("no endpoint", client.get("/v2", &none).await, 404, "application/problem+json"),
        ("no such model", client.get_as("bob", "/v1/models/x").await, 404, "application/json"),
        ("no such method", client.delete_as("bob", "/v1/search").await, 405, "application/problem+json"),
        ("not readable", client.post("/v1/search", &headers, "{").await, 400, "application/problem+json"),
        ("not JSON", client.post("/v1/search", &headers[..1], "{}").await, 415, "application/problem+json"),
        ("too large", client.post("/v1/search", &headers, " ".repeat(70_000)).await, 413, "application/problem+json"),
    ];
    for (of, reply, status, media_type) in &kinds {
        assert_eq!(reply.status, *status, "{of}");
        assert_eq!(value(&reply.headers, "content-type", of), *media_type, "{of}");
        check(reply, of);
    }
    assert!(value(&kinds[4].1.headers, "content-disposition", "a document").starts_with("attachment"));
    let busy = Client::with(HttpConfig { in_flight_max: 0, ..HttpConfig::default() });
    let shed = busy.get_as("bob", "/v1/search").await;
    assert_eq!(shed.status, 503);
    check(&shed, "shed");
}
