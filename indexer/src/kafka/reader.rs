//! The poll loop that every source shares: fetch, decode, hand over, pause what waits too much.
//!
//! It never stops polling, whatever waits: the group would take an indexer for dead. Who holds which partition is for the
//! source to say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::catch_up::CatchUp;
use super::config::{Config, Secrets};
use super::decoders::Encoded;
use super::lane::Lane;
use super::lanes::Lanes;
use super::queue::{Partition, Place, Read, Refused};
use crate::trace;

/// How long a poll waits for the first message.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// Messages decoded before they are handed over, and their bytes.
pub(super) const HAND_OVER_MESSAGES: usize = 512;
pub(super) const HAND_OVER_BYTES: usize = 4 << 20;
/// How often the group is told where the commits are.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// How often the brokers are asked where partitions end, and how long for each.
const LAG_INTERVAL: Duration = Duration::from_secs(2);
const LAG_WAIT: Duration = Duration::from_millis(500);
/// How long the brokers have to say what a partition holds when it is taken in.
const BEGIN_WAIT: Duration = Duration::from_secs(10);
/// How long after a gap the client may still say that it lost its place for that.
const GAP_QUIET: Duration = Duration::from_secs(30);
/// What an event takes beside twice its text, in bytes.
const EVENT_OVERHEAD_BYTES: usize = 512;

pub(super) struct Reader<C: ConsumerContext + 'static> {
    pub(super) consumer: BaseConsumer<C>,
    topic: String,
    group: String,
    lanes: Arc<Lanes>,
    catch_up: CatchUp,
    in_flight_bytes_max: usize,
    /// Whether the client reads on nowhere in some partition, for the broker does not have what was next.
    has_lost_its_place: bool,
    /// When that was settled last.
    gap_passed: Option<Instant>,
    /// What the group was told last.
    told: BTreeMap<i32, i64>,
    tell_due: Instant,
    lag_due: Instant,
}

