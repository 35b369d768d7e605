//! SIGTERM under load, again and again over the same data: no acknowledged event is lost, and nobody is answered otherwise than with success or
//! with the word that the server is stopping.
//!
//! `SHUTDOWN_ROUNDS` says how often; three times unless it is set. A client over a connection of its own is answered, told to come again, or
//! cannot connect. One that keeps its connection may find it closed between two requests, as HTTP allows; then it connects again.
//!
//! In every other round all clients stop connecting when `/readyz` says that the server is stopping, as a load balancer has them do: none of
//! them is ever reset. In the others they connect on and on until nobody listens.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::metrics::Server;

const ROUNDS: &str = "SHUTDOWN_ROUNDS";
/// Of rounds in which clients heed `/readyz`: the time they have to see it.
const STOP_DELAY: (&str, &str) = ("TESSERA__HTTP__STOP_DELAY_MS", "1000");
const WRITERS: usize = 6;
const SEARCHERS: usize = 2;
const ASKERS: usize = 1;
/// How long a client that is told to come again waits, far less than it is told, so that many come while the server stops.
const PAUSE: Duration = Duration::from_millis(5);
/// Acknowledged batches of a round after which the server is told to stop; some more come while it does.
const ACKNOWLEDGED_BEFORE: usize = 12;

/// What became of requests.
#[derive(Debug, Default)]
struct Seen {
    /// How often each outcome was met.
    outcomes: BTreeMap<String, usize>,
    /// Pages whose events were acknowledged.
    acknowledged: Vec<String>,
    /// What should not be.
    unexpected: Vec<String>,
}

/// What all clients of a round share.
struct Round {
    address: String,
    acknowledged: AtomicUsize,
    is_told: AtomicBool,
    /// Whether clients stop connecting when `/readyz` says so, and whether it did.
    heeds: bool,
    is_unready: AtomicBool,
    seen: Mutex<Seen>,
}

/// What came of one request.
pub(super) enum Outcome {
    Answered {
        status: u16,
        head: String,
        body: String,
    },
    /// The connection could not be made.
    Refused,
    /// It ended, or was reset, before any of the answer came.
    Closed(io::Error),
    /// It ended within the answer.
    Cut(String),
}

/// A connection, perhaps used before.
pub(super) type Kept = Option<BufReader<TcpStream>>;

