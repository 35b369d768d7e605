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
use models::generate::{BudgetConfig, Generate, Ledger, LedgerConfig};
use query::audit::{Audit, AuditConfig};
use query::config::Config;
use query::conversations::Conversations;
use query::engine::Engine;
use query::erasure::{ErasureConfig, Erasures, Parts};
use query::feedback::Feedback;
use query::feedback::record::Record;
use query::http::auth::{Auth, AuthConfig, Secrets};
use query::http::ingest::{Ingest, IngestError, Receipt, Submitted};
use query::http::{App, HttpConfig, Records};
use schemas::api::evaluation::EvaluationSummary;
use schemas::api::events::Wait;
use schemas::api::operate::IngestStatus;
use schemas::event::Event;
use schemas::ids::{UserId, WorkspaceId};
use tempfile::TempDir;

pub use super::asking::Reply;
pub use super::content::{Content, PageSpec};
pub use super::identities::{ACME_ADMIN_KEY, ADMIN_KEY, INGEST_KEY, SEARCH_KEY, auth, token};

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
    /// The API.
    pub router: Router,
    /// The server of it.
    pub app: App,
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

/// What a server is made of, where it is not as most are.
struct Choices {
    auth: Auth,
    content: Content,
    http: HttpConfig,
    config: Config,
    generate: Option<Arc<dyn Generate>>,
    audit: AuditConfig,
    budgets: BudgetConfig,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            auth: auth(),
            content: acme(),
            http: HttpConfig::default(),
            config: Config::default(),
            generate: None,
            audit: AuditConfig::default(),
            budgets: BudgetConfig::default(),
        }
    }
}

/// The latest evaluation, as the servers here know it.
fn evaluated() -> EvaluationSummary {
    EvaluationSummary {
        made_at: jiff::Timestamp::UNIX_EPOCH,
        release: "1.0".into(),
        machine: "a machine".into(),
        model_id: None,
        leaks: 0,
        collections: Vec::new(),
        request_id: String::new(),
    }
}

impl Client {
    /// A client of the workspace above.
    pub fn new() -> Self {
        Self::of(Choices::default())
    }

    /// A client of a server with these choices.
    pub fn with(http: HttpConfig) -> Self {
        Self::of(Choices { http, ..Choices::default() })
    }

    /// A client of a server over this content whose answers are written by a model, with these choices.
    pub fn writing(content: Content, config: Config, generate: Option<Arc<dyn Generate>>) -> Self {
        // Some tests ask more often in a second than people do.
        let mut http = HttpConfig::default();
        (http.rate.caller_per_second, http.rate.workspace_per_second) = (0, 0);
        Self::of(Choices { content, http, config, generate, ..Choices::default() })
    }

    /// A client of a server over this content that records feedback, with these choices about searching.
    pub fn recording(content: Content, mut config: Config) -> Self {
        config.feedback.enabled = true;
        Self::of(Choices { content, config, ..Choices::default() })
    }

    /// A client of a server that believes these.
    pub fn believing(auth: Auth) -> Self {
        Self::of(Choices { auth, ..Choices::default() })
    }

    /// A client of a server that records who did what as chosen.
    pub fn audited(audit: AuditConfig) -> Self {
        Self::of(Choices { audit, ..Choices::default() })
    }

    /// A client of a server on which so much may be spent.
    pub fn spending(budgets: BudgetConfig) -> Self {
        Self::of(Choices { budgets, ..Choices::default() })
    }

    /// A client of a server in insecure development.
    pub fn insecure() -> Self {
        let insecure = AuthConfig { insecure_development: true, ..AuthConfig::default() };
        Self::believing(Auth::new(&insecure, Secrets::default()).unwrap())
    }

    fn of(choices: Choices) -> Self {
        let Choices { auth, content, http, config, generate, audit, budgets } = choices;
        let ingest = Arc::new(FakeIngest::default());
        let dir = TempDir::new().unwrap();
        let feedback = Feedback::open(dir.path(), &config.feedback, content.index()).unwrap();
        let conversations = Conversations::open(dir.path(), &config.conversations, content.index());
        let engine = Engine::with_writer(content.index(), Some(content.embedder()), generate, config).unwrap();
        let writes = Arc::clone(&ingest) as Arc<dyn Ingest>;
        let ledger = Ledger::open(&dir.path().join("usage"), LedgerConfig::default(), jiff::Timestamp::now()).unwrap();
        let ledger = Arc::new(ledger);
        let audit = Audit::open(dir.path(), &audit, None, Arc::new(content.index())).unwrap().unwrap();
        let usage = Some(Arc::clone(&ledger));
        let parts = Parts { stores: Vec::new(), not_reached: Vec::new(), audit: Some(audit.clone()) };
        let erasures = Erasures::open(dir.path(), &ErasureConfig::default(), parts).unwrap();
        let records = Records {
            feedback: feedback.clone(),
            audit: Some(audit.clone()),
            erasures: Some(erasures.clone()),
            conversations: Some(conversations.clone()),
            usage,
            budgets,
            evaluated: Some(Arc::new(|| Some(evaluated()))),
            ..Records::default()
        };
        let app = App::recording(engine.clone(), writes, records, auth, http);
        let router = app.router();
        Self { router, app, engine, ingest, content, feedback, conversations, ledger, audit, erasures, dir }
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
}