impl<C: ConsumerContext + 'static> Reader<C> {
    pub(super) fn new(consumer: BaseConsumer<C>, config: &Config, secrets: &Secrets, lanes: Arc<Lanes>) -> Self {
        let now = Instant::now();
        Self {
            consumer,
            topic: config.topic.clone(),
            group: config.group.clone(),
            catch_up: CatchUp::new(config, secrets),
            lanes,
            in_flight_bytes_max: config.in_flight_bytes_max,
            has_lost_its_place: false,
            gap_passed: None,
            told: BTreeMap::new(),
            tell_due: now,
            lag_due: now,
        }
    }

    /// Polls once, at most for about [`POLL_WAIT`]. An error is one that the client does not get over.
    pub(super) fn step(&mut self) -> Result<(), KafkaError> {
        let read_nothing = self.read()? == 0;
        if self.has_lost_its_place {
            self.pass_gaps()?;
        }
        let share = self.in_flight_bytes_max / self.lanes.lock().len().max(1);
        self.set_aside(share);
        self.pause_or_resume(share)?;
        self.catch_up.step(&self.lanes, share, read_nothing);
        let now = Instant::now();
        if now >= self.tell_due {
            self.tell_due = now + TELL_INTERVAL;
            self.tell_group();
        }
        if now >= self.lag_due {
            self.measure_lag();
            self.lag_due = Instant::now() + LAG_INTERVAL;
        }
        Ok(())
    }

    /// Reads a batch; gives the number of its messages.
    fn read(&mut self) -> Result<usize, KafkaError> {
        let now_ms = jiff::Timestamp::now().as_millisecond().unsigned_abs();
        // By the lane that held the partition when a message came: a rebalance may come between two of them.
        let mut read: Vec<(Arc<Lane>, Vec<Read>)> = Vec::new();
        let (mut messages, mut bytes) = (0, 0);
        // From the first of them on: before it came, there was nothing to do.
        let mut traced = None;
        let mut wait = if self.catch_up.is_reading() { Duration::ZERO } else { POLL_WAIT };
        while messages < HAND_OVER_MESSAGES && bytes < HAND_OVER_BYTES {
            let message = match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(held) = self.lanes.lock().get_mut(&partition) {
                        held.reach.ended();
                    }
                    wait = Duration::ZERO;
                    continue;
                }
                // Others may have lost theirs, too.
                Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    self.has_lost_its_place = true;
                    wait = Duration::ZERO;
                    continue;
                }
                Some(Err(error)) => {
                    if self.lanes.connected.swap(false, Ordering::Relaxed) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "Kafka does not answer; it is tried on"
                        );
                    }
                    break;
                }
            };
            wait = Duration::ZERO;
            messages += 1;
            traced.get_or_insert_with(|| trace::poll(&self.topic, &self.group));
            let held_by = self.lanes.lock().get_mut(&message.partition()).map(|held| {
                held.reach.came();
                Arc::clone(&held.lane)
            });
            let Some(lane) = held_by else { continue };
            let one = decode(&message, now_ms);
            let is_urgent = one.content.as_ref().is_ok_and(|event| lane.is_urgent(event));
            let passes_over = |partition: &mut Partition| {
                let key = message.key().unwrap_or_default();
                partition.passes_over(key, message.offset(), message.timestamp().to_millis())
            };
            if !is_urgent && lane.of_partition(message.partition(), passes_over) {
                continue;
            }
            bytes += one.bytes;
            match read.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &lane)) {
                Some((_, reads)) => reads.push(one),
                None => read.push((lane, vec![one])),
            }
        }
        for (lane, reads) in read {
            lane.push(reads);
        }
        if let Some(traced) = traced {
            trace::messages(&traced, messages);
        }
        Ok(messages)
    }

    /// Goes on with the partitions of which the broker does not have what was next: where they begin. Those about which it says
    /// nothing are asked about again by the next step.
    fn pass_gaps(&mut self) -> Result<(), KafkaError> {
        let held: Vec<(i32, Arc<Lane>)> =
            self.lanes.lock().iter().map(|(partition, held)| (*partition, Arc::clone(&held.lane))).collect();
        if held.is_empty() {
            self.has_lost_its_place = false;
            return Ok(());
        }
        let mut places = Vec::new();
        let mut has_answers = true;
        for (partition, lane) in held {
            match self.consumer.fetch_watermarks(&self.topic, partition, LAG_WAIT) {
                Ok((first, end)) => {
                    places.push((partition, where_to(lane.next(partition), first, end), lane, first, end));
                }
                Err(error) => {
                    has_answers = false;
                    tracing::debug!(error = &error as &dyn std::error::Error, partition, "its bounds are not known");
                }
            }
        }
        let is_gap = places.iter().any(|(_, to, ..)| *to == To::Beginning);
        let was_passed = self.gap_passed.is_some_and(|at| at.elapsed() < GAP_QUIET);
        if is_gap || was_passed {
            self.gap_passed = Some(Instant::now());
        }
        if !is_gap && !has_answers {
            return Ok(());
        }
        let is_new = places.iter().any(|(_, to, ..)| *to == To::New);
        if !is_gap && !is_new && !was_passed {
            self.lanes.note_gap();
            tracing::error!(
                topic = self.topic,
                "the broker cut a partition back and wrote it anew: import what may be missing"
            );
        }
        let mut list = TopicPartitionList::new();
        let mut unplaced = TopicPartitionList::new();
        for (partition, to, lane, first, end) in places {
            let offset = match to {
                To::Beginning => {
                    let passed_over = lane.next(partition);
                    tell_gap(&self.lanes, &self.topic, partition, passed_over, first, end);
                    lane.of_partition(partition, |known| known.go_on_at(first));
                    Offset::Beginning
                }
                To::New => Offset::Beginning,
                // It is where it was, unless nobody knows which of them lost its place.
                To::Same(_) if is_gap => continue,
                To::Same(next) => Offset::Offset(next),
            };
            list.add_partition_offset(&self.topic, partition, offset)?;
            unplaced.add_partition(&self.topic, partition);
        }
        // The client takes no other place where it has none: the partitions are assigned to it anew.
        self.consumer.incremental_unassign(&unplaced)?;
        self.consumer.incremental_assign(&list)?;
        self.consumer.resume(&unplaced)?;
        for place in unplaced.elements() {
            if let Some(held) = self.lanes.lock().get_mut(&place.partition()) {
                held.paused = false;
            }
        }
        self.has_lost_its_place = !has_answers;
        Ok(())
    }

    /// Lets a workspace of which too much waits hold up nobody else.
    fn set_aside(&self, share: usize) {
        for (partition, held) in self.lanes.lock().iter() {
            if held.lane.of_partition(*partition, |known| known.set_largest_aside(share / 2)) {
                tracing::debug!(partition, "a workspace is set aside: what is behind it goes first");
            }
        }
    }

    fn pause_or_resume(&self, share: usize) -> Result<(), KafkaError> {
        let mut held = self.lanes.lock();
        for (partition, held) in held.iter_mut() {
            let bytes = held.lane.progress(*partition).bytes;
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, *partition);
            if !held.paused && bytes > share {
                self.consumer.pause(&list)?;
                held.paused = true;
                tracing::debug!(partition, bytes, "paused");
            } else if held.paused && bytes <= share / 2 {
                self.consumer.resume(&list)?;
                held.paused = false;
                tracing::debug!(partition, bytes, "resumed");
            }
        }
        Ok(())
    }

    /// Tells the group up to where the index has committed: for dashboards, nothing depends on it.
    pub(super) fn tell_group(&mut self) {
        let mut list = TopicPartitionList::new();
        let held = self.lanes.lock();
        self.told.retain(|partition, _| held.contains_key(partition));
        for (partition, held) in held.iter() {
            let Some(committed) = held.lane.committed(*partition) else { continue };
            if self.told.insert(*partition, committed) != Some(committed) {
                // Nothing else is wrong with a number that the broker gave.
                let _ = list.add_partition_offset(&self.topic, *partition, Offset::Offset(committed));
            }
        }
        drop(held);
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(error = &error as &dyn std::error::Error, "the group cannot be told the offsets");
        }
    }

    fn measure_lag(&self) {
        let partitions: Vec<i32> = self.lanes.lock().keys().copied().collect();
        for partition in partitions {
            match self.consumer.fetch_watermarks(&self.topic, partition, LAG_WAIT) {
                Ok((_, end)) => {
                    self.lanes.connected.store(true, Ordering::Relaxed);
                    let now_ms = jiff::Timestamp::now().as_millisecond();
                    if let Some(held) = self.lanes.lock().get_mut(&partition) {
                        held.reach.measured(end, held.lane.progress(partition).next, now_ms);
                    }
                }
                Err(error) => {
                    self.lanes.connected.store(false, Ordering::Relaxed);
                    tracing::debug!(error = &error as &dyn std::error::Error, partition, "the end is not known");
                    return;
                }
            }
        }
    }
}

