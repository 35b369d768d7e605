//! Traces, from whoever calls to the language model that is called: what arrives at a collector, and what does not.
//!
//! The collector is a listener here that reads what comes as the protocol has it; `make test-services` puts a real one between the two.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;

use super::imported;
use super::metrics::{self, Server};
use super::shutdown::events;

/// Of a real collector: where it takes traces, and where it sends them.
const COLLECTOR: &str = "TESSERA_TEST_OTLP";
const COLLECTOR_SENDS_TO: &str = "TESSERA_TEST_OTLP_SENDS_TO";
/// How long a real collector may gather what it takes.
const REAL_COLLECTOR_MAX: Duration = Duration::from_mins(1);
/// A caller's trace, which is recorded.
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01";

/// A request that came.
pub(super) struct Came {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// Answers every request at an address alike, and hands it on.
pub(super) fn listen(address: &str, answer: &'static str) -> (SocketAddr, Receiver<Came>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let (came, coming) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { continue };
            if let Some(request) = read_request(&connection) {
                let _ = connection.write_all(answer.as_bytes());
                if came.send(request).is_err() {
                    return;
                }
            }
        }
    });
    (address, coming)
}

fn read_request(connection: &TcpStream) -> Option<Came> {
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    // As real collectors send it.
    if header(&head, "content-encoding") == Some("gzip") {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut unpacked).ok()?;
        body = unpacked;
    }
    Some(Came { head, body })
}

pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let values = head.lines().filter_map(|line| line.split_once(": "));
    values.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

pub(super) const TAKEN: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const WRITTEN: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    r#"data: {"choices":[{"index":0,"delta":{"content":"Oskar parked the dome and found clear ice on the rail [1]."}}]}"#,
    "\n\n",
    r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"choices":[],"usage":{"prompt_tokens":210,"completion_tokens":12}}"#,
    "\n\ndata: [DONE]\n\n",
);

/// Asks a server as somebody, and reads the whole answer.
fn ask(address: &str, request: &str, body: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        connection,
        "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntessera-workspace: observatory\r\ntessera-user: oskar\r\n\
         traceparent: {CALLER}\r\nx-request-id: r-7\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// What a server over the sample sends to a collector while it is asked.
struct Traced {
    server: Server,
    _site: super::Site,
    came: Receiver<Came>,
    prompts: Receiver<Came>,
    is_real: bool,
}

impl Traced {
    fn start(endpoint: Option<&str>, sends_to: &str, more: &[(&str, &str)]) -> Self {
        let site = imported();
        let (collector, came) = listen(sends_to, TAKEN);
        let (model, prompts) = listen("127.0.0.1:0", WRITTEN);
        let is_real = endpoint.is_some_and(|endpoint| std::env::var_os(COLLECTOR).is_some_and(|real| real == endpoint));
        let endpoint = endpoint.map_or_else(|| format!("http://{collector}/v1/traces"), str::to_owned);
        let models = format!("[{{ name = \"local\", base_url = \"http://{model}/v1\", model = \"any\" }}]");
        let data = site.dir.path().join("data");
        let mut settings = vec![
            ("TESSERA__DATA_DIR", data.to_str().unwrap()),
            ("TESSERA__TRACES__ENDPOINT", endpoint.as_str()),
            ("TESSERA__TRACES__RATIO", "1.0"),
            ("TESSERA__TRACES__INTERVAL_MS", "50"),
            ("TESSERA__MODELS__GENERATE__ENDPOINTS", models.as_str()),
            ("TESSERA_TRACES_AUTHORIZATION", "Bearer of-the-collector"),
        ];
        settings.extend(more);
        let server = Server::start_with(site.dir.path(), &settings);
        Self { server, _site: site, came, prompts, is_real }
    }

    /// Asks for a search and for a streamed answer.
    fn ask_both(&self) {
        let found = ask(&self.server.api, "GET /v1/search?query=ERR_DOME_STALL", "");
        assert!(found.starts_with("HTTP/1.1 200") && found.contains("\"results\":[{"), "{found}");
        let answer = ask(
            &self.server.api,
            "POST /v1/answers",
            r#"{"question": "What did they find on the rail?", "stream": true}"#,
        );
        assert!(answer.contains("event: done"), "{answer}");
    }

    /// Stops the server, and gives what the collector and the language model were sent before. What goes through a real collector comes
    /// when that has gathered it: until the spans of both requests are there.
    fn stop(self) -> (Vec<Came>, Vec<Came>) {
        let status = self.server.terminate();
        assert!(status.success(), "{status}");
        let mut came: Vec<Came> = self.came.try_iter().collect();
        let is_there = |came: &[Came], name: &str| spans(came).iter().any(|span| span.name == name);
        while self.is_real && !["GET /v1/search", "POST /v1/answers"].iter().all(|name| is_there(&came, name)) {
            came.push(self.came.recv_timeout(REAL_COLLECTOR_MAX).expect("the collector sends on what it takes"));
        }
        (came, self.prompts.try_iter().collect())
    }
}

pub(super) fn spans(came: &[Came]) -> Vec<Span> {
    let batches = came.iter().map(|came| ExportTraceServiceRequest::decode(came.body.as_slice()).unwrap());
    let resources = batches.flat_map(|batch| batch.resource_spans);
    let resources = resources.inspect(|resource| {
        let attributes = &resource.resource.as_ref().unwrap().attributes;
        let service = attributes.iter().find(|attribute| attribute.key == "service.name");
        assert_eq!(text(service.unwrap().value.as_ref().unwrap().value.as_ref().unwrap()), "tessera");
    });
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::ArrayValue(values) => {
            let values = values.values.iter().filter_map(|value| value.value.as_ref()).map(text);
            values.collect::<Vec<_>>().join(",")
        }
        other => format!("{other:?}"),
    }
}

