//! Every endpoint of the server by its method and its path, for tests that must leave none out.
//!
//! The description of the API names those of the API; those beside it are named here. A route that is neither is found below.

use std::collections::BTreeSet;

/// Endpoints that the description of the API does not name: the page, the assistants' protocol and how its clients sign in.
const BESIDE: [&str; 4] = ["GET /", "GET /ui/{file}", "POST /mcp", "GET /.well-known/oauth-protected-resource"];

/// All endpoints, as `GET /v1/pages/{id}`.
pub fn all() -> BTreeSet<String> {
    let document: serde_json::Value = serde_json::from_str(&query::http::openapi::document()).unwrap();
    let mut all: BTreeSet<String> = BESIDE.map(str::to_owned).into();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let methods =
            operations.as_object().unwrap().keys().filter(|name| ["get", "post", "delete"].contains(&&***name));
        all.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    all
}

/// The endpoint that a request like `GET /v1/pages/runbook?workspace=acme` is for.
pub fn of(request: &str) -> Option<String> {
    let request = request.split('?').next().unwrap_or(request);
    let fits = |endpoint: &str| {
        let (given, wanted) = (request.split('/'), endpoint.split('/'));
        given.clone().count() == wanted.clone().count() && given.zip(wanted).all(|(a, b)| a == b || b.starts_with('{'))
    };
    let all = all();
    all.get(request).or_else(|| all.iter().find(|endpoint| fits(endpoint))).cloned()
}

#[test]
fn every_route_is_described_or_named_here() {
    let paths: BTreeSet<String> = all().iter().map(|endpoint| endpoint.split_once(' ').unwrap().1.to_owned()).collect();
    let source = include_str!("../../src/http.rs");
    let routes: Vec<&str> = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() >= 20, "{routes:?}");
    for route in routes {
        assert!(paths.contains(route), "{route} is neither in the description of the API nor in `BESIDE`");
    }
    assert_eq!(of("DELETE /v1/conversations/0?x=y").as_deref(), Some("DELETE /v1/conversations/{id}"));
    assert_eq!(of("GET /v1/models").as_deref(), Some("GET /v1/models"));
    assert_eq!(of("GET /ui/main.js").as_deref(), Some("GET /ui/{file}"));
    assert_eq!(of("PUT /v1/models"), None);
}
