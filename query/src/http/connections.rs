//! Connections: how many there are, what a slow one may hold up, and how they end.
//!
//! Whoever is slow to send a header, to send a body or to take an answer is given up. When there are as many connections as
//! may be, some more are let in for one request each, for what must go on under any load: health checks, counters, and events, which may
//! take access away. These are given up soonest, so that whoever connects and says nothing does not hold their places. At the end no connection is closed on a request that has come: it is answered, or told to come again; and the listener
//! closes once nobody has connected for a moment, so that whoever stops connecting when `/readyz` says so is never reset.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tower_http::timeout::TimeoutBody;

use super::config::out_of_range;
use super::sheds::{Kind, Sheds};
use super::stalls::Impatient;
use super::tls::Tls;
use crate::metrics::{Bound, Metrics};

/// After an error of the listener itself, as of too many open files.
const LISTEN_AGAIN: Duration = Duration::from_millis(100);
/// Bytes that are read ahead of a connection, and that wait to be written to it, unless a header may be longer.
const BUFFER_BYTES: usize = 32 << 10;
/// At the end, for how long nobody may have connected before the listener closes.
const QUIET: Duration = Duration::from_millis(100);
/// At the end, how long such a time is waited for after the last request in flight was answered: some connect on and on.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long a connection of the reserve may take to shake hands, and then to send its header.
const RESERVED_WAIT: Duration = Duration::from_secs(2);
/// As many connections as wait to be taken, at most.
const BACKLOG: usize = 1_024;
/// At the end, how long a connection on which nothing has come yet is left open for a request that is on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Why a connection is closed that nobody has a place for.
const TOO_MANY: Kind =
    Kind { code: "connections", detail: Cow::Borrowed("more connections than `connections.max` and `reserved`") };

/// Bounds of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// Connections that are open side by side, 1 to 1,000,000; 1,024. The system must allow as many open files, and a few hundred for the index.
    pub max: usize,
    /// Connections beyond these, of one request each, for health checks, counters and events alone, 100,000 at most; 64.
    /// Others are closed.
    pub reserved: usize,
    /// Longest header of a request, its first line included, in bytes, 1,024 to 65,536; 16,384. More is answered with 431.
    pub header_bytes_max: usize,
    /// How long a connection may take for its first header, in milliseconds, 10 to 600,000; 10,000. A handshake of TLS before it may take as
    /// long. One of those beyond `max` is given 2,000 at most.
    pub first_header_timeout_ms: u32,
    /// How long a further header may take to come, and how long a connection may rest between two requests, in milliseconds, 10 to 600,000;
    /// 75,000: longer than proxies let one rest, or they would send requests on connections that are being closed.
    pub header_timeout_ms: u32,
    /// How long a body may stand still while it comes, in milliseconds, 10 to 600,000; 10,000.
    pub body_stall_ms: u32,
    /// How long a client may take nothing of an answer, in milliseconds, 10 to 600,000; 30,000.
    pub write_stall_ms: u32,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            max: 1_024,
            reserved: 64,
            header_bytes_max: 16_384,
            first_header_timeout_ms: 10_000,
            header_timeout_ms: 75_000,
            body_stall_ms: 10_000,
            write_stall_ms: 30_000,
        }
    }
}

impl ConnectionsConfig {
    /// The first value that cannot hold, and why.
    pub(super) fn wrong(&self) -> Option<String> {
        let ms = 10..=600_000;
        out_of_range([
            ("connections.max", self.max as u64, 1..=1_000_000),
            ("connections.reserved", self.reserved as u64, 0..=100_000),
            ("connections.header_bytes_max", self.header_bytes_max as u64, 1_024..=65_536),
            ("connections.first_header_timeout_ms", self.first_header_timeout_ms.into(), ms.clone()),
            ("connections.header_timeout_ms", self.header_timeout_ms.into(), ms.clone()),
            ("connections.body_stall_ms", self.body_stall_ms.into(), ms.clone()),
            ("connections.write_stall_ms", self.write_stall_ms.into(), ms),
        ])
    }
}

/// Marks a request on a connection that is there for what must go on alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reserved;

/// The connections of a listener.
pub(super) struct Connections {
    parts: Arc<Parts>,
    places: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    metrics: Metrics,
    sheds: Arc<Sheds>,
}

/// What all connections share.
struct Parts {
    router: Router,
    tls: Option<Tls>,
    first_header_timeout: Duration,
    header_timeout: Duration,
    header_bytes_max: usize,
    body_stall: Duration,
    write_stall: Duration,
    /// No further request is taken.
    stopping: CancellationToken,
    /// The time to end is over.
    over: CancellationToken,
}

/// What a connection holds while it is open.
struct Place {
    #[expect(dead_code, reason = "held until the connection ends")]
    permit: OwnedSemaphorePermit,
    is_reserved: bool,
}

impl Connections {
    /// None yet.
    pub(super) fn new(
        router: Router,
        config: &ConnectionsConfig,
        tls: Option<Tls>,
        metrics: Metrics,
        sheds: Arc<Sheds>,
    ) -> Self {
        let ms = |ms: u32| Duration::from_millis(u64::from(ms));
        let parts = Parts {
            router,
            tls,
            first_header_timeout: ms(config.first_header_timeout_ms),
            header_timeout: ms(config.header_timeout_ms),
            header_bytes_max: config.header_bytes_max,
            body_stall: ms(config.body_stall_ms),
            write_stall: ms(config.write_stall_ms),
            stopping: CancellationToken::new(),
            over: CancellationToken::new(),
        };
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { parts: Arc::new(parts), places: places(config.max), reserve: places(config.reserved), metrics, sheds }
    }

