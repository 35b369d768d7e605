//! Reading again what was passed over, with a consumer of its own beside the other.
//!
//! It begins where a partition first passed a message over, takes of what it reads only what was passed over, and is paused
//! while enough of that waits. When it has come as far as the other, the partition is read by that alone again. Invariant: a
//! message is handed over before the cursor moves past it, and the cursor stays behind the other consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, Plain};
use super::config::{Config, Secrets};
use super::lane::Lane;
use super::lanes::Lanes;
use super::queue::{Again, Read};
use super::reader::{HAND_OVER_BYTES, HAND_OVER_MESSAGES, decode, is_gap};

/// How long it waits for the first message.
const POLL_WAIT: Duration = Duration::from_millis(5);
/// Messages that are looked at before the other consumer has its turn; most were read before.
const LOOK_MESSAGES: usize = 4_096;
/// How long the brokers have to say what a partition holds.
const LOOK_WAIT: Duration = Duration::from_secs(5);

pub(super) struct CatchUp {
    settings: ClientConfig,
    topic: String,
    /// Made when it is first needed.
    consumer: Option<BaseConsumer<Plain>>,
    reading: BTreeMap<i32, Reading>,
}

/// A partition that is read again.
struct Reading {
    /// Whose messages they were; after a rebalance they may be another's.
    lane: Arc<Lane>,
    is_paused: bool,
    /// The next offset to read, and when the last was written.
    next: i64,
    written_ms: Option<i64>,
}

impl CatchUp {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Self {
        Self {
            settings: client::second_consumer(config, secrets),
            topic: config.topic.clone(),
            consumer: None,
            reading: BTreeMap::new(),
        }
    }

