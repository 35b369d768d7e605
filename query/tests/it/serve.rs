//! The server itself: where it listens, and how it stops.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use query::http::auth::{Auth, AuthConfig, Secrets};
use query::http::{App, HttpConfig, ServeError};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::harness::{Content, FakeIngest, acme, auth, engine};

fn app(content: &Content, auth: Auth) -> App {
    App::new(engine(content), Arc::new(FakeIngest::default()), auth, HttpConfig::default())
}

fn insecure() -> Auth {
    Auth::new(&AuthConfig { insecure_development: true, ..AuthConfig::default() }, Secrets::default()).unwrap()
}

/// Sends one request over a connection of its own and reads the whole answer.
async fn ask(address: SocketAddr, path: &'static str) -> String {
    let asking = move || {
        let mut connection = TcpStream::connect(address)?;
        write!(connection, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    tokio::task::spawn_blocking(asking).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_server_answers_until_it_is_told_to_stop() {
    let content = acme();
    let app = app(&content, auth());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { app.run(listener, shutdown).await }
    });
    assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    let refused = ask(address, "/v1/search").await;
    assert!(
        refused.starts_with("HTTP/1.1 401") && refused.contains("urn:tessera:problem:unauthenticated"),
        "{refused}"
    );
    shutdown.cancel();
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[tokio::test]
async fn insecure_development_listens_on_loopback_alone() {
    let content = acme();
    let app = app(&content, insecure());
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = app.run(everywhere, CancellationToken::new()).await;
    assert!(matches!(refused, Err(ServeError::InsecureNotLoopback { .. })));
    let stopped = CancellationToken::new();
    stopped.cancel();
    app.run(TcpListener::bind("127.0.0.1:0").await.unwrap(), stopped).await.unwrap();
}

#[tokio::test]
async fn a_server_with_identities_may_listen_everywhere() {
    let content = acme();
    let stopped = CancellationToken::new();
    stopped.cancel();
    app(&content, auth()).run(TcpListener::bind("0.0.0.0:0").await.unwrap(), stopped).await.unwrap();
}

#[tokio::test]
async fn a_listener_for_counters_serves_nothing_else() {
    let content = acme();
    let app = app(&content, auth());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(query::http::metrics::serve(listener, app.gather(), shutdown.clone()));
    let counters = ask(address, "/metrics").await;
    assert!(counters.starts_with("HTTP/1.1 200") && counters.contains("text/plain; version=0.0.4"), "{counters}");
    assert!(counters.contains("\ntessera_query_in_flight_requests 0\n"), "{counters}");
    for path in ["/", "/v1/status", "/v1/search?query=deploy", "/healthz", "/openapi.json"] {
        assert!(ask(address, path).await.starts_with("HTTP/1.1 404"), "{path}");
    }
    shutdown.cancel();
    server.await.unwrap().unwrap();
}
