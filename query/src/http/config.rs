//! Configuration of the HTTP API, and where its numbers must be. Pure data.

use std::ops::RangeInclusive;

use schemas::limits::BATCH_BYTES_MAX;
use serde::{Deserialize, Serialize};

use super::connections::ConnectionsConfig;
use super::cors;
use super::rate::RateConfig;
use super::tls::TlsConfig;

/// What an operator can choose about the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Requests that are worked on side by side, 1 to 100,000; more are shed with 503. 512.
    pub in_flight_max: usize,
    /// Largest body of a search, in bytes, 1,024 to 16 MiB; 65,536. Batches of events have their own limit of 16 MiB.
    pub body_bytes_max: usize,
    /// Bytes of the bodies of all requests that are worked on, 16 MiB to 1 TiB; what goes beyond is shed with 503. 64 MiB: four
    /// full batches of events, each of which takes about four times its length while it is decoded and committed.
    pub bodies_bytes_max: usize,
    /// How long a batch of events is waited for when the request does not say, in milliseconds, 100 to 60,000; 30,000.
    pub ingest_timeout_ms: u32,
    /// How long any request may take, its body included, in milliseconds, 100 to 3,600,000; 65,000.
    pub request_timeout_ms: u32,
    /// How long requests in flight have to end at shutdown, in milliseconds, 3,600,000 at most; 10,000.
    pub drain_ms: u32,
    /// How long requests are taken as before at shutdown, while `/readyz` says already that the server is stopping, in milliseconds,
    /// 3,600,000 at most; 0. Give whoever sends requests here time to see it.
    pub stop_delay_ms: u32,
    /// Batches of events that are worked on beyond `in_flight_max`, 100,000 at most; 32.
    pub intake_reserved: usize,
    /// Origins of web pages that may ask, as `https://app.example.com`; none.
    pub cors_origins: Vec<String>,
    /// Where this server is reached from outside, as `https://search.example.com`; empty. Named to clients of `/mcp`.
    pub public_url: String,
    /// Who gives the tokens that this server believes, as issuer addresses; none. Named to clients of `/mcp`.
    pub authorization_servers: Vec<String>,
    /// How many requests a second may come.
    pub rate: RateConfig,
    /// Bounds of connections.
    pub connections: ConnectionsConfig,
    /// The certificate of the API.
    pub tls: TlsConfig,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            in_flight_max: 512,
            body_bytes_max: 65_536,
            bodies_bytes_max: 64 << 20,
            ingest_timeout_ms: 30_000,
            request_timeout_ms: 65_000,
            drain_ms: 10_000,
            stop_delay_ms: 0,
            intake_reserved: 32,
            cors_origins: Vec::new(),
            public_url: String::new(),
            authorization_servers: Vec::new(),
            rate: RateConfig::default(),
            connections: ConnectionsConfig::default(),
            tls: TlsConfig::default(),
        }
    }
}

impl HttpConfig {
    /// The first value that cannot hold, and why.
    pub fn wrong(&self) -> Option<String> {
        let numbers = [
            ("in_flight_max", self.in_flight_max as u64, 1..=100_000),
            ("body_bytes_max", self.body_bytes_max as u64, 1_024..=BATCH_BYTES_MAX as u64),
            // One full batch of events at least.
            ("bodies_bytes_max", self.bodies_bytes_max as u64, BATCH_BYTES_MAX as u64..=1 << 40),
            ("ingest_timeout_ms", self.ingest_timeout_ms.into(), INGEST_TIMEOUT_MS),
            ("request_timeout_ms", self.request_timeout_ms.into(), 100..=3_600_000),
            ("drain_ms", self.drain_ms.into(), 0..=3_600_000),
            ("stop_delay_ms", self.stop_delay_ms.into(), 0..=3_600_000),
            ("intake_reserved", self.intake_reserved as u64, 0..=100_000),
        ];
        out_of_range(numbers)
            .or_else(|| self.rate.wrong())
            .or_else(|| self.connections.wrong())
            .or_else(|| self.tls.wrong())
            .or_else(|| cors::wrong(&self.cors_origins))
    }
}

/// How long a batch of events may be waited for, in milliseconds.
pub(super) const INGEST_TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;

/// Of numbers and the ranges that they must be in, the first that is not, and where it must be.
pub(super) fn out_of_range<const N: usize>(numbers: [(&str, u64, RangeInclusive<u64>); N]) -> Option<String> {
    let (key, _, range) = numbers.into_iter().find(|(_, number, range)| !range.contains(number))?;
    Some(format!("`{key}` must be from {} to {}", range.start(), range.end()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_number_that_cannot_hold_is_named() {
        assert_eq!(HttpConfig::default().wrong(), None);
        let told = |key: &str, number: u64| {
            let inside = |value, part: &str| Value::Object([(part.to_owned(), value)].into_iter().collect());
            let config = key.rsplit('.').fold(Value::from(number), inside);
            serde_json::from_value::<HttpConfig>(config).unwrap().wrong()
        };
        for (key, wrong, right) in [
            ("in_flight_max", 0, 1),
            ("in_flight_max", i64::MAX as u64, 100_000),
            ("body_bytes_max", 0, 1_024),
            ("body_bytes_max", 16_777_217, 16_777_216),
            ("bodies_bytes_max", 16_777_215, 16_777_216),
            ("ingest_timeout_ms", 90_000, 60_000),
            ("ingest_timeout_ms", 99, 100),
            ("request_timeout_ms", 0, 100),
            ("request_timeout_ms", 3_600_001, 3_600_000),
            ("drain_ms", 3_600_001, 0),
            ("stop_delay_ms", 3_600_001, 0),
            ("intake_reserved", i64::MAX as u64, 0),
            ("connections.max", i64::MAX as u64, 1_000_000),
            ("connections.max", 0, 1),
            ("connections.reserved", i64::MAX as u64, 0),
            ("rate.caller_per_second", 4_000_000_000, 0),
            ("rate.caller_burst", 4_000_000_000, 0),
            ("rate.workspace_per_second", 4_000_000_000, 0),
            ("rate.workspace_burst", 4_000_000_000, 1_000_000),
            ("rate.buckets_max", 0, 1),
            ("rate.buckets_max", 10_000_001, 10_000_000),
        ] {
            let named = told(key, wrong).unwrap_or_else(|| panic!("{key} = {wrong} is taken"));
            assert!(named.starts_with(&format!("`{key}` must be from ")), "{named}");
            assert_eq!(told(key, right), None, "{key}");
        }
    }
}
