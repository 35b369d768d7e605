//! Dead letters in a topic of their own: the message as it came, with the reason and its place in headers.
//!
//! It is written beside the file of dead letters, not in its place. Invariant: [`DeadLetterTopic::send`] returns when the
//! brokers have what it sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Counts what became of messages, under the number of the call that sent them.
struct Deliveries;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<AtomicU64>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivered: Arc<AtomicU64>) {
        if result.is_ok() {
            delivered.fetch_add(1, Ordering::Relaxed);
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
    pub(super) fn send(&self, letters: &[Letter<'_>]) -> Result<(), IngestError> {
        let failed =
            |error: KafkaError| IngestError::DeadLetterTopic { topic: self.topic.clone(), source: Box::new(error) };
        let delivered = Arc::new(AtomicU64::new(0));
        for letter in letters {
            let mut record = BaseRecord::with_opaque_to(&self.topic, Arc::clone(&delivered))
                .payload(letter.letter.event)
                .headers(headers(&letter.letter));
            if let Some(key) = letter.key {
                record = record.key(key);
            }
            while let Err((error, rejected)) = self.producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(failed(error));
                }
                self.producer.flush(SEND_WAIT).map_err(failed)?;
                record = rejected;
            }
        }
        self.producer.flush(SEND_WAIT).map_err(failed)?;
        if delivered.load(Ordering::Relaxed) < letters.len() as u64 {
            return Err(failed(KafkaError::MessageProduction(RDKafkaErrorCode::Fail)));
        }
        Ok(())
    }
}

fn headers(letter: &DeadLetter<'_>) -> OwnedHeaders {
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
    headers
}
