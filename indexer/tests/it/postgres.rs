//! Reading from PostgreSQL, over a real server: it is named in a variable that `make test-services` sets. Each test has a
//! database of its own, made by the SQL of `docs/backfill.md`, and reads it as the role that is made there.

mod meeting;
mod outbox;
mod product;
mod tables;
mod tls;

use std::sync::{Mutex, MutexGuard, PoisonError};

use indexer::engine::Engine;
use indexer::postgres::config::{Config, Secrets};
use indexer::postgres::{OutboxReport, PostgresError, TablesReport, read_outbox, read_tables};
use schemas::ids::{PageId, WorkspaceId};
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::site::PATIENCE;

/// A connection string of a superuser, for `make test-services`.
const SERVER: &str = "TESSERA_TEST_POSTGRES";
const READER: &str = "tessera_reader";
const PASSWORD: &str = "hush-hush";

/// A connection of a product.
struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    fn open(config: &tokio_postgres::Config) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Self { runtime, client }
    }

    #[track_caller]
    fn run(&self, sql: &str) {
        self.runtime.block_on(self.client.batch_execute(sql)).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    #[track_caller]
    fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) {
        self.runtime.block_on(self.client.execute(sql, parameters)).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Adds an event to the outbox.
    #[track_caller]
    fn send(&self, event: &str) {
        self.execute("INSERT INTO tessera.outbox (event) VALUES ($1::text::json)", &[&event]);
    }

    /// Adds a row, given as JSON.
    #[track_caller]
    fn insert(&self, table: &str, row: &serde_json::Value) {
        let sql = format!(
            "INSERT INTO tessera.{table} SELECT (json_populate_record(NULL::tessera.{table}, $1::text::json)).*"
        );
        self.execute(&sql, &[&row.to_string()]);
    }
}

/// A database with the documented schema.
struct Database {
    admin: tokio_postgres::Config,
    config: Config,
    secrets: Secrets,
    _alone: MutexGuard<'static, ()>,
}

/// Tests go one after another: transactions of one would hold up the outbox of another, for they are those of one server.
static ALONE: Mutex<()> = Mutex::new(());

impl Database {
    /// Makes one; none where no server is named, which is said.
    fn new(name: &str) -> Option<Self> {
        let Some(server) = std::env::var_os(SERVER) else {
            eprintln!("SKIPPED: {name} over real PostgreSQL; {SERVER} is not set, `make test-services` sets it");
            return None;
        };
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let server: tokio_postgres::Config = server.to_str().unwrap().parse().unwrap();
        let name = format!("{name}_{}", std::process::id());
        let superuser = Session::open(&server);
        superuser.run(&format!("CREATE DATABASE {name}"));
        let mut admin = server.clone();
        admin.dbname(&name);
        let owner = Session::open(&admin);
        // Roles are those of the server, databases share them.
        let reader = format!("{READER}_{name}");
        owner.run(&documented_sql().replace(READER, &reader));
        owner.run(&format!("ALTER ROLE {reader} PASSWORD '{PASSWORD}'"));
        let tokio_postgres::config::Host::Tcp(host) = &server.get_hosts()[0] else { panic!("a host is named") };
        let port = server.get_ports()[0];
        let config = Config {
            url: format!("host={host} port={port} dbname={name} user={reader}"),
            poll_interval_ms: 10,
            ..Config::default()
        };
        let secrets = Secrets { url: None, password: Some(PASSWORD.to_owned()) };
        Some(Self { admin, config, secrets, _alone: alone })
    }

    fn session(&self) -> Session {
        Session::open(&self.admin)
    }

    fn try_outbox(&self, engine: &Engine) -> Result<OutboxReport, PostgresError> {
        read_outbox(&self.config, &self.secrets, engine, false, &CancellationToken::new(), &mut |_| {})
    }

    /// Reads of the outbox what can be read now, and waits for the commit, where the next reading begins.
    #[track_caller]
    fn outbox(&self, engine: &Engine) -> OutboxReport {
        let report = self.try_outbox(engine).unwrap();
        assert!(engine.wait_idle(PATIENCE));
        report
    }

    fn try_tables(&self, engine: &Engine) -> Result<TablesReport, PostgresError> {
        read_tables(&self.config, &self.secrets, engine, None, &CancellationToken::new(), &mut |_| {})
    }

    #[track_caller]
    fn tables(&self, engine: &Engine) -> TablesReport {
        self.try_tables(engine).unwrap()
    }
}

/// The SQL of the documentation.
fn documented_sql() -> String {
    let text = include_str!("../../../docs/backfill.md");
    let blocks: Vec<_> = text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2, "the schema and the role");
    blocks.concat()
}

fn workspace() -> WorkspaceId {
    WorkspaceId::new("acme").unwrap()
}

/// What a page shows, without the versions that wrote it.
fn shown(engine: &Engine, page: &PageId) -> String {
    let record = engine.page_record(&workspace(), page).unwrap().unwrap();
    let blocks = record.blocks_in_order(page);
    let properties = record.properties.iter().map(|(name, value)| (name, value.value()));
    let properties: Vec<_> = properties.filter(|(_, value)| value.is_some_and(Option::is_some)).collect();
    let about = (record.title.value(), record.parent.value(), record.icon.value().and_then(Option::as_ref), properties);
    let is_true = |register: &schemas::register::Register<bool>| register.value() == Some(&true);
    let grants = record.grants.value().map_or(&[][..], Vec::as_slice);
    let access = (is_true(&record.trashed), grants, is_true(&record.restricted));
    format!("{about:?} {access:?} {blocks:#?}")
}

/// Compares everything that is shown.
#[track_caller]
fn assert_same_content(engine: &Engine, expected: &Engine) {
    let pages = |engine: &Engine| {
        let mut pages = engine.pages(&workspace());
        pages.sort();
        pages
    };
    assert_eq!(pages(engine), pages(expected));
    for page in pages(expected) {
        assert_eq!(shown(engine, &page), shown(expected, &page), "{page}");
    }
    let stats = |engine: &Engine| engine.workspace_status(&workspace()).unwrap().stats;
    assert_eq!(stats(engine), stats(expected), "no passage twice, none missing");
}
