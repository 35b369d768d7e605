//! The log as JSON, for whoever gathers logs: each line is one object, which names ids and nothing of what people write or pages say.

use std::process::Command;

use serde_json::Value;

use super::imported;
use super::metrics::ask;
use super::server::Process;

#[test]
fn each_line_is_an_object_with_the_ids_of_its_request_and_without_content() {
    let site = imported();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.current_dir(site.dir.path()).arg("--data-dir").arg(site.dir.path().join("data"));
    command.envs([
        ("TESSERA__LOG__JSON", "true"),
        ("TESSERA__LOG__FILTER", "debug"),
        ("TESSERA__MODELS__ENABLED", "false"),
    ]);
    let (process, [api]) = Process::start(command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]));
    let petra = [("tessera-workspace", "observatory"), ("tessera-user", "petra"), ("content-type", "application/json")];
    let (status, found) = ask(&api, "GET /v1/search?query=vellumcrest", &petra, "");
    let found: Value = serde_json::from_str(&found).unwrap();
    let page = found["results"][0]["page"]["id"].as_str().unwrap_or_else(|| panic!("{status} {found}"));
    let (status, opened) = ask(&api, &format!("GET /v1/pages/{page}"), &petra, "");
    assert!(status == "200" && opened.contains("vellumcrest"), "{status} {opened}");
    let question = r#"{"question": "What is zyzzyvaquery at vellumcrest?"}"#;
    assert_eq!(ask(&api, "POST /v1/answers", &petra, question).0, "200");
    // What fails says why, and repeats nothing.
    for (request, body) in
        [("POST /v1/search", "{\"zyzzyvaquery\""), ("POST /v1/events", "zyzzyvaquery"), ("GET /zyzzyvaquery", "")]
    {
        assert!(ask(&api, request, &petra, body).0.starts_with('4'), "{request}");
    }
    let (ended, said) = process.end();
    assert!(ended.success(), "{said}");
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    for line in &lines {
        let is_whole =
            line["timestamp"].is_string() && line["level"].is_string() && line["fields"]["message"].is_string();
        assert!(is_whole, "{line}");
    }
    for content in ["zyzzyvaquery", "vellumcrest"] {
        assert!(!said.contains(content), "{content} is logged: {said}");
    }
    let answered = |route: &str| {
        let line =
            lines.iter().find(|line| line["fields"]["message"] == "request answered" && line["span"]["route"] == route);
        line.unwrap_or_else(|| panic!("{route}: {said}"))["span"].clone()
    };
    let span = answered("/v1/pages/{id}");
    assert_eq!((&span["workspace_id"], &span["page_id"]), (&"observatory".into(), &page.into()), "{span}");
    assert!(span["request_id"].is_string() && span["method"] == "GET", "{span}");
    assert_eq!(answered("/v1/search")["workspace_id"], "observatory");
}