/// Takes a partition in, and says where it is read from: where the index ends, as long as the broker still has that.
pub(super) fn starting_point<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    lane: &Lane,
    lanes: &Lanes,
) -> Offset {
    let Some(committed) = lane.begin(partition) else { return Offset::Beginning };
    match consumer.fetch_watermarks(topic, partition, BEGIN_WAIT) {
        Ok((first, end)) if is_gap(committed, first, end) => {
            tell_gap(lanes, topic, partition, Some(committed), first, end);
            lane.of_partition(partition, |known| known.go_on_at(first));
            Offset::Beginning
        }
        // Without an answer the client says so itself if it is not there, and then the gap is passed.
        _ => Offset::Offset(committed),
    }
}

/// Where a partition is read on after the client lost its place in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    /// Where it begins, for the broker dropped what was next, or made the topic anew.
    Beginning,
    /// Where it begins, for nothing of it was read.
    New,
    /// Where it was.
    Same(i64),
}

/// Where a partition is read on of which the broker has `first` up to `end`, and nothing was read where `next` is none.
fn where_to(next: Option<i64>, first: i64, end: i64) -> To {
    match next {
        None => To::New,
        Some(next) if is_gap(next, first, end) => To::Beginning,
        Some(next) => To::Same(next),
    }
}

/// Whether the broker does not have what is to be read next.
pub(super) fn is_gap(next: i64, first: i64, end: i64) -> bool {
    next < first || next > end
}

fn tell_gap(lanes: &Lanes, topic: &str, partition: i32, next: Option<i64>, first: i64, end: i64) {
    lanes.note_gap();
    tracing::error!(
        topic,
        partition,
        next,
        first,
        end,
        "the broker does not have the events that are next any more: import what may be missing"
    );
}

/// Makes an event of a message, or says why it is none.
pub(super) fn decode(message: &BorrowedMessage<'_>, now_ms: u64) -> Read {
    let mut encoded = Encoded { key: message.key(), payload: message.payload(), ..Encoded::default() };
    if let Some(headers) = message.headers() {
        headers.iter().for_each(|header| encoded.header(header.key, header.value));
    }
    let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
    let content = encoded.decode(now_ms).map_err(|error| Refused {
        key: message.key().map(<[u8]>::to_vec),
        payload: payload.to_vec(),
        error,
    });
    let place =
        Place { partition: message.partition(), offset: message.offset(), written_ms: message.timestamp().to_millis() };
    Read { place, bytes: bytes_taken(key.len(), payload.len()), content }
}

/// About how many bytes a message takes while it waits. A bad one is kept with its key, whatever that is.
fn bytes_taken(key_bytes: usize, payload_bytes: usize) -> usize {
    EVENT_OVERHEAD_BYTES + key_bytes + 2 * payload_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_counts_as_what_waits() {
        assert_eq!(bytes_taken(900_000, 0), 900_000 + EVENT_OVERHEAD_BYTES);
        assert_eq!(bytes_taken(4, 100), 204 + EVENT_OVERHEAD_BYTES);
    }

    #[test]
    fn a_partition_is_read_on_where_it_begins_if_what_was_next_is_gone() {
        assert_eq!(where_to(Some(5), 6, 9), To::Beginning, "the broker dropped it");
        assert_eq!(where_to(Some(5), 0, 4), To::Beginning, "the topic was made anew");
        assert_eq!(where_to(Some(5), 5, 5), To::Same(5));
        assert_eq!(where_to(Some(5), 0, 9), To::Same(5));
        assert_eq!(where_to(None, 6, 9), To::New, "what was never to be read is not missing");
    }
}
