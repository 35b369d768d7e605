//! Odd paths, queries and headers: whatever is asked, the answer is a problem or what was meant, never a fault of the server, and never tells what
//! its reader may not see.

use axum::body::Body;
use axum::http::{Request, Uri};
use proptest::prelude::*;
use query::config::Config;
use query::http::HttpConfig;

use super::connections::Served;
use super::harness::{Client, acme, token};

/// Pieces that paths are made of: known words, ids, and what proxies, file systems and decoders read in different ways.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "v1",
        "v2",
        "search",
        "suggest",
        "similar",
        "pages",
        "answers",
        "users",
        "workspaces",
        "erasures",
        "conversations",
        "models",
        "export",
        "events",
        "mcp",
        "ui",
        "main.js",
        "metrics",
        "healthz",
        "openapi.json",
        ".well-known",
        "runbook",
        "secret",
        "absent",
        "acme",
        "globex",
        "",
        ".",
        "..",
        "...",
        "%2e",
        "%2e%2e",
        "..%2f",
        "%2F",
        "%5c",
        "\\",
        "%00",
        "%0a",
        "%0d%0aX-Injected:%201",
        "%20",
        "%c0%ae",
        "%ff",
        "%e2%80%ae",
        "%",
        "%zz",
        "%u002e",
        "%25%32%65",
        ";",
        ";x=1",
        "*",
        "~",
        "@",
        ":",
        "+",
        "&",
        "=",
        "'",
        "\"",
        "<script>",
        "secret%2f..%2frunbook",
        "runbook%00secret",
        "%73ecret",
        "secret.json",
        "SECRET",
        "{id}",
        "{*rest}",
        "$",
        "\u{202e}",
        "ä",
        "日本語",
    ])
    .prop_map(str::to_owned);
    let any = "\\PC{0,12}";
    let long = (1_usize..4_000).prop_map(|length| "a".repeat(length));
    prop_oneof![8 => known, 2 => any, 1 => long]
}

fn path() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(piece(), 0..6).prop_map(|pieces| format!("/{}", pieces.join("/")));
    let known = prop::sample::select(vec![
        "/v1/pages/",
        "/v1/conversations/",
        "/v1/erasures/",
        "/v1/models/",
        "/v1/users/",
        "/ui/",
    ]);
    let below =
        (known, prop::collection::vec(piece(), 1..3)).prop_map(|(base, pieces)| base.to_owned() + &pieces.join("/"));
    let query = prop::option::of(prop::collection::vec(piece(), 0..4).prop_map(|pieces| pieces.join("&workspace=")));
    (prop_oneof![path, below], query).prop_map(|(path, query)| match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn any_path_is_answered_with_what_is_there_or_with_a_problem() {
    let (runtime, client) = (runtime(), Client::writing(acme(), Config::default(), None));
    let bearer = format!("Bearer {}", token("acme", "bob", "admin"));
    let methods = prop::sample::select(vec!["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS", "TRACE", "BREW"]);
    let config = ProptestConfig::with_cases(1_500);
    proptest!(config, |(path in path(), method in methods)| {
        // What cannot be written as an address is turned away before it comes here: the test below.
        let Ok(uri) = path.parse::<Uri>() else { return Ok(()) };
        // What it erases would be gone for the cases after it.
        prop_assume!(!(method == "DELETE" && ["/v1/pages", "/v1/users", "/v1/workspaces"].iter().any(|base| path.starts_with(base))));
        let request = Request::builder().method(method).uri(uri).header("authorization", &bearer).header("host", "localhost");
        let reply = runtime.block_on(client.send(request.body(Body::empty()).unwrap()));
        let body = String::from_utf8_lossy(&reply.body).to_lowercase();
        prop_assert!(reply.status.as_u16() < 500, "{method} {path}: {} {body}", reply.status);
        prop_assert!(!body.contains("lanternfish") && !body.contains("globex deploys"), "{method} {path}: {body}");
        prop_assert!(!reply.headers.contains_key("x-injected"), "{method} {path}");
        prop_assert!(reply.headers.contains_key("x-request-id") && reply.headers["x-content-type-options"] == "nosniff");
        let is_told = reply.status.is_success() || method == "HEAD" || reply.json["status"] == reply.status.as_u16()
            || reply.json["error"].is_object();
        prop_assert!(is_told || path.starts_with("/mcp"), "{method} {path}: {} {body}", reply.status);
    });
}

#[test]
fn any_bytes_in_the_place_of_a_request_harm_nobody() {
    let runtime = runtime();
    let served = runtime.block_on(Served::start(HttpConfig::default()));
    let line = prop_oneof![
        path().prop_map(|path| format!("GET {path} HTTP/1.1").into_bytes()),
        (piece(), piece()).prop_map(|(method, path)| format!("{method} /{path} HTTP/1.1").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
        prop::sample::select(vec![
            "GET http://localhost/v1/pages/secret HTTP/1.1",
            "GET //v1//search HTTP/1.1",
            "GET /healthz HTTP/9.9",
            "GET /healthz",
            "PRI * HTTP/2.0",
            "CONNECT localhost:22 HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET  /healthz HTTP/1.1",
            "\0GET /healthz HTTP/1.1",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
    ];
    let header = prop::sample::select(vec![
        "host: localhost",
        "host: a\r\nhost: b",
        "content-length: 5",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "content-length: 0\r\ncontent-length: 7",
        "transfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "transfer-encoding: gzip, chunked",
        "x y: z",
        ": empty",
        "x-request-id: a\r\n b",
        "authorization: Bearer",
        "expect: 100-continue",
        "upgrade: websocket\r\nconnection: upgrade",
        "connection: close",
        "\u{1}: \u{2}",
    ]);
    let headers = prop::collection::vec(header, 0..4);
    let config = ProptestConfig::with_cases(300);
    proptest!(config, |(line in line, headers in headers)| {
        let mut request = line;
        for header in headers {
            request.extend_from_slice(b"\r\n");
            request.extend_from_slice(header.as_bytes());
        }
        request.extend_from_slice(b"\r\nconnection: close\r\n\r\n");
        let answer = runtime.block_on(served.tell(&request));
        let told = String::from_utf8_lossy(&answer);
        prop_assert!(told.is_empty() || told.starts_with("HTTP/1."), "{told}");
        // Whatever method it had; nothing that is not one is taken for a fault of ours.
        prop_assert!(!told.starts_with("HTTP/1.1 5") && !told.starts_with("HTTP/1.0 5"), "{:?}: {told}", String::from_utf8_lossy(&request));
        prop_assert!(!told.to_lowercase().contains("lanternfish"));
    });
    runtime.block_on(async {
        assert!(
            served
                .ask("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 200")
        );
        served.stop().await;
    });
}
