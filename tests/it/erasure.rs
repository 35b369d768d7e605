//! Erasures by a real server: killed in the middle of them, started again, and nothing is left in any file; receipts that hold, and such as do not.

use std::process::Command;
use std::time::Duration;

use index::raw::{How, look_for, look_for_words};
use serde_json::{Value, json};

use super::Site;
use super::server::Process;
use super::traces::listen;

/// A server that believes this machine, killed in the end.
struct Server {
    process: Process,
    address: String,
}

impl Server {
    fn start(site: &Site) -> Self {
        Self::start_with(site, &[])
    }

    fn start_with(site: &Site, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command.current_dir(site.dir.path()).arg("--data-dir").arg(site.dir.path().join("data"));
        command.env("TESSERA__MODELS__ENABLED", "false").env("TESSERA__HTTP__RATE__CALLER_PER_SECOND", "0");
        command.env("TESSERA__AUDIT__SEGMENT_BYTES_MAX", "65536").envs(settings.iter().copied());
        let (process, [address]) = Process::start(command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]));
        Self { process, address }
    }

    /// Sends a request for `ada` of `acme`; the status and the body.
    fn send(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let url = format!("http://{}{path}", self.address);
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60", "--request", method, &url]);
        let media_type = if path.starts_with("/v1/events") { "application/x-ndjson" } else { "application/json" };
        for header in ["Tessera-Workspace: acme", "Tessera-User: ada", &format!("Content-Type: {media_type}")] {
            command.args(["--header", header]);
        }
        command.args(body.map(|body| ["--data-binary", body]).into_iter().flatten());
        let output = command.args(["--write-out", "\n%{http_code}"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer = String::from_utf8(output.stdout).unwrap();
        let (body, status) = answer.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    fn erase(&self, path: &str) -> String {
        let (status, begun) = self.send("DELETE", path, None);
        assert_eq!(status, 202, "{begun}");
        begun["id"].as_str().unwrap().to_owned()
    }

    /// The erasure, once it is over.
    fn done(&self, id: &str) -> Value {
        for _ in 0..1_200 {
            let (status, erasure) = self.send("GET", &format!("/v1/erasures/{id}"), None);
            assert_eq!(status, 200, "{erasure}");
            if erasure["status"] == "done" {
                return erasure;
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        panic!("the erasure {id} is not over after two minutes")
    }
}

fn event(counter: u64, kind: &str, subject: &str, data: Value) -> String {
    let mut data = data;
    data["version"] = json!({"clock": {"eu": counter}, "timestamp": {"wall_ms": counter}, "region": "eu"});
    let id = format!("{kind} {subject} {counter}");
    json!({"specversion": "1.0", "id": id, "source": "/test", "type": kind, "workspaceid": "acme", "subject": subject, "data": data}).to_string()
}

const PAGES: usize = 5;

fn submit(server: &Server) {
    for round in 1..4 {
        let mut events = vec![event(round, "member.changed", "ada", json!({"role": "member"}))];
        for at in 0..=PAGES {
            let page = format!("page-{at}");
            let grants = json!([{"principal": "workspace", "level": "view"}]);
            let (title, text) = (format!("zqtitle{at}v{round}"), format!("zqtext{at}v{round} stands here"));
            events.push(event(round, "page.upserted", &page, json!({"title": title, "parent": {"type": "workspace"}})));
            events.push(event(round, "page.access_changed", &page, json!({"grants": grants})));
            let content = json!({"type": "paragraph", "rich_text": [{"plain_text": text}]});
            let block = json!({"page": page, "position": "a", "content": content});
            events.push(event(round, "block.upserted", &format!("block-{at}"), block));
        }
        let (status, answer) = server.send("POST", "/v1/events?wait=searchable", Some(&events.join("\n")));
        assert_eq!(status, 200, "{answer}");
    }
    let bad = json!({"workspaceid": "acme", "subject": "page-0", "text": "zqletter0"}).to_string();
    server.send("POST", "/v1/events", Some(&bad));
}

/// The texts that are somewhere in the files, and how they were found.
fn found(site: &Site, texts: &[String]) -> Vec<(String, How)> {
    let data = site.dir.path().join("data");
    let mut found = look_for(&data, texts).unwrap();
    found.extend(look_for_words(&data.join("index"), texts).unwrap());
    let mut found: Vec<_> = found.into_iter().map(|found| (found.text, found.how)).collect();
    found.sort();
    found.dedup();
    found
}

fn texts_of(at: usize) -> Vec<String> {
    (1..4).flat_map(|round| [format!("zqtitle{at}v{round}"), format!("zqtext{at}v{round}")]).collect()
}

#[test]
fn pages_are_erased_through_kills_and_their_receipts_hold() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let mut server = Server::start(&site);
    submit(&server);
    let all: Vec<String> = (0..PAGES).flat_map(texts_of).chain(["zqletter0".to_owned()]).collect();
    let before = found(&site, &all);
    for text in all.iter().filter(|text| text.ends_with("v3") || text.contains("letter")) {
        assert!(before.iter().any(|(found, _)| found == text), "{text} is found before: {before:?}");
    }
    for how in [How::Plain, How::Unpacked, How::Dictionary] {
        assert!(before.iter().any(|(_, found)| *found == how), "{how:?}: {before:?}");
    }
    // Killed at once, and later and later: in the middle of a commit, of a purge, of writing the receipt.
    let mut ids = Vec::new();
    for (at, ms) in [0, 15, 60, 200, 600].into_iter().enumerate() {
        ids.push(server.erase(&format!("/v1/pages/page-{at}")));
        std::thread::park_timeout(Duration::from_millis(ms));
        server.process.kill();
        server = Server::start(&site);
    }
    let done: Vec<Value> = ids.iter().map(|id| server.done(id)).collect();
    assert_eq!(found(&site, &all), []);
    assert!(!found(&site, &texts_of(PAGES)).is_empty(), "the other page is still there");
    let (status, page) = server.send("GET", &format!("/v1/pages/page-{PAGES}"), None);
    assert_eq!((status, page["page"]["title"].as_str()), (200, Some("zqtitle5v3")));
    assert_eq!(server.send("GET", "/v1/pages/page-0", None).0, 404);
    assert_eq!(server.erase("/v1/pages/page-0"), ids[0], "asked again, nothing is done again");

    // The receipt: beside the running server, from the file alone, changed, and after something came back.
    let file = site.dir.path().join("receipt.json");
    let write = |erasure: &Value| std::fs::write(&file, erasure.to_string()).unwrap();
    let verify = |texts: &[&str]| {
        let mut arguments = vec!["erasure", "verify", file.to_str().unwrap(), "--json"];
        arguments.extend(texts.iter().flat_map(|text| ["--text", text]));
        let output = site.run(&arguments);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.success(), report)
    };
    for erasure in &done {
        write(erasure);
        let (holds, report) = verify(&["zqtext0", "zqtitle4v"]);
        assert!(holds, "{report:#}");
        assert_eq!(report["recorded"], true);
    }
    write(&done[0]["receipt"]);
    assert!(verify(&[]).0);
    assert!(!verify(&["zqtext5v3"]).0, "a text that is there is found");
    let mut changed = done[0].clone();
    changed["receipt"]["subject"] = json!("page-5");
    write(&changed);
    let (holds, report) = verify(&[]);
    assert!(!holds && report["whole"] == false && report["checks"][0]["left"].as_u64() > Some(0), "{report:#}");
    write(&done[0]);
    let leftover = site.dir.path().join("data/notes.txt");
    std::fs::write(&leftover, "someone copied ZQTEXT0V1 by hand").unwrap();
    assert!(!verify(&["zqtext0v1"]).0);
    std::fs::remove_file(leftover).unwrap();
    let (status, _) = server.send(
        "POST",
        "/v1/events?wait=searchable",
        Some(&event(9, "page.upserted", "page-0", json!({"title": "zqtitle0v9"}))),
    );
    assert_eq!(status, 200);
    assert!(!verify(&[]).0, "the product brought it back");
    let again = server.erase("/v1/pages/page-0");
    assert_ne!(again, ids[0]);
    server.done(&again);
    assert!(verify(&["zqtitle0"]).0);
    let listed = String::from_utf8(site.run(&["erasure", "list"]).stdout).unwrap();
    assert_eq!(listed.matches(" done ").count(), PAGES + 1, "{listed}");
}

#[test]
fn a_person_and_a_workspace_leave_the_audit_log_which_is_still_proven() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let server = Server::start(&site);
    submit(&server);
    assert_eq!(server.send("GET", "/v1/search?query=stands", None).0, 200);
    assert_eq!(server.send("GET", "/v1/pages/page-1", None).0, 200);
    let audit = |arguments: &[&str]| site.run(&[&["audit"], arguments].concat());
    let lines = |actor: &str| String::from_utf8(audit(&["show", "--actor", actor]).stdout).unwrap().lines().count();
    // The search and the page; what waits is on disk within a second.
    let is_recorded = (0..200).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        lines("ada") == 2
    });
    assert!(is_recorded);
    let key = site.run(&["keys", "create", "backend", "--scopes", "search"]);
    assert!(key.status.success());
    let secret = String::from_utf8(key.stdout).unwrap();
    let user = server.done(&server.erase("/v1/users/ada"));
    assert_eq!(lines("ada"), 0);
    let verified = || {
        let output = audit(&["verify", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{report:#}");
        report
    };
    let report = verified();
    assert!(report["erased_who"].as_u64() >= Some(3), "the search, the page, and who asked for this: {report:#}");
    let head = report["head"].as_str().unwrap().to_owned();
    let kinds = String::from_utf8(audit(&["show", "--json"]).stdout).unwrap();
    for kind in ["server_started", "key_created", "erasure_requested", "erasure_finished", "\"open\""] {
        assert!(kinds.contains(kind), "{kind}: {kinds}");
    }
    assert!(!kinds.contains(secret.trim()));

    let workspace = server.done(&server.erase("/v1/workspaces/acme"));
    let texts: Vec<String> = (0..=PAGES).flat_map(texts_of).chain(["zqletter0".into(), "page-1".into()]).collect();
    assert_eq!(found(&site, &texts), [], "no text, and no id of a page");
    assert!(verified()["erased_both"].as_u64() >= Some(2));
    assert!(audit(&["verify", "--holds", &head]).status.success());
    assert!(!audit(&["verify", "--holds", "1:00"]).status.success());
    for erasure in [user, workspace] {
        let file = site.dir.path().join("receipt.json");
        std::fs::write(&file, erasure.to_string()).unwrap();
        let output = site.run(&["erasure", "verify", file.to_str().unwrap(), "--text", "zqtext"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    // A command that names the workspace by now leaves a line without it.
    drop(server);
    let (nothing, receipt) = (site.dir.path().join("none.ndjson"), site.dir.path().join("receipt.json"));
    std::fs::write(&nothing, "").unwrap();
    let taken_in = site.run(&["import", "ndjson", nothing.to_str().unwrap(), "--workspace", "acme", "--text-only"]);
    assert!(taken_in.status.success(), "{}", String::from_utf8_lossy(&taken_in.stderr));
    let output = site.run(&["erasure", "verify", receipt.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // Those that know of no erasure leave one with it, which the next start cleans.
    let key = site.run(&["keys", "create", "late", "--scopes", "search", "--workspace", "acme"]);
    assert!(key.status.success());
    assert!(!site.run(&["erasure", "verify", receipt.to_str().unwrap()]).status.success());
    let server = Server::start(&site);
    server.done(&server.erase("/v1/workspaces/acme"));
    let output = site.run(&["erasure", "verify", receipt.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // A byte of the log is changed by hand.
    drop(server);
    let segment = std::fs::read_dir(site.dir.path().join("data/audit")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|extension| extension == "ndjson").then_some(path)
    });
    let segment = segment.unwrap();
    let text = std::fs::read_to_string(&segment).unwrap().replacen("server_started", "server_stopped", 1);
    std::fs::write(&segment, text).unwrap();
    let output = audit(&["verify"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && told.contains("WRONG"), "{told}");
}

/// What a language model wrote, in every call.
const WRITTEN: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    r#"data: {"choices":[{"index":0,"delta":{"content":"zqtext1v3 stands here, zqmodel [1]."}}]}"#,
    "\n\n",
    r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"choices":[],"usage":{"prompt_tokens":210,"completion_tokens":12}}"#,
    "\n\ndata: [DONE]\n\n",
);

/// The stores of what people asked and did: their lines were erased and counted in tests of each, and never by a server that had written some.
#[test]
fn conversations_feedback_and_usage_lose_the_page_and_then_the_person() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let (model, _prompts) = listen("127.0.0.1:0", WRITTEN);
    let endpoints = format!("[{{ name = \"local\", base_url = \"http://{model}/v1\", model = \"any\" }}]");
    let settings =
        [("TESSERA__MODELS__GENERATE__ENDPOINTS", endpoints.as_str()), ("TESSERA__QUERY__FEEDBACK__ENABLED", "true")];
    let server = Server::start_with(&site, &settings);
    submit(&server);
    let (status, searched) = server.send("GET", "/v1/search?query=zqtext1v3", None);
    assert_eq!(status, 200, "{searched}");
    let clicked = json!({"tracking_id": searched["tracking_id"], "events": [{"type": "click", "page": "page-1"}]});
    let (status, taken) = server.send("POST", "/v1/feedback", Some(&clicked.to_string()));
    assert!((200..300).contains(&status), "{status} {taken}");
    let question = json!({"question": "zqquestion: where does zqtext1v3 stand?", "conversation": "new"});
    let (status, answered) = server.send("POST", "/v1/answers", Some(&question.to_string()));
    assert!(status == 200 && answered.to_string().contains("zqmodel"), "{status} {answered}");
    let data = site.dir.path().join("data");
    let lines = |file: &str, of: &str| {
        let text = std::fs::read_to_string(data.join(file)).unwrap_or_default();
        text.lines().filter(|line| line.contains(of)).count()
    };
    let of_usage = || lines("usage/usage.ndjson", r#""user":"ada""#);
    let of_feedback = || lines("feedback/log.ndjson", "page-1");
    let is_written = (0..600).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        of_usage() > 0 && of_feedback() >= 2
    });
    assert!(is_written, "{} lines of usage, {} of feedback", of_usage(), of_feedback());
    let words = ["zqquestion", "zqmodel"].map(str::to_owned);
    let named =
        |found: Vec<(String, How)>| found.into_iter().map(|(text, _)| text).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(named(found(&site, &words)).len(), 2, "both are kept in the conversation");

    // With the page goes what was written from it, and not what its reader asked.
    let page = server.done(&server.erase("/v1/pages/page-1"));
    assert_eq!(named(found(&site, &words)), ["zqquestion".to_owned()].into());
    assert!(of_usage() > 0 && of_feedback() > 0, "these hold ids, which stay");
    let user = server.done(&server.erase("/v1/users/ada"));
    assert_eq!(found(&site, &words), []);
    assert_eq!((of_usage(), of_feedback()), (0, 0));
    for erasure in [&page, &user] {
        let checks = erasure["receipt"]["checks"].as_array().unwrap();
        for store in ["conversations", "feedback", "usage"] {
            let check =
                checks.iter().find(|check| check["store"] == store).unwrap_or_else(|| panic!("{store}: {checks:?}"));
            assert_eq!((check["present"].as_bool(), check["left"].as_u64()), (Some(true), Some(0)), "{check}");
        }
        let not_reached = erasure["receipt"]["not_reached"].to_string();
        for place in ["streamed answers in memory", "the file of service keys"] {
            assert!(not_reached.contains(place), "{place}: {not_reached}");
        }
    }
}
