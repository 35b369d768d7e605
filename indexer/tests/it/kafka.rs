//! Reading a stream, over librdkafka's mock of a cluster: it speaks the protocol on loopback and keeps nothing on disk.

mod order;
mod trouble;

use std::path::Path;
use std::time::{Duration, Instant};

use access::{Caller, Purpose, Subject};
use index::epochs::Epoch;
use indexer::config::Config as EngineConfig;
use indexer::engine::{Engine, Wait};
use indexer::kafka::Source as Stream;
use indexer::kafka::config::{Config, Secrets};
use indexer::kafka::group::Group;
use indexer::kafka::produce::{Options, Producer};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use schemas::event::Event;
use schemas::grant::Role;
use schemas::ids::WorkspaceId;

use crate::site::{PATIENCE, Site, settle};
use crate::source::{Source, page, user};

const TOPIC: &str = "tessera.block-changes";
const LETTERS: &str = "tessera.dead-letters";

/// A broker with one topic, and a producer to it.
struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, partitions, 1).unwrap();
        cluster.create_topic(LETTERS, 1, 1).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("message.max.bytes", "8000000")
            .create()
            .unwrap();
        Self { cluster, producer }
    }

    fn config(&self) -> Config {
        Config { brokers: self.cluster.bootstrap_servers(), ..Config::default() }
    }

    fn read_into(&self, engine: &Engine) -> Stream {
        Stream::start(&self.config(), &Secrets::default(), engine.clone()).unwrap()
    }

    /// Writes a message as it is.
    fn write(&self, partition: i32, key: Option<&str>, payload: &[u8], header: Option<(&str, &str)>) {
        let headers = header
            .map_or(OwnedHeaders::new(), |(key, value)| OwnedHeaders::new().insert(Header { key, value: Some(value) }));
        let mut record = BaseRecord::to(TOPIC).partition(partition).payload(payload).headers(headers);
        if let Some(key) = key {
            record = record.key(key);
        }
        self.producer.send(record).unwrap();
        self.producer.poll(Duration::ZERO);
    }

    /// The first so many messages of the topic of dead letters.
    fn letters(&self, messages: usize) -> Vec<SentLetter> {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "operators")
            .create()
            .unwrap();
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(LETTERS, 0, rdkafka::Offset::Beginning).unwrap();
        reader.assign(&list).unwrap();
        let one = |_| {
            let message = reader.poll(PATIENCE).unwrap().unwrap();
            let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
            let headers = message.headers().unwrap().iter().map(|header| (header.key.to_owned(), text(header.value)));
            SentLetter {
                key: message.key().map(<[u8]>::to_vec),
                payload: message.payload().unwrap_or_default().to_vec(),
                headers: headers.collect(),
            }
        };
        (0..messages).map(one).collect()
    }

    fn send(&self, partition: i32, events: &[Event]) {
        for event in events {
            self.write(partition, Some(event.workspace.as_str()), event.encode().as_bytes(), None);
        }
        self.producer.flush(PATIENCE).unwrap();
    }
}

/// A message of the topic of dead letters.
struct SentLetter {
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    headers: std::collections::HashMap<String, String>,
}