#[track_caller]
pub(super) fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    let found = found.unwrap_or_else(|| panic!("{key} is not in {span:?}"));
    text(found.value.as_ref().unwrap().value.as_ref().unwrap())
}

#[track_caller]
fn one<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let named: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let [span] = named.as_slice() else { panic!("{} spans are called {name}", named.len()) };
    span
}

/// Names of the spans below one, at any depth.
pub(super) fn below<'a>(spans: &'a [Span], above: &Span) -> BTreeSet<&'a str> {
    let direct = spans.iter().filter(|span| span.parent_span_id == above.span_id);
    direct.flat_map(|span| below(spans, span).into_iter().chain([span.name.as_str()])).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The folder of the embedding model, if it is there.
fn models_dir() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/models");
    dir.join("libonnxruntime.so").exists().then_some(dir)
}

#[test]
fn a_request_is_one_trace_from_its_caller_to_the_language_model() {
    let collector = std::env::var_os(COLLECTOR).and_then(|address| address.into_string().ok());
    if collector.is_none() {
        eprintln!("SKIPPED: a real collector; {COLLECTOR} is not set, `make test-services` sets it");
    }
    let sends_to = std::env::var_os(COLLECTOR_SENDS_TO).and_then(|address| address.into_string().ok());
    let sends_to = sends_to.unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let models = models_dir();
    let mut settings = Vec::new();
    let (library, model);
    if let Some(dir) = &models {
        library = dir.join("libonnxruntime.so");
        model = dir.join("all-MiniLM-L6-v2");
        settings.push(("TESSERA__MODELS__ENABLED", "true"));
        settings.push(("TESSERA__MODELS__EMBED__LIBRARY", library.to_str().unwrap()));
        settings.push(("TESSERA__MODELS__EMBED__MODEL_DIR", model.to_str().unwrap()));
    } else {
        eprintln!("SKIPPED: the part of searches by meaning in traces; there is no embedding model");
    }
    let traced = Traced::start(collector.as_deref(), &sends_to, &settings);
    traced.ask_both();
    let (came, prompts) = traced.stop();
    if collector.is_none() {
        assert!(came[0].head.starts_with("POST /v1/traces HTTP/1.1"), "{}", came[0].head);
        assert_eq!(header(&came[0].head, "authorization"), Some("Bearer of-the-collector"));
    }
    let spans = spans(&came);

    let search = one(&spans, "GET /v1/search");
    assert_eq!(search.kind(), SpanKind::Server);
    assert_eq!(attribute(search, "http.route"), "/v1/search");
    assert_eq!(attribute(search, "http.response.status_code"), "200");
    assert_eq!(attribute(search, "tessera.request_id"), "r-7");
    let mut parts = BTreeSet::from(["wait", "mask", "parse", "lexical", "rank", "present", "gate"]);
    if models.is_some() {
        parts.extend(["semantic", "embed"]);
    }
    assert_eq!(below(&spans, search), parts);
    assert!(below(&spans, one_below(&spans, search, "present")).contains("gate"));

    // Its caller is not trusted: named, and not followed.
    assert!(search.parent_span_id.is_empty());
    assert_ne!(hex(&search.trace_id), CALLER[3..35]);
    assert_eq!(hex(&search.links[0].trace_id), CALLER[3..35]);
    assert_eq!(hex(&search.links[0].span_id), CALLER[36..52]);

    let answer = one(&spans, "POST /v1/answers");
    assert!(
        below(&spans, answer).is_superset(&BTreeSet::from(["wait", "mask", "parse", "lexical", "rank", "chat any"]))
    );
    let chat = one(&spans, "chat any");
    assert_eq!((chat.kind(), &chat.trace_id), (SpanKind::Client, &answer.trace_id));
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.request.model", "any"),
        ("gen_ai.response.finish_reasons", "stop"),
        ("gen_ai.usage.input_tokens", "210"),
        ("gen_ai.usage.output_tokens", "12"),
        ("server.address", "127.0.0.1"),
        ("tessera.endpoint", "local"),
        ("tessera.task", "answer"),
    ] {
        assert_eq!(attribute(chat, key), value, "{key}");
    }
    let told = header(&prompts[0].head, "traceparent");
    assert_eq!(told, Some(format!("00-{}-{}-01", hex(&chat.trace_id), hex(&chat.span_id)).as_str()));

    for span in &spans {
        let parent = spans.iter().find(|other| other.span_id == span.parent_span_id);
        assert!(parent.is_none_or(|parent| parent.trace_id == span.trace_id), "{span:?}");
        assert!(span.events.is_empty() && span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
    }
    for came in &came {
        let sent = String::from_utf8_lossy(&came.body).to_lowercase();
        for hidden in ["err_dome_stall", "oskar", "observatory", "the rail", "parked", "results", "of-the-collector"] {
            assert!(!sent.contains(hidden), "{hidden} was sent to the collector");
        }
    }
}

