//! The source of many engines: a member of a consumer group, with an index of its own for each partition that it is given.
//!
//! ```text
//! join -> given a partition: claim its next epoch, open it, read on where its commit ends
//!      -> taken a partition: merge no more, commit what is merged, close
//!      -> superseded in one: leave, and join anew
//! ```
//!
//! Kafka decides who reads a partition, the epoch who writes its index ([`index::epochs`]): a member that was frozen past its
//! session wakes up with its old folder alone, which nobody reads any more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use schemas::api::operate::StreamStatus;

use super::client::{self, ClientError};
use super::config::{Config, Secrets};
use super::dead_letters::DeadLetterTopic;
use super::lane::End;
use super::lanes::Lanes;
use super::owner::Owner;
use super::reader::Reader;
use super::source::SourceError;
use crate::engine::Engine;

/// How long a member stays away after it left because of an error.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// How often folders of former owners are looked for, to remove them.
const TIDY_INTERVAL: Duration = Duration::from_secs(30);
/// How long the brokers have to say how many partitions there are.
const LOOK_WAIT: Duration = Duration::from_secs(5);

/// Any error of whoever opens engines.
pub type OpenError = Box<dyn std::error::Error + Send + Sync>;

/// Opens the engine over a data folder.
pub type Open = Box<dyn Fn(&Path) -> Result<Engine, OpenError> + Send + Sync>;

/// Why a member gave up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The client does not get over something: another member with the same `kafka.instance`, for one.
    #[error("the consumer group cannot be read any more")]
    Fatal(#[source] KafkaError),
    /// A partition that was given cannot be written.
    #[error("partition {partition} cannot be indexed")]
    Shard {
        /// The partition.
        partition: i32,
        /// Why.
        source: OpenError,
    },
    /// The topic has more partitions than this process may hold.
    #[error(
        "the topic {topic} has {found} partitions, `kafka.partitions_max` is {max}: one indexer may come to hold all"
    )]
    TooManyPartitions {
        /// The topic.
        topic: String,
        /// Its partitions.
        found: usize,
        /// The configured limit.
        max: usize,
    },
    /// The group gave this process more partitions than it may hold.
    #[error(
        "partition {partition} of {topic} is one more than `kafka.partitions_max` allows, {max}: one indexer may come to hold all"
    )]
    OneTooMany {
        /// The topic.
        topic: String,
        /// The partition that is not taken.
        partition: i32,
        /// The configured limit.
        max: usize,
    },
    /// The thread panicked.
    #[error("the thread that reads the stream panicked; the log says why")]
    Panicked,
    /// An engine takes nothing any more.
    #[error("the index of partition {partition} is not written any more")]
    EngineStopped {
        /// The partition.
        partition: i32,
    },
}

/// A member of the group, at work in a thread.
#[derive(Debug)]
pub struct Group {
    lanes: Arc<Lanes>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<Result<(), GroupError>>>>,
}

impl Group {
    /// Joins. The folders of the partitions are below `shards`; members that are to take over from each other share it. The
    /// brokers need not be there yet.
    pub fn join(config: &Config, secrets: &Secrets, shards: &Path, open: Open) -> Result<Self, SourceError> {
        config.check()?;
        // Wrong settings are told at once.
        let letters = DeadLetterTopic::open(config, secrets)?;
        client::consumer(config, secrets).create::<BaseConsumer>().map_err(ClientError::from)?;
        let lanes = Arc::new(Lanes::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let mut member = Member {
            config: config.clone(),
            secrets: secrets.clone(),
            shards: shards.to_owned(),
            open: Arc::new(open),
            letters,
            lanes: Arc::clone(&lanes),
            stopping: Arc::clone(&stopping),
        };
        let thread = Builder::new().name("indexer-kafka".to_owned()).spawn(move || member.run());
        Ok(Self { lanes, stopping, thread: Mutex::new(Some(thread.map_err(SourceError::Thread)?)) })
    }

    /// How it stands.
    pub fn status(&self) -> StreamStatus {
        self.lanes.status(jiff::Timestamp::now().as_millisecond())
    }

    /// The engines of the partitions that it holds.
    pub fn engines(&self) -> Vec<Engine> {
        self.lanes.engines()
    }

    /// Whether it gave up; [`Group::leave`] says why.
    pub fn has_ended(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Commits what is merged, closes all engines and leaves. Blocks until that is done; says why it gave up, if it did.
    pub fn leave(&self) -> Result<(), GroupError> {
        self.stopping.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        thread.join().unwrap_or(Err(GroupError::Panicked))
    }
}

struct Member {
    config: Config,
    secrets: Secrets,
    shards: PathBuf,
    open: Arc<Open>,
    letters: Option<DeadLetterTopic>,
    lanes: Arc<Lanes>,
    stopping: Arc<AtomicBool>,
}

impl Member {
    fn run(&mut self) -> Result<(), GroupError> {
        while !self.stopping.load(Ordering::Acquire) {
            let Some(partition) = self.take_part()? else { return Ok(()) };
            tracing::warn!(partition, "another process took the partition over; joining the group anew");
            std::thread::park_timeout(REJOIN_PAUSE);
        }
        Ok(())
    }

    /// Is a member until it is to stop, or another process took over a partition, which it gives.
    fn take_part(&self) -> Result<Option<i32>, GroupError> {
        let owner = Owner::new(
            &self.config,
            &self.shards,
            Arc::clone(&self.open),
            self.letters.clone(),
            Arc::clone(&self.lanes),
        );
        let consumer: BaseConsumer<Owner> =
            client::consumer(&self.config, &self.secrets).create_with_context(owner).map_err(ClientError::from)?;
        self.check_partitions(&consumer)?;
        consumer.subscribe(&[&self.config.topic]).map_err(GroupError::Fatal)?;
        let lanes = Arc::clone(&self.lanes);
        let mut reader = Reader::new(consumer, &self.config, &self.secrets, lanes);
        let mut tidy_due = Instant::now() + TIDY_INTERVAL;
        let ended = loop {
            if self.stopping.load(Ordering::Acquire) {
                break Ok(None);
            }
            if let Err(error) = reader.step() {
                break Err(GroupError::Fatal(error));
            }
            if let Some(error) = reader.consumer.context().take_failure() {
                break Err(error);
            }
            match self.lanes.ended() {
                Some((partition, End::Superseded)) => break Ok(Some(partition)),
                Some((partition, End::EngineStopped)) => break Err(GroupError::EngineStopped { partition }),
                None => {}
            }
            if Instant::now() >= tidy_due {
                reader.consumer.context().tidy();
                tidy_due = Instant::now() + TIDY_INTERVAL;
            }
        };
        // Closing takes the partitions away, as a rebalance does. What is left is closed here.
        let context = Arc::clone(reader.consumer.context());
        drop(reader);
        context.give_all();
        ended
    }

    /// Refuses a topic that this process could not hold alone. Without an answer it is known when the group gives it the
    /// partitions.
    fn check_partitions(&self, consumer: &BaseConsumer<Owner>) -> Result<(), GroupError> {
        let Ok(metadata) = consumer.fetch_metadata(Some(&self.config.topic), LOOK_WAIT) else { return Ok(()) };
        let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        let max = self.config.partitions_max;
        if found > max {
            return Err(GroupError::TooManyPartitions { topic: self.config.topic.clone(), found, max });
        }
        Ok(())
    }
}