impl SentLetter {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Where all partitions are committed, added up.
fn committed(engine: &Engine) -> i64 {
    engine.committed_offsets().values().sum()
}

fn discovers(engine: &Engine, index: &index::Index, workspace: &WorkspaceId, person: &str) -> usize {
    assert!(engine.status().accepting);
    let Some(known) = index.catalog().get(workspace) else { return 0 };
    let caller = Caller { workspace: workspace.clone(), subject: Subject::User(user(person)) };
    known.read().access.mask(&caller, Purpose::Discover).iter().count()
}

#[test]
fn partitions_are_read_into_one_engine_and_read_on_after_a_restart() {
    let broker = Broker::new(3);
    let site = Site::new();
    let mut products = ["w0", "w1", "w2"].map(|workspace| Source::new(workspace, "eu"));
    for (partition, product) in products.iter_mut().enumerate() {
        let events = [product.page("home", "Home", None), product.block("home", "b", "first")];
        broker.send(partition as i32, &events);
    }
    let engine = site.open();
    let stream = broker.read_into(&engine);
    until("all are committed", || committed(&engine) == 6);
    assert_eq!(engine.status().accepted_total, 6);
    until("the lag is known", || stream.status().partitions.iter().all(|p| p.lag_events == Some(0)));
    let status = stream.status();
    assert!(status.connected && !status.failing && status.partitions.len() == 3, "{status:?}");
    stream.stop();
    assert!(engine.close());
    drop((stream, engine));

    let last = products[1].block("home", "b", "second");
    broker.send(1, std::slice::from_ref(&last));
    let engine = site.open();
    let _stream = broker.read_into(&engine);
    until("the last is committed", || committed(&engine) == 7);
    let status = engine.status();
    assert_eq!((status.accepted_total, status.unchanged_total), (1, 0), "nothing is read twice");
    let record = engine.page_record(&last.workspace, &page("home")).unwrap().unwrap();
    assert!(format!("{record:?}").contains("second"));

    // The group knows, too: it is told after the commits.
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.cluster.bootstrap_servers())
        .set("group.id", Config::default().group)
        .create()
        .unwrap();
    let told = || {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_range(TOPIC, 0, 2);
        let list = group.committed_offsets(list, PATIENCE).unwrap();
        list.elements().iter().filter_map(|element| element.offset().to_raw()).filter(|o| *o > 0).sum::<i64>()
    };
    until("the group is told", || told() == 7);
}

/// Key, payload and header of a message, and the code of its dead letter.
type Case<'a> = (Option<&'a str>, &'a [u8], Option<(&'a str, &'a str)>, &'a str);

#[test]
fn what_cannot_be_an_event_becomes_a_dead_letter_and_its_partition_goes_on() {
    let broker = Broker::new(1);
    let site = Site::new();
    let mut product = Source::new("w", "eu");
    let good = product.page("home", "Home", None).encode();
    let ahead = product.write_at(product_change(), u64::MAX / 2).encode();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_data = good.replace("\"title\":\"Home\"", &format!("\"icon\":{deep}"));
    assert_ne!(deep_data, good);
    let huge = good.replace("Home", &"x".repeat(2 << 20));
    let long = good.replace("Home", &"x".repeat(3_000));
    let unknown = good.replace("page.upserted", "page.exploded");
    let no_version = good.replace("\"version\"", "\"edition\"");
    let cases: [Case<'_>; 12] = [
        (Some("w"), b"{not json", None, "malformed"),
        (Some("w"), b"\xff\xfe\x00", None, "malformed"),
        (Some("w"), b"", None, "malformed"),
        (Some("w"), no_version.as_bytes(), None, "malformed"),
        (Some("w"), deep.as_bytes(), None, "malformed"),
        (Some("w"), deep_data.as_bytes(), None, "malformed"),
        (Some("w"), huge.as_bytes(), None, "limit_exceeded"),
        (Some("w"), long.as_bytes(), None, "limit_exceeded"),
        (Some("w"), unknown.as_bytes(), None, "unknown_type"),
        (Some("other"), good.as_bytes(), None, "wrong_workspace"),
        (None, good.as_bytes(), None, "wrong_workspace"),
        (Some("w"), good.as_bytes(), Some(("tessera-encoding", "protobuf/1")), "unknown_type"),
    ];
    for (key, payload, header, _) in &cases {
        broker.write(0, *key, payload, *header);
    }
    broker.write(0, Some("w"), ahead.as_bytes(), None);
    broker.write(0, Some("w"), good.as_bytes(), Some(("content-type", "application/cloudevents+json; charset=UTF-8")));
    broker.producer.flush(PATIENCE).unwrap();

    let engine = site.open();
    let config = Config { dead_letter_topic: LETTERS.to_owned(), ..broker.config() };
    let _stream = Stream::start(&config, &Secrets::default(), engine.clone()).unwrap();
    let total = cases.len() as i64 + 2;
    until("all is committed", || committed(&engine) == total);
    assert_eq!(engine.pages(&WorkspaceId::new("w").unwrap()), [page("home")]);

    let letters = site.dead_letters();
    assert_eq!(letters.len() as i64, total - 1);
    let expected = cases.iter().map(|(.., code)| *code).chain(["clock_ahead"]);
    for ((letter, code), offset) in letters.iter().zip(expected).zip(0_i64..) {
        assert_eq!(
            (letter["offset"].as_i64(), letter["code"].as_str()),
            (Some(offset), Some(code)),
            "{}",
            letter["reason"]
        );
        assert_eq!((letter["topic"].as_str(), letter["partition"].as_i64()), (Some(TOPIC), Some(0)));
    }
    assert_eq!(letters[6]["event"].as_str().map(str::len), Some(huge.len()), "the bytes are kept as they came");
    assert_eq!(letters[1]["event_base64"].as_str(), Some("//4A"));

    // They are in the topic, too, with the same payload and the reason beside it; what is too large for it without the payload.
    let mut sent = broker.letters(cases.len() + 1);
    sent.sort_by_key(|letter| letter.header("tessera-offset").and_then(|offset| offset.parse::<i64>().ok()));
    for (letter, (key, payload, _, code)) in sent.iter().zip(&cases) {
        let is_whole = payload.len() <= 1 << 20;
        let (expected, cut) = if is_whole { (*payload, None) } else { (&[][..], Some(payload.len().to_string())) };
        assert_eq!((letter.key.as_deref(), letter.payload.as_slice()), (key.map(str::as_bytes), expected), "{code}");
        assert_eq!((letter.header("tessera-code"), letter.header("tessera-topic")), (Some(*code), Some(TOPIC)));
        assert_eq!(letter.header("tessera-truncated"), cut.as_deref());
        assert!(letter.header("tessera-offset").is_some() && letter.header("tessera-reason").is_some());
    }
}

