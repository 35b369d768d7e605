//! What a member of a group owns: for each partition its claim, its engine and its lane.
//!
//! The client calls it from within a poll when partitions come and go. Invariant: a partition is held by its lane exactly as
//! long as it is assigned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use index::epochs::Epoch;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::client;
use super::config::Config;
use super::dead_letters::DeadLetterTopic;
use super::group::{GroupError, Open, OpenError};
use super::lane::{Lane, partition_name};
use super::lanes::Lanes;
use super::queue::Weights;
use super::reader::starting_point;
use crate::dead_letters;
use crate::engine::Engine;

pub(super) struct Owner {
    topic: String,
    shards: PathBuf,
    open: Arc<Open>,
    letters: Option<DeadLetterTopic>,
    lanes: Arc<Lanes>,
    weights: Weights,
    partitions_max: usize,
    owned: Mutex<BTreeMap<i32, Owned>>,
    failure: Mutex<Option<GroupError>>,
}

struct Owned {
    epoch: Epoch,
    engine: Engine,
    /// Whether folders of former owners may be left.
    has_former: bool,
}

impl Owner {
    pub(super) fn new(
        config: &Config,
        shards: &Path,
        open: Arc<Open>,
        letters: Option<DeadLetterTopic>,
        lanes: Arc<Lanes>,
    ) -> Self {
        let (topic, shards) = (config.topic.clone(), shards.to_owned());
        let weights = config.weights.clone().into_iter().collect();
        Self {
            topic,
            shards,
            open,
            letters,
            lanes,
            weights,
            partitions_max: config.partitions_max,
            owned: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What went wrong while partitions came and went.
    pub(super) fn take_failure(&self) -> Option<GroupError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes a partition over, and says where it is read on. It does not, where as many are held as the memory is divided among:
    /// the topic may have grown, or nobody could say how large it is.
    fn take(&self, consumer: &BaseConsumer<Self>, partition: i32) -> Result<Offset, GroupError> {
        let max = self.partitions_max;
        if self.lock().len() >= max {
            return Err(GroupError::OneTooMany { topic: self.topic.clone(), partition, max });
        }
        self.open(consumer, partition).map_err(|source| GroupError::Shard { partition, source })
    }

    fn open(&self, consumer: &BaseConsumer<Self>, partition: i32) -> Result<Offset, OpenError> {
        let root = self.shards.join(partition_name(&self.topic, partition));
        let epoch = Epoch::claim(&root, &dead_letters::FILES)?;
        let engine = (self.open)(&epoch.dir())?;
        let (letters, weights) = (self.letters.clone(), self.weights.clone());
        let lane = Lane::start(engine.clone(), &self.topic, letters, Some(epoch.clone()), weights)?;
        let offset = starting_point(consumer, &self.topic, partition, &lane, &self.lanes);
        tracing::info!(topic = self.topic, partition, epoch = epoch.number(), ?offset, "took a partition over");
        self.lanes.hold(partition, Arc::new(lane));
        self.lock().insert(partition, Owned { epoch, engine, has_former: true });
        Ok(offset)
    }

    /// Gives a partition away: merges no more, commits what is merged. Gives up to where that is.
    fn give(&self, partition: i32) -> Option<i64> {
        let held = self.lanes.lock().remove(&partition);
        if let Some(held) = &held {
            held.lane.stop();
        }
        let Owned { epoch, engine, .. } = self.lock().remove(&partition)?;
        if !engine.close() {
            tracing::warn!(partition, "what was merged last could not be committed; the next owner reads it again");
        }
        let committed = engine.committed_offsets().get(&partition_name(&self.topic, partition)).copied();
        // The folder is closed for good once the last handle is gone.
        drop((held, engine));
        if let Err(error) = epoch.remove_superseded() {
            tracing::warn!(error = &error as &dyn std::error::Error, "a former folder cannot be removed");
        }
        tracing::info!(topic = self.topic, partition, epoch = epoch.number(), committed, "gave a partition away");
        committed
    }

    /// Gives all partitions away.
    pub(super) fn give_all(&self) {
        let partitions: Vec<i32> = self.lock().keys().copied().collect();
        for partition in partitions {
            self.give(partition);
        }
    }

    /// Removes what former owners left, once they are gone.
    pub(super) fn tidy(&self) {
        for owned in self.lock().values_mut().filter(|owned| owned.has_former) {
            match owned.epoch.remove_former() {
                Ok(is_alone) => owned.has_former = !is_alone,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a former folder cannot be removed");
                }
            }
        }
    }

    fn note(&self, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(GroupError::Fatal(error));
        }
    }
}

impl ClientContext for Owner {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = &error as &dyn std::error::Error, reason, "Kafka");
    }
}

impl ConsumerContext for Owner {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(TopicPartitionListElem::partition).collect();
        let mut concerned = TopicPartitionList::new();
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            for partition in partitions {
                match self.take(consumer, partition) {
                    // Nothing else is wrong with a place that the index or the broker gave.
                    Ok(offset) => drop(concerned.add_partition_offset(&self.topic, partition, offset)),
                    Err(error) => {
                        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            }
            self.note(consumer.incremental_assign(&concerned));
            self.tidy();
            return;
        }
        let is_lost = consumer.assignment_lost();
        let mut told = TopicPartitionList::new();
        for partition in partitions {
            concerned.add_partition(&self.topic, partition);
            if let Some(committed) = self.give(partition) {
                drop(told.add_partition_offset(&self.topic, partition, Offset::Offset(committed)));
            }
        }
        if !is_lost && told.count() > 0 {
            // For dashboards; the next owner asks the index.
            let _ = consumer.commit(&told, CommitMode::Async);
        }
        self.note(consumer.incremental_unassign(&concerned));
    }
}

#[cfg(test)]
mod tests {
    use index::{Index, OpenMode};

    use super::*;
    use crate::kafka::config::Secrets;

    /// A member that could not be told how many partitions there are took all that it was given.
    #[test]
    fn no_more_partitions_are_taken_than_may_be_held() {
        let shards = tempfile::tempdir().unwrap();
        let open: Open = Box::new(|dir| {
            let config = index::Config { dir: dir.join("index"), ..index::Config::default() };
            let settings = crate::config::Config { data_dir: dir.to_owned(), ..crate::config::Config::default() };
            Ok(Engine::open(Index::open(&config, OpenMode::ReadWrite)?, None, settings)?)
        });
        let config = Config { brokers: "127.0.0.1:1".to_owned(), partitions_max: 2, ..Config::default() };
        let owner = Owner::new(&config, shards.path(), Arc::new(open), None, Arc::default());
        let consumer: BaseConsumer<Owner> =
            client::consumer(&config, &Secrets::default()).create_with_context(owner).unwrap();
        let owner = consumer.context();
        for partition in [3, 5] {
            assert_eq!(owner.take(&consumer, partition).unwrap(), Offset::Beginning);
        }
        let error = owner.take(&consumer, 7).unwrap_err();
        assert!(matches!(error, GroupError::OneTooMany { partition: 7, max: 2, .. }), "{error}");
        owner.give(3);
        assert!(owner.take(&consumer, 7).is_ok(), "there is room again");
        owner.give_all();
    }
}
