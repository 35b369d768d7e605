//! What streams are configured with, and which settings of the client are ours to make.

use std::collections::BTreeMap;

use schemas::ids::WorkspaceId;
use serde::{Deserialize, Serialize};

use crate::config::BadConfig;

/// Settings of streams. Without `brokers` there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses of some brokers, as `kafka-1:9092,kafka-2:9092`; empty for no stream. Default empty.
    pub brokers: String,
    /// The topic of block changes, with the workspace's id as key. Default `tessera.block-changes`.
    pub topic: String,
    /// The topic that dead letters are sent to, beside the file that keeps them; empty for the file alone. Default empty.
    pub dead_letter_topic: String,
    /// The consumer group: indexers of one group share the partitions. Default `tessera`.
    pub group: String,
    /// A name of this indexer that no other of the group has, kept over restarts: then a restart within the session timeout
    /// moves no partition. Empty for none. Default empty.
    pub instance: String,
    /// How long an indexer may be silent before its partitions go to others, in milliseconds; 1,000 to 300,000.
    /// Default 45,000: longer than a restart takes.
    pub session_timeout_ms: u64,
    /// Bytes of events that were read and are not merged yet, over all partitions; each partition has an equal share, and is
    /// paused above it. 1 MiB or more. Default 32 MiB.
    pub in_flight_bytes_max: usize,
    /// Bytes of messages that the client fetches ahead, 1 MiB or more. Default 16 MiB.
    pub fetch_bytes_max: usize,
    /// Partitions that one `tessera indexer` may hold, for each takes memory of its own; 1 to 1,000. Default 4.
    pub partitions_max: usize,
    /// Workspaces that have more turns than others when much waits, with how many in a row, 1 to 100. Default none: each has one.
    pub weights: BTreeMap<WorkspaceId, u32>,
    /// Any other setting of librdkafka, as `"security.protocol" = "SASL_SSL"`. Those that this program relies on are refused.
    /// Default none.
    pub properties: BTreeMap<String, String>,
    /// Files that hold the value of a secret setting, by its name, as `"sasl.password" = "/run/secrets/kafka"`. Default none.
    pub secret_files: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic: "tessera.block-changes".to_owned(),
            dead_letter_topic: String::new(),
            group: "tessera".to_owned(),
            instance: String::new(),
            session_timeout_ms: 45_000,
            in_flight_bytes_max: 32 << 20,
            fetch_bytes_max: 16 << 20,
            partitions_max: 4,
            weights: BTreeMap::new(),
            properties: BTreeMap::new(),
            secret_files: BTreeMap::new(),
        }
    }
}

/// Settings of the client that hold secrets.
pub const SECRETS: [&str; 7] = [
    "sasl.password",
    "sasl.oauthbearer.client.secret",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
];

/// Settings that the promises rest on, each with what to do instead.
const OURS: [(&str, &str); 18] = [
    ("bootstrap.servers", "set `kafka.brokers`"),
    ("metadata.broker.list", "set `kafka.brokers`"),
    ("group.id", "set `kafka.group`"),
    ("group.instance.id", "set `kafka.instance`"),
    ("session.timeout.ms", "set `kafka.session_timeout_ms`"),
    ("heartbeat.interval.ms", "set `kafka.session_timeout_ms`: three of them fit in it"),
    ("queued.max.messages.kbytes", "set `kafka.fetch_bytes_max`"),
    ("queued.min.messages", "set `kafka.fetch_bytes_max`"),
    ("enable.auto.commit", "offsets move with the commits of the index alone"),
    ("enable.auto.offset.store", "offsets move with the commits of the index alone"),
    ("auto.offset.reset", "reading begins where the index ends"),
    ("enable.partition.eof", "the end of a partition tells how far behind it is"),
    ("partition.assignment.strategy", "partitions move one by one"),
    ("group.protocol", "partitions move one by one"),
    ("isolation.level", "what a producer took back must not be read"),
    ("enable.idempotence", "an event must not be lost when a broker goes"),
    ("acks", "an event must not be lost when a broker goes"),
    ("request.required.acks", "an event must not be lost when a broker goes"),
];

/// Beginnings of settings that run foreign code or replace the cluster.
const REFUSED: [&str; 2] = ["plugin.", "test."];

