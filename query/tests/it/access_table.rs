//! Who gets what from which endpoint: every endpoint by every kind of caller, and that absent and unseen are alike.

use axum::body::Body;
use axum::http::Request;

use super::harness::{ACME_ADMIN_KEY, ADMIN_KEY, Client, INGEST_KEY, SEARCH_KEY, token};

/// How a request says who is asking.
fn headers(kind: &str) -> Vec<(&'static str, String)> {
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let named =
        |key: &str| vec![bearer(key), ("tessera-workspace", "acme".to_owned()), ("tessera-act-as", "bob".to_owned())];
    match kind {
        "nobody" => vec![],
        "nobody in acme" => vec![("tessera-workspace", "acme".to_owned()), ("tessera-user", "ada".to_owned())],
        "bad token" => vec![bearer("x.y.z")],
        "person" => vec![bearer(&token("acme", "bob", ""))],
        "administrator" => vec![bearer(&token("acme", "bob", "admin"))],
        "search key" => named(SEARCH_KEY),
        "ingest key" => named(INGEST_KEY),
        "admin key" => named(ADMIN_KEY),
        "admin key of acme" => named(ACME_ADMIN_KEY),
        "search key for nobody" => vec![bearer(SEARCH_KEY)],
        other => panic!("no kind of caller is called {other}"),
    }
}

fn request(endpoint: &str, kind: &str) -> Request<Body> {
    let (method, path) = endpoint.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers(kind) {
        request = request.header(name, value);
    }
    let body = match (method, path) {
        ("POST", "/v1/answers") => r#"{"question": "How do we deploy?"}"#,
        ("POST", "/v1/generate") => r#"{"task": "summarise", "pages": ["runbook"]}"#,
        ("POST", "/v1/chat/completions") => {
            r#"{"model": "tessera", "messages": [{"role": "user", "content": "How do we deploy?"}]}"#
        }
        ("POST", _) => "{}",
        _ => "",
    };
    if method == "POST" {
        request = request.header("content-type", "application/json");
    }
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn every_endpoint_answers_every_kind_of_caller_as_in_the_table() {
    let client = Client::new();
    let kinds = [
        "nobody",
        "nobody in acme",
        "bad token",
        "person",
        "administrator",
        "search key",
        "ingest key",
        "admin key",
        "admin key of acme",
        "search key for nobody",
    ];
    let endpoints = [
        "GET /v1/search?query=deploy",
        "POST /v1/search",
        "GET /v1/suggest?query=dep",
        "GET /v1/similar?page=runbook",
        "POST /v1/answers",
        "GET /v1/conversations",
        "GET /v1/conversations/00000000000000000000000000000000",
        "DELETE /v1/conversations/00000000000000000000000000000000",
        "POST /v1/generate",
        "POST /v1/chat/completions",
        "GET /v1/models",
        "GET /v1/models/tessera",
        "GET /v1/models/other",
        "POST /v1/feedback",
        "GET /v1/pages/runbook",
        "GET /v1/pages/handbook",
        "GET /v1/pages/secret",
        "GET /v1/pages/absent",
        "GET /v1/pages/runbook/export",
        "GET /v1/pages/secret/export",
        "GET /v1/pages/absent/export",
        "GET /v1/explain-access?page=secret&user=bob",
        "POST /v1/events",
        "POST /mcp",
        "GET /v1/usage",
        "DELETE /v1/pages/runbook",
        "DELETE /v1/pages/absent",
        "DELETE /v1/users/ada",
        "DELETE /v1/workspaces/acme",
        "DELETE /v1/workspaces/globex",
        "GET /v1/erasures/none",
        "GET /.well-known/oauth-protected-resource",
        "GET /v1/status",
        "GET /v1/session",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /openapi.json",
        "GET /",
        "GET /ui/main.js",
        "GET /v2/search",
        "DELETE /v1/search",
    ];
    let mut table = String::new();
    for endpoint in endpoints {
        table.push_str(endpoint);
        table.push('\n');
        for kind in kinds {
            let reply = client.send(request(endpoint, kind)).await;
            let code = if reply.status.is_success() { "" } else { reply.code() };
            table.push_str(format!("    {kind:<24}{} {code}", reply.status.as_u16()).trim_end());
            table.push('\n');
        }
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn a_page_that_is_absent_and_one_that_is_unseen_are_answered_alike() {
    let client = Client::new();
    for path in ["/v1/pages/", "/v1/similar?page="] {
        let mut bodies = Vec::new();
        // Absent, restricted, below a restricted one, in the trash, in another workspace, no id at all.
        for page in ["absent", "secret", "plan", "drafts", "x%20y"] {
            let bearer = format!("Bearer {}", token("acme", "bob", ""));
            let reply =
                client.get(&format!("{path}{page}"), &[("authorization", &bearer), ("x-request-id", "same")]).await;
            assert_eq!(reply.status, 404, "{path}{page}");
            let mut headers: Vec<_> = reply.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            headers.sort();
            bodies.push((headers, reply.body));
        }
        assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
    }
}

#[tokio::test]
async fn asking_for_another_workspace_than_that_of_the_token_changes_nothing() {
    let client = Client::new();
    let bearer = format!("Bearer {}", token("acme", "bob", ""));
    let headers = [("authorization", bearer.as_str()), ("tessera-workspace", "globex"), ("tessera-act-as", "eve")];
    let reply = client.get("/v1/search?query=globex%20runbook&workspace=globex&as=eve", &headers).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.json.to_string().contains("Globex"), "{}", reply.json);
}

#[tokio::test]
async fn counts_are_for_administrators_alone() {
    let client = Client::new();
    let status = client.get_as("bob", "/v1/status").await.json;
    assert!(status.get("workspace").is_none() && status.get("ingest").is_none(), "{status}");
    let bearer = format!("Bearer {}", token("acme", "bob", "admin"));
    let status = client.get("/v1/status", &[("authorization", &bearer)]).await.json;
    assert_eq!(status["workspace"]["id"], "acme");
    assert_eq!(status["ingest"]["accepting"], true);
}
