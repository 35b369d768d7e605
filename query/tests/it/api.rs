//! The HTTP API as such: problems, request ids, limits, and batches of events.

use axum::body::Body;
use axum::http::Request;
use query::http::HttpConfig;
use query::http::ingest::IngestError;
use schemas::api::events::Wait;
use schemas::ids::WorkspaceId;
use serde_json::{Value, json};

use super::harness::{Client, INGEST_KEY, Reply, token};

#[track_caller]
fn is_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{}", reply.json);
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    assert_eq!(reply.json["status"], status);
    assert_eq!(reply.json["type"], format!("urn:tessera:problem:{code}"));
    let request_id = reply.json["request_id"].as_str().unwrap();
    assert_eq!(reply.headers["x-request-id"], request_id);
    assert_eq!(reply.json["instance"], format!("urn:tessera:request:{request_id}"));
}

fn bearer() -> String {
    format!("Bearer {}", token("acme", "bob", ""))
}

#[tokio::test]
async fn whatever_is_wrong_is_answered_with_a_problem() {
    let client = Client::new();
    is_problem(&client.get_as("bob", "/nowhere").await, 404, "not_found");
    let reply = client.post("/v1/status", &[], "").await;
    is_problem(&reply, 405, "method_not_allowed");
    assert!(reply.headers["allow"].to_str().unwrap().contains("GET"));
    for query in
        ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "q=x", "mode=best", "facets=size", "timeout_ms=1"]
    {
        is_problem(&client.get_as("bob", &format!("/v1/search?{query}")).await, 400, "invalid_request");
    }
    for query in ["cursor=x", "cursor=", &format!("cursor={}", "0".repeat(66)), "cursor=%F0%9F%98%80"] {
        is_problem(&client.get_as("bob", &format!("/v1/search?{query}")).await, 400, "invalid_cursor");
    }
    is_problem(&client.get_as("bob", &format!("/v1/search?query={}", "a".repeat(1001))).await, 400, "invalid_request");
    is_problem(&client.get_as("bob", "/v1/suggest").await, 400, "invalid_request");
    is_problem(&client.get_as("bob", "/v1/similar?page=runbook&limit=51").await, 400, "invalid_request");
    let unauthenticated = client.get("/v1/search", &[]).await;
    is_problem(&unauthenticated, 401, "unauthenticated");
    assert!(unauthenticated.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn bodies_are_checked_for_type_size_and_shape() {
    let client = Client::new();
    let bearer = bearer();
    let post = async |content_type: &str, body: String| {
        client.post("/v1/search", &[("authorization", &bearer), ("content-type", content_type)], body).await
    };
    is_problem(&post("text/plain", "{}".into()).await, 415, "unsupported_media_type");
    is_problem(&post("application/json; charset=latin1", "{}".into()).await, 415, "unsupported_media_type");
    for body in ["", "{", "[]", "null", r#"{"q": 1}"#, r#"{"limit": -1}"#, r#"{"filters": {"author": [""]}}"#, "{}{}"] {
        is_problem(&post("application/json", body.into()).await, 400, "invalid_request");
    }
    is_problem(&post("application/json", " ".repeat(70_000)).await, 413, "too_large");
    let none = client.post("/v1/search", &[("authorization", &bearer)], "{}").await;
    is_problem(&none, 415, "unsupported_media_type");
    let gzip = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("content-encoding", "gzip")];
    is_problem(&client.post("/v1/search", &gzip, "{}").await, 415, "unsupported_media_type");
    assert_eq!(post("application/json; charset=utf-8", "{}".into()).await.status, 200);
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_any_other_replaced() {
    let client = Client::new();
    let reply = client.get("/v1/search", &[("x-request-id", "abc-1.2_3")]).await;
    assert_eq!(reply.json["request_id"], "abc-1.2_3");
    for bad in ["", "a b", "<script>", &"x".repeat(65)] {
        let reply = client.get("/healthz", &[("x-request-id", bad)]).await;
        let given = reply.headers["x-request-id"].to_str().unwrap();
        assert!(given != bad && given.len() == 32, "{given}");
    }
}

#[tokio::test]
async fn what_is_beyond_the_limit_of_requests_is_shed_and_health_is_not() {
    let client = Client::with(HttpConfig { in_flight_max: 0, ..HttpConfig::default() });
    let reply = client.get_as("bob", "/v1/search").await;
    is_problem(&reply, 503, "unavailable");
    assert_eq!(reply.headers["retry-after"], "1");
    assert_eq!(client.get("/healthz", &[]).await.status, 200);
    assert_eq!(client.get("/readyz", &[]).await.status, 200);
}

#[tokio::test]
async fn a_request_for_what_was_not_written_yet_says_so() {
    let client = Client::new();
    let reply = client.get_as("bob", "/v1/search?index_seq=1000000&timeout_ms=100").await;
    is_problem(&reply, 409, "not_yet_visible");
    let seen = client.get_as("bob", "/v1/search?index_seq=0").await;
    let consistency = &seen.json["consistency"];
    let again = format!("/v1/search?index_seq={}&access_seq={}", consistency["index_seq"], consistency["access_seq"]);
    assert_eq!(client.get_as("bob", &again).await.status, 200);
}

fn event(id: &str, workspace: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "test", "type": "page.trashed", "workspaceid": workspace,
        "subject": "runbook",
        "data": {"version": {"clock": {"r": 1}, "timestamp": {"wall_ms": 1}, "region": "r"}},
    })
}

