//! What each endpoint leaves in the audit log, as docs/audit.md says: an endpoint without a row fails, one that leaves something else does, and
//! one that tells what a page says and leaves nothing does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use query::audit::AuditConfig;
use query::audit::act::Kind;
use query::audit::verify::{Filter, show};
use serde_json::{Value, json};

use super::endpoints;
use super::harness::{ADMIN_KEY, Client, INGEST_KEY, Reply, token};

const DOCUMENT: &str = include_str!("../../../docs/audit.md");
/// None that is being told: the test of streams stops one, and how it was begun is recorded.
const NO_STREAM: &str = "/v1/answers/00000000000000000000000000000000";
/// Words that pages alone say.
const OF_PAGES: [&str; 3] = ["telescope", "rollback takes", "lanternfish"];

/// The rows of the document: an endpoint, and the kinds of acts that it leaves, none for most.
fn rows() -> Vec<(String, BTreeSet<String>)> {
    let table = DOCUMENT.split("| Endpoint | Leaves |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let is_kind = |word: &&str| serde_json::from_value::<Kind>(json!(word)).is_ok();
        let kinds = cells[2].split('`').filter(is_kind).map(str::to_owned).collect();
        assert!(cells[2].starts_with("nothing") || cells[2].starts_with('`'), "{line}");
        (cells[1].trim_matches('`').to_owned(), kinds)
    };
    table.lines().map(row).collect()
}

/// Asks as somebody who may do everything of the workspace, unless the endpoint is for a service.
async fn ask(client: &Client, id: &str, endpoint: &str, path: &str, body: Option<Value>) -> Reply {
    let (method, template) = endpoint.split_once(' ').unwrap();
    let bearer = match template {
        "/v1/events" => INGEST_KEY.to_owned(),
        "/metrics" | "/v1/evaluation" => ADMIN_KEY.to_owned(),
        _ => token("acme", "ada", "admin"),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {bearer}"))
        .header("x-request-id", id)
        .header("host", "localhost")
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", "2025-06-18");
    client.send(request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()).await
}

fn tool(name: &str, arguments: &Value) -> (String, Option<Value>) {
    let params = json!({"name": name, "arguments": arguments});
    ("/mcp".to_owned(), Some(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})))
}

/// Requests that an endpoint answers with what it is there for.
fn requests(endpoint: &str, conversation: &str, erasure: &str) -> Vec<(String, Option<Value>)> {
    let (_, template) = endpoint.split_once(' ').unwrap();
    let question = "How long does a rollback take?";
    let one = |path: &str, body: Value| vec![(path.to_owned(), Some(body).filter(|body| !body.is_null()))];
    match endpoint {
        "GET /v1/search" => one("/v1/search?query=rollback", Value::Null),
        "POST /v1/search" => one(template, json!({"query": "rollback"})),
        "GET /v1/suggest" => one("/v1/suggest?query=telesc", Value::Null),
        "GET /v1/similar" => one("/v1/similar?page=runbook", Value::Null),
        "POST /v1/answers" => {
            let accepts = json!({"question": question, "stream": true});
            [one(template, json!({"question": question})), one(template, accepts)].concat()
        }
        "DELETE /v1/answers/{stream}" => one(NO_STREAM, Value::Null),
        "POST /v1/generate" => one(template, json!({"task": "summarise", "pages": ["runbook"]})),
        "POST /v1/chat/completions" => {
            one(template, json!({"model": "tessera", "messages": [{"role": "user", "content": question}]}))
        }
        "POST /mcp" => {
            vec![tool("search", &json!({"query": "rollback"})), tool("fetch", &json!({"id": "runbook"}))]
        }
        "GET /v1/explain-access" => one("/v1/explain-access?page=secret&user=bob", Value::Null),
        "POST /v1/events" => one(template, json!({})),
        "POST /v1/feedback" => {
            let events = json!([{"type": "click", "page": "runbook"}]);
            one(template, json!({"tracking_id": "0".repeat(64), "events": events}))
        }
        "DELETE /v1/users/{id}" => one("/v1/users/gus", Value::Null),
        "DELETE /v1/workspaces/{id}" => one("/v1/workspaces/acme", Value::Null),
        _ if template.starts_with("/v1/conversations/") => {
            one(&format!("/v1/conversations/{conversation}"), Value::Null)
        }
        _ if template.starts_with("/v1/erasures/") => one(&format!("/v1/erasures/{erasure}"), Value::Null),
        _ => {
            let path = template.replace("{id}", "runbook").replace("{model}", "tessera").replace("{file}", "main.js");
            one(&path, Value::Null)
        }
    }
}

#[tokio::test]
async fn every_endpoint_leaves_what_the_document_says_and_none_tells_what_a_page_says_unrecorded() {
    let rows = rows();
    let documented: BTreeSet<String> = rows.iter().map(|(endpoint, _)| endpoint.clone()).collect();
    assert_eq!(documented, endpoints::all(), "docs/audit.md says of each endpoint what it leaves");

    let client = Client::audited(AuditConfig { suggestions: true, ..AuditConfig::default() });
    let begun = json!({"question": "How long does a rollback take?", "conversation": "new"});
    let conversation = client.answer_as("ada", begun).await.json["conversation"].as_str().unwrap().to_owned();
    let (mut erasure, mut asked) = ("none".to_owned(), Vec::new());
    for (row, (endpoint, kinds)) in rows.iter().enumerate() {
        for (number, (path, body)) in requests(endpoint, &conversation, &erasure).into_iter().enumerate() {
            let id = format!("row-{row}-{number}");
            let reply = ask(&client, &id, endpoint, &path, body).await;
            let is_refused = ["/v1/events", "/v1/feedback", "/.well-known/oauth-protected-resource", NO_STREAM]
                .contains(&path.as_str());
            assert_eq!(reply.status.is_success(), !is_refused, "{endpoint}: {:?} {}", reply.status, reply.json);
            if reply.status == 202 {
                reply.json["id"].as_str().unwrap().clone_into(&mut erasure);
            }
            asked.push((id, endpoint, kinds, String::from_utf8_lossy(&reply.body).to_lowercase()));
        }
    }

    assert!(client.audit.settle(Duration::from_mins(1)));
    let mut left = BTreeMap::<String, BTreeSet<String>>::new();
    for what in show(client.audit.dir(), &Filter::default(), 1_000).unwrap().into_iter().filter_map(|line| line.what) {
        // The end of an erasure comes when it comes.
        if let Some(request) = what.request.filter(|_| what.kind != Kind::ErasureFinished) {
            left.entry(request).or_default().insert(what.kind.name());
        }
    }
    let mut told = 0;
    for (id, endpoint, kinds, body) in asked {
        let left = left.remove(&id).unwrap_or_default();
        assert!(
            left.is_subset(kinds) && left.is_empty() == kinds.is_empty(),
            "{endpoint} left {left:?}, not {kinds:?}"
        );
        let tells = OF_PAGES.iter().any(|words| body.contains(words));
        assert!(!tells || !left.is_empty(), "{endpoint} tells what a page says and leaves no line: {body}");
        told += usize::from(tells);
    }
    assert!(told >= 10, "{told}: searches, answers, conversations, pages and the like do tell it");
}
