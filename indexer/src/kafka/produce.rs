//! Writing events to a topic, as a product would: by the workspace's key, at a given rate, and on request with the
//! duplicates and the disorder that a stream may have.
//!
//! The same seed gives the same messages. Invariants: an event is written at most `reorder` places from where it was given,
//! its duplicates within twice that; [`Producer::finish`] returns when the brokers have everything, whatever failed before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use schemas::event::Event;

use super::client::{self, ClientError, Plain};
use super::config::{Config, Secrets};
use super::decoders::ENCODING;

/// How long the brokers have to take what was written last.
const FLUSH_WAIT: Duration = Duration::from_mins(2);
/// How long they have to make a topic.
const CREATE_WAIT: Duration = Duration::from_secs(30);

/// The lowest rate, in events a second.
pub const RATE_MIN: f64 = 0.001;

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// Events a second, duplicates not counted, [`RATE_MIN`] or more; as fast as can be without.
    pub rate: Option<f64>,
    /// Share of the events that are written twice, 0 to 1.
    pub duplicates: f64,
    /// How many places an event may be written from where it belongs.
    pub reorder: usize,
    /// Which duplicates and which order.
    pub seed: u64,
}

/// Why events could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The client or the brokers refused something.
    #[error("cannot write to the topic {topic}")]
    Topic {
        /// The topic.
        topic: String,
        /// What was said.
        source: KafkaError,
    },
    /// Some events were not taken.
    #[error("the brokers did not take {failed} of {sent} events")]
    Undelivered {
        /// Events that failed.
        failed: u64,
        /// All that were written.
        sent: u64,
    },
    /// Nothing can be waited for.
    #[error("cannot start a runtime")]
    Runtime(#[source] std::io::Error),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    /// Events that were given.
    pub events: u64,
    /// Messages that the brokers have, duplicates included.
    pub messages: u64,
}

/// Writes to one topic.
pub struct Producer {
    client: BaseProducer<Deliveries>,
    failed: Arc<AtomicU64>,
    topic: String,
    options: Options,
    random: SmallRng,
    /// What is written next, in an order that is drawn when there is enough of it.
    window: Vec<Event>,
    /// Duplicates that go into the next window.
    again: Vec<Event>,
    began: Instant,
    produced: Produced,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("topic", &self.topic).field("options", &self.options).finish_non_exhaustive()
    }
}

/// Counts what the brokers did not take.
struct Deliveries(Arc<AtomicU64>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Producer {
    /// Opens the configured topic of block changes.
    pub fn open(config: &Config, secrets: &Secrets, options: Options) -> Result<Self, ProduceError> {
        let failed = Arc::new(AtomicU64::new(0));
        let mut settings = client::producer(config, secrets);
        if !config.properties.contains_key("partitioner") {
            // As Kafka's own client, so that a workspace lies in the same partition whoever writes.
            settings.set("partitioner", "murmur2_random");
        }
        let client = settings.create_with_context(Deliveries(Arc::clone(&failed))).map_err(ClientError::from)?;
        Ok(Self {
            client,
            failed,
            topic: config.topic.clone(),
            options,
            random: SmallRng::seed_from_u64(options.seed),
            window: Vec::new(),
            again: Vec::new(),
            began: Instant::now(),
            produced: Produced::default(),
        })
    }

    /// Writes an event, at its time. One that is refused does not hinder those after it.
    pub fn send(&mut self, event: &Event) -> Result<(), ProduceError> {
        self.produced.events += 1;
        if let Some(rate) = self.options.rate {
            let due = self.began + Duration::from_secs_f64(self.produced.events as f64 / rate.max(RATE_MIN));
            // Serves the client meanwhile.
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                self.client.poll(left);
            }
        }
        if self.random.random_bool(self.options.duplicates.clamp(0.0, 1.0)) {
            self.again.push(event.clone());
        }
        self.window.push(event.clone());
        if self.window.len() > self.options.reorder { self.write_window() } else { Ok(()) }
    }

    /// Writes what is left, and waits until the brokers have everything, also what was sent before an error.
    pub fn finish(mut self) -> Result<Produced, ProduceError> {
        let written = [self.write_window(), self.write_window()];
        self.client.flush(FLUSH_WAIT).map_err(|source| ProduceError::Topic { topic: self.topic.clone(), source })?;
        let failed = self.failed.load(Ordering::Relaxed);
        if failed > 0 {
            return Err(ProduceError::Undelivered { failed, sent: self.produced.messages });
        }
        written.into_iter().collect::<Result<(), _>>()?;
        Ok(self.produced)
    }

    /// Writes the window whole; gives the first error.
    fn write_window(&mut self) -> Result<(), ProduceError> {
        let mut window = std::mem::take(&mut self.window);
        window.shuffle(&mut self.random);
        let mut written = Ok(());
        for event in &window {
            written = written.and(self.write(event));
        }
        window.clear();
        // Their allocation serves the next window.
        self.window = window;
        self.window.append(&mut self.again);
        written
    }

    fn write(&mut self, event: &Event) -> Result<(), ProduceError> {
        let payload = event.encode();
        let headers = OwnedHeaders::new()
            .insert(Header { key: ENCODING, value: Some("json/1") })
            .insert(Header { key: "content-type", value: Some("application/cloudevents+json; charset=UTF-8") });
        let mut record = BaseRecord::to(&self.topic).key(event.workspace.as_str()).payload(&payload).headers(headers);
        while let Err((source, refused)) = self.client.send(record) {
            if source.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(ProduceError::Topic { topic: self.topic.clone(), source });
            }
            self.client.poll(Duration::from_millis(100));
            record = refused;
        }
        self.produced.messages += 1;
        self.client.poll(Duration::ZERO);
        Ok(())
    }
}

/// Makes the configured topic of block changes, unless it is there already.
pub fn create_topic(config: &Config, secrets: &Secrets, partitions: i32, replication: i32) -> Result<(), ProduceError> {
    let failed = |source| ProduceError::Topic { topic: config.topic.clone(), source };
    let settings = client::producer(config, secrets);
    let admin: AdminClient<Plain> = settings.create_with_context(Plain).map_err(ClientError::from)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(ProduceError::Runtime)?;
    let topic = NewTopic::new(&config.topic, partitions, TopicReplication::Fixed(replication));
    let options = AdminOptions::new().operation_timeout(Some(CREATE_WAIT)).request_timeout(Some(CREATE_WAIT));
    let made = runtime.block_on(admin.create_topics(&[topic], &options)).map_err(failed)?;
    match made.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => Err(failed(KafkaError::AdminOp(code))),
        _ => Ok(()),
    }
}