async fn send(client: &Client, content_type: &str, body: String) -> Reply {
    let bearer = format!("Bearer {INGEST_KEY}");
    client.post("/v1/events", &[("authorization", &bearer), ("content-type", content_type)], body).await
}

#[tokio::test]
async fn a_batch_is_taken_in_each_of_its_forms() {
    let client = Client::new();
    let (one, two) = (event("1", "acme"), event("2", "acme"));
    for (content_type, body) in [
        ("application/json", one.to_string()),
        ("application/json", json!([one, two]).to_string()),
        ("application/cloudevents+json", one.to_string()),
        ("application/cloudevents-batch+json; charset=UTF-8", json!([one, two]).to_string()),
        ("application/x-ndjson", format!("{one}\n\n{two}\r\n")),
    ] {
        let reply = send(&client, content_type, body).await;
        assert_eq!(reply.status, 202, "{content_type}: {}", reply.json);
        assert_eq!(reply.json["index_seq"], 7);
    }
    let taken: Vec<usize> = client.ingest.submitted.lock().unwrap().iter().map(|(events, _)| events.len()).collect();
    assert_eq!(taken, [1, 2, 1, 2, 2]);
}

#[tokio::test]
async fn bad_events_are_named_and_hold_up_none_of_the_others() {
    let client = Client::new();
    let mut unknown = event("b", "acme");
    unknown["type"] = "page.exploded".into();
    let lines = [event("a", "acme").to_string(), "{".into(), unknown.to_string(), event("c", "globex").to_string()];
    let reply = send(&client, "application/x-ndjson", lines.join("\n")).await;
    assert_eq!(reply.status, 202, "{}", reply.json);
    assert_eq!(reply.json["accepted"], 1);
    let rejected = reply.json["rejected"].as_array().unwrap();
    let told: Vec<_> =
        rejected.iter().map(|event| (event["index"].as_u64(), event["id"].as_str(), event["code"].as_str())).collect();
    assert_eq!(
        told,
        [
            (Some(1), None, Some("malformed")),
            (Some(2), Some("b"), Some("unknown_type")),
            (Some(3), Some("c"), Some("wrong_workspace")),
        ]
    );
    let kept = client.ingest.refused.lock().unwrap();
    assert_eq!(kept[0].event, b"{", "what was turned down is kept as it came");
    let sent_for: Vec<_> = kept.iter().map(|refused| refused.sent_for.as_ref().map(WorkspaceId::as_str)).collect();
    assert_eq!(sent_for, [None, Some("acme"), None], "nobody may write to globex with this key");
}

#[tokio::test]
async fn a_batch_of_which_nothing_can_be_taken_is_a_problem() {
    let client = Client::new();
    let reply = send(&client, "application/json", json!([{"id": "x"}, event("c", "globex")]).to_string()).await;
    is_problem(&reply, 400, "invalid_events");
    assert_eq!(reply.json["errors"].as_array().unwrap().len(), 2);
    for body in ["", "[", "7 8", "{} {}"] {
        let reply = send(&client, "application/json", body.into()).await;
        assert_eq!(reply.status, 400, "{body}");
    }
    is_problem(&send(&client, "text/csv", "a".into()).await, 415, "unsupported_media_type");
    let many = format!("[{}1]", "1,".repeat(10_000));
    is_problem(&send(&client, "application/json", many).await, 413, "too_large");
    assert!(client.ingest.submitted.lock().unwrap().is_empty());
    assert_eq!(send(&client, "application/json", "[]".into()).await.status, 202, "nothing is nothing wrong");
}

#[tokio::test]
async fn the_wait_and_the_state_of_the_write_side_decide_the_status() {
    let client = Client::new();
    let bearer = format!("Bearer {INGEST_KEY}");
    let post = async |query: &str| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        client.post(&format!("/v1/events{query}"), &headers, event("1", "acme").to_string()).await
    };
    assert_eq!(post("?wait=searchable").await.status, 200);
    assert_eq!(post("?wait=durable").await.status, 202);
    is_problem(&post("?wait=forever").await, 400, "invalid_request");
    is_problem(&post("?timeout_ms=0").await, 400, "invalid_request");
    for (error, status, code) in [
        (IngestError::Busy, 429, "too_many_requests"),
        (IngestError::Late, 503, "deadline_exceeded"),
        (IngestError::Failing("disk on fire".into()), 503, "unavailable"),
        (IngestError::Closed, 503, "unavailable"),
        (IngestError::Failed("disk on fire".into()), 500, "internal"),
    ] {
        *client.ingest.fails.lock().unwrap() = Some(error);
        let reply = post("").await;
        is_problem(&reply, status, code);
        assert!(!reply.json.to_string().contains("fire"), "the cause is for the log alone");
        assert_eq!(reply.headers.contains_key("retry-after"), status != 500);
    }
    let waits: Vec<Wait> = client.ingest.submitted.lock().unwrap().iter().map(|(_, wait)| *wait).collect();
    assert_eq!(waits[..2], [Wait::Searchable, Wait::Durable]);
}

#[tokio::test]
async fn the_description_of_the_api_is_served() {
    let client = Client::new();
    let reply = client.send(Request::get("/openapi.json").body(Body::empty()).unwrap()).await;
    assert_eq!(reply.json["openapi"], "3.1.0");
    assert_eq!(reply.body, query::http::openapi::document().as_bytes());
}
