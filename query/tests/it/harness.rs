//! A small workspace over a real index, the people in it, and a client of the HTTP API.
//!
//! The workspace `acme`: `ada` and `bob` are members, `gus` is a guest, `eve` belongs to `globex` alone.
//!
//! ```text
//! engineering   teamspace, members view
//!   runbook     "Deploy runbook": blue green deployment, rollback
//!   secret      restricted to ada: project lanternfish
//!     plan      below it: the lanternfish deployment plan
//!   tasks       database
//!     task-1    row, tag urgent
//! handbook      members view, public too
//! notice        public only
//! drafts        ada edits; in the trash
//! ```

use std::sync::Arc;
use std::sync::Mutex;

use access::{Caller, Subject};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use models::generate::{Generate, Ledger, LedgerConfig};
use query::audit::{Audit, AuditConfig};
use query::config::Config;
use query::conversations::Conversations;
use query::engine::Engine;
use query::erasure::{ErasureConfig, Erasures, Parts};
use query::feedback::Feedback;
use query::feedback::record::Record;
use query::http::auth::{Auth, AuthConfig, Scope, Secrets, ServiceKeyConfig};
use query::http::ingest::{Ingest, IngestError, Receipt, Submitted};
use query::http::{App, HttpConfig, Records};
use schemas::api::events::Wait;
use schemas::api::operate::IngestStatus;
use schemas::event::Event;
use schemas::ids::{UserId, WorkspaceId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

pub use super::content::{Content, PageSpec};

/// The shared secret of the tests' tokens.
pub const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
/// A service key with the scope `search`.
pub const SEARCH_KEY: &str = "tsk_search_0123456789abcdef0123456789";
/// A service key with the scope `ingest`, for `acme` alone.
pub const INGEST_KEY: &str = "tsk_ingest_0123456789abcdef0123456789";
/// A service key with the scope `admin`.
pub const ADMIN_KEY: &str = "tsk_admin_00123456789abcdef0123456789";
/// A service key with the scope `admin`, for `acme` alone.
pub const ACME_ADMIN_KEY: &str = "tsk_acme_admin_0123456789abcdef012345";

/// The workspace above.
pub fn acme() -> Content {
    let mut content = Content::new();
    content.member("acme", "ada", "member");
    content.member("acme", "bob", "member");
    content.member("acme", "gus", "guest");
    content.member("globex", "eve", "member");
    let under = |parent: &'static str| PageSpec { parent: Some(parent), ..PageSpec::default() };
    let root = PageSpec { grants: &["workspace:view"], ..PageSpec::default() };
    content.page("acme", "engineering", PageSpec { title: "Engineering", kind: "teamspace", by: "ada", ..root });
    content.page(
        "acme",
        "runbook",
        PageSpec {
            title: "Deploy runbook",
            text: &["Deploy the telescope service in the blue green way.", "A rollback takes one minute."],
            by: "bob",
            day: 3,
            ..under("engineering")
        },
    );
    content.page(
        "acme",
        "secret",
        PageSpec {
            title: "Lanternfish",
            text: &["Project lanternfish is not announced. Its deployment is secret."],
            grants: &["user:ada:full"],
            restricted: true,
            by: "ada",
            day: 5,
            ..under("engineering")
        },
    );
    content.page(
        "acme",
        "plan",
        PageSpec {
            title: "Deployment plan",
            text: &["Deploy lanternfish on the second night."],
            tags: &["urgent"],
            by: "ada",
            day: 6,
            ..under("secret")
        },
    );
    content.page("acme", "tasks", PageSpec { title: "Tasks", kind: "database", by: "bob", ..under("engineering") });
    content.page(
        "acme",
        "task-1",
        PageSpec {
            title: "Order mirror coating",
            text: &["Call the supplier about the mirror coating."],
            kind: "row",
            tags: &["Urgent", "buy"],
            by: "bob",
            day: 4,
            ..under("tasks")
        },
    );
    content.page(
        "acme",
        "handbook",
        PageSpec {
            title: "Handbook",
            text: &["How we deploy and how we rest."],
            grants: &["workspace:view", "public:view"],
            by: "ada",
            day: 1,
            ..root
        },
    );
    content.page(
        "acme",
        "notice",
        PageSpec {
            title: "Public notice",
            text: &["The telescope is open on Friday. Deploy your blanket."],
            grants: &["public:view"],
            ..root
        },
    );
    content.page(
        "acme",
        "drafts",
        PageSpec {
            title: "Old drafts",
            text: &["Deploy drafts nobody wants."],
            grants: &["user:ada:edit", "workspace:view"],
            trashed: true,
            ..root
        },
    );
    content.page("globex", "runbook", PageSpec { title: "Globex runbook", text: &["Globex deploys by hand."], ..root });
    content.commit();
    content
}

/// The engine over some content.
pub fn engine(content: &Content) -> Engine {
    Engine::new(content.index(), Some(content.embedder()), Config::default()).unwrap()
}

/// Somebody of a workspace.
pub fn caller(workspace: &str, user: &str) -> Caller {
    Caller { workspace: WorkspaceId::new(workspace).unwrap(), subject: Subject::User(UserId::new(user).unwrap()) }
}

/// A write side that remembers what it was given and answers as told.
#[derive(Default)]
pub struct FakeIngest {
    /// What was submitted.
    pub submitted: Mutex<Vec<(Vec<Event>, Wait)>>,
    /// What was turned down before.
    pub refused: Mutex<Vec<query::http::ingest::Refused>>,
    /// The next answer, if it is an error.
    pub fails: Mutex<Option<IngestError>>,
}

impl Ingest for FakeIngest {
    fn submit(&self, events: Vec<Event>, wait: Wait, _: query::deadline::Deadline) -> Submitted {
        let answer = match self.fails.lock().unwrap().take() {
            Some(error) => Err(error),
            None => Ok(Receipt { accepted: events.len() as u64, index_seq: 7, ..Receipt::default() }),
        };
        self.submitted.lock().unwrap().push((events, wait));
        Box::pin(async move { answer })
    }

    fn reject(&self, refused: Vec<query::http::ingest::Refused>) -> query::http::ingest::Kept {
        self.refused.lock().unwrap().extend(refused);
        Box::pin(async { Ok(()) })
    }

    fn status(&self) -> IngestStatus {
        IngestStatus { accepting: true, ..IngestStatus::default() }
    }
}

/// A client of the API over the workspace above.
pub struct Client {
    router: Router,
    /// The read side.
    pub engine: Engine,
    /// The write side behind it.
    pub ingest: Arc<FakeIngest>,
    /// What is behind it.
    pub content: Content,
    /// The log of feedback, where it is on.
    pub feedback: Option<Feedback>,
    /// What people asked and were answered.
    pub conversations: Conversations,
    /// What language models took.
    pub ledger: Arc<Ledger>,
    /// Who did what.
    pub audit: Audit,
    /// What is erased, from no store at all.
    pub erasures: Erasures,
    /// The folder of the log.
    pub dir: TempDir,
}

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

fn service_key(name: &str, key: &str, scope: Scope, workspaces: &[&str]) -> ServiceKeyConfig {
    ServiceKeyConfig {
        name: name.into(),
        hash: blake3::hash(key.as_bytes()).to_hex().to_string(),
        scopes: vec![scope],
        workspaces: workspaces.iter().map(|id| WorkspaceId::new(id).unwrap()).collect(),
    }
}

/// The identities of the tests.
pub fn auth() -> Auth {
    let config = AuthConfig {
        jwt_admin_scope: "admin".into(),
        service_keys: vec![
            service_key("search", SEARCH_KEY, Scope::Search, &[]),
            service_key("ingest", INGEST_KEY, Scope::Ingest, &["acme"]),
            service_key("admin", ADMIN_KEY, Scope::Admin, &[]),
            service_key("acme-admin", ACME_ADMIN_KEY, Scope::Admin, &["acme"]),
        ],
        ..AuthConfig::default()
    };
    Auth::new(&config, Secrets { jwt_hs256: Some(SECRET.to_vec()), ..Secrets::default() }).unwrap()
}

/// A token of somebody.
pub fn token(workspace: &str, user: &str, scope: &str) -> String {
    let claims = json!({"sub": user, "workspace": workspace, "exp": jsonwebtoken::get_current_timestamp() + 600, "scope": scope});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

impl Client {
    /// A client of the workspace above.
    pub fn new() -> Self {
        Self::with(HttpConfig::default())
    }

    /// A client of a server with these choices.
    pub fn with(config: HttpConfig) -> Self {
        Self::of(acme(), config, Config::default(), None)
    }

    /// A client of a server over this content whose answers are written by a model, with these choices.
    pub fn writing(content: Content, config: Config, generate: Option<Arc<dyn Generate>>) -> Self {
        // Some tests ask more often in a second than people do.
        let mut http = HttpConfig::default();
        (http.rate.caller_per_second, http.rate.workspace_per_second) = (0, 0);
        Self::of(content, http, config, generate)
    }

    /// A client of a server over this content that records feedback, with these choices about searching.
    pub fn recording(content: Content, mut config: Config) -> Self {
        config.feedback.enabled = true;
        Self::of(content, HttpConfig::default(), config, None)
    }

    /// A client of a server that records who did what as chosen.
    pub fn audited(audit: &AuditConfig) -> Self {
        Self::over(auth(), acme(), HttpConfig::default(), Config::default(), None, audit)
    }

    /// A client of a server in insecure development.
    pub fn insecure() -> Self {
        let insecure = AuthConfig { insecure_development: true, ..AuthConfig::default() };
        let auth = Auth::new(&insecure, Secrets::default()).unwrap();
        Self::behind(auth, acme(), HttpConfig::default(), Config::default(), None)
    }

    fn of(content: Content, http: HttpConfig, config: Config, generate: Option<Arc<dyn Generate>>) -> Self {
        Self::behind(auth(), content, http, config, generate)
    }

    fn behind(
        auth: Auth,
        content: Content,
        http: HttpConfig,
        config: Config,
        generate: Option<Arc<dyn Generate>>,
    ) -> Self {
        Self::over(auth, content, http, config, generate, &AuditConfig::default())
    }

    fn over(
        auth: Auth,
        content: Content,
        http: HttpConfig,
        config: Config,
        generate: Option<Arc<dyn Generate>>,
        audit: &AuditConfig,
    ) -> Self {
        let ingest = Arc::new(FakeIngest::default());
        let dir = TempDir::new().unwrap();
        let feedback = Feedback::open(dir.path(), &config.feedback, content.index()).unwrap();
        let conversations = Conversations::open(dir.path(), &config.conversations, content.index());
        let engine = Engine::with_writer(content.index(), Some(content.embedder()), generate, config).unwrap();
        let writes = Arc::clone(&ingest) as Arc<dyn Ingest>;
        let ledger = Ledger::open(&dir.path().join("usage"), LedgerConfig::default(), jiff::Timestamp::now()).unwrap();
        let ledger = Arc::new(ledger);
        let audit = Audit::open(dir.path(), audit, None, Arc::new(content.index())).unwrap().unwrap();
        let usage = Some(Arc::clone(&ledger));
        let parts = Parts { stores: Vec::new(), not_reached: Vec::new(), audit: Some(audit.clone()) };
        let erasures = Erasures::open(dir.path(), &ErasureConfig::default(), parts).unwrap();
        let records = Records {
            feedback: feedback.clone(),
            audit: Some(audit.clone()),
            erasures: Some(erasures.clone()),
            conversations: Some(conversations.clone()),
            usage,
            ..Records::default()
        };
        let app = App::recording(engine.clone(), writes, records, auth, http);
        let router = app.router();
        Self { router, engine, ingest, content, feedback, conversations, ledger, audit, erasures, dir }
    }

    /// The lines of the log, once all of them are written.
    pub fn records(&self) -> Vec<Record> {
        assert!(self.feedback.as_ref().unwrap().settle(std::time::Duration::from_mins(1)));
        let mut records = Vec::new();
        query::feedback::record::each(&self.dir.path().join(query::feedback::FOLDER), &mut |record| {
            records.push(record);
        })
        .unwrap();
        records
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
        let bearer = format!("Bearer {}", token("acme", user, ""));
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-request-id", "same")];
        self.post("/v1/feedback", &headers, body.to_string()).await
    }

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
        let bearer = format!("Bearer {}", token("acme", user, ""));
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("x-request-id", "same")];
        self.post("/v1/answers", &headers, request.to_string()).await
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
}
