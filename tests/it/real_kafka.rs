//! The binary over real Apache Kafka, for `make test-services`: members of a group that are killed and frozen, brokers that
//! restart, and in the end the content of a clean run.

mod broker;
mod crashes;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use index::epochs::Epoch;
use index::{Index, OpenMode};
use indexer::dead_letters::{DeadLetter, SentFor};
use indexer::engine::{Engine, ImportTarget};
use indexer::import::{self, Source};
use schemas::event::Event;
use schemas::ids::{PageId, WorkspaceId};

use crashes::Product;

use super::traces::{TAKEN, attribute, below, listen, spans};

/// Addresses of brokers, for `make test-services`.
const BROKERS: &str = "TESSERA_TEST_KAFKA";
/// How fast it writes, in events a second.
const RATE: &str = "150";
/// Far more than any step takes, so that only a hang comes to its end.
const PATIENCE: Duration = Duration::from_mins(5);
/// The signal that asks a process to stop.
const SIGTERM: i32 = 15;
const SESSION_MS: u64 = 3_000;
const PARTITIONS: i64 = 3;
/// By the hash of their names, one in each partition.
const WORKSPACES: [&str; 3] = ["handbook-a", "handbook-c", "handbook-d"];

/// A topic of its own, and a folder of shards that all indexers share.
struct Stream {
    dir: tempfile::TempDir,
    brokers: String,
    topic: String,
    session_ms: u64,
    /// Where indexers find the broker; empty for the same place.
    indexers_come_through: String,
}

impl Stream {
    fn new(name: &str) -> Option<Self> {
        let Some(brokers) = std::env::var_os(BROKERS) else {
            eprintln!("SKIPPED: {name} over real Kafka; {BROKERS} is not set, `make test-services` sets it");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let topic = format!("{name}-{}", std::process::id());
        let brokers = brokers.into_string().unwrap();
        Some(Self { dir, brokers, topic, session_ms: SESSION_MS, indexers_come_through: String::new() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command
            .current_dir(self.dir.path())
            .env("TESSERA__KAFKA__BROKERS", &self.brokers)
            .env("TESSERA__KAFKA__TOPIC", &self.topic)
            .env("TESSERA__KAFKA__GROUP", &self.topic)
            .env("TESSERA__KAFKA__SESSION_TIMEOUT_MS", self.session_ms.to_string())
            .env("TESSERA__MODELS__ENABLED", "false")
            .env("TESSERA__INDEXER__COMMIT_INTERVAL_MS", "100")
            .args(["--data-dir", self.dir.path().join("data").to_str().unwrap()])
            .args(arguments);
        command
    }

    /// Writes to the topic; gives the messages.
    #[track_caller]
    fn produce(&self, arguments: &[&str]) -> i64 {
        self.spawn_producer(arguments).finish()
    }

    fn spawn_producer(&self, arguments: &[&str]) -> Producing {
        let mut command = self.command(&[&["produce"], arguments].concat());
        Producing(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Begins to write events as a product would whose region falls behind now and then.
    fn start_producing(&self, round: u32, events: &[Event]) -> Producing {
        let file = self.dir.path().join("events.ndjson");
        let lines: Vec<_> = events.iter().map(Event::encode).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        let seed = round.to_string();
        let how = ["--create", "3", "--duplicates", "0.2", "--reorder", "20", "--seed", &seed, "--rate", RATE];
        self.spawn_producer(&[&["ndjson", file.to_str().unwrap()], &how[..]].concat())
    }

    fn indexer(&self) -> Indexer {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = self.command(&["indexer"]);
        if !self.indexers_come_through.is_empty() {
            command.env("TESSERA__KAFKA__BROKERS", &self.indexers_come_through);
        }
        Indexer { process: command.stdout(Stdio::null()).stderr(log).spawn().unwrap() }
    }

    /// One that keeps its name over restarts, with a log of its own.
    fn named_indexer(&self, name: &str) -> Indexer {
        let log = self.dir.path().join(format!("log-{name}"));
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = self.command(&["indexer"]);
        command.env("TESSERA__KAFKA__INSTANCE", name);
        Indexer { process: command.stdout(Stdio::null()).stderr(log).spawn().unwrap() }
    }

    fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("log-{name}"))).unwrap_or_default()
    }

    /// How often a named one was given a partition.
    fn taken_over_by(&self, name: &str) -> usize {
        self.log_of(name).matches("took a partition over").count()
    }

    /// The folders in use of all partitions, by partition.
    fn shards(&self) -> BTreeMap<String, PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.dir.path().join("data/shards")) else { return BTreeMap::new() };
        let shards = entries.filter_map(|entry| {
            let root = entry.unwrap().path();
            let name = root.file_name()?.to_str()?.to_owned();
            Some((name, Epoch::latest(&root).ok()??.dir()))
        });
        shards.collect()
    }