    /// Takes what connects, for good.
    ///
    /// Cancel safety: safe; what was taken goes on.
    pub(super) async fn accept(&self, listener: &TcpListener, tasks: &TaskTracker) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.begin(stream, tasks),
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "no connection can be taken; trying again"
                    );
                    tokio::time::sleep(LISTEN_AGAIN).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, tasks: &TaskTracker) {
        let place = |places: &Arc<Semaphore>, is_reserved| {
            let permit = Arc::clone(places).try_acquire_owned().ok()?;
            Some(Place { permit, is_reserved })
        };
        let Some(place) = place(&self.places, false).or_else(|| place(&self.reserve, true)) else {
            self.metrics.shed(Bound::Connections);
            self.sheds.shed(TOO_MANY, String::new());
            return;
        };
        let parts = Arc::clone(&self.parts);
        tasks.spawn(async move {
            let over = parts.over.clone();
            tokio::select! {
                () = parts.open(stream, place) => {}
                () = over.cancelled() => {}
            }
        });
    }

    /// Ends: the requests of `tasks` have until `drain` to be answered, and those that come meanwhile are told that the server is
    /// stopping. False when some were cut off.
    pub(super) async fn stop(self, listener: TcpListener, tasks: TaskTracker, drain: Duration) -> bool {
        self.parts.stopping.cancel();
        tasks.close();
        let late = TaskTracker::new();
        let ended = async {
            tokio::select! {
                () = self.accept(&listener, &late) => {}
                () = tasks.wait() => {}
            }
            // Whoever was answered last may connect again at once, and is to be told rather than reset.
            let quiet = async {
                while let Ok(taken) = tokio::time::timeout(QUIET, listener.accept()).await {
                    if let Ok((stream, _)) = taken {
                        self.begin(stream, &late);
                    }
                }
            };
            if tokio::time::timeout(QUIET_WAIT_MAX, quiet).await.is_err() {
                tracing::debug!("clients connect on and on to a server that is stopping; some may be reset");
            }
            self.take_backlog(listener, &late);
            late.close();
            late.wait().await;
        };
        if tokio::time::timeout(drain, ended).await.is_ok() {
            return true;
        }
        self.parts.over.cancel();
        tasks.wait().await;
        late.close();
        late.wait().await;
        false
    }

    /// Takes who has connected already, and closes the listener: with it these connections would be reset. Asks the system itself, since the
    /// runtime knows of a connection only after it next looked.
    fn take_backlog(&self, listener: TcpListener, late: &TaskTracker) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..BACKLOG {
            match listener.accept() {
                Ok((stream, _)) => {
                    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    let _ = stream.map(|stream| self.begin(stream, late));
                }
                Err(error) if is_of_connection(&error) => {}
                Err(_) => return,
            }
        }
    }
}

impl Parts {
    async fn open(&self, stream: TcpStream, place: Place) {
        // Pieces of an answer go out as they are written.
        let _ = stream.set_nodelay(true);
        let stream = Impatient::new(stream, self.write_stall);
        match &self.tls {
            None => self.serve(stream, place).await,
            Some(tls) => match tokio::time::timeout(self.patience(&place), tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream, place).await,
                Ok(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "no connection by TLS came about");
                }
                Err(_) => tracing::debug!("no connection by TLS came about in time"),
            },
        }
    }

    async fn serve(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send, place: Place) {
        // Whether anything has been asked yet.
        let is_asked = AtomicBool::new(false);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            is_asked.store(true, Ordering::Relaxed);
            let mut request: Request = request.map(|body| Body::new(TimeoutBody::new(self.body_stall, body)));
            if place.is_reserved {
                request.extensions_mut().insert(Reserved);
            }
            let answering = self.router.clone().oneshot(request);
            async move {
                let mut answered = answering.await;
                if let (Ok(response), true) = (&mut answered, self.stopping.is_cancelled()) {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                answered
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_header_size(self.header_bytes_max)
            .max_buf_size(self.header_bytes_max.max(BUFFER_BYTES))
            .keep_alive(!place.is_reserved && !self.stopping.is_cancelled());
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(io), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = silent(self.patience(&place), &is_asked) => {
                tracing::debug!("nothing was asked on a connection in time");
                return;
            }
            () = self.stopped(&is_asked) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke off");
        }
    }

    /// How long a connection may take to shake hands, and then for its first header.
    fn patience(&self, place: &Place) -> Duration {
        if place.is_reserved { self.first_header_timeout.min(RESERVED_WAIT) } else { self.first_header_timeout }
    }

    /// Waits until a connection is to end.
    async fn stopped(&self, is_asked: &AtomicBool) {
        self.stopping.cancelled().await;
        if !is_asked.load(Ordering::Relaxed) {
            tokio::time::sleep(ON_ITS_WAY).await;
        }
    }
}

/// Waits until a connection has asked nothing for so long; for good where it asked.
async fn silent(patience: Duration, is_asked: &AtomicBool) {
    tokio::time::sleep(patience).await;
    if is_asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Whether an error is that of one connection, which was gone before it was taken.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
