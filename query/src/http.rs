//! The HTTP API: the router, what surrounds every request, and the server that runs it.
//!
//! Handlers read the request, find out who is asking, call the engine and write the answer; they decide nothing. Every
//! response that is no success is a problem (RFC 9457), unknown routes, wrong methods and panics included. Invariant:
//! what a caller may not see and what does not exist are answered alike.

mod answers;
mod audit;
pub mod auth;
pub mod connections;
mod conversations;
mod cors;
mod erasures;
pub mod evaluation;
mod events;
mod extract;
mod feedback;
mod generate;
pub mod ingest;
mod mcp;
pub mod metrics;
mod openai;
pub mod openapi;
mod operate;
mod pages;
pub mod problem;
pub mod rate;
mod room;
mod search;
mod session;
mod sheds;
mod sse;
mod stalls;
mod surround;
pub mod tls;
mod usage;
mod web;

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Response;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use models::generate::{BudgetConfig, Ledger};
use schemas::api::PageSummary;
use schemas::limits::BATCH_BYTES_MAX;
use schemas::problem::ProblemCode;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;

use crate::answer::resume::Streams;
use crate::audit::Audit;
use crate::conversations::Conversations;
use crate::engine::Engine;
use crate::erasure::Erasures;
use crate::feedback::Feedback;
use crate::gate::encoded;
use crate::tasks::Tasks;
use crate::trace::Adopt;
use auth::Auth;
use connections::{Connections, ConnectionsConfig};
use evaluation::Evaluated;
use ingest::Ingest;
use metrics::Gather;
use problem::ApiError;
use rate::{RateConfig, Rates};
use room::BodyRoom;
use sheds::Sheds;
use tls::{Tls, TlsConfig, TlsError};

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
const INGEST_TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;

/// Of numbers and the ranges that they must be in, the first that is not, and where it must be.
fn out_of_range<const N: usize>(numbers: [(&str, u64, RangeInclusive<u64>); N]) -> Option<String> {
    let (key, _, range) = numbers.into_iter().find(|(_, number, range)| !range.contains(number))?;
    Some(format!("`{key}` must be from {} to {}", range.start(), range.end()))
}

/// How long answers that nobody reads have to be left at shutdown, once the requests are over.
const STREAMS_STOP_MAX: Duration = Duration::from_secs(5);
/// Batches of events that are decoded side by side.
const DECODING_MAX: usize = 2;

/// Everything that requests share. Cloning is cheap.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    engine: Engine,
    ingest: Arc<dyn Ingest>,
    feedback: Option<Feedback>,
    audit: Option<Audit>,
    erasures: Option<Erasures>,
    conversations: Option<Conversations>,
    usage: Option<Arc<Ledger>>,
    budgets: BudgetConfig,
    evaluated: Option<Arc<Evaluated>>,
    gather: Option<Arc<Gather>>,
    traces: Option<Arc<Adopt>>,
    auth: Auth,
    config: HttpConfig,
    in_flight: Arc<Semaphore>,
    /// For events, when that is full.
    intake: Semaphore,
    bodies: BodyRoom,
    rates: Rates,
    sheds: Arc<Sheds>,
    streams: Streams,
    decoding: Tasks,
    /// No more requests should be sent here.
    stopping: AtomicBool,
    /// Requests are taken.
    taking: AtomicBool,
}

/// What is recorded of the use of a server, each where it is on.
#[derive(Clone, Default)]
pub struct Records {
    /// What people were shown, and did with it.
    pub feedback: Option<Feedback>,
    /// Who did what.
    pub audit: Option<Audit>,
    /// What is erased, on request.
    pub erasures: Option<Erasures>,
    /// What people asked and were answered, for those who ask to have it kept.
    pub conversations: Option<Conversations>,
    /// What language models took.
    pub usage: Option<Arc<Ledger>>,
    /// What they may take.
    pub budgets: BudgetConfig,
    /// What the latest evaluation found.
    pub evaluated: Option<Arc<Evaluated>>,
    /// What other parts of the process count.
    pub metrics: Option<Arc<Gather>>,
    /// How the traces of callers are taken up.
    pub traces: Option<Arc<Adopt>>,
}