    /// Up to where all partitions are committed, added up; the newest that can be read.
    fn committed(&self) -> i64 {
        let of_one = |(name, dir): (&String, &PathBuf)| {
            // It may be written, merged and taken over right now.
            let index = Index::open(&index_config(dir), OpenMode::ReadOnly).ok()?;
            index.payload().offsets.get(name).copied()
        };
        self.shards().iter().filter_map(of_one).sum()
    }

    #[track_caller]
    fn wait_committed(&self, messages: i64, running: &mut [&mut Indexer]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let committed = self.committed();
            if committed >= messages {
                return;
            }
            assert!(Instant::now() < deadline, "{committed} of {messages} are committed\n{}", self.log());
            for indexer in running.iter_mut() {
                let ended = indexer.process.try_wait().unwrap();
                assert!(ended.is_none(), "an indexer ended: {ended:?}\n{}", self.log());
            }
            std::thread::park_timeout(Duration::from_millis(300));
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Opens the shards once all indexers are gone.
    fn engines(&self) -> Vec<Engine> {
        let shards = self.shards();
        assert_eq!(shards.len() as i64, PARTITIONS, "{shards:?}");
        shards.values().map(|dir| open(dir)).collect()
    }
}

/// A `tessera produce` in a process of its own.
struct Producing(Child);

impl Producing {
    /// Waits until all is written; gives the messages.
    #[track_caller]
    fn finish(self) -> i64 {
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        let messages = told.split_whitespace().rev().nth(1).and_then(|number| number.parse().ok());
        messages.unwrap_or_else(|| panic!("no number of messages in {told}"))
    }
}

/// A `tessera indexer` in a process of its own.
struct Indexer {
    process: Child,
}

impl Indexer {
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    #[track_caller]
    fn stop(mut self, stream: &Stream) {
        self.signal("-TERM");
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}\n{}", stream.log());
    }
}

