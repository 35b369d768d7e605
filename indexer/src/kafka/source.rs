//! The source of one engine: all partitions of a topic, assigned to it whatever a group says.
//!
//! ```text
//! start -> find the partitions -> assign each where the index ends -> poll until stopped
//! ```
//!
//! There is one writer of the index, so that no group is needed to share the work, and none can take it away.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, ClientError, Plain};
use super::config::{Config, Secrets};
use super::dead_letters::DeadLetterTopic;
use super::lane::Lane;
use super::lanes::Lanes;
use super::reader::{Reader, starting_point};
use schemas::api::operate::StreamStatus;

use crate::config::BadConfig;
use crate::engine::Engine;

/// How often it looks for partitions that were added, and for a topic that is not there yet.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
const FIRST_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the brokers have to say which partitions there are.
const LOOK_WAIT: Duration = Duration::from_secs(5);
/// How long one poll waits while there is nothing to read yet.
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// A source cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A configured value is out of its range.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A thread cannot be started.
    #[error("cannot start a thread: raise the limit on processes")]
    Thread(#[source] std::io::Error),
}

/// A stream that is being read into an engine.
#[derive(Debug)]
pub struct Source {
    lanes: Arc<Lanes>,
    lane: Arc<Lane>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Source {
    /// Starts reading. The brokers need not be there yet.
    pub fn start(config: &Config, secrets: &Secrets, engine: Engine) -> Result<Self, SourceError> {
        config.check()?;
        let consumer: BaseConsumer<Plain> =
            client::consumer(config, secrets).create_with_context(Plain).map_err(ClientError::from)?;
        let letters = DeadLetterTopic::open(config, secrets)?;
        let weights = config.weights.clone().into_iter().collect();
        let lane = Arc::new(Lane::start(engine, &config.topic, letters, None, weights).map_err(SourceError::Thread)?);
        let lanes = Arc::new(Lanes::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let mut assigned = Assigned {
            reader: Reader::new(consumer, config, secrets, Arc::clone(&lanes)),
            topic: config.topic.clone(),
            lanes: Arc::clone(&lanes),
            lane: Arc::clone(&lane),
            stopping: Arc::clone(&stopping),
        };
        let thread = Builder::new().name("indexer-kafka".to_owned()).spawn(move || assigned.run());
        let thread = Mutex::new(Some(thread.map_err(SourceError::Thread)?));
        Ok(Self { lanes, lane, stopping, thread })
    }

    /// How it stands.
    pub fn status(&self) -> StreamStatus {
        self.lanes.status(jiff::Timestamp::now().as_millisecond())
    }

    /// Stops reading and merging; what was read and not merged is read again after the next start. Blocks until that is done.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has said so in the log.
            let _ = thread.join();
        }
        self.lane.stop();
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Assigned {
    reader: Reader<Plain>,
    topic: String,
    lanes: Arc<Lanes>,
    lane: Arc<Lane>,
    stopping: Arc<AtomicBool>,
}

impl Assigned {
    fn run(&mut self) {
        let mut look_due = Instant::now();
        let mut is_told = false;
        while !self.stopping.load(Ordering::Acquire) {
            if Instant::now() >= look_due {
                if let Err(error) = self.look()
                    && !std::mem::replace(&mut is_told, true)
                {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        topic = self.topic,
                        "the topic is not there, or no broker is; it is looked for on"
                    );
                }
                let is_reading = !self.lanes.lock().is_empty();
                look_due = Instant::now() + if is_reading { LOOK_INTERVAL } else { FIRST_LOOK_INTERVAL };
            }
            if self.lanes.lock().is_empty() {
                // Nothing is assigned, so that nothing comes but news of the connection.
                let _ = self.reader.consumer.poll(IDLE_WAIT);
                continue;
            }
            if let Err(error) = self.reader.step() {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the stream is not read any more; start anew"
                );
                return self.lanes.has_ended.store(true, Ordering::Relaxed);
            }
            if let Some((_, end)) = self.lanes.ended() {
                tracing::error!(?end, "the stream is not read any more; start anew");
                return self.lanes.has_ended.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Assigns the partitions there are, where any are new.
    fn look(&self) -> Result<(), KafkaError> {
        let metadata = self.reader.consumer.fetch_metadata(Some(&self.topic), LOOK_WAIT)?;
        self.lanes.connected.store(true, Ordering::Relaxed);
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let Some(topic) = topic.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty()) else {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
        };
        let partitions: Vec<i32> = topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
        if partitions.iter().all(|partition| self.lanes.lock().contains_key(partition)) {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            let offset = if self.lanes.lock().contains_key(&partition) {
                Offset::Offset(self.lane.progress(partition).next)
            } else {
                starting_point(&self.reader.consumer, &self.topic, partition, &self.lane, &self.lanes)
            };
            tracing::info!(topic = self.topic, partition, ?offset, "reading");
            list.add_partition_offset(&self.topic, partition, offset)?;
            self.lanes.hold(partition, Arc::clone(&self.lane));
        }
        self.reader.consumer.assign(&list)
    }
}
