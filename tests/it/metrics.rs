//! `/metrics` of a running server: read like Prometheus does, and checked by its own tool where that is there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use super::server::Process;

/// Prometheus's tool, for `make test-services`.
const PROMTOOL: &str = "TESSERA_TEST_PROMTOOL";

/// A server in development, with a listener for counters.
pub(super) struct Server {
    process: Process,
    pub(super) api: String,
    pub(super) counters: String,
}

impl Server {
    pub(super) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    /// With further variables of the environment.
    pub(super) fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command
            .current_dir(dir)
            .env("TESSERA__MODELS__ENABLED", "false")
            .env("TESSERA__METRICS__LISTEN", "127.0.0.1:0");
        command.envs(settings.iter().copied()).args(["serve", "--dev", "--listen", "127.0.0.1:0"]);
        let (process, [api, counters]) = Process::start(&mut command);
        Self { process, api, counters }
    }

    /// Tells it to stop, and waits until it has.
    pub(super) fn terminate(self) -> ExitStatus {
        self.process.terminate()
    }

    /// As [`Server::terminate`], with what it said.
    pub(super) fn end(self) -> (ExitStatus, String) {
        self.process.end()
    }
}

/// The status and the body of an answer.
pub(super) fn get(address: &str, path: &str) -> (String, String) {
    ask(address, &format!("GET {path}"), &[], "")
}

/// The status and the body of an answer to a request, as `GET /healthz`, with headers.
pub(super) fn ask(address: &str, request: &str, headers: &[(&str, &str)], body: &str) -> (String, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    let headers = headers.iter().fold(String::new(), |all, (name, value)| all + &format!("{name}: {value}\r\n"));
    let length = body.len();
    write!(
        connection,
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

/// The value of a series.
#[track_caller]
pub(super) fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

#[test]
fn a_server_counts_what_it_does_and_tells_it_at_both_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(get(&server.api, "/v1/search?query=x&workspace=w&as=ada").0, "200");
    assert_eq!(get(&server.api, "/nowhere").0, "404");
    for address in [&server.api, &server.counters] {
        let (status, text) = get(address, "/metrics");
        assert_eq!(status, "200", "{text}");
        let requests = |of: &str| value(&text, &format!("tessera_query_request_seconds_count{{{of}}}"));
        assert!((requests(r#"route="/v1/search",status="200""#) - 1.0).abs() < f64::EPSILON);
        assert!((requests(r#"route="none",status="404""#) - 1.0).abs() < f64::EPSILON);
        assert!(value(&text, "process_resident_memory_bytes") > 1e6);
        assert!(value(&text, "tessera_index_bytes") > 0.0);
        check_by_promtool(&text);
    }
    assert_eq!(get(&server.counters, "/v1/search?query=x&workspace=w&as=ada").0, "404", "it serves nothing else");
}

fn check_by_promtool(text: &str) {
    let Some(promtool) = std::env::var_os(PROMTOOL) else {
        eprintln!("SKIPPED: promtool on /metrics; {PROMTOOL} is not set, `make test-services` sets it");
        return;
    };
    let mut checking = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    checking.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = checking.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && told.trim().is_empty(), "{told}");
}
