//! What reading a stream costs: events a second through Kafka beside the same events applied in this process and beside a
//! consumer that only decodes them.
//!
//! Corpus: pages of 20 paragraphs of 40 words drawn from 20,000, in six workspaces and three partitions; no embedding model.
//! Medians of three runs, each over an empty index, until everything is committed. `scripts/bench-stream.sh` starts Kafka; how
//! soon edits are found in a surge is measured on a large index, by `eval/benches/scale/stream.rs`.

#![expect(clippy::print_stdout, reason = "a benchmark reports on standard output")]
#![expect(clippy::unwrap_used, reason = "what the benchmark writes itself is valid")]

use std::path::Path;
use std::time::{Duration, Instant};

use index::{Index, OpenMode};
use indexer::engine::{Engine, Wait};
use indexer::error::IngestError;
use indexer::kafka::Source;
use indexer::kafka::config::{Config, Secrets};
use indexer::kafka::produce::{Options, Producer, create_topic};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use schemas::block::{BlockContent, BlockType};
use schemas::event::{BlockPatch, Change, Event};
use schemas::ids::{BlockId, PageId, RegionId, WorkspaceId};
use schemas::page::{PagePatch, Parent};
use schemas::version::{Timestamp, VectorClock, Version};

const SEED: u64 = 7;
const BLOCKS: usize = 20;
const WORDS: usize = 40;
const WORKSPACES: usize = 6;
const PARTITIONS: i32 = 3;
const RUNS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(10);

fn main() {
    let Some(brokers) = std::env::var_os("TESSERA_BENCH_KAFKA") else {
        println!("SKIPPED: TESSERA_BENCH_KAFKA names no broker; scripts/bench-stream.sh starts one");
        return;
    };
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let pages = numbers.next().unwrap_or(2_000);
    let config = Config {
        brokers: brokers.to_str().unwrap().to_owned(),
        topic: format!("bench-rate-{}", std::process::id()),
        ..Config::default()
    };
    rates(&config, pages);
    println!("peak memory {} MiB", peak_memory_kib() / 1024);
}

/// Writes events as a product would.
struct Product {
    random: SmallRng,
    written: u64,
}

impl Product {
    fn write(&mut self, workspace: &WorkspaceId, change: Change) -> Event {
        self.written += 1;
        let region = RegionId::new("bench").unwrap();
        let clock = VectorClock::of(&region, self.written);
        let version = Version { clock, timestamp: Timestamp { wall_ms: self.written, logical: 0 }, region };
        let id = self.written.to_string();
        Event { id, source: "/bench".to_owned(), workspace: workspace.clone(), time: None, version, change }
    }

    fn block(&mut self, workspace: &WorkspaceId, page: &PageId, block: usize) -> Event {
        let random = &mut self.random;
        let words = (0..WORDS).map(|_| format!("w{}", random.random_range(0..20_000_u32)));
        let text = words.collect::<Vec<_>>().join(" ");
        let content = Some(BlockContent::text(BlockType::Paragraph, text));
        let patch = BlockPatch { page: page.clone(), parent: None, position: format!("{block:04}"), content };
        self.write(workspace, Change::BlockUpserted { block: BlockId::new(format!("{page}-{block}")).unwrap(), patch })
    }

    fn page(&mut self, number: usize) -> Vec<Event> {
        let (workspace, page) = (workspace(number), page_id(number));
        let title = Some(format!("Page {number}"));
        let patch = PagePatch { title, parent: Some(Parent::Workspace), ..PagePatch::default() };
        let mut events =
            vec![self.write(&workspace, Change::PageUpserted { page: page.clone(), patch: Box::new(patch) })];
        events.extend((0..BLOCKS).map(|block| self.block(&workspace, &page, block)));
        events
    }
}

fn workspace(page: usize) -> WorkspaceId {
    WorkspaceId::new(format!("bench-{}", page % WORKSPACES)).unwrap()
}

fn page_id(number: usize) -> PageId {
    PageId::new(format!("p{number}")).unwrap()
}

fn open(dir: &Path) -> (Index, Engine) {
    let config = index::Config { dir: dir.join("index"), ..index::Config::default() };
    let index = Index::open(&config, OpenMode::ReadWrite).unwrap();
    let settings = indexer::config::Config { data_dir: dir.to_owned(), ..indexer::config::Config::default() };
    (index.clone(), Engine::open(index, None, settings).unwrap())
}

fn submit_all(engine: &Engine, events: &[Event]) {
    for batch in events.chunks(1_000) {
        while let Err(error) = engine.submit(batch, Wait::Applied) {
            assert!(matches!(error, IngestError::Overloaded { .. }), "{error}");
            assert!(engine.wait_for_room(batch.len(), PATIENCE));
        }
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not come to an end");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn rates(config: &Config, pages: usize) {
    let mut product = Product { random: SmallRng::seed_from_u64(SEED), written: 0 };
    let events: Vec<_> = (0..pages).flat_map(|number| product.page(number)).collect();
    let texts: Vec<_> = events.iter().map(Event::encode).collect();
    create_topic(config, &Secrets::default(), PARTITIONS, 1).unwrap();
    let started = Instant::now();
    let mut producer = Producer::open(config, &Secrets::default(), Options::default()).unwrap();
    for event in &events {
        producer.send(event).unwrap();
    }
    producer.finish().unwrap();
    println!(
        "{} events of {} pages, {} MiB; written to Kafka in {:.1} s",
        events.len(),
        pages,
        texts.iter().map(String::len).sum::<usize>() >> 20,
        started.elapsed().as_secs_f64()
    );
    let rate = |run: &dyn Fn()| {
        let rates = (0..RUNS).map(|_| {
            let started = Instant::now();
            run();
            events.len() as f64 / started.elapsed().as_secs_f64()
        });
        median(rates.collect())
    };
    let in_process = rate(&|| {
        let dir = tempfile::tempdir().unwrap();
        let (_, engine) = open(dir.path());
        for batch in texts.chunks(1_000) {
            let decoded: Vec<_> = batch.iter().map(|text| Event::decode(text.as_bytes(), 0).unwrap()).collect();
            submit_all(&engine, &decoded);
        }
        assert!(engine.close());
    });
    println!("applied in this process: {in_process:.0} events/s");
    let through_kafka = rate(&|| {
        let dir = tempfile::tempdir().unwrap();
        let (_, engine) = open(dir.path());
        let source = Source::start(config, &Secrets::default(), engine.clone()).unwrap();
        wait_until(|| engine.committed_offsets().values().sum::<i64>() == events.len() as i64);
        source.stop();
        assert!(engine.close());
    });
    println!("through Kafka: {through_kafka:.0} events/s, {:.2} of it", through_kafka / in_process);
    let bare = rate(&|| decode_all(config, events.len()));
    println!("decoded by a bare consumer: {bare:.0} events/s; through Kafka {:.2} of it", through_kafka / bare);
    println!("| events/s through Kafka to applied in process | {:.2} | >= 0.8 |", through_kafka / in_process);
    println!("| events/s through Kafka to a bare consumer that decodes | {:.2} | stated |", through_kafka / bare);
}

fn decode_all(config: &Config, events: usize) {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &config.brokers).set("group.id", "bench").create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&config.topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    for _ in 0..events {
        let message = consumer.poll(PATIENCE).unwrap().unwrap();
        Event::decode(message.payload().unwrap(), 0).unwrap();
    }
}

/// The most memory this process had at once; 0 where the system does not say.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