/// It held up its partition for ever: the topic refused it, and it was sent again and again.
#[test]
fn a_dead_letter_that_its_topic_refuses_for_its_size_is_sent_without_its_event_and_nothing_waits_for_it() {
    let broker = Broker::new(1);
    let site = Site::new();
    let engine = site.open();
    let config = Config { dead_letter_topic: LETTERS.to_owned(), ..broker.config() };
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 2];
    // Refused once, it is sent alone, for the broker may have meant the batch.
    for (committed_then, refusals) in [(1, 2), (2, 1)] {
        broker.write(0, Some("w"), b"no event", None);
        broker.producer.flush(PATIENCE).unwrap();
        broker.cluster.request_errors(RDKafkaApiKey::Produce, &refused[..refusals]);
        let stream = Stream::start(&config, &Secrets::default(), engine.clone()).unwrap();
        until("it is committed", || committed(&engine) == committed_then);
        stream.stop();
    }
    let letters = broker.letters(2);
    assert_eq!((letters[0].payload.as_slice(), letters[0].header("tessera-truncated")), (&b""[..], Some("8")));
    assert_eq!((letters[0].header("tessera-code"), letters[0].key.as_deref()), (Some("malformed"), Some(&b"w"[..])));
    assert_eq!((letters[1].payload.as_slice(), letters[1].header("tessera-truncated")), (&b"no event"[..], None));
    let kept: Vec<_> = site.dead_letters().iter().map(|letter| letter["event"].clone()).collect();
    assert_eq!(kept, ["no event", "no event"], "the file has both");
}

fn product_change() -> schemas::event::Change {
    schemas::event::Change::PageTrashed { page: page("home") }
}

#[test]
fn a_revocation_that_was_read_holds_before_its_commit() {
    let broker = Broker::new(1);
    let mut site = Site::new();
    // No commit comes by itself for as long as the test runs.
    site.config = EngineConfig { commit_interval_ms: 10_000, ..site.config };
    let mut product = Source::new("w", "eu");
    let workspace = product.workspace.clone();
    let first = [
        product.member("ada", Role::Member),
        product.page("home", "Home", None),
        product.grant("home", &["workspace:view"]),
    ];
    broker.send(0, &first);
    let index = site.index();
    let engine = site.open_over(index.clone());
    let stream = broker.read_into(&engine);
    until("ada sees the page", || discovers(&engine, &index, &workspace, "ada") == 1);

    broker.send(0, &[product.member("ada", Role::Removed)]);
    until("the event is merged", || stream.status().partitions[0].position == 4);
    assert_eq!(discovers(&engine, &index, &workspace, "ada"), 0, "it holds as soon as it is merged");
    assert_eq!(committed(&engine), 3, "and nothing was committed since");
}

