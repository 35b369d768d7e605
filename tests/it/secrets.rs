//! No secret is ever said: a server with all kinds of them uses each, fails with each, and is asked by them, while it logs everything down to
//! `debug`. Nothing that it prints, counts, answers or keeps holds one.
//!
//! Those who are shown a secret stand here: a language model, a collector of traces, a database, S3. Each turns the server away, some with the
//! secret in their words.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::imported;
use super::metrics::ask;
use super::server::Process;
use super::traces::{header, listen};

const PATIENCE: Duration = Duration::from_mins(1);

const HS256: &str = "planted-hs256-0123456789abcdefghijkl";
/// Of `oskar`, an administrator of the sample, until the year 2100; and of a time that is over. Signed with the secret above.
const TOKEN: &str = "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAib3NrYXIiLCAid29ya3NwYWNlIjogIm9ic2VydmF0b3J5IiwgImV4cCI6IDQxMDI0NDQ4MDAsICJzY29wZSI6ICJhZG1pbiJ9.3h57WZmJisN1GkZphgjonKCr_63IIsYc75Eox5iXHQw";
const EXPIRED: &str = "eyJhbGciOiAiSFMyNTYiLCAidHlwIjogIkpXVCJ9.eyJzdWIiOiAib3NrYXIiLCAid29ya3NwYWNlIjogIm9ic2VydmF0b3J5IiwgImV4cCI6IDE3MDAwMDAwMDB9.PkKdT-Qwmf480uSe3GDSZMeMKck6Sc2VAXrHeAZKVds";
const UNKNOWN_KEY: &str = "tsk_planted0123456789abcdefghijklmnop";
const MODEL_KEY: &str = "sk-planted-model-0123456789abcdef";
const COLLECTOR_KEY: &str = "planted-collector-0123456789abcdef";
const KAFKA_PASSWORD: &str = "planted-kafka-0123456789abcdef";
const POSTGRES_PASSWORD: &str = "planted-postgres-0123456789abcdef";
const AUDIT_KEY: &str = "planted-audit-0123456789abcdefghijkl";
const S3_SECRET: &str = "planted-s3-0123456789abcdef";

/// A provider that repeats the key it does not like, as some do.
const MODEL_REFUSES: &str = concat!(
    "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n",
    r#"{"error":{"message":"Incorrect API key provided: sk-planted-model-0123456789abcdef","type":"invalid_request_error","#,
    r#""param":null,"code":"sk-planted-model-0123456789abcdef"}}"#,
);
const COLLECTOR_REFUSES: &str = concat!(
    "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n",
    "not with Bearer planted-collector-0123456789abcdef",
);
const S3_REFUSES: &str = concat!(
    "HTTP/1.1 403 Forbidden\r\ncontent-type: application/xml\r\nconnection: close\r\n\r\n",
    "<Error><Code>SignatureDoesNotMatch</Code></Error>",
);

/// A message to a database, whose head has so many bytes.
fn message(connection: &mut TcpStream, head_bytes: usize) -> Option<Vec<u8>> {
    let mut head = vec![0; head_bytes];
    connection.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes(head[head_bytes - 4..].try_into().ok()?) as usize;
    let mut body = vec![0; length.saturating_sub(4).min(10_000)];
    connection.read_exact(&mut body).ok()?;
    Some(body)
}

/// A database that asks for the password in the clear, hands it on, and does not take it.
fn postgres() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, coming) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { continue };
            // Of the first message, the kind is not said.
            if message(&mut connection, 4).is_none() || connection.write_all(b"R\0\0\0\x08\0\0\0\x03").is_err() {
                continue;
            }
            let Some(password) = message(&mut connection, 5) else { continue };
            let said = b"SFATAL\0C28P01\0Mpassword authentication failed for user \"tessera\"\0\0";
            let length = (said.len() as u32 + 4).to_be_bytes();
            let _ = connection.write_all(&[b"E", &length[..], said].concat());
            if came.send(password).is_err() {
                return;
            }
        }
    });
    (address, coming)
}

