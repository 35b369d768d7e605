//! The binary over real PostgreSQL, for `make test-services`: imports that are killed, a server that follows, and in the end the
//! content of a clean run.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use index::{Index, OpenMode};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::ids::WorkspaceId;

/// A connection string of a superuser, for `make test-services`.
const SERVER: &str = "TESSERA_TEST_POSTGRES";
/// How often the crash test kills.
const ROUNDS: &str = "BACKFILL_CRASH_ROUNDS";
/// Far more than any step takes, so that only a hang comes to its end.
const PATIENCE: Duration = Duration::from_mins(5);
const PAGES: u64 = 600;
const BLOCKS_OF_PAGE: u64 = 12;

/// A database of its own, in which a product wrote pages and, into its outbox, what it did.
struct Product {
    dir: tempfile::TempDir,
    /// With the password.
    url: String,
    _alone: MutexGuard<'static, ()>,
}

/// Tests go one after another: transactions of one would hold up the outbox of another, for they are those of one server.
static ALONE: Mutex<()> = Mutex::new(());

impl Product {
    fn new(name: &str) -> Option<Self> {
        let Some(server) = std::env::var_os(SERVER) else {
            eprintln!("SKIPPED: {name} over real PostgreSQL; {SERVER} is not set, `make test-services` sets it");
            return None;
        };
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let server = server.into_string().unwrap();
        let database = format!("{name}_{}", std::process::id());
        psql(&server, &format!("CREATE DATABASE {database}"));
        let (address, _) = server.rsplit_once('/').unwrap();
        let product = Self { dir: tempfile::tempdir().unwrap(), url: format!("{address}/{database}"), _alone: alone };
        let documentation = include_str!("../../docs/backfill.md");
        let schema = documentation.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
        product.sql(schema);
        product.sql(&format!(
            "INSERT INTO tessera.members VALUES ('acme', 'ada', 'member', {version});
             INSERT INTO tessera.pages (workspace, id, parent, title, grants, version)
                 SELECT 'acme', 'p' || n, CASE WHEN n > 1 THEN 'p' || n / 2 END, 'Page ' || n,
                     CASE WHEN n = 1 THEN '[{{\"principal\": \"workspace\", \"level\": \"view\"}}]'::jsonb END, {version}
                 FROM generate_series(1, {PAGES}) n;
             INSERT INTO tessera.blocks (workspace, id, page, position, type, content, version)
                 SELECT 'acme', 'b' || n || '.' || k, 'p' || n, to_char(k, 'FM000'), 'paragraph',
                     jsonb_build_object('rich_text', jsonb_build_array('Text ' || k || ' of page ' || n)), {version}
                 FROM generate_series(1, {PAGES}) n, generate_series(1, {BLOCKS_OF_PAGE}) k",
            version = version(1)
        ));
        // The outbox says all of it, too, but in another order.
        product.sql(&format!(
            "INSERT INTO tessera.outbox (event) SELECT {} FROM tessera.blocks r ORDER BY md5(id)",
            event(
                "block.upserted",
                "jsonb_build_object('page', r.page, 'position', r.position,
                'content', r.content || jsonb_build_object('type', r.type))"
            )
        ));
        product.sql(&format!(
            "INSERT INTO tessera.outbox (event) SELECT {} FROM tessera.pages r ORDER BY md5(id)",
            event(
                "page.upserted",
                "jsonb_build_object('title', r.title, 'parent', CASE WHEN r.parent IS NULL
                THEN '{\"type\": \"workspace\"}'::jsonb ELSE jsonb_build_object('type', 'page', 'id', r.parent) END)"
            )
        ));
        product.sql(&format!(
            "INSERT INTO tessera.outbox (event) SELECT {} FROM tessera.pages r WHERE r.grants IS NOT NULL",
            event("page.access_changed", "jsonb_build_object('grants', r.grants, 'restricted', false)")
        ));
        product.sql(&format!(
            "INSERT INTO tessera.outbox (event) SELECT {} FROM tessera.members r",
            event("member.changed", "jsonb_build_object('role', r.role)")
        ));
        Some(product)
    }

    #[track_caller]
    fn sql(&self, sql: &str) {
        psql(&self.url, sql);
    }

    fn command(&self, data: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command
            .current_dir(self.dir.path())
            .env("TESSERA_POSTGRES_URL", &self.url)
            .env("TESSERA__MODELS__ENABLED", "false")
            .env("TESSERA__INDEXER__COMMIT_INTERVAL_MS", "20")
            .env("TESSERA__INDEXER__COMMIT_EVENTS_MAX", "500")
            .args(["--data-dir", self.dir.path().join(data).to_str().unwrap()])
            .args(arguments);
        command
    }

    #[track_caller]
    fn json(&self, data: &str, arguments: &[&str]) -> serde_json::Value {
        let output = self.command(data, arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Begins an import and kills it after a while.
    fn kill(&self, data: &str, arguments: &[&str], after: Duration) {
        let mut import = self.command(data, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::park_timeout(after);
        import.kill().unwrap();
        import.wait().unwrap();
    }

    /// Everything that a folder holds: pages that exist, with their texts.
    fn content(&self, data: &str) -> (String, u64) {
        let dir = self.dir.path().join(data);
        let config = index::Config { dir: dir.join("index"), ..index::Config::default() };
        let settings = indexer::config::Config { data_dir: dir, ..indexer::config::Config::default() };
        let engine =
            indexer::engine::Engine::open(Index::open(&config, OpenMode::ReadWrite).unwrap(), None, settings).unwrap();
        let workspace = WorkspaceId::new("acme").unwrap();
        let mut pages = engine.pages(&workspace);
        pages.sort();
        let of_page = |page| {
            let record = engine.page_record(&workspace, page).unwrap().unwrap();
            let blocks = record.blocks_in_order(page);
            format!("{page} {:?} {:?} {blocks:?}", record.title.value(), record.parent.value())
        };
        let content: Vec<_> = pages.iter().map(of_page).collect();
        (content.join("\n"), engine.workspace_status(&workspace).unwrap().stats.passages)
    }
}

fn version(counter: u32) -> String {
    format!(r#"'{{"clock": {{"eu": {counter}}}, "timestamp": {{"wall_ms": {counter}}}, "region": "eu"}}'::jsonb"#)
}

/// An event about a row `r`, in SQL.
fn event(kind: &str, data: &str) -> String {
    format!(
        "json_build_object('specversion', '1.0', 'id', r.id, 'source', '/product', 'type', '{kind}', 'workspaceid', r.workspace,
            'subject', r.id, 'data', {data} || jsonb_build_object('version', r.version))"
    )
}

#[track_caller]
fn psql(url: &str, sql: &str) -> Output {
    let output = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output()
        .expect("psql is there");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn imports_that_are_killed_again_and_again_end_in_a_clean_run() {
    let Some(product) = Product::new("killed") else { return };
    let rounds = std::env::var_os(ROUNDS).and_then(|rounds| rounds.to_str()?.parse().ok()).unwrap_or(6);
    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}, {rounds} rounds");
    let mut random = SmallRng::seed_from_u64(seed);
    let rows = PAGES * (1 + BLOCKS_OF_PAGE);
    let clean = product.json("clean", &["import", "postgres", "tables", "--json"]);
    assert_eq!(clean["rows"]["blocks"], PAGES * BLOCKS_OF_PAGE, "{clean}");
    let began = Instant::now();
    let outbox = product.json("clean-outbox", &["import", "postgres", "outbox", "--json"]);
    let whole = began.elapsed();
    assert_eq!((outbox["rows"].as_u64(), outbox["rejected"].as_u64()), (Some(rows + 2), Some(0)), "{outbox}");
    for _ in 0..rounds {
        let after = whole.mul_f64(random.random_range(0.0..1.0));
        product.kill("tables", &["import", "postgres", "tables"], after);
        product.kill("outbox", &["import", "postgres", "outbox"], after);
        // Both into one folder, in turn.
        let what = ["tables", "outbox"][random.random_range(0..2)];
        product.kill("both", &["import", "postgres", what], after);
    }
    for (data, what) in [("tables", "tables"), ("outbox", "outbox"), ("both", "tables"), ("both", "outbox")] {
        let last = product.json(data, &["import", "postgres", what, "--json"]);
        assert_eq!(last["rejected"], 0, "{last}");
        let again = product.json(data, &["import", "postgres", what, "--json"]);
        assert_eq!(again["accepted"], 0, "{again}");
        assert!(what == "tables" || again["rows"] == 0, "{again}");
    }
    let expected = product.content("clean");
    assert_eq!(expected.0.lines().count() as u64, PAGES);
    assert_eq!(expected.1, PAGES, "a passage of each page");
    for data in ["clean-outbox", "tables", "outbox", "both"] {
        assert!(product.content(data) == expected, "{data} differs");
    }
    let found = product.json(
        "both",
        &["search", "\"Text 7 of page 123\"", "--workspace", "acme", "--as", "ada", "--lexical", "--json"],
    );
    assert_eq!(found["results"][0]["page"]["id"], "p123", "{found}");
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_follows_the_outbox_and_says_no_password() {
    let Some(product) = Product::new("served") else { return };
    let log = product.dir.path().join("log");
    let mut serving = product.command("data", &["serve", "--dev", "--listen", "127.0.0.1:0"]);
    serving
        .env("TESSERA__POSTGRES__FOLLOW", "true")
        .env("TESSERA__POSTGRES__POLL_INTERVAL_MS", "20")
        .env("TESSERA__LOG__FILTER", "debug")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap());
    let mut server = Server(serving.spawn().unwrap());
    let dir = product.dir.path().join("data/index");
    wait_for(&mut server, &log, &dir, "Page 600");
    product.sql(&format!(
        "BEGIN; UPDATE tessera.pages SET title = 'Renamed', version = {} WHERE id = 'p5';
         INSERT INTO tessera.outbox (event) SELECT {} FROM tessera.pages r WHERE r.id = 'p5'; COMMIT",
        version(2),
        event("page.upserted", "jsonb_build_object('title', r.title)")
    ));
    wait_for(&mut server, &log, &dir, "Renamed");
    let stopped = Command::new("kill").args(["-TERM", &server.0.id().to_string()]).status().unwrap();
    assert!(stopped.success() && server.0.wait().unwrap().success());
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("followed the outbox") && !log.contains("postgres:tessera@"), "{log}");
}

/// Waits until a title is committed.
fn wait_for(server: &mut Server, log: &Path, dir: &Path, title: &str) {
    let deadline = Instant::now() + PATIENCE;
    let config = index::Config { dir: dir.to_owned(), ..index::Config::default() };
    let is_there = || {
        // It may not be there yet, or be merged right now.
        let index = Index::open(&config, OpenMode::ReadOnly).ok()?;
        let known = index.catalog().get(&WorkspaceId::new("acme").ok()?)?;
        let state = known.read();
        state.heads().any(|head| head.title == title).then_some(())
    };
    while is_there().is_none() {
        assert!(
            Instant::now() < deadline && server.0.try_wait().unwrap().is_none(),
            "{}",
            std::fs::read_to_string(log).unwrap()
        );
        std::thread::park_timeout(Duration::from_millis(100));
    }
}