impl Indexer {
    /// Tells it to stop, whether or not it has begun: one that does not listen to signals yet is ended by them, and has read nothing.
    #[track_caller]
    fn stop_whenever(mut self, stream: &Stream) {
        self.signal("-TERM");
        let status = self.process.wait().unwrap();
        assert!(status.success() || status.signal() == Some(SIGTERM), "{status}\n{}", stream.log());
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        // Only when a test ends early; it may be dead.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn index_config(dir: &Path) -> index::Config {
    index::Config { dir: dir.join("index"), ..index::Config::default() }
}

fn open(dir: &Path) -> Engine {
    let config = indexer::config::Config { data_dir: dir.to_owned(), ..indexer::config::Config::default() };
    Engine::open(Index::open(&index_config(dir), OpenMode::ReadWrite).unwrap(), None, config).unwrap()
}

fn workspace(id: &str) -> WorkspaceId {
    WorkspaceId::new(id).unwrap()
}

/// What a page shows, without the versions that wrote it.
fn shown(engine: &Engine, workspace: &WorkspaceId, page: &PageId) -> String {
    let record = engine.page_record(workspace, page).unwrap().unwrap();
    let blocks: Vec<_> = record.blocks_in_order(page).into_iter().map(|(_, content, depth)| (content, depth)).collect();
    let properties: Vec<_> = record.properties.iter().map(|(name, value)| (name, value.value())).collect();
    let about = (record.title.value(), record.parent.value(), record.kind.value(), properties);
    let access = (record.exists(), record.trashed.value(), record.grants.value(), record.restricted.value());
    format!("{about:?} {access:?} {blocks:#?}")
}

#[test]
fn edits_of_a_handbook_through_killed_and_frozen_indexers_end_in_a_direct_import() {
    let Some(stream) = Stream::new("handbook") else { return };
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/handbook-sourcegraph");
    if !data.is_dir() {
        eprintln!("SKIPPED: the edits of a handbook over real Kafka; there is no {}", data.display());
        return;
    }
    let (base, edits) = (data.join("base-2023-01-01.jsonl.zst"), data.join("edits-2023-2024.jsonl.zst"));
    let mut arguments = vec!["history", base.to_str().unwrap(), edits.to_str().unwrap(), "--create", "3"];
    for workspace in WORKSPACES {
        arguments.extend(["--workspace", workspace]);
    }
    arguments.extend(["--duplicates", "0.2", "--reorder", "50", "--seed", "7"]);
    let messages = stream.produce(&arguments);

    let (mut first, mut second) = (stream.indexer(), stream.indexer());
    stream.wait_committed(messages / 10, &mut [&mut first, &mut second]);
    first.kill();
    stream.wait_committed(messages / 4, &mut [&mut second]);
    // Frozen past its session: a third takes over, and the second wakes up while that is at work.
    second.signal("-STOP");
    let mut third = stream.indexer();
    let before = stream.committed();
    stream.wait_committed(before + messages / 10, &mut [&mut third]);
    second.signal("-CONT");
    stream.wait_committed(messages, &mut [&mut second, &mut third]);
    assert_eq!(stream.committed(), messages);
    second.stop(&stream);
    third.stop(&stream);

    let direct = tempfile::tempdir().unwrap();
    let clean = open(direct.path());
    let source = Source::History { base, edits };
    let options = import::Options::new(workspace("clean"), jiff::Timestamp::UNIX_EPOCH);
    let mut target = ImportTarget::new(clean.clone(), workspace("clean"));
    import::run(&source, &options, &mut target, &mut |_| {}).unwrap();
    assert!(clean.wait_idle(PATIENCE));
    let expected = clean.workspace_status(&workspace("clean")).unwrap().stats;
    let mut pages = clean.pages(&workspace("clean"));
    pages.sort();

    let epochs: Vec<_> = stream.shards().into_values().map(|dir| dir.file_name().unwrap().to_owned()).collect();
    assert!(epochs.iter().all(|epoch| epoch != "epoch-000001"), "each partition was taken over: {epochs:?}");
    let engines = stream.engines();
    for name in WORKSPACES {
        let id = workspace(name);
        let holding: Vec<_> = engines.iter().filter(|engine| engine.workspace_status(&id).is_some()).collect();
        assert_eq!(holding.len(), 1, "{name} is in one shard");
        let engine = holding[0];
        assert_eq!(engine.workspace_status(&id).unwrap().stats, expected, "no passage twice, none missing");
        let mut found = engine.pages(&id);
        found.sort();
        assert_eq!(found, pages);
        for page in &pages {
            assert_eq!(shown(engine, &id, page), shown(&clean, &workspace("clean"), page), "{name} {page}");
        }
    }
    for engine in engines {
        let workspaces = WORKSPACES.iter().filter(|name| engine.workspace_status(&workspace(name)).is_some()).count();
        assert_eq!(workspaces, 1, "all partitions were read");
        assert_eq!(
            indexer::dead_letters::FILES.iter().filter(|name| engine.config().data_dir.join(name).exists()).count(),
            0
        );
    }
}

#[test]
fn an_indexer_with_a_name_that_is_back_in_time_moves_no_partition() {
    let Some(mut stream) = Stream::new("named") else { return };
    // Far longer than a restart.
    stream.session_ms = 60_000;
    let events = stream.dir.path().join("events.ndjson");
    let mut product = Product::new(2);
    let lines: Vec<_> = (0..300).map(|_| product.edit().encode()).collect();
    std::fs::write(&events, lines.join("\n")).unwrap();
    let producing = ["ndjson", events.to_str().unwrap(), "--create", "3"];
    let mut messages = stream.produce(&producing);
    let mut first = stream.named_indexer("first");
    stream.wait_committed(messages, &mut [&mut first]);
    let mut second = stream.named_indexer("second");
    let deadline = Instant::now() + PATIENCE;
    while stream.taken_over_by("second") == 0 {
        assert!(Instant::now() < deadline, "{}", stream.log_of("second"));
        std::thread::park_timeout(Duration::from_millis(100));
    }
    messages += stream.produce(&producing);
    stream.wait_committed(messages, &mut [&mut first, &mut second]);
    let (before, taken_before) = (stream.shards(), stream.taken_over_by("second"));

    first.kill();
    let mut first = stream.named_indexer("first");
    messages += stream.produce(&producing);
    stream.wait_committed(messages, &mut [&mut first, &mut second]);
    assert_eq!(stream.taken_over_by("second"), taken_before, "nothing came to the other: {}", stream.log_of("second"));
    let after = stream.shards();
    let kept = before.iter().filter(|(partition, dir)| after[*partition] == **dir).count();
    assert!((1..3).contains(&kept), "what it had was claimed anew, the rest stayed: {before:?} {after:?}");
    first.stop(&stream);
    second.stop(&stream);
}

#[test]
fn a_dead_letter_that_is_an_event_by_now_is_replayed() {
    let Some(stream) = Stream::new("letters") else { return };
    let events = stream.dir.path().join("events.ndjson");
    let mut product = Product::new(1);
    std::fs::write(&events, product.edit().encode()).unwrap();
    let indexer = stream.indexer();
    let messages = stream.produce(&["ndjson", events.to_str().unwrap(), "--create", "3"]);
    stream.wait_committed(messages, &mut []);
    indexer.stop(&stream);
    // Turned down at the time, by a clock that was wrong.
    let dir = stream.shards().into_values().next().unwrap();
    let engine = open(&dir);
    let error = schemas::event::InvalidEvent::new(schemas::event::InvalidCode::ClockAhead, "data", "is ahead");
    let event = product.edit();
    let (text, sent_for) = (event.encode(), SentFor::One(event.workspace.as_str()));
    engine.keep(&[DeadLetter { event: text.as_bytes(), error: &error, origin: None, sent_for }]).unwrap();
    assert!(engine.close());
    drop(engine);

    let listed = stream.command(&["dead-letters", "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("clock_ahead  -  data: is ahead"), "{listed:?}");
    let replayed = stream.command(&["dead-letters", "replay"]).output().unwrap();
    assert!(String::from_utf8_lossy(&replayed.stdout).starts_with("1 written"), "{replayed:?}");
    let mut indexer = stream.indexer();
    stream.wait_committed(messages + 1, &mut [&mut indexer]);
    indexer.stop(&stream);
}

#[test]
fn an_indexer_sends_traces_of_what_it_reads_and_writes() {
    let Some(stream) = Stream::new("traced") else { return };
    let (collector, coming) = listen("127.0.0.1:0", TAKEN);
    let events = stream.dir.path().join("events.ndjson");
    let mut product = Product::new(3);
    let lines: Vec<_> = (0..100).map(|_| product.edit().encode()).collect();
    std::fs::write(&events, lines.join("\n")).unwrap();
    let messages = stream.produce(&["ndjson", events.to_str().unwrap(), "--create", "3"]);
    let log = std::fs::File::options().create(true).append(true).open(stream.dir.path().join("log")).unwrap();
    let mut command = stream.command(&["indexer"]);
    command
        .env("TESSERA__TRACES__ENDPOINT", format!("http://{collector}/v1/traces"))
        .env("TESSERA__TRACES__RATIO", "1.0")
        .env("TESSERA__TRACES__INTERVAL_MS", "50");
    let mut indexer = Indexer { process: command.stdout(Stdio::null()).stderr(log).spawn().unwrap() };
    stream.wait_committed(messages, &mut [&mut indexer]);
    indexer.stop(&stream);

    let came: Vec<_> = coming.try_iter().collect();
    let spans = spans(&came);
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let (polls, turns) = (named(&format!("poll {}", stream.topic)), named(&format!("process {}", stream.topic)));
    let of = |spans: &[&_]| {
        let counts = spans.iter().map(|span| attribute(span, "messaging.batch.message_count"));
        counts.map(|count| count.parse::<i64>().unwrap()).sum::<i64>()
    };
    // After a rebalance, a message may be read again.
    assert!(of(&polls) >= messages && of(&turns) >= messages, "{} {}", of(&polls), of(&turns));
    for (spans, kind, operation) in [(&polls, "poll", "receive"), (&turns, "process", "process")] {
        for (key, value) in [
            ("messaging.system", "kafka"),
            ("messaging.destination.name", stream.topic.as_str()),
            ("messaging.operation.name", kind),
            ("messaging.operation.type", operation),
        ] {
            assert_eq!(attribute(spans[0], key), value, "{key}");
        }
    }
    assert_eq!(attribute(polls[0], "messaging.consumer.group.name"), stream.topic);
    let commits = named("index");
    for commit in &commits {
        assert!(below(&spans, commit).is_superset(&["write", "commit", "publish"].into()), "{commit:?}");
    }
    let is_commit = |id: &[u8]| commits.iter().any(|commit| commit.span_id == id);
    let is_led_on = turns.iter().any(|turn| turn.links.iter().any(|link| is_commit(&link.span_id)));
    assert!(is_led_on, "a turn leads to the commit that holds it");
    for came in &came {
        let sent = String::from_utf8_lossy(&came.body);
        assert!(!WORKSPACES.iter().any(|name| sent.contains(name)) && !sent.contains("of a text"), "{sent}");
    }
}