/// Why the server did not start or ended early.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Callers are believed without proof, so nobody else may reach the server.
    #[error(
        "insecure development listens on loopback alone, not on {address}: bind 127.0.0.1, or configure identities"
    )]
    InsecureNotLoopback {
        /// Where it was to listen.
        address: std::net::SocketAddr,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener failed.
    #[error("cannot serve HTTP")]
    Io(#[from] io::Error),
}

impl App {
    /// Puts the parts together. Nothing is recorded of what people do.
    pub fn new(engine: Engine, ingest: Arc<dyn Ingest>, auth: Auth, config: HttpConfig) -> Self {
        Self::recording(engine, ingest, Records::default(), auth, config)
    }

    /// As [`App::new`], with what is recorded.
    pub fn recording(
        engine: Engine,
        ingest: Arc<dyn Ingest>,
        records: Records,
        auth: Auth,
        config: HttpConfig,
    ) -> Self {
        let Records { feedback, audit, erasures, conversations, usage, budgets, evaluated, metrics, traces } = records;
        let streams = Streams::new(engine.config().answer.resume);
        let counted = engine.metrics().clone();
        Self(Arc::new(Shared {
            engine,
            ingest,
            feedback,
            audit,
            erasures,
            conversations: conversations.filter(Conversations::is_on),
            usage,
            budgets,
            evaluated,
            gather: metrics,
            traces,
            auth,
            in_flight: Arc::new(Semaphore::new(config.in_flight_max)),
            intake: Semaphore::new(config.intake_reserved),
            bodies: BodyRoom::new(config.bodies_bytes_max),
            rates: Rates::new(&config.rate, counted),
            sheds: Arc::default(),
            streams,
            decoding: Tasks::new(DECODING_MAX),
            config,
            stopping: AtomicBool::new(false),
            taking: AtomicBool::new(true),
        }))
    }

    /// The routes, with what surrounds them. The binary may merge further routes into it before it serves.
    pub fn router(&self) -> Router {
        let body_limit = DefaultBodyLimit::max(self.config().body_bytes_max);
        let batch_limit = DefaultBodyLimit::max(BATCH_BYTES_MAX);
        let router = Router::new()
            .route("/v1/search", get(search::search_by_query).post(search::search_by_body))
            .route("/v1/suggest", get(search::suggest))
            .route("/v1/similar", get(search::similar))
            .route("/v1/answers", post(answers::answer))
            .route("/v1/answers/{stream}", delete(answers::stop))
            .route("/v1/conversations", get(conversations::list))
            .route("/v1/conversations/{id}", get(conversations::open).delete(conversations::remove))
            .route("/v1/generate", post(generate::generate))
            .route("/v1/chat/completions", post(openai::chat))
            .route("/v1/models", get(openai::models))
            .route("/v1/models/{model}", get(openai::model))
            .route("/v1/feedback", post(feedback::feedback))
            .route("/v1/pages/{id}", get(pages::page).delete(erasures::erase_page))
            .route("/v1/users/{id}", delete(erasures::erase_user))
            .route("/v1/workspaces/{id}", delete(erasures::erase_workspace))
            .route("/v1/erasures/{id}", get(erasures::erasure))
            .route("/v1/pages/{id}/export", get(pages::export))
            .route("/v1/explain-access", get(operate::explain_access))
            .route("/v1/status", get(operate::status))
            .route("/v1/session", get(session::session))
            .route("/v1/usage", get(usage::usage))
            .route("/v1/evaluation", get(evaluation::evaluation))
            .layer(body_limit)
            .route("/v1/events", post(events::submit).layer(batch_limit))
            .route("/healthz", get(operate::healthz))
            .route("/readyz", get(operate::readyz))
            .route("/metrics", get(metrics::metrics))
            .route("/openapi.json", get(openapi::openapi_json))
            .merge(web::routes())
            .merge(mcp::routes(self))
            .fallback(|| async { ApiError::new(ProblemCode::NotFound, "there is no such endpoint; see /openapi.json") })
            .method_not_allowed_fallback(|| async {
                ApiError::new(ProblemCode::MethodNotAllowed, "see `Allow` for the methods of this endpoint")
            })
            .layer(CatchPanicLayer::custom(panicked))
            .layer(axum::middleware::from_fn_with_state(self.clone(), surround::surround))
            .with_state(self.clone());
        match cors::layer(&self.config().cors_origins) {
            Some(cors) => router.layer(cors),
            None => router,
        }
    }

    /// Serves until `shutdown` is cancelled: then readiness goes false, further requests are told that the server is stopping, and
    /// those in flight have [`HttpConfig::drain_ms`] to end. Answers that are written on without a reader are stopped after them.
    ///
    /// Cancel safety: not safe; cancel `shutdown` instead.
    pub async fn run(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), ServeError> {
        self.serve(self.router(), listener, shutdown).await
    }

    /// As [`App::run`], with a router that more was merged into.
    pub async fn serve(
        &self,
        router: Router,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let address = listener.local_addr()?;
        if self.auth().is_insecure() && !address.ip().is_loopback() {
            return Err(ServeError::InsecureNotLoopback { address });
        }
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        let config = self.config();
        let tls = Tls::open(&config.tls)?;
        let tasks = TaskTracker::new();
        if let Some(tls) = tls.clone() {
            tasks.spawn(tls.reload_always(Duration::from_secs(u64::from(config.tls.reload_secs)), shutdown.clone()));
        }
        let (metrics, sheds) = (self.engine().metrics().clone(), Arc::clone(&self.0.sheds));
        let connections = Connections::new(router, &config.connections, tls, metrics, sheds);
        let accepting = async {
            shutdown.cancelled().await;
            self.0.stopping.store(true, Ordering::Relaxed);
            tokio::time::sleep(ms(config.stop_delay_ms)).await;
        };
        tokio::select! {
            () = connections.accept(&listener, &tasks) => {}
            () = accepting => {}
        }
        self.0.taking.store(false, Ordering::Relaxed);
        if !connections.stop(listener, tasks, ms(config.drain_ms)).await {
            tracing::warn!("requests were still in flight when the time to drain was over");
        }
        // What they took is to be counted, and of turns of conversations the question kept, before the process ends.
        if tokio::time::timeout(STREAMS_STOP_MAX, self.streams().close()).await.is_err() {
            tracing::warn!("answers that nobody reads were still being written when the time to stop them was over");
        }
        self.0.sheds.finish();
        Ok(())
    }

    fn engine(&self) -> &Engine {
        &self.0.engine
    }

    fn feedback(&self) -> Option<&Feedback> {
        self.0.feedback.as_ref()
    }

    fn erasures(&self) -> Option<&Erasures> {
        self.0.erasures.as_ref()
    }

    /// Where conversations are kept, if they are.
    fn conversations(&self) -> Option<&Conversations> {
        self.0.conversations.as_ref()
    }

    fn usage(&self) -> Option<&Ledger> {
        self.0.usage.as_deref()
    }

    fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// The answers that can be gone on with when their connection breaks.
    fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Between two signs of life on a stream.
    fn heartbeat(&self) -> Duration {
        Duration::from_millis(u64::from(self.engine().config().answer.heartbeat_ms))
    }

    fn config(&self) -> &HttpConfig {
        &self.0.config
    }

    /// Where people open a page: at the product, else on the page at `/`.
    fn page_address(&self, page: &PageSummary) -> String {
        let public_url = self.config().public_url.trim_end_matches('/');
        page.url.clone().unwrap_or_else(|| format!("{public_url}/#/page/{}", encoded(page.id.as_str())))
    }

    /// Whether requests should be sent here.
    fn ready(&self) -> bool {
        !self.0.stopping.load(Ordering::Relaxed)
    }

    /// Whether requests are taken.
    fn is_taking(&self) -> bool {
        self.0.taking.load(Ordering::Relaxed)
    }
}

/// The routes of the API over these parts.
pub fn router(engine: Engine, ingest: Arc<dyn Ingest>, auth: Auth, config: HttpConfig) -> Router {
    App::new(engine, ingest, auth, config).router()
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response<axum::body::Body> {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    ApiError::internal().caused_by(Panic(message.unwrap_or("no message").to_owned())).into_response()
}

/// A panic in a handler, with its message for the log.
#[derive(Debug, Error)]
#[error("a handler panicked: {0}")]
struct Panic(String);

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