    /// Whether something may come at once.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.values().any(|reading| !reading.is_paused)
    }

    /// Reads on, of partitions whose share of what may wait is `share` bytes; waits for a moment if it `may_wait`. What fails is
    /// tried again by the next step.
    pub(super) fn step(&mut self, lanes: &Lanes, share: usize, may_wait: bool) {
        let followed = self.follow(lanes, share).and_then(|()| self.pause_or_resume(share));
        let wait = if may_wait && self.is_reading() { POLL_WAIT } else { Duration::ZERO };
        let done = followed.and_then(|()| self.read(lanes, wait));
        if let Err(error) = done {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "what was passed over cannot be read at the moment"
            );
        }
    }

    /// Reads the partitions of which something was passed over, and no others.
    fn follow(&mut self, lanes: &Lanes, share: usize) -> Result<(), KafkaError> {
        let mut wanted: BTreeMap<i32, (Arc<Lane>, i64)> = BTreeMap::new();
        for (partition, held) in lanes.lock().iter() {
            if held.lane.of_partition(*partition, |known| known.take_back(share / 8)) {
                tracing::debug!(partition, "all was read again that was passed over");
            }
            if let Some(cursor) = held.lane.progress(*partition).cursor {
                wanted.insert(*partition, (Arc::clone(&held.lane), cursor));
            }
        }
        let is_same = wanted.len() == self.reading.len()
            && wanted
                .iter()
                .zip(&self.reading)
                .all(|((partition, (lane, _)), (read, reading))| partition == read && Arc::ptr_eq(lane, &reading.lane));
        if is_same {
            return Ok(());
        }
        if self.consumer.is_none() {
            self.consumer = Some(self.settings.create_with_context(Plain)?);
        }
        let Some(consumer) = &self.consumer else { return Ok(()) };
        let mut list = TopicPartitionList::new();
        for (partition, (_, cursor)) in &wanted {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*cursor))?;
        }
        self.reading.clear();
        if list.count() == 0 {
            consumer.unassign()?;
        } else {
            consumer.assign(&list)?;
            // One that was paused before stays so otherwise.
            consumer.resume(&list)?;
        }
        let reading = wanted.into_iter().map(|(partition, (lane, cursor))| {
            (partition, Reading { lane, is_paused: false, next: cursor, written_ms: None })
        });
        self.reading = reading.collect();
        Ok(())
    }

    fn pause_or_resume(&mut self, share: usize) -> Result<(), KafkaError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        for (partition, reading) in &mut self.reading {
            let bytes = reading.lane.of_partition(*partition, |known| known.bytes_aside());
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, *partition);
            if !reading.is_paused && bytes > share / 4 {
                consumer.pause(&list)?;
                reading.is_paused = true;
            } else if reading.is_paused && bytes <= share / 8 {
                consumer.resume(&list)?;
                reading.is_paused = false;
            }
        }
        Ok(())
    }

    fn read(&mut self, lanes: &Lanes, mut wait: Duration) -> Result<(), KafkaError> {
        let Some(consumer) = self.consumer.as_ref().filter(|_| !self.reading.is_empty()) else { return Ok(()) };
        let now_ms = jiff::Timestamp::now().as_millisecond().unsigned_abs();
        let mut read: BTreeMap<i32, Vec<Read>> = BTreeMap::new();
        let (mut looked, mut messages, mut bytes) = (0, 0, 0);
        let mut overtaken = BTreeSet::new();
        let mut ended = Ok(());
        while looked < LOOK_MESSAGES && messages < HAND_OVER_MESSAGES && bytes < HAND_OVER_BYTES {
            let message = match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) => {
                    ended = Err(error);
                    break;
                }
            };
            wait = Duration::ZERO;
            looked += 1;
            let Some(reading) = self.reading.get_mut(&message.partition()) else { continue };
            let (key, offset) = (message.key().unwrap_or_default(), message.offset());
            match reading.lane.of_partition(message.partition(), |known| known.again(key, offset)) {
                Again::PassedOver => {
                    let one = decode(&message, now_ms);
                    messages += 1;
                    bytes += one.bytes;
                    read.entry(message.partition()).or_default().push(one);
                }
                Again::Known => {}
                Again::Ahead => {
                    overtaken.insert(message.partition());
                    continue;
                }
            }
            reading.next = offset + 1;
            reading.written_ms = message.timestamp().to_millis();
        }
        for (partition, reading) in &self.reading {
            if let Some(read) = read.remove(partition) {
                reading.lane.push(read);
            }
            let (next, written_ms) = (reading.next, reading.written_ms);
            reading.lane.of_partition(*partition, |known| known.read_again_to(next, written_ms));
        }
        // Assigned anew by the next step, from where the other consumer is by then.
        self.reading.retain(|partition, _| !overtaken.contains(partition));
        if let Err(error) = &ended
            && error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset)
        {
            return self.pass_gaps(lanes);
        }
        ended
    }

    /// Goes on where partitions begin that begin later than they are to be read: the brokers dropped what was before. One that
    /// ends before was made anew, and has nothing of it.
    fn pass_gaps(&mut self, lanes: &Lanes) -> Result<(), KafkaError> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        // Assigned anew by the next step, from where the cursors are, also where the brokers do not answer now: the client reads
        // on by itself nowhere.
        for (partition, reading) in std::mem::take(&mut self.reading) {
            let (first, end) = consumer.fetch_watermarks(&self.topic, partition, LOOK_WAIT)?;
            let next = reading.next;
            if is_gap(next, first, end) {
                lanes.note_gap();
                tracing::error!(
                    topic = self.topic,
                    partition,
                    passed_over = next,
                    first,
                    "the broker dropped events that were to be read again: import what may be missing"
                );
                reading.lane.of_partition(partition, |known| {
                    known.read_again_to(if next < first { first } else { i64::MAX }, None);
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use index::{Index, OpenMode};
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::engine::Engine;

    /// A broker that did not answer just when a gap was found left the partition as one that is read, which the client did not.
    #[test]
    fn a_gap_whose_bounds_the_broker_does_not_tell_is_looked_at_again() {
        let cluster = MockCluster::new(1).unwrap();
        let config = Config { brokers: cluster.bootstrap_servers(), ..Config::default() };
        cluster.create_topic(&config.topic, 1, 1).unwrap();
        let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 100];
        cluster.request_errors(RDKafkaApiKey::ListOffsets, &errors);
        let dir = tempfile::tempdir().unwrap();
        let index = index::Config { dir: dir.path().join("index"), ..index::Config::default() };
        let settings = crate::config::Config { data_dir: dir.path().to_owned(), ..crate::config::Config::default() };
        let engine = Engine::open(Index::open(&index, OpenMode::ReadWrite).unwrap(), None, settings).unwrap();
        let lane = Lane::start(engine, &config.topic, None, None, [].into()).unwrap();
        let mut catch_up = CatchUp::new(&config, &Secrets::default());
        catch_up.consumer = Some(catch_up.settings.create_with_context(Plain).unwrap());
        let reading = Reading { lane: Arc::new(lane), is_paused: false, next: 5, written_ms: None };
        catch_up.reading.insert(0, reading);
        let lanes = Lanes::default();
        catch_up.pass_gaps(&lanes).unwrap_err();
        assert!(!catch_up.is_reading(), "it is assigned anew by the next step");
        assert_eq!(lanes.status(0).gaps_total, 0);
    }
}
