//! Who gets what from which endpoint: every endpoint by every kind of caller, and that absent and unseen are alike.
//!
//! The table is a snapshot that is read by people. An endpoint of the API without a row fails, whoever forgot it.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use jiff::{SignedDuration, Timestamp};
use query::http::auth::keys::{KeyFile, Keys, NewKey};
use query::http::auth::{Auth, AuthConfig, Scope, Secrets};
use schemas::ids::WorkspaceId;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::endpoints;
use super::harness::{ACME_ADMIN_KEY, ADMIN_KEY, Client, INGEST_KEY, SEARCH_KEY, token};
use super::identities::{SECRET, config, signed};

/// Whom tokens must be made for.
const AUDIENCE: &str = "https://search.example.com";

/// Kinds of callers. Those that show what is not valid, or not any more, come first.
const KINDS: [&str; 19] = [
    "nobody",
    "nobody in acme",
    "no token",
    "expired token",
    "other audience",
    "other secret",
    "revoked key",
    "ended key",
    "guest",
    "member",
    "administrator",
    "member elsewhere",
    "administrator elsewhere",
    "search key",
    "search key for nobody",
    "key elsewhere",
    "ingest key",
    "admin key",
    "admin key of acme",
];
/// Those of them that show something that is not valid: all are told the same.
const INVALID: std::ops::Range<usize> = 2..8;