#[test]
fn a_full_engine_pauses_its_partition_and_nothing_is_lost() {
    const EVENTS: usize = 2_000;
    let broker = Broker::new(1);
    let mut site = Site::new();
    // The first commit comes late, so that the engine can be filled up before.
    site.config = EngineConfig {
        commit_interval_ms: 8_000,
        commit_events_max: 1_000_000,
        pending_events_max: 10_000,
        ..site.config
    };
    // So many that none has half of what waits: it would be passed over.
    let mut products = ["a", "b", "c", "d", "e", "f"].map(|workspace| Source::new(workspace, "eu"));
    let mut block = |n: usize| products[n % 6].block(&format!("page-{}", n % 50), &format!("b{n}"), "words");
    let filling: Vec<_> = (0..10_000).map(&mut block).collect();
    let events: Vec<_> = (10_000..10_000 + EVENTS).map(&mut block).collect();
    broker.send(0, &events);
    let engine = site.open();
    engine.submit(&filling, Wait::Applied).unwrap();
    let config = Config { in_flight_bytes_max: 1 << 20, ..broker.config() };
    let stream = Stream::start(&config, &Secrets::default(), engine.clone()).unwrap();
    until("it is paused", || stream.status().partitions.first().is_some_and(|partition| partition.paused));
    assert!(stream.status().partitions[0].in_flight_bytes < 6 << 20, "what waits is bounded");
    until("all is merged", || stream.status().partitions[0].position == EVENTS as i64);
    until("it is resumed", || !stream.status().partitions[0].paused);
    let status = engine.status();
    assert!(status.overloaded_total > 0, "{status:?}");
    assert!(status.overloaded_total < 1_000, "it waits, and does not ask again and again: {status:?}");
    assert_eq!((status.accepted_total, status.unchanged_total), (10_000 + EVENTS as u64, 0));
}

#[test]
fn what_is_written_twice_and_out_of_order_ends_in_the_same_index() {
    let broker = Broker::new(3);
    let mut products = ["a", "b", "c", "d", "e", "f"].map(|workspace| Source::new(workspace, "eu"));
    let mut events = Vec::new();
    for n in 0..100 {
        for product in &mut products {
            events.push(product.block(&format!("page-{}", n % 7), &format!("b{}", n % 20), &format!("edit {n}")));
        }
    }
    let options = Options { duplicates: 0.2, reorder: 50, seed: 3, ..Options::default() };
    let mut producer = Producer::open(&broker.config(), &Secrets::default(), options).unwrap();
    for event in &events {
        producer.send(event).unwrap();
    }
    let produced = producer.finish().unwrap();
    assert_eq!(produced.events, events.len() as u64);
    assert!(produced.messages > events.len() as u64 * 11 / 10, "{produced:?}");

    let site = Site::new();
    let engine = site.open();
    let stream = broker.read_into(&engine);
    until("all is committed", || committed(&engine) == produced.messages as i64);
    let status = engine.status();
    assert_eq!(status.accepted_total + status.unchanged_total, produced.messages);
    assert!(stream.status().partitions.iter().filter(|partition| partition.position > 0).count() > 1);
    let other = Site::new();
    let direct = other.open();
    direct.submit(&events, Wait::Applied).unwrap();
    for product in &products {
        let digest = |engine: &Engine| {
            settle(engine);
            engine.content_digest(&product.workspace).unwrap()
        };
        assert_eq!(digest(&engine), digest(&direct), "{}", product.workspace);
    }
}

