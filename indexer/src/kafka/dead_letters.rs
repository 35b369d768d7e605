//! Dead letters in a topic of their own: the message as it came, with the reason and its place in headers.
//!
//! It is written beside the file of dead letters, not in its place. Invariant: [`DeadLetterTopic::send`] returns when the
//! brokers have what it sent; what is too large for them goes there without its event, for it would never be taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::client::{self, ClientError};
use super::config::{Config, Secrets};
use crate::dead_letters::{DeadLetter, Origin};
use crate::error::IngestError;

/// How long the brokers have to take some.
const SEND_WAIT: Duration = Duration::from_secs(10);

/// A dead letter with the key of its message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) letter: DeadLetter<'a>,
}

/// The topic of dead letters. Cloning is cheap.
#[derive(Clone)]
pub(super) struct DeadLetterTopic {
    topic: String,
    producer: Arc<BaseProducer<Deliveries>>,
}

impl std::fmt::Debug for DeadLetterTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Tells the call that sent a message what became of it.
struct Deliveries;

/// What became of the messages of one call.
#[derive(Default)]
struct Sent {
    delivered: AtomicUsize,
    /// The places of those that are too large, whoever said so: sending them again helps nobody.
    too_large: Mutex<Vec<usize>>,
}

impl Sent {
    fn note_too_large(&self, at: usize) {
        self.too_large.lock().unwrap_or_else(PoisonError::into_inner).push(at);
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<(Arc<Sent>, usize)>;

    fn delivery(&self, result: &DeliveryResult<'_>, of: Box<(Arc<Sent>, usize)>) {
        let (sent, at) = *of;
        match result {
            Ok(_) => drop(sent.delivered.fetch_add(1, Ordering::Relaxed)),
            Err((error, _)) if is_too_large(error) => sent.note_too_large(at),
            Err(_) => {}
        }
    }
}

impl DeadLetterTopic {
    /// The configured one, if there is one.
    pub(super) fn open(config: &Config, secrets: &Secrets) -> Result<Option<Self>, ClientError> {
        if config.dead_letter_topic.is_empty() {
            return Ok(None);
        }
        let producer = client::producer(config, secrets).create_with_context(Deliveries)?;
        Ok(Some(Self { topic: config.dead_letter_topic.clone(), producer: Arc::new(producer) }))
    }

    /// Sends letters and waits until the brokers have them. Sending them again after an error may leave some twice.
    ///
    /// One that is too large for the topic is sent without its event, with a header that says so: the file has it whole.
    pub(super) fn send(&self, letters: &[Letter<'_>]) -> Result<(), IngestError> {
        for at in self.send_batch(letters, false)? {
            let alone = &letters[at..=at];
            // A broker refuses a batch as a whole.
            let is_taken = self.send_batch(alone, false)?.is_empty() || self.send_batch(alone, true)?.is_empty();
            if !is_taken {
                tracing::error!(
                    topic = self.topic,
                    "a dead letter is too large for its topic; it is in the file alone"
                );
            }
        }
        Ok(())
    }

    /// Sends letters, `without` their events if so; gives the places of those that are too large.
    fn send_batch(&self, letters: &[Letter<'_>], without: bool) -> Result<Vec<usize>, IngestError> {
        let failed =
            |error: KafkaError| IngestError::DeadLetterTopic { topic: self.topic.clone(), source: Box::new(error) };
        let sent = Arc::new(Sent::default());
        for (at, letter) in letters.iter().enumerate() {
            let event: &[u8] = if without { &[] } else { letter.letter.event };
            let mut record = BaseRecord::with_opaque_to(&self.topic, Box::new((Arc::clone(&sent), at)))
                .payload(event)
                .headers(headers(&letter.letter, without));
            if let Some(key) = letter.key {
                record = record.key(key);
            }
            while let Err((error, rejected)) = self.producer.send(record) {
                if is_too_large(&error) {
                    sent.note_too_large(at);
                    break;
                }
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(failed(error));
                }
                self.producer.flush(SEND_WAIT).map_err(failed)?;
                record = rejected;
            }
        }
        self.producer.flush(SEND_WAIT).map_err(failed)?;
        let too_large = std::mem::take(&mut *sent.too_large.lock().unwrap_or_else(PoisonError::into_inner));
        if sent.delivered.load(Ordering::Relaxed) + too_large.len() < letters.len() {
            return Err(failed(KafkaError::MessageProduction(RDKafkaErrorCode::Fail)));
        }
        Ok(too_large)
    }
}

fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)
}

fn headers(letter: &DeadLetter<'_>, without_event: bool) -> OwnedHeaders {
    let code = serde_json::to_string(&letter.error.code).expect("a name is JSON");
    let mut headers = OwnedHeaders::new();
    let mut add = |key: &str, value: &str| {
        let former = std::mem::take(&mut headers);
        headers = former.insert(Header { key, value: Some(value) });
    };
    add("tessera-reason", &letter.error.reason);
    add("tessera-field", &letter.error.field);
    add("tessera-code", code.trim_matches('"'));
    if let Some(Origin::Stream { topic, partition, offset }) = letter.origin {
        add("tessera-topic", topic);
        add("tessera-partition", &partition.to_string());
        add("tessera-offset", &offset.to_string());
    }
    if without_event {
        add("tessera-truncated", &letter.event.len().to_string());
    }
    headers
}
