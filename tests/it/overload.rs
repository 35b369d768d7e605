//! What a server says while it turns much away: few lines, which together count all of it.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Site;
use super::metrics::{Server, ask, get, value};
use super::server::Process;

const REQUESTS: usize = 300;

/// The lines that tell of what was turned away, and the requests that they come to.
fn turned_away(said: &str) -> (u64, u64) {
    let lines = said.lines().filter(|line| line.contains("turned away"));
    let requests = lines.clone().map(|line| line.split("requests=").nth(1).unwrap().trim().parse::<u64>().unwrap());
    (lines.count() as u64, requests.sum())
}

#[test]
fn a_server_that_is_busy_says_so_in_few_lines_that_count_all_it_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let patient = "600000";
    let server = Server::start_with(
        dir.path(),
        &[
            ("TESSERA__HTTP__IN_FLIGHT_MAX", "1"),
            ("TESSERA__HTTP__REQUEST_TIMEOUT_MS", patient),
            ("TESSERA__HTTP__CONNECTIONS__BODY_STALL_MS", patient),
        ],
    );
    // A request whose body does not come takes the one place that there is.
    let mut busy = TcpStream::connect(&server.api).unwrap();
    let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n";
    write!(busy, "{head}tessera-workspace: w\r\ntessera-user: ada\r\n\r\n").unwrap();
    let in_flight = || value(&get(&server.counters, "/metrics").1, "tessera_query_in_flight_requests") > 0.5;
    assert!((0..600).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        in_flight()
    }));
    for _ in 0..REQUESTS {
        assert_eq!(get(&server.api, "/v1/search?query=x&workspace=w&as=ada").0, "503");
    }
    drop(busy);
    let (_, counters) = get(&server.counters, "/metrics");
    assert!((value(&counters, r#"tessera_query_shed_total{bound="requests"}"#) - REQUESTS as f64).abs() < f64::EPSILON);
    let (status, said) = server.end();
    assert!(status.success(), "{said}");
    let (lines, requests) = turned_away(&said);
    assert_eq!(requests, REQUESTS as u64, "{said}");
    // One a second, and what is left at the end.
    assert!((1..=began.elapsed().as_secs() + 2).contains(&lines), "{said}");
}

#[test]
fn a_caller_who_asks_too_often_fills_no_log() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let made = site.run(&["keys", "create", "backend", "--scopes", "search"]);
    let bearer = format!("Bearer {}", String::from_utf8(made.stdout).unwrap().trim());
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.current_dir(site.dir.path()).arg("--data-dir").arg(site.dir.path().join("data"));
    command.env("TESSERA__MODELS__ENABLED", "false").env("TESSERA__METRICS__LISTEN", "127.0.0.1:0");
    command.env("TESSERA__HTTP__RATE__CALLER_PER_SECOND", "1").env("TESSERA__HTTP__RATE__CALLER_BURST", "1");
    let (process, [api, counters]) = Process::start(command.args(["serve", "--listen", "127.0.0.1:0"]));
    let headers = [("authorization", bearer.as_str()), ("tessera-workspace", "w"), ("tessera-act-as", "ada")];
    let statuses = (0..REQUESTS).map(|_| ask(&api, "GET /v1/search?query=x", &headers, "").0);
    let refused = statuses.filter(|status| status == "429").count();
    assert!(refused > 0);
    let (_, text) = get(&counters, "/metrics");
    assert!((value(&text, r#"tessera_query_shed_total{bound="caller_rate"}"#) - refused as f64).abs() < f64::EPSILON);
    let (status, said) = process.end();
    assert!(status.success(), "{said}");
    let (lines, requests) = turned_away(&said);
    assert_eq!(requests, refused as u64, "{said}");
    assert!((1..=began.elapsed().as_secs() + 2).contains(&lines), "{said}");
    assert!(said.contains("code=\"too_many_requests\""), "{said}");
}
