//! What operators are given beside the binary: alerts, the dashboard, the health check of the image.
//!
//! `scripts/check-deploy.sh` has their syntax read by the tools that they are for; here they are compared with what the binary does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::metrics::Server;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The cells of the rows of tables whose first is code, by that.
fn rows(markdown: &str) -> BTreeMap<String, Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = markdown.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1..].to_vec())).collect()
}

/// Each name of a metric in `text`, with the labels that the braces after it name.
fn named(text: &str) -> BTreeSet<(String, Vec<String>)> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut found = BTreeSet::new();
    for start in ["tessera_", "process_"] {
        for (at, _) in text.match_indices(start) {
            if at > 0 && is_of_name(text.as_bytes()[at - 1]) {
                continue;
            }
            let len = text[at..].bytes().take_while(|byte| is_of_name(*byte)).count();
            let (name, rest) = text[at..].split_at(len);
            let matchers =
                rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
            let labels = matchers.split(", ").filter_map(|matcher| matcher.split_once(['=', '!']));
            found.insert((name.to_owned(), labels.map(|(label, _)| label.trim().to_owned()).collect()));
        }
    }
    found
}

#[test]
fn alerts_and_the_dashboard_name_metrics_and_labels_that_are_served() {
    let documented = rows(&read("docs/metrics.md"));
    let mut checked = 0;
    for file in
        ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts-test.yml", "deploy/grafana/dashboards/tessera.json"]
    {
        // Quotes are escaped in JSON.
        for (name, labels) in named(&read(file).replace("\\\"", "\"")) {
            let of_histogram = ["_bucket", "_count", "_sum"].into_iter().find_map(|end| name.strip_suffix(end));
            let (family, also) = match of_histogram.filter(|family| documented.contains_key(*family)) {
                Some(family) => (family, "le"),
                None => (name.as_str(), ""),
            };
            let row = documented.get(family).unwrap_or_else(|| panic!("{file}: docs/metrics.md has no {name}"));
            assert_eq!(row[0] == "histogram", also == "le", "{file}: {name} is a {}", row[0]);
            for label in labels {
                let known =
                    ["job", "instance", also].contains(&label.as_str()) || row[1].contains(&format!("`{label}`"));
                assert!(known, "{file}: {name} has no label `{label}`");
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn every_alert_is_documented_tested_and_leads_to_what_to_do() {
    let alerts = read("deploy/prometheus/alerts.yml");
    let values = |key: &str| -> Vec<String> {
        let values = alerts.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
        values.map(|value| value.trim().to_owned()).collect()
    };
    let names = values("alert:");
    let documented = rows(&read("docs/metrics.md"));
    let documented: BTreeSet<&str> =
        documented.keys().map(String::as_str).filter(|name| name.starts_with("Tessera")).collect();
    assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), documented);
    let tests = read("deploy/prometheus/alerts-test.yml");
    for name in &names {
        assert!(tests.contains(&format!("alertname: {name}")), "{name} has no test");
    }
    let runbooks = values("runbook:");
    assert_eq!(runbooks.len(), names.len());
    for runbook in runbooks {
        let (file, anchor) = runbook.split_once('#').unwrap_or((&runbook, ""));
        let anchors = read(file);
        let anchors = anchors.lines().filter_map(|line| line.split_once("# "));
        let mut anchors = anchors.map(|(_, heading)| heading.to_lowercase().replace(' ', "-"));
        assert!(anchor.is_empty() || anchors.any(|known| known == anchor), "{runbook} is not there");
    }
}

#[test]
fn the_dashboard_has_a_place_for_each_panel_and_shows_every_kind_of_thing() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("deploy/grafana/dashboards/tessera.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && taken.insert((x, y)), "{} lies over another", panel["title"]);
            }
        }
    }
    let text = dashboard.to_string();
    let left_out = rows(&read("docs/metrics.md"))
        .into_keys()
        .filter(|name| name.ends_with("_seconds") && !text.contains(name.as_str()));
    assert_eq!(left_out.collect::<Vec<_>>(), ["tessera_indexer_merge_seconds"], "times that nobody sees");
}

