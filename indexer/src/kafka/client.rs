//! Making clients: their settings from the configuration, their messages into the log.
//!
//! No secret is printed: what the client says of a setting is told without the value.

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use schemas::limits::EVENT_BYTES_MAX;

use super::config::{Config, Secrets};

/// Most bytes of a message that is written: the largest event, with its key and headers.
const MESSAGE_BYTES_MAX: usize = EVENT_BYTES_MAX + (64 << 10);

/// A client cannot be made of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It does not take a setting.
    #[error("the Kafka client does not take the setting `{name}`: {reason}")]
    Setting {
        /// The setting.
        name: String,
        /// What it says; not the value.
        reason: String,
    },
    /// It cannot be started.
    #[error("cannot start the Kafka client")]
    Start(#[source] KafkaError),
}

impl From<KafkaError> for ClientError {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, reason, name, _) => Self::Setting { name, reason },
            error => Self::Start(error),
        }
    }
}

/// Settings of every client.
fn settings(config: &Config, secrets: &Secrets) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("client.id", "tessera").set("bootstrap.servers", &config.brokers);
    for (name, value) in config.properties.iter().chain(&secrets.0) {
        client.set(name, value);
    }
    client.set_log_level(RDKafkaLogLevel::Info);
    client
}

/// Settings of a consumer that never commits offsets by itself, and says so when what it is to read is gone or all is read.
pub(super) fn consumer(config: &Config, secrets: &Secrets) -> ClientConfig {
    let mut client = settings(config, secrets);
    client
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", config.session_timeout_ms.to_string())
        // Another half is for what is read again.
        .set("queued.max.messages.kbytes", (config.fetch_bytes_max >> 11).to_string());
    // Three beats must fit in a session.
    let beat_ms = (config.session_timeout_ms / 3).min(3_000);
    client.set("heartbeat.interval.ms", beat_ms.to_string());
    if !config.properties.contains_key("fetch.wait.max.ms") {
        // An edit need not wait for others.
        client.set("fetch.wait.max.ms", "100");
    }
    if !config.properties.contains_key("fetch.queue.backoff.ms") {
        // The queue is short, and empty again long before the second that is usual.
        client.set("fetch.queue.backoff.ms", "50");
    }
    if !config.instance.is_empty() {
        client.set("group.instance.id", &config.instance);
    }
    client
}

/// Settings of a consumer beside the other that reads again what was passed over. It is a member of no group.
pub(super) fn second_consumer(config: &Config, secrets: &Secrets) -> ClientConfig {
    let mut client = consumer(config, secrets);
    client.remove("group.instance.id");
    client.set("enable.partition.eof", "false");
    client
}

/// Settings of a producer that loses nothing and writes nothing twice.
pub(super) fn producer(config: &Config, secrets: &Secrets) -> ClientConfig {
    let mut client = settings(config, secrets);
    client.set("enable.idempotence", "true").set("acks", "all");
    if !config.properties.contains_key("linger.ms") {
        client.set("linger.ms", "5");
    }
    if !config.properties.contains_key("message.max.bytes") {
        client.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    }
    client
}

/// Brings the messages of a client into our log.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(target: "indexer::kafka", facility, "{message}");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "indexer::kafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "indexer::kafka", facility, "{message}"),
    }
}

/// The context of clients that have nothing else to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain;

impl ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = &error as &dyn std::error::Error, reason, "Kafka");
    }
}

impl rdkafka::consumer::ConsumerContext for Plain {}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    #[test]
    fn every_session_timeout_that_is_allowed_is_taken_by_the_client() {
        for session_timeout_ms in [1_000, 300_000] {
            let config = Config { session_timeout_ms, brokers: "127.0.0.1:1".to_owned(), ..Config::default() };
            config.check().unwrap();
            consumer(&config, &Secrets::default()).create_with_context::<_, BaseConsumer<Plain>>(Plain).unwrap();
        }
    }

    #[test]
    fn membership_security_and_promises_reach_the_client() {
        let mut config = Config { instance: "indexer-7".to_owned(), session_timeout_ms: 6_000, ..Config::default() };
        for (name, value) in [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512")] {
            config.properties.insert(name.to_owned(), value.to_owned());
        }
        let secrets = Secrets([("sasl.password".to_owned(), "hush".to_owned())].into());
        let check = |client: &ClientConfig, name: &str, expected: Option<&str>| {
            assert_eq!(client.get(name), expected, "{name}");
        };
        let member = consumer(&config, &secrets);
        for (name, expected) in [
            ("group.instance.id", "indexer-7"),
            ("group.id", "tessera"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "2000"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("security.protocol", "SASL_SSL"),
            ("sasl.password", "hush"),
        ] {
            check(&member, name, Some(expected));
        }
        let second = second_consumer(&config, &secrets);
        check(&second, "group.instance.id", None);
        check(&second, "auto.offset.reset", Some("error"));
        check(&second, "sasl.mechanism", Some("SCRAM-SHA-512"));
        let writer = producer(&config, &secrets);
        check(&writer, "enable.idempotence", Some("true"));
        check(&writer, "acks", Some("all"));
        check(&writer, "message.max.bytes", Some("1114112"));
        check(&writer, "sasl.password", Some("hush"));
    }
}
