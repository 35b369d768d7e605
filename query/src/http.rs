//! The HTTP API: the router, what surrounds every request, and the server that runs it.
//!
//! Handlers read the request, find out who is asking, call the engine and write the answer; they decide nothing. Every
//! response that is no success is a problem (RFC 9457), unknown routes, wrong methods and panics included. Invariant:
//! what a caller may not see and what does not exist are answered alike.

mod answers;
mod audit;
pub mod auth;
mod config;
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
pub use config::HttpConfig;
use connections::Connections;
use evaluation::Evaluated;
use ingest::Ingest;
use metrics::Gather;
use problem::ApiError;
use rate::Rates;
use room::BodyRoom;
use sheds::Sheds;
use tls::{Tls, TlsError};

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