/// Whether `tessera ready` succeeds, with this configuration in the environment.
fn is_ready(dir: &Path, settings: &[(&str, &str)]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.current_dir(dir).envs(settings.iter().copied()).arg("ready").output().unwrap().status.success()
}

#[test]
fn the_health_check_of_the_image_tells_a_ready_server_from_none() {
    assert!(read("deploy/Dockerfile").contains(r#" CMD ["tessera", "ready"]"#));
    assert!(read("docker-compose.yml").contains(r#"test: ["CMD", "tessera", "ready"]"#));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let ready = |address: &str| is_ready(dir.path(), &[("TESSERA__HTTP__LISTEN", address)]);
    assert!(ready(&server.api));
    assert!(!ready(&server.counters), "it answers 404 there");
    let api = server.api.clone();
    drop(server);
    assert!(!ready(&api));
}

/// It spoke plain HTTP alone, and every server with a certificate was unhealthy for good.
#[test]
fn the_health_check_of_the_image_asks_a_server_with_a_certificate_by_tls() {
    let dir = tempfile::tempdir().unwrap();
    let pem = |name: &str| root().join("query/tests/it/testdata").join(name).to_str().unwrap().to_owned();
    let (cert, key) = (pem("first-cert.pem"), pem("first-key.pem"));
    let tls = [("TESSERA__HTTP__TLS__CERT_FILE", cert.as_str()), ("TESSERA__HTTP__TLS__KEY_FILE", key.as_str())];
    let server = Server::start_with(dir.path(), &tls);
    let listen = ("TESSERA__HTTP__LISTEN", server.api.as_str());
    assert!(is_ready(dir.path(), &[tls[0], tls[1], listen]));
    assert!(!is_ready(dir.path(), &[listen]), "in the clear nothing is answered");
}

/// They were variables, and a file that an operator mounted said them in vain.
#[test]
fn what_the_image_brings_holds_until_a_file_or_the_environment_says_otherwise() {
    let dockerfile = read("deploy/Dockerfile");
    assert!(dockerfile.contains("ENV TESSERA_DEFAULTS=") && !dockerfile.contains("TESSERA__"), "{dockerfile}");
    assert!(!dockerfile.contains("--listen"), "{dockerfile}");
    let dir = tempfile::tempdir().unwrap();
    let shown = |variables: &[(&str, &str)]| -> toml::Table {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command.current_dir(dir.path()).env("TESSERA_DEFAULTS", root().join("deploy/image.toml"));
        let output = command.envs(variables.iter().copied()).args(["config", "show"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().parse().unwrap()
    };
    let image = shown(&[]);
    assert_eq!(image["data_dir"].as_str(), Some("/data"));
    assert_eq!((image["http"]["listen"].as_str(), image["log"]["json"].as_bool()), (Some("0.0.0.0:8080"), Some(true)));
    assert_eq!(image["models"]["embed"]["model_dir"].as_str(), Some("/models/all-MiniLM-L6-v2"));
    let mounted = "[models.embed]\nmodel_dir = \"/models/other\"\n[http]\nlisten = \"0.0.0.0:8443\"";
    std::fs::write(dir.path().join("tessera.toml"), mounted).unwrap();
    let mounted = shown(&[("TESSERA__LOG__JSON", "false")]);
    assert_eq!(mounted["models"]["embed"]["model_dir"].as_str(), Some("/models/other"));
    assert_eq!(
        mounted["models"]["embed"]["library"], image["models"]["embed"]["library"],
        "what it does not say stays"
    );
    assert_eq!(
        (mounted["http"]["listen"].as_str(), mounted["log"]["json"].as_bool()),
        (Some("0.0.0.0:8443"), Some(false))
    );
    assert_eq!(mounted["data_dir"], image["data_dir"]);
}