pub(super) fn send(address: &str, kept: &mut Kept, keeps: bool, request: &str, body: &str) -> Outcome {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => match TcpStream::connect(address) {
            Ok(stream) => BufReader::new(stream),
            Err(_) => return Outcome::Refused,
        },
    };
    let (length, wish) = (body.len(), if keeps { "keep-alive" } else { "close" });
    let sent = format!(
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: {wish}\r\ntessera-workspace: acme\r\ntessera-user: ada\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    if let Err(error) = connection.get_mut().write_all(sent.as_bytes()) {
        return Outcome::Closed(error);
    }
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match connection.read_line(&mut head) {
            Ok(0) if head.is_empty() => return Outcome::Closed(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if head.is_empty() => return Outcome::Closed(error),
            Ok(0) | Err(_) => return Outcome::Cut(head),
            Ok(_) => {}
        }
    }
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mut body = Vec::new();
    let read = if header("transfer-encoding:") == Some("chunked") {
        read_chunks(&mut connection, &mut body)
    } else {
        body.resize(header("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0), 0);
        connection.read_exact(&mut body)
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    if let Err(error) = read {
        return Outcome::Cut(format!("{error} after {head}{body}"));
    }
    if keeps && header("connection:") != Some("close") {
        *kept = Some(connection);
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Outcome::Answered { status, head, body }
}

fn read_chunks(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut chunk = vec![0; length + 2];
        connection.read_exact(&mut chunk)?;
        if length == 0 {
            return Ok(());
        }
        body.extend_from_slice(&chunk[..length]);
    }
}

/// The events of a page that everyone in the workspace may see.
pub(super) fn events(page: &str) -> String {
    let version = |counter: u32| serde_json::json!({"clock": {"eu": counter}, "timestamp": {"wall_ms": 1_790_000_000_000_u64 + u64::from(counter)}, "region": "eu"});
    let event = |kind: &str, subject: &str, data: serde_json::Value| serde_json::json!({"specversion": "1.0", "id": format!("{subject}-{kind}"), "source": "test", "type": kind, "workspaceid": "acme", "subject": subject, "data": data});
    let grants = serde_json::json!([{"principal": "workspace", "level": "view"}]);
    let parent = serde_json::json!({"type": "workspace"});
    serde_json::json!([
        event("member.changed", "ada", serde_json::json!({"version": version(1), "role": "member"})),
        event(
            "page.upserted",
            page,
            serde_json::json!({"version": version(1), "title": format!("Page {page}"), "parent": parent})
        ),
        event(
            "page.access_changed",
            page,
            serde_json::json!({"version": version(2), "grants": grants, "restricted": false})
        ),
    ])
    .to_string()
}

impl Round {
    /// Sends one kind of request until the server cannot be connected to any more.
    fn drive(&self, name: &str, keeps: bool, mut next: impl FnMut(usize) -> (String, String, Option<String>)) {
        let mut kept = None;
        for number in 0.. {
            if self.heeds && self.is_unready.load(Ordering::SeqCst) {
                return;
            }
            let (request, body, page) = next(number);
            let was_kept = kept.is_some();
            let outcome = send(&self.address, &mut kept, keeps, &request, &body);
            let is_told = self.is_told.load(Ordering::SeqCst);
            let mut told_to_come_again = false;
            let mut seen = self.seen.lock().unwrap();
            let mut count = |what: &str| *seen.outcomes.entry(format!("{name}: {what}")).or_default() += 1;
            match outcome {
                Outcome::Answered { status: 200 | 202, body, .. } => {
                    count("answered");
                    if request.contains("/v1/answers") && !body.contains("event: done") {
                        seen.unexpected.push(format!("{name}: a stream without an end: {body}"));
                    }
                    self.acknowledged.fetch_add(usize::from(page.is_some()), Ordering::SeqCst);
                    seen.acknowledged.extend(page);
                }
                Outcome::Answered { status: 503, head, body } if is_told && body.contains("is stopping") => {
                    count("told that the server is stopping");
                    if !head.contains("retry-after: ") || !head.contains("connection: close") {
                        seen.unexpected.push(format!("{name}: {head}"));
                    }
                    told_to_come_again = true;
                }
                // One that heeds what it is told may have been about to connect.
                Outcome::Refused if is_told && (!self.heeds || self.is_unready.load(Ordering::SeqCst)) => {
                    count("refused");
                    return;
                }
                Outcome::Closed(_) if is_told && was_kept => count("closed between two requests"),
                // Connected, and reset by the kernel as the listener closed: never taken by the server.
                Outcome::Closed(error) if is_told && !self.heeds && error.kind() == io::ErrorKind::ConnectionReset => {
                    count("reset before it was taken");
                }
                Outcome::Answered { status, head, body } => {
                    seen.unexpected.push(format!("{name}: {status} {head}{body}"));
                }
                Outcome::Refused => seen.unexpected.push(format!("{name}: refused before the server was told to stop")),
                Outcome::Closed(error) => seen.unexpected.push(format!("{name}: closed without an answer: {error}")),
                Outcome::Cut(answer) => seen.unexpected.push(format!("{name}: cut off: {answer}")),
            }
            if !seen.unexpected.is_empty() {
                return;
            }
            drop(seen);
            if told_to_come_again {
                std::thread::park_timeout(PAUSE);
            }
        }
    }
}

impl Round {
    /// Asks whether the server is ready until it is not.
    fn watch(&self) {
        loop {
            match send(&self.address, &mut None, false, "GET /readyz", "") {
                Outcome::Answered { status: 200, .. } => std::thread::park_timeout(PAUSE),
                Outcome::Answered { status: 503, .. } => break,
                Outcome::Answered { status, head, body } => {
                    self.seen.lock().unwrap().unexpected.push(format!("/readyz: {status} {head}{body}"));
                    break;
                }
                Outcome::Refused | Outcome::Closed(_) | Outcome::Cut(_) => {
                    self.seen.lock().unwrap().unexpected.push("/readyz never said that the server stops".to_owned());
                    break;
                }
            }
        }
        self.is_unready.store(true, Ordering::SeqCst);
    }
}

/// A round: a server over the data under load, told to stop in the middle of it. Gives what its clients saw. `before` are the pages that the
/// round before acknowledged.
fn round(dir: &std::path::Path, number: usize, before: &[String]) -> Seen {
    let heeds = number.is_multiple_of(2);
    let server = Server::start_with(dir, if heeds { &[STOP_DELAY] } else { &[] });
    for page in before {
        let found = send(&server.api, &mut None, false, &format!("GET /v1/pages/{page}"), "");
        assert!(
            matches!(found, Outcome::Answered { status: 200, .. }),
            "{page} was acknowledged before round {number} and is lost"
        );
    }
    let round = Arc::new(Round {
        address: server.api.clone(),
        acknowledged: AtomicUsize::new(0),
        is_told: AtomicBool::new(false),
        heeds,
        is_unready: AtomicBool::new(false),
        seen: Mutex::default(),
    });
    let mut clients = Vec::new();
    let mut client = |work: Box<dyn FnOnce(&Round) + Send>| {
        let round = Arc::clone(&round);
        clients.push(std::thread::spawn(move || work(&round)));
    };
    for writer in 0..WRITERS {
        client(Box::new(move |round| {
            round.drive("events", writer % 2 == 0, |count| {
                let page = format!("p-{number}-{writer}-{count}");
                ("POST /v1/events?wait=durable".to_owned(), events(&page), Some(page))
            });
        }));
    }
    for searcher in 0..SEARCHERS {
        client(Box::new(move |round| {
            let request = format!("GET /v1/search?query=page+{searcher}");
            round.drive("search", searcher % 2 == 0, |_| (request.clone(), String::new(), None));
        }));
    }
    for _ in 0..ASKERS {
        client(Box::new(|round| {
            let body = r#"{"question": "Which page is it?", "stream": true}"#;
            round.drive("answer", false, |_| ("POST /v1/answers".to_owned(), body.to_owned(), None));
        }));
    }
    if heeds {
        client(Box::new(Round::watch));
    }
    // Of different rounds, at different moments.
    while round.acknowledged.load(Ordering::SeqCst) < ACKNOWLEDGED_BEFORE + number % 17
        && round.seen.lock().unwrap().unexpected.is_empty()
    {
        std::thread::yield_now();
    }
    round.is_told.store(true, Ordering::SeqCst);
    let status = server.terminate();
    for client in clients {
        client.join().unwrap();
    }
    assert!(status.success(), "round {number}: {status}");
    std::mem::take(&mut *round.seen.lock().unwrap())
}

#[test]
fn a_server_that_is_told_to_stop_loses_nothing_and_fails_nobody() {
    let rounds: usize = std::env::var_os(ROUNDS).map_or(3, |rounds| rounds.to_str().unwrap().parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (mut outcomes, mut before, mut all) = (BTreeMap::<String, usize>::new(), Vec::new(), Vec::new());
    for number in 0..rounds {
        let seen = round(dir.path(), number, &before);
        assert_eq!(seen.unexpected, Vec::<String>::new(), "round {number}: {:?}", seen.outcomes);
        assert!(!seen.acknowledged.is_empty());
        all.extend(seen.acknowledged.iter().cloned());
        before = seen.acknowledged;
        for (outcome, count) in seen.outcomes {
            *outcomes.entry(outcome).or_default() += count;
        }
    }
    let last = Server::start(dir.path());
    // Of all rounds, not of the last one alone.
    for page in &all {
        let found = send(&last.api, &mut None, false, &format!("GET /v1/pages/{page}"), "");
        assert!(matches!(found, Outcome::Answered { status: 200, .. }), "{page} was acknowledged and is lost");
    }
    eprintln!("{rounds} rounds, {} acknowledged pages, none lost; {outcomes:#?}", all.len());
}