/// Values of secret settings, by name. Its `Debug` prints none.
#[derive(Clone, Default)]
pub struct Secrets(pub BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Config {
    /// Whether there is a stream to read.
    pub fn is_enabled(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// Checks every value against its stated range. What the client alone knows, it says when it is made.
    pub fn check(&self) -> Result<(), BadConfig> {
        let bad = |key, requirement: String| Err(BadConfig { key, requirement });
        for (key, name) in [("kafka.topic", &self.topic), ("kafka.dead_letter_topic", &self.dead_letter_topic)] {
            let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let may_be_empty = key == "kafka.dead_letter_topic";
            if (name.is_empty() && !may_be_empty) || name.len() > 249 || !name.chars().all(is_legal) {
                return bad(key, "must have 1 to 249 letters, digits, `.`, `_` and `-`".to_owned());
            }
        }
        if self.topic == self.dead_letter_topic {
            return bad("kafka.dead_letter_topic", "must not be the topic that is read".to_owned());
        }
        if self.group.is_empty() {
            return bad("kafka.group", "must not be empty".to_owned());
        }
        // The client takes none that is longer than a member may stay away from polling.
        if !(1_000..=300_000).contains(&self.session_timeout_ms) {
            return bad("kafka.session_timeout_ms", "must be 1000 to 300000".to_owned());
        }
        for (key, bytes) in
            [("kafka.in_flight_bytes_max", self.in_flight_bytes_max), ("kafka.fetch_bytes_max", self.fetch_bytes_max)]
        {
            if bytes < 1 << 20 {
                return bad(key, "must be at least 1048576".to_owned());
            }
        }
        if !(1..=1_000).contains(&self.partitions_max) {
            return bad("kafka.partitions_max", "must be 1 to 1000".to_owned());
        }
        if let Some((workspace, _)) = self.weights.iter().find(|(_, weight)| !(1..=100).contains(*weight)) {
            return bad("kafka.weights", format!("must be 1 to 100 for `{workspace}`"));
        }
        for name in self.properties.keys() {
            if let Some((_, instead)) = OURS.iter().find(|(ours, _)| ours == name) {
                return bad("kafka.properties", format!("must not set `{name}`: {instead}"));
            }
            if REFUSED.iter().any(|beginning| name.starts_with(beginning)) {
                return bad("kafka.properties", format!("must not set `{name}`"));
            }
            if SECRETS.contains(&name.as_str()) {
                let variable = secret_variable(name);
                let instead = format!("set the variable {variable}, or name a file in `kafka.secret_files`");
                return bad("kafka.properties", format!("must not hold the secret `{name}`: {instead}"));
            }
        }
        if let Some(name) = self.secret_files.keys().find(|name| !SECRETS.contains(&name.as_str())) {
            return bad("kafka.secret_files", format!("must name secret settings alone, not `{name}`"));
        }
        Ok(())
    }
}

/// The variable of the environment that may hold a secret setting.
pub fn secret_variable(name: &str) -> String {
    format!("TESSERA_KAFKA_{}", name.replace('.', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, expected: &str) {
        let error = toml::from_str::<Config>(toml).unwrap().check().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn settings_that_break_a_promise_and_secrets_in_the_file_are_refused() {
        assert_eq!(Config::default().check(), Ok(()));
        check("topic = 'a b'", "letters");
        check("topic = 'a'\ndead_letter_topic = 'a'", "must not be the topic");
        check("in_flight_bytes_max = 1000", "`kafka.in_flight_bytes_max` must be at least");
        check("[weights]\nacme = 0", "must be 1 to 100 for `acme`");
        check("[properties]\n'enable.auto.commit' = 'true'", "must not set `enable.auto.commit`: offsets move");
        check("[properties]\n'group.id' = 'x'", "set `kafka.group`");
        check("[properties]\n'heartbeat.interval.ms' = '1000'", "set `kafka.session_timeout_ms`");
        check("session_timeout_ms = 300001", "`kafka.session_timeout_ms` must be 1000 to 300000");
        check("[properties]\n'plugin.library.paths' = 'x'", "must not set `plugin.library.paths`");
        check("[properties]\n'sasl.password' = 'hush'", "TESSERA_KAFKA_SASL_PASSWORD");
        check("[secret_files]\n'sasl.username' = 'x'", "not `sasl.username`");
    }

    #[test]
    fn secrets_are_not_printed() {
        let secrets = Secrets(BTreeMap::from([("sasl.password".to_owned(), "hush".to_owned())]));
        assert_eq!(format!("{secrets:?}"), r#"{"sasl.password"}"#);
    }
}