fn one_below<'a>(spans: &'a [Span], above: &Span, name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name && span.parent_span_id == above.span_id).unwrap()
}

#[test]
fn a_caller_that_is_trusted_is_followed_and_decides() {
    // By itself, this server would trace nothing.
    let trust = [("TESSERA__TRACES__TRUST_CALLERS", "true"), ("TESSERA__TRACES__RATIO", "0.0")];
    let traced = Traced::start(None, "127.0.0.1:0", &trust);
    traced.ask_both();
    let (came, prompts) = traced.stop();
    let spans = spans(&came);
    for name in ["GET /v1/search", "POST /v1/answers"] {
        let request = one(&spans, name);
        assert_eq!(
            (hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()),
            (&CALLER[3..35], &CALLER[36..52])
        );
        assert!(request.links.is_empty());
    }
    assert!(header(&prompts[0].head, "traceparent").unwrap().starts_with(&CALLER[..36]));
}

#[test]
fn without_a_share_nothing_is_sent_and_a_collector_that_is_away_harms_nobody() {
    let traced = Traced::start(None, "127.0.0.1:0", &[("TESSERA__TRACES__RATIO", "0.0")]);
    traced.ask_both();
    let (came, prompts) = traced.stop();
    assert_eq!(came.len(), 0);
    let told = header(&prompts[0].head, "traceparent").unwrap();
    assert!(told.ends_with("-00"), "whoever is called is told that nothing is recorded: {told}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = [("TESSERA__TRACES__QUEUE_LEN_MAX", "2"), ("TESSERA__TRACES__BATCH_LEN_MAX", "1")];
    let traced = Traced::start(Some(&format!("http://{nobody}/v1/traces")), "127.0.0.1:0", &settings);
    for _ in 0..20 {
        traced.ask_both();
    }
    traced.stop();
}

#[test]
fn tools_of_assistants_are_traced_within_their_requests_and_commits_by_themselves() {
    let traced = Traced::start(None, "127.0.0.1:0", &[]);
    let headers = [
        ("tessera-workspace", "observatory"),
        ("tessera-user", "oskar"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-06-18"),
    ];
    let call = |tool: &str, arguments: &str| {
        let params = format!(r#"{{"name": "{tool}", "arguments": {arguments}}}"#);
        let body = format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {params}}}"#);
        metrics::ask(&traced.server.api, "POST /mcp", &headers, &body)
    };
    let (status, found) = call("search", r#"{"query": "ERR_DOME_STALL"}"#);
    assert!(status == "200" && found.contains("structuredContent"), "{status} {found}");
    let (status, absent) = call("fetch", r#"{"id": "absent"}"#);
    assert!(status == "200" && absent.contains("\"isError\":true"), "{status} {absent}");
    let (status, told) =
        metrics::ask(&traced.server.api, "POST /v1/events?wait=searchable", &headers[2..3], &events("p-traced"));
    assert_eq!(status, "200", "{told}");
    let (came, _) = traced.stop();
    let spans = spans(&came);

    let search = one(&spans, "tools/call search");
    let request = spans.iter().find(|span| span.span_id == search.parent_span_id).unwrap();
    assert_eq!((request.name.as_str(), request.kind()), ("POST /mcp", SpanKind::Server));
    for (key, value) in
        [("mcp.method.name", "tools/call"), ("gen_ai.operation.name", "execute_tool"), ("gen_ai.tool.name", "search")]
    {
        assert_eq!(attribute(search, key), value, "{key}");
    }
    let parts = below(&spans, search);
    assert!(parts.is_superset(&BTreeSet::from(["wait", "mask", "parse", "lexical", "rank", "present"])), "{parts:?}");
    let fetch = one(&spans, "tools/call fetch");
    assert_eq!(attribute(fetch, "error.type"), "tool_error");
    assert!(search.attributes.iter().all(|attribute| attribute.key != "error.type"));

    let index = one(&spans, "index");
    assert!(index.parent_span_id.is_empty(), "a commit is of no one request");
    assert_eq!(below(&spans, index), BTreeSet::from(["write", "split", "commit", "publish"]));
    for (key, value) in [("tessera.events", "3"), ("tessera.pages", "1")] {
        assert_eq!(attribute(index, key), value, "{key}");
    }
    attribute(index, "tessera.split_ms");
    for came in &came {
        let sent = String::from_utf8_lossy(&came.body).to_lowercase();
        for hidden in ["err_dome_stall", "oskar", "observatory", "p-traced", "acme", "ada"] {
            assert!(!sent.contains(hidden), "{hidden} was sent to the collector");
        }
    }
}