/// All that lies in a folder, as text.
fn files(dir: &Path, all: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if let Ok(bytes) = std::fs::read(&path) {
            writeln!(all, "== {}\n{}", path.display(), String::from_utf8_lossy(&bytes)).unwrap();
        }
    }
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Asks for everything, as whoever a header says; gives the statuses, in order.
fn ask_all(api: &str, headers: &[(&str, &str)], heard: &mut String) -> Vec<String> {
    let question = r#"{"question": "What did they find on the rail?", "stream": true}"#;
    let page = r#"{"task": "summarise", "text": "The rail was cold."}"#;
    let chat = r#"{"model": "tessera", "messages": [{"role": "user", "content": "What did they find on the rail?"}]}"#;
    let tool = r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": {"query": "dome"}}}"#;
    let requests = [
        ("GET /v1/session", ""),
        ("GET /v1/search?query=zyzzyvaquery", ""),
        ("POST /v1/search", r#"{"query": 7}"#),
        ("POST /v1/answers", question),
        ("POST /v1/generate", page),
        ("POST /v1/chat/completions", chat),
        ("POST /v1/events", r#"{"specversion": "1.0"}"#),
        ("POST /mcp", tool),
        ("GET /v1/pages/absent", ""),
        ("GET /v1/status", ""),
        ("GET /v1/usage", ""),
        ("GET /v1/explain-access?page=x&user=oskar", ""),
        ("GET /v1/erasures/x", ""),
        ("GET /v1/conversations", ""),
        ("GET /metrics", ""),
    ];
    let more = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-06-18"),
    ];
    let headers = [headers, &more].concat();
    let answers = requests.map(|(request, body)| ask(api, request, &headers, body));
    answers
        .map(|(status, body)| {
            writeln!(heard, "{status} {body}").unwrap();
            status
        })
        .to_vec()
}

#[test]
fn no_secret_is_logged_counted_answered_or_kept() {
    let site = imported();
    let data = site.dir.path().join("data");
    let (model, prompts) = listen("127.0.0.1:0", MODEL_REFUSES);
    let (collector, traces) = listen("127.0.0.1:0", COLLECTOR_REFUSES);
    let (s3, objects) = listen("127.0.0.1:0", S3_REFUSES);
    let (database, passwords) = postgres();
    // Nobody is there: the client of Kafka tells all about itself while it tries.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();

    let made = site.run(&["keys", "create", "backend", "--scopes", "search,ingest,admin"]);
    let service_key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(service_key.starts_with("tsk_"), "{service_key}");

    let settings = [
        ("TESSERA__LOG__FILTER", "debug".to_owned()),
        ("TESSERA__DATA_DIR", data.to_str().unwrap().to_owned()),
        ("TESSERA__METRICS__LISTEN", "127.0.0.1:0".to_owned()),
        ("TESSERA__MODELS__ENABLED", "false".to_owned()),
        ("TESSERA__AUTH__JWT_ADMIN_SCOPE", "admin".to_owned()),
        ("TESSERA_JWT_HS256_SECRET", HS256.to_owned()),
        (
            "TESSERA__MODELS__GENERATE__ENDPOINTS",
            format!("[{{ name = \"local\", base_url = \"http://{model}/v1\", model = \"any\", key_env = \"MODEL_KEY\" }}]"),
        ),
        ("MODEL_KEY", MODEL_KEY.to_owned()),
        ("TESSERA__TRACES__ENDPOINT", format!("http://{collector}/v1/traces")),
        ("TESSERA__TRACES__RATIO", "1.0".to_owned()),
        ("TESSERA__TRACES__INTERVAL_MS", "50".to_owned()),
        ("TESSERA_TRACES_AUTHORIZATION", format!("Bearer {COLLECTOR_KEY}")),
        ("TESSERA__KAFKA__BROKERS", nobody.to_string()),
        (
            "TESSERA__KAFKA__PROPERTIES",
            "{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \"sasl.username\" = \"tessera\", debug = \"all\" }".to_owned(),
        ),
        ("TESSERA_KAFKA_SASL_PASSWORD", KAFKA_PASSWORD.to_owned()),
        ("TESSERA__POSTGRES__FOLLOW", "true".to_owned()),
        ("TESSERA_POSTGRES_URL", format!("postgres://tessera:{POSTGRES_PASSWORD}@{database}/product?sslmode=disable")),
        ("TESSERA_AUDIT_KEY", AUDIT_KEY.to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{s3}")),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "tessera".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", S3_SECRET.to_owned()),
    ];
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command.current_dir(site.dir.path()).envs(settings.iter().map(|(name, value)| (name, value))).args(arguments);
        command
    };
    let mut heard = String::new();

    let (process, [api, counters]) = Process::start(&mut command(&["serve", "--listen", "127.0.0.1:0"]));
    let bearer = |token: &str| format!("Bearer {token}");
    let named = [("tessera-workspace", "observatory"), ("tessera-act-as", "oskar")];
    for (shown, search) in [
        (bearer(TOKEN), "200"),
        (bearer(&service_key), "200"),
        (bearer(EXPIRED), "401"),
        (bearer(UNKNOWN_KEY), "401"),
        (bearer(&TOKEN.replace('.', "_")), "401"),
        (format!("Basic {service_key}"), "401"),
    ] {
        let headers = [&named[..], &[("authorization", shown.as_str())]].concat();
        let statuses = ask_all(&api, &headers, &mut heard);
        assert_eq!(statuses[1], search, "{shown}: {heard}");
    }
    for of in [&api, &counters] {
        heard += &ask(of, "GET /metrics", &[("authorization", &bearer(&service_key))], "").1;
    }
    let password = passwords.recv_timeout(PATIENCE).expect("the database is asked");
    assert_eq!(password, [POSTGRES_PASSWORD.as_bytes(), b"\0"].concat(), "by its password");
    let prompt = prompts.recv_timeout(PATIENCE).expect("the language model is asked");
    assert_eq!(header(&prompt.head, "authorization"), Some(bearer(MODEL_KEY).as_str()));
    let sent = traces.recv_timeout(PATIENCE).expect("the collector is sent traces");
    assert_eq!(header(&sent.head, "authorization"), Some(bearer(COLLECTOR_KEY).as_str()));
    let (status, said) = process.end();
    assert!(status.success(), "{said}");
    assert!(said.contains("DEBUG") && said.contains("request answered"), "it logs at `debug`");
    assert!(said.contains("password authentication failed"), "why the database cannot be followed is said: {said}");
    assert!(said.contains("answers with status 401"), "so is that the model refuses");
    assert!(said.contains("SASL") || said.contains("sasl"), "the client of Kafka says what it does: {said}");
    // Nor what people write.
    for text in ["zyzzyvaquery", "find on the rail", "The rail was cold"] {
        assert!(!said.contains(text), "{text} is logged");
    }
    heard += &said;

    let taken = command(&["snapshot", "s3://bucket/copies", "--keep", "1"]).output().unwrap();
    assert!(!taken.status.success(), "S3 refuses");
    assert!(objects.recv_timeout(PATIENCE).is_ok(), "and is asked");
    heard += &printed(&taken);
    for arguments in [
        &["config", "show"][..],
        &["config", "check"],
        &["keys", "list"],
        &["audit", "verify"],
        &["audit", "show", "--json"],
        &["explain-access", "--workspace", "observatory", "--user", "oskar", "--page", "x", "--json"],
        &["import", "postgres"],
        &["dead-letters", "list"],
    ] {
        heard += &printed(&command(arguments).output().unwrap());
    }
    files(&data, &mut heard);

    for (name, secret) in [
        ("the secret of tokens", HS256),
        ("a token", TOKEN),
        ("the signature of a token", TOKEN.rsplit('.').next().unwrap()),
        ("an expired token", EXPIRED),
        ("a token that is none", &TOKEN.replace('.', "_")),
        ("a service key", &service_key),
        ("what makes a service key", service_key.trim_start_matches("tsk_")),
        ("a key that nobody knows", UNKNOWN_KEY),
        ("the key of the language model", MODEL_KEY),
        ("the key of the collector", COLLECTOR_KEY),
        ("the password of Kafka", KAFKA_PASSWORD),
        ("the password of PostgreSQL", POSTGRES_PASSWORD),
        ("the key of the audit log", AUDIT_KEY),
        ("the secret of S3", S3_SECRET),
    ] {
        let found = heard.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{name} is said: {}", found.unwrap_or_default());
    }
}
