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

#[test]
fn the_health_check_of_the_image_tells_a_ready_server_from_none() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let ready = |port: &str| {
        let script: &Path = &root().join("deploy/ready.sh");
        Command::new("bash").arg(script).arg(port).output().unwrap().status.success()
    };
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    assert!(ready(&port(&server.api)));
    assert!(!ready(&port(&server.counters)), "it answers 404 there");
    let api = port(&server.api);
    drop(server);
    assert!(!ready(&api));
}
