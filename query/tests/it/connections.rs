//! Connections over real sockets: slow clients, too many, TLS, and how they end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use query::http::connections::ConnectionsConfig;
use query::http::tls::{TlsConfig, TlsError};
use query::http::{App, HttpConfig, ServeError};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::harness::{Content, FakeIngest, INGEST_KEY, acme, auth, engine};

/// A batch of one event, without its end.
const BATCH: &str = concat!(
    r#"{"specversion":"1.0","id":"1","source":"test","type":"member.changed","workspaceid":"acme","subject":"ada","data":{"#,
    r#""version":{"clock":{"eu":1},"timestamp":{"wall_ms":1790000000000},"region":"eu"},"role":"member"}"#,
);

/// A server that listens.
pub(super) struct Served {
    address: SocketAddr,
    app: App,
    shutdown: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
    _content: Content,
}

impl Served {
    /// Starts it, over the workspace of the tests.
    pub(super) async fn start(config: HttpConfig) -> Self {
        let content = acme();
        let app = App::new(engine(&content), Arc::new(FakeIngest::default()), auth(), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn({
            let (app, shutdown) = (app.clone(), shutdown.clone());
            async move { app.run(listener, shutdown).await }
        });
        Self { address, app, shutdown, server, _content: content }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The whole answer to a request, over a connection of its own.
    pub(super) async fn ask(&self, request: &str) -> String {
        let mut connection = self.connect().await;
        connection.write_all(request.as_bytes()).await.unwrap();
        rest(&mut connection).await
    }

    /// What comes back to any bytes, after which nothing more is sent.
    pub(super) async fn tell(&self, bytes: &[u8]) -> Vec<u8> {
        let mut connection = self.connect().await;
        let mut answer = Vec::new();
        // It may be closed before all is sent, or reset because something was left to be read.
        let _ = connection.write_all(bytes).await;
        let _ = connection.shutdown().await;
        let _ = connection.read_to_end(&mut answer).await;
        answer
    }

    /// The value of a counter.
    fn counted(&self, series: &str) -> u64 {
        let text = (self.app.gather())();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
    }

    /// Tells it to stop, and waits until it has.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.server.await.unwrap().unwrap();
    }
}

/// What comes until the connection ends.
async fn rest(connection: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A connection that is reset has ended, too.
    let _ = connection.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// What comes until the head of an answer is there.
async fn head(connection: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
}

/// A batch of events whose length is told.
fn batch(length: usize) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {INGEST_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn hasty() -> ConnectionsConfig {
    ConnectionsConfig { header_timeout_ms: 100, body_stall_ms: 100, ..ConnectionsConfig::default() }
}

#[tokio::test]
async fn whoever_does_not_send_is_given_up() {
    let served = Served::start(HttpConfig { connections: hasty(), ..HttpConfig::default() }).await;
    // Nothing at all, half a header, a connection that rests after an answer.
    assert_eq!(rest(&mut served.connect().await).await, "");
    let half = served.ask("GET /healthz HTTP/1.1\r\nhost: local").await;
    assert!(half.is_empty() || half.starts_with("HTTP/1.1 408"), "{half}");
    let kept = served.ask("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
    // Half a body is refused, and what it was to hold is not taken.
    let refused = served.ask(&(batch(BATCH.len() + 1) + BATCH)).await;
    assert!(refused.starts_with("HTTP/1.1 400") && refused.contains("stood still"), "{refused}");
    let taken = served
        .ask(&(batch(BATCH.len() + 1).replace("content-length", "connection: close\r\ncontent-length") + BATCH + "}"))
        .await;
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    served.stop().await;
}

#[tokio::test]
async fn a_header_that_is_too_long_is_refused() {
    let connections = ConnectionsConfig { header_bytes_max: 2_048, ..ConnectionsConfig::default() };
    let served = Served::start(HttpConfig { connections, ..HttpConfig::default() }).await;
    let long = |bytes: usize| get("/healthz").replace("host:", &format!("x-long: {}\r\nhost:", "x".repeat(bytes)));
    assert!(served.ask(&long(1_500)).await.starts_with("HTTP/1.1 200"));
    assert!(served.ask(&long(3_000)).await.starts_with("HTTP/1.1 431"));
    let many: String = (0..200).fold(String::new(), |all, n| all + &format!("x-{n}: 1\r\n"));
    assert!(served.ask(&get("/healthz").replace("host:", &(many + "host:"))).await.starts_with("HTTP/1.1 431"));
    served.stop().await;
}

#[tokio::test]
async fn beyond_all_connections_what_must_go_on_is_answered() {
    let connections = ConnectionsConfig { max: 1, reserved: 1, ..ConnectionsConfig::default() };
    let served = Served::start(HttpConfig { connections, ..HttpConfig::default() }).await;
    let mut first = served.connect().await;
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(head(&mut first).await.starts_with("HTTP/1.1 200"));
    for path in ["/healthz", "/readyz"] {
        assert!(served.ask(&get(path)).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    let shed = served.ask(&get("/v1/search?query=deploy")).await;
    assert!(shed.starts_with("HTTP/1.1 503") && shed.contains("retry-after: 1"), "{shed}");
    let taken = served.ask(&(batch(BATCH.len() + 1) + BATCH + "}")).await;
    assert!(taken.starts_with("HTTP/1.1 202") && taken.contains("connection: close"), "{taken}");
    // The last place is taken by one who asks nothing: the next is closed.
    let second = served.connect().await;
    assert_eq!(rest(&mut served.connect().await).await, "");
    assert_eq!(served.counted("tessera_query_shed_total{bound=\"connections\"}"), 2);
    drop(second);
    drop(first);
    while !served.ask(&get("/v1/search?query=deploy")).await.starts_with("HTTP/1.1 401") {
        tokio::task::yield_now().await;
    }
    served.stop().await;
}

/// As many sockets as there are places, opened by anyone, kept health checks and revocations out for more than a minute.
#[tokio::test]
async fn whoever_connects_and_says_nothing_does_not_hold_the_places_of_what_must_go_on() {
    let patient =
        ConnectionsConfig { first_header_timeout_ms: 600_000, header_timeout_ms: 600_000, ..Default::default() };
    let connections = ConnectionsConfig { max: 1, reserved: 1, ..patient };
    let served = Served::start(HttpConfig { connections, ..HttpConfig::default() }).await;
    let _silent = [served.connect().await, served.connect().await];
    let answered = async {
        while !served.ask(&get("/healthz")).await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(2), answered).await.expect("its place is given up");
    let taken = served.ask(&(batch(BATCH.len() + 1) + BATCH + "}")).await;
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    served.shutdown.cancel();
}

#[tokio::test]
async fn a_first_request_is_waited_for_less_long_than_a_further_one() {
    let connections =
        ConnectionsConfig { first_header_timeout_ms: 100, header_timeout_ms: 600_000, ..Default::default() };
    let served = Served::start(HttpConfig { connections, ..HttpConfig::default() }).await;
    let mut asked = served.connect().await;
    asked.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(head(&mut asked).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut served.connect().await).await, "", "one that asks nothing is closed");
    // The other one is older, and is still there.
    asked.write_all(get("/v1/search?query=deploy").as_bytes()).await.unwrap();
    assert!(rest(&mut asked).await.contains("HTTP/1.1 401"));
    served.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_answers_what_has_come_and_sends_others_away() {
    let served = Served::start(HttpConfig::default()).await;
    let address = served.address;
    // One request is on its way, one connection rests, and one has been opened for a request that is still to come.
    let mut under_way = served.connect().await;
    under_way.write_all((batch(BATCH.len() + 1) + BATCH).as_bytes()).await.unwrap();
    let mut resting = served.connect().await;
    resting.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(head(&mut resting).await.starts_with("HTTP/1.1 200"));
    let mut opened = served.connect().await;
    while served.counted("tessera_query_in_flight_requests") < 1 {
        tokio::task::yield_now().await;
    }
    served.shutdown.cancel();
    // A body of the health check was left; then the connection ends.
    assert!(rest(&mut resting).await.ends_with('}'));
    opened.write_all(get("/v1/search?query=deploy").as_bytes()).await.unwrap();
    let told = rest(&mut opened).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
    let told = served.ask(&get("/readyz")).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("is stopping"), "{told}");
    let told = served.ask(&(batch(BATCH.len() + 1) + BATCH + "}")).await;
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("connection: close"), "{told}");
    assert!(served.ask(&get("/healthz")).await.starts_with("HTTP/1.1 200"), "the process is there");
    assert_eq!(served.counted("tessera_query_shed_total{bound=\"stopping\"}"), 2);
    under_way.write_all(b"}").await.unwrap();
    let answered = rest(&mut under_way).await;
    assert!(answered.starts_with("HTTP/1.1 202") && answered.contains("connection: close"), "{answered}");
    served.server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let served = Served::start(HttpConfig { drain_ms: 50, ..HttpConfig::default() }).await;
    let mut never = served.connect().await;
    never.write_all((batch(BATCH.len() + 1) + BATCH).as_bytes()).await.unwrap();
    while served.counted("tessera_query_in_flight_requests") < 1 {
        tokio::task::yield_now().await;
    }
    served.stop().await;
    assert_eq!(rest(&mut never).await, "");
}

#[tokio::test]
async fn while_it_waits_to_be_left_alone_a_server_answers_as_before() {
    let served = Served::start(HttpConfig { stop_delay_ms: 600_000, ..HttpConfig::default() }).await;
    served.shutdown.cancel();
    while !served.ask(&get("/readyz")).await.starts_with("HTTP/1.1 503") {
        tokio::task::yield_now().await;
    }
    let taken = served
        .ask(&(batch(BATCH.len() + 1).replace("content-length", "connection: close\r\ncontent-length") + BATCH + "}"))
        .await;
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    served.server.abort();
}

fn testdata(name: &str) -> String {
    format!("{}/tests/it/testdata/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Connects by TLS, trusting one certificate alone.
async fn by_tls(
    address: SocketAddr,
    trusted: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(testdata(trusted)).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from("localhost").unwrap(), TcpStream::connect(address).await?).await
}

fn put(dir: &Path, name: &str) -> TlsConfig {
    let [cert, key] = ["cert", "key"].map(|part| {
        let path = dir.join(format!("{part}.pem"));
        std::fs::copy(testdata(&format!("{name}-{part}.pem")), &path).unwrap();
        path.to_str().unwrap().to_owned()
    });
    TlsConfig { cert_file: cert, key_file: key, reload_secs: 1 }
}

#[tokio::test]
async fn tls_is_served_and_a_changed_certificate_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let tls = put(dir.path(), "first");
    let served = Served::start(HttpConfig { tls: tls.clone(), ..HttpConfig::default() }).await;
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13][..]] {
        let mut connection = by_tls(served.address, "first-cert.pem", versions).await.unwrap();
        connection.write_all(get("/healthz").as_bytes()).await.unwrap();
        assert!(rest(&mut connection).await.starts_with("HTTP/1.1 200"));
    }
    assert!(!served.ask(&get("/healthz")).await.contains("200"), "nothing is served in the clear");
    // A file that cannot be used leaves the former certificate.
    std::fs::write(&tls.key_file, "half a key").unwrap();
    let all = rustls::ALL_VERSIONS;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert!(by_tls(served.address, "first-cert.pem", all).await.is_ok());
    put(dir.path(), "second");
    while by_tls(served.address, "second-cert.pem", all).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(by_tls(served.address, "first-cert.pem", all).await.is_err());
    served.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let whole = put(dir.path(), "first");
    let start = async |tls: TlsConfig| {
        let content = acme();
        let app = App::new(
            engine(&content),
            Arc::new(FakeIngest::default()),
            auth(),
            HttpConfig { tls, ..HttpConfig::default() },
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        app.run(listener, CancellationToken::new()).await.unwrap_err()
    };
    let missing = start(TlsConfig { cert_file: "/nowhere/cert.pem".to_owned(), ..whole.clone() }).await;
    assert!(
        matches!(missing, ServeError::Tls(TlsError::File { .. })) && missing.to_string().contains("/nowhere/cert.pem")
    );
    let other = start(TlsConfig { key_file: testdata("second-key.pem"), ..whole.clone() }).await;
    assert!(matches!(other, ServeError::Tls(TlsError::Key { .. })), "{other}");
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let none = start(TlsConfig { cert_file: empty.to_str().unwrap().to_owned(), ..whole }).await;
    assert!(matches!(none, ServeError::Tls(TlsError::NoCertificate { .. })), "{none}");
}
