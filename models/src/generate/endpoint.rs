//! One endpoint: its client, how many texts it writes side by side, and how it does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_openai::Client;
use async_openai::config::Config as OpenAiConfig;
use async_openai::middleware::HttpRequestFactory;
use async_openai::types::stream::StreamResponse;
use futures_util::stream::StreamExt as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use super::accounts::Call;
use super::breaker::{Breaker, Standing};
use super::config::{Config, EndpointConfig};
use super::door::{self, Limits};
use super::fault::Fault;
use super::route::{Candidate, Latency};
use super::wire::{Body, Chunk, ChunkUsage};
use super::{Request, StopReason};
use crate::trace::Propagate;

/// Events as the library hands them on.
pub(super) type Events = StreamResponse<Chunk>;

/// An endpoint that can be asked.
pub(super) struct Endpoint {
    pub(super) config: EndpointConfig,
    /// One for each text that it may write at the moment.
    pub(super) permits: Arc<Semaphore>,
    client: Client<Address>,
    health: Mutex<Health>,
}

struct Health {
    breaker: Breaker,
    latency: Latency,
}

/// A text that an endpoint has begun to write, or has not written and ended.
pub(super) struct Begun {
    pub(super) events: Events,
    pub(super) text: Option<String>,
    pub(super) stop: Option<StopReason>,
    pub(super) usage: Option<ChunkUsage>,
}

impl Endpoint {
    /// An endpoint with its key, if it takes one. `None` for a key that no header can hold.
    pub(super) fn new(
        config: EndpointConfig,
        key: Option<SecretString>,
        all: &Config,
        http: reqwest::Client,
        propagate: Option<Propagate>,
    ) -> Option<Self> {
        let address = Address::new(&config.base_url, key)?;
        let limits = Limits { line_bytes_max: all.line_bytes_max, text_bytes_max: all.text_bytes_max };
        let service = tower::service_fn(move |request: HttpRequestFactory| {
            let traceparent = propagate.as_ref().and_then(|propagate| propagate(&tracing::Span::current()));
            door::send(http.clone(), request, traceparent, limits)
        });
        let client = Client::with_config(address).with_http_service(service);
        let health = Health { breaker: Breaker::new(&all.breaker), latency: Latency::default() };
        let permits = Arc::new(Semaphore::new(config.concurrency));
        Some(Self { config, permits, client, health: Mutex::new(health) })
    }

    /// Asks it, and answers when its first text is there. Takes as long as it takes.
    pub(super) async fn begin(&self, request: &Request, call: &mut Call) -> Result<Begun, Fault> {
        let body = Body::new(request, &self.config);
        let mut events: Events = self.client.chat().create_stream_byot(body).await.map_err(door::fault_of)?;
        call.accept();
        let mut usage = None;
        while let Some(event) = events.next().await {
            let mut chunk: Chunk = event.map_err(door::fault_of)?;
            if chunk.error.is_some() {
                return Err(Fault::unavailable("reports an error instead of a text"));
            }
            usage = chunk.usage.or(usage);
            let (text, stop) = chunk.take();
            if text.is_some() || stop.is_some() {
                return Ok(Begun { events, text, stop, usage });
            }
        }
        Err(Fault::unavailable(door::CUT))
    }

    /// What is to be known to choose it.
    pub(super) fn candidate(&self, index: usize, now: Instant) -> Candidate {
        Candidate { index, weight: self.config.weight, latency: self.health().latency.expected(now) }
    }

    /// Whether it may be asked now.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.health().breaker.standing(now)
    }

    /// Takes it for a request, unless others have found in the meantime that it may not be asked.
    pub(super) fn admit(&self, now: Instant) -> bool {
        let mut health = self.health();
        let is_ready = health.breaker.standing(now) == Standing::Ready;
        if is_ready {
            health.breaker.ask(now);
        }
        is_ready
    }

    /// Notes how soon its first text came.
    pub(super) fn started(&self, latency: Duration, now: Instant) {
        let mut health = self.health();
        health.breaker.begin();
        health.latency.note(latency, now);
    }

    /// Notes that a text ended well.
    pub(super) fn ended(&self) {
        self.health().breaker.succeed();
    }

    /// Notes that a text broke off. However soon it began, that counts as one that came as late as one may: nobody can make it good.
    pub(super) fn broke_off(&self, slowest: Duration, now: Instant) {
        let mut health = self.health();
        health.breaker.fail(now);
        health.latency.note(slowest, now);
    }

    /// Notes what went wrong after so much time; `slowest` is how long a first text may take.
    pub(super) fn note(&self, fault: &Fault, spent: Duration, slowest: Duration, now: Instant) {
        let mut health = self.health();
        if fault.is_of_endpoint(spent, slowest) {
            health.breaker.fail(now);
            health.latency.note_failure(spent, slowest, now);
        } else if fault.is_silence() {
            // Too short to speak against it; that it takes as long is known all the same.
            health.latency.note_failure(spent, spent, now);
        }
        if let Some(wait) = fault.retry_after() {
            health.breaker.leave_alone(now + wait);
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an endpoint is and what it is shown: nothing is taken from the environment, as the library's own does.
#[derive(Clone)]
struct Address {
    base: String,
    headers: HeaderMap,
    /// The library asks for a key; the headers have it, where there is one.
    no_key: SecretString,
}

impl Address {
    fn new(base_url: &str, key: Option<SecretString>) -> Option<Self> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).ok()?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Some(Self { base: base_url.trim_end_matches('/').to_owned(), headers, no_key: String::new().into() })
    }
}

impl OpenAiConfig for Address {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.no_key
    }
}
