//! What goes on when a server has more to do than it may, and which web pages may ask it at all.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use query::http::HttpConfig;
use serde_json::json;

use super::harness::{ADMIN_KEY, Client, INGEST_KEY};

fn revocation() -> String {
    json!({
        "specversion": "1.0", "id": "1", "source": "test", "type": "member.changed", "workspaceid": "acme",
        "subject": "ada",
        "data": {"version": {"clock": {"eu": 1}, "timestamp": {"wall_ms": 1_790_000_000_000_i64}, "region": "eu"}, "role": "removed"},
    })
    .to_string()
}

fn key(key: &str) -> String {
    format!("Bearer {key}")
}

#[tokio::test]
async fn with_no_room_for_requests_health_counters_and_events_go_on() {
    let client = Client::with(HttpConfig { in_flight_max: 0, ..HttpConfig::default() });
    let shed = client.search_as("ada", json!({"query": "deploy"})).await;
    assert_eq!((shed.status, shed.code()), (StatusCode::SERVICE_UNAVAILABLE, "unavailable"));
    assert_eq!(shed.headers["retry-after"], "1");
    let (ingest, admin) = (key(INGEST_KEY), key(ADMIN_KEY));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(client.get(path, &[]).await.status, StatusCode::OK, "{path}");
    }
    let counters = client.get("/metrics", &[("authorization", &admin)]).await;
    assert_eq!(counters.status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&counters.body).contains("tessera_query_shed_total{bound=\"requests\"} 1"));
    let headers = [("authorization", ingest.as_str()), ("content-type", "application/json")];
    assert_eq!(client.post("/v1/events", &headers, revocation()).await.status, StatusCode::ACCEPTED);
    assert_eq!(client.ingest.submitted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn with_no_room_kept_for_events_they_are_shed_too() {
    let client = Client::with(HttpConfig { in_flight_max: 0, intake_reserved: 0, ..HttpConfig::default() });
    let ingest = key(INGEST_KEY);
    let headers = [("authorization", ingest.as_str()), ("content-type", "application/json")];
    let shed = client.post("/v1/events", &headers, revocation()).await;
    assert_eq!(shed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shed.headers["retry-after"], "1");
}

fn preflight(origin: &str) -> Request<Body> {
    Request::builder()
        .method(Method::OPTIONS)
        .uri("/v1/search")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,last-event-id")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn pages_of_listed_origins_may_ask_and_no_others() {
    let cors_origins = vec!["https://app.example.com".to_owned(), "http://localhost:3000".to_owned()];
    let client = Client::with(HttpConfig { cors_origins, ..HttpConfig::default() });
    for origin in ["https://app.example.com", "http://localhost:3000"] {
        let told = client.send(preflight(origin)).await;
        assert_eq!(told.status, StatusCode::OK);
        assert_eq!(told.headers["access-control-allow-origin"], origin);
        assert!(told.headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
        let allowed = told.headers["access-control-allow-headers"].to_str().unwrap();
        // Who asks, and where a streamed answer is gone on with.
        assert!(allowed.contains("authorization") && allowed.contains("last-event-id"), "{allowed}");
        assert!(told.headers["vary"].to_str().unwrap().contains("origin"));
        // A refusal can be read as well, or a page could not tell what is wrong.
        let refused = client.get("/v1/search?query=deploy", &[("origin", origin)]).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers["access-control-allow-origin"], origin);
        let exposed = refused.headers["access-control-expose-headers"].to_str().unwrap();
        // When to come again; how an export is named; where an erasure is looked for.
        for header in ["retry-after", "content-disposition", "location"] {
            assert!(exposed.contains(header), "{header} in {exposed}");
        }
    }
    for origin in ["https://app.example.com.evil.example", "https://evil.example", "null", "http://app.example.com"] {
        let told = client.send(preflight(origin)).await;
        assert!(!told.headers.contains_key("access-control-allow-origin"), "{origin}: {:?}", told.headers);
    }
    let told = client.send(preflight("https://app.example.com")).await;
    assert!(!told.headers.contains_key("access-control-allow-credentials"), "no cookie is ever let through");
}

#[tokio::test]
async fn unless_an_origin_is_listed_browsers_are_told_nothing() {
    let client = Client::with(HttpConfig::default());
    let told = client.send(preflight("https://app.example.com")).await;
    assert_eq!(told.status, StatusCode::METHOD_NOT_ALLOWED);
    let asked = client.get("/healthz", &[("origin", "https://app.example.com")]).await;
    assert!(asked.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{:?}", asked.headers);
}

#[test]
fn settings_that_cannot_hold_are_named() {
    use query::http::connections::ConnectionsConfig;
    use query::http::tls::TlsConfig;
    #[track_caller]
    fn check(config: &HttpConfig, named: &str) {
        assert!(config.wrong().unwrap().contains(named), "{:?}", config.wrong());
    }
    assert_eq!(HttpConfig::default().wrong(), None);
    let connections = |connections| HttpConfig { connections, ..HttpConfig::default() };
    check(&connections(ConnectionsConfig { max: 0, ..ConnectionsConfig::default() }), "connections.max");
    check(&connections(ConnectionsConfig { header_bytes_max: 1, ..ConnectionsConfig::default() }), "header_bytes_max");
    check(&connections(ConnectionsConfig { body_stall_ms: 0, ..ConnectionsConfig::default() }), "body_stall_ms");
    check(&HttpConfig { cors_origins: vec!["*".to_owned()], ..HttpConfig::default() }, "cors_origins");
    let half = TlsConfig { cert_file: "cert.pem".to_owned(), ..TlsConfig::default() };
    check(&HttpConfig { tls: half, ..HttpConfig::default() }, "tls.key_file");
}