#[test]
fn events_of_the_largest_size_are_written_and_so_is_what_was_given_beside_one_that_is_refused() {
    let mut product = Source::new("w", "eu");
    let small = product.page("home", "Home", None);
    let largest = product.page("home", &"x".repeat((1 << 20) - small.encode().len() - 16), None);
    let too_large = product.page("home", &"x".repeat(2 << 20), None);
    assert!((1_048_500..=1 << 20).contains(&largest.encode().len()), "{}", largest.encode().len());
    for reorder in [0, 9] {
        let broker = Broker::new(1);
        let options = Options { reorder, ..Options::default() };
        let mut producer = Producer::open(&broker.config(), &Secrets::default(), options).unwrap();
        let refused: Vec<_> = [&small, &largest, &too_large, &small].map(|event| producer.send(event).is_err()).into();
        assert_eq!(refused, [false, false, reorder == 0, false]);
        // It is refused when the window is written, at the latest.
        assert_eq!(producer.finish().is_err(), reorder > 0);
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", broker.cluster.bootstrap_servers()).create().unwrap();
        assert_eq!(consumer.fetch_watermarks(TOPIC, 0, PATIENCE).unwrap(), (0, 3));
    }
}

#[test]
fn a_member_of_a_group_keeps_an_index_for_each_partition_and_goes_on_where_its_commits_end() {
    let broker = Broker::new(2);
    let shards = tempfile::tempdir().unwrap();
    let mut products = ["w0", "w1"].map(|workspace| Source::new(workspace, "eu"));
    let join = || {
        let open = |dir: &Path| Ok(Site::at(dir).open_with(None));
        // The mock waits for a member that left as for one that died.
        let config = Config { session_timeout_ms: 6_000, ..broker.config() };
        Group::join(&config, &Secrets::default(), shards.path(), Box::new(open)).unwrap()
    };
    let root = |partition: i32| shards.path().join(format!("{TOPIC}-{partition}"));
    for (partition, product) in products.iter_mut().enumerate() {
        broker.send(partition as i32, &[product.page("home", "Home", None)]);
    }
    let group = join();
    until("both are read", || group.status().partitions.iter().filter(|p| p.committed == Some(1)).count() == 2);
    group.leave().unwrap();

    broker.send(1, &[products[1].block("home", "b", "text")]);
    let group = join();
    until("the last is committed", || group.status().partitions.iter().any(|p| p.committed == Some(2)));
    group.leave().unwrap();
    for (partition, product) in products.iter().enumerate() {
        let epoch = Epoch::latest(&root(partition as i32)).unwrap().unwrap();
        assert_eq!(epoch.number(), 2, "each member wrote in a folder of its own");
        let folders = std::fs::read_dir(root(partition as i32)).unwrap().count();
        assert_eq!(folders, 1, "and the former is gone");
        let engine = Site::at(&epoch.dir()).open_with(None);
        assert_eq!(engine.pages(&product.workspace), [page("home")]);
        assert_eq!(engine.committed_offsets()[&format!("{TOPIC}-{partition}")], 1 + partition as i64);
    }
}

#[test]
fn a_topic_with_more_partitions_than_may_be_held_is_refused() {
    let broker = Broker::new(5);
    let shards = tempfile::tempdir().unwrap();
    let open = |dir: &Path| Ok(Site::at(dir).open_with(None));
    let group = Group::join(&broker.config(), &Secrets::default(), shards.path(), Box::new(open)).unwrap();
    until("it gives up", || group.has_ended());
    let told = group.leave().unwrap_err().to_string();
    assert!(told.contains("5 partitions") && told.contains("partitions_max"), "{told}");
}

#[test]
fn settings_that_the_client_does_not_take_are_named_without_their_value() {
    let site = Site::new();
    let mut config = Config { brokers: "127.0.0.1:1".to_owned(), ..Config::default() };
    config.properties.insert("sasl.mechanismm".to_owned(), "hush".to_owned());
    let error = Stream::start(&config, &Secrets::default(), site.open()).unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("sasl.mechanismm") && !told.contains("hush"), "{told}");
}

#[test]
fn tls_and_passwords_are_built_in() {
    let site = Site::new();
    let mut config = Config { brokers: "127.0.0.1:1".to_owned(), ..Config::default() };
    let settings =
        [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.username", "tessera")];
    config.properties = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let secrets = Secrets([("sasl.password".to_owned(), "hush".to_owned())].into());
    let stream = Stream::start(&config, &secrets, site.open()).unwrap();
    assert!(!stream.status().connected, "there is no broker");
    stream.stop();
}