/// What endpoints are asked; some more than once.
const REQUESTS: [&str; 47] = [
    "GET /v1/search?query=deploy",
    "POST /v1/search",
    "GET /v1/suggest?query=dep",
    "GET /v1/similar?page=runbook",
    "POST /v1/answers",
    "DELETE /v1/answers/00000000000000000000000000000000",
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
    "GET /v1/pages/runbook/export?format=pdf",
    "GET /v1/pages/secret/export?format=pdf",
    "GET /v1/pages/absent/export?format=pdf",
    "GET /v1/explain-access?page=secret&user=bob",
    "POST /v1/events",
    "POST /mcp",
    "GET /v1/usage",
    "GET /v1/evaluation",
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

/// A server with keys of both places, for tokens of one audience; and keys that are not valid any more.
struct Site {
    client: Client,
    revoked: String,
    ended: String,
    elsewhere: String,
    _dir: TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let file = KeyFile::new(dir.path().join("keys.json"));
        let now = Timestamp::now();
        let key = |name: &str, workspaces: &[&str], ends_at| {
            let workspaces = workspaces.iter().map(|id| WorkspaceId::new(id).unwrap()).collect();
            let scopes = vec![Scope::Search, Scope::Ingest, Scope::Admin];
            file.create(NewKey { name: name.to_owned(), scopes, workspaces, ends_at }, now).unwrap()
        };
        let (revoked, record) = key("revoked", &[], None);
        file.revoke(&record.id, now).unwrap();
        let (ended, _) = key("ended", &[], Some(now - SignedDuration::from_secs(1)));
        let (elsewhere, _) = key("elsewhere", &["globex"], None);
        let config = AuthConfig { jwt_audience: AUDIENCE.to_owned(), ..config() };
        let keys = Some(Keys::open(file).unwrap());
        let secrets = Secrets { jwt_hs256: Some(SECRET.to_vec()), keys, ..Secrets::default() };
        let client = Client::believing(Auth::new(&config, secrets).unwrap());
        Self { client, revoked, ended, elsewhere, _dir: dir }
    }

    /// How a request says who is asking.
    fn headers(&self, kind: &str) -> Vec<(&'static str, String)> {
        let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
        let named = |key: &str| {
            vec![bearer(key), ("tessera-workspace", "acme".to_owned()), ("tessera-act-as", "bob".to_owned())]
        };
        let now = jsonwebtoken::get_current_timestamp();
        let claims = |workspace: &str, user: &str, scope: &str, more: Value| {
            let mut claims =
                json!({"sub": user, "workspace": workspace, "scope": scope, "aud": AUDIENCE, "exp": now + 600});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            vec![bearer(&signed(&claims))]
        };
        let token_of = |workspace: &str, user: &str, scope: &str| claims(workspace, user, scope, json!({}));
        match kind {
            "nobody" => vec![],
            "nobody in acme" => vec![("tessera-workspace", "acme".to_owned()), ("tessera-user", "ada".to_owned())],
            "no token" => vec![bearer("x.y.z")],
            "expired token" => claims("acme", "bob", "admin", json!({"exp": now - 3_600})),
            "other audience" => claims("acme", "bob", "admin", json!({"aud": "https://other.example.com"})),
            "other secret" => {
                let token = token_of("acme", "bob", "admin").remove(0).1;
                let (signed, _) = token.rsplit_once('.').unwrap();
                vec![("authorization", format!("{signed}.{}", "A".repeat(43)))]
            }
            "revoked key" => named(&self.revoked),
            "ended key" => named(&self.ended),
            "guest" => token_of("acme", "gus", ""),
            "member" => token_of("acme", "bob", ""),
            "administrator" => token_of("acme", "bob", "admin"),
            "member elsewhere" => token_of("globex", "eve", ""),
            "administrator elsewhere" => token_of("globex", "eve", "admin"),
            "search key" => named(SEARCH_KEY),
            "search key for nobody" => vec![bearer(SEARCH_KEY)],
            "key elsewhere" => named(&self.elsewhere),
            "ingest key" => named(INGEST_KEY),
            "admin key" => named(ADMIN_KEY),
            "admin key of acme" => named(ACME_ADMIN_KEY),
            other => panic!("no kind of caller is called {other}"),
        }
    }

    fn request(&self, endpoint: &str, kind: &str) -> Request<Body> {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path).header("x-request-id", "same");
        for (name, value) in self.headers(kind) {
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
}

#[test]
fn every_endpoint_has_a_row() {
    let rows: BTreeSet<String> = REQUESTS.iter().filter_map(|request| endpoints::of(request)).collect();
    let missing: Vec<String> = endpoints::all().into_iter().filter(|endpoint| !rows.contains(endpoint)).collect();
    assert!(missing.is_empty(), "add these to `REQUESTS`: {missing:?}");
}

#[tokio::test]
async fn every_endpoint_answers_every_kind_of_caller_as_in_the_table() {
    let site = Site::new();
    let mut table = String::new();
    for endpoint in REQUESTS {
        table.push_str(endpoint);
        table.push('\n');
        let mut replies = Vec::new();
        for kind in KINDS {
            let reply = site.client.send(site.request(endpoint, kind)).await;
            let code = if reply.status.is_success() { "" } else { reply.code() };
            table.push_str(format!("    {kind:<24}{} {code}", reply.status.as_u16()).trim_end());
            table.push('\n');
            let body = String::from_utf8_lossy(&reply.body).to_lowercase();
            // Of `acme`, `eve` and her key see nothing; nobody but `ada` sees this page.
            assert!(!body.contains("lanternfish"), "{endpoint} as {kind}: {body}");
            assert!(!kind.ends_with("elsewhere") || !body.contains("telescope"), "{endpoint} as {kind}: {body}");
            replies.push(reply);
        }
        let status = |kind: usize| (replies[kind].status, replies[kind].code().to_owned());
        for kind in INVALID {
            assert_eq!(status(kind), status(INVALID.start), "{endpoint}: {} is told as any other", KINDS[kind]);
            assert!(replies[kind].status == 401 || status(kind) == status(0), "{endpoint}: {}", KINDS[kind]);
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
    assert!(status.get("ingest").is_none(), "the write side tells of all workspaces: {status}");
    let of = async |key: &str| {
        let key = format!("Bearer {key}");
        client.get("/v1/status", &[("authorization", &key), ("tessera-workspace", "acme")]).await.json
    };
    assert!(of(ACME_ADMIN_KEY).await.get("ingest").is_none());
    assert_eq!(of(ADMIN_KEY).await["ingest"]["accepting"], true);
}
