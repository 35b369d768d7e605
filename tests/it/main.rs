//! The binary as its users call it, over the sample workspace: import, search as different people, explain.

#![expect(clippy::unwrap_used, clippy::tests_outside_test_module, reason = "a test that cannot go on stops there")]

mod audit;
mod dead_letters;
mod deploy;
mod documented;
mod erasure;
mod evaluation;
mod identity;
mod log;
mod metrics;
mod overload;
mod real_kafka;
mod real_postgres;
mod reindex;
mod rolling;
mod secrets;
mod server;
mod shutdown;
mod snapshots;
mod startup;
mod streams;
mod traces;
mod verify;

use std::path::Path;
use std::process::{Command, Output};

const PEOPLE: [&str; 12] =
    ["ada", "petra", "mira", "yuki", "liwen", "camille", "tomas", "oskar", "jonas", "priya", "seoyeon", "rafael"];

/// Words that stand on guarded pages alone, and who may find them; see `samples/README.md`.
const GUARDED: [(&str, &[&str]); 13] = [
    ("cobaltwren", &["ada", "mira", "petra"]),
    ("thistlevault", &["mira", "priya"]),
    ("Nebelkrähenfall", &["jonas", "mira", "oskar", "tomas"]),
    ("lanternfish", &["ada", "liwen", "petra", "yuki"]),
    ("TW26kwd", &["ada", "liwen", "petra", "yuki"]),
    ("灯笼鱼", &["ada", "liwen", "petra", "yuki"]),
    ("halcyonide", &["camille", "liwen"]),
    ("juniperfox", &["ada", "mira", "petra", "yuki"]),
    ("stonepetrel", &["ada", "camille", "petra"]),
    ("marrowgate", &["ada", "petra"]),
    ("vellumcrest", &["petra"]),
    ("copperlark", &[]),
    ("duskmantle", &[]),
];

struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn run(&self, arguments: &[&str]) -> Output {
        let data_dir = self.dir.path().join("data");
        Command::new(env!("CARGO_BIN_EXE_tessera"))
            .current_dir(self.dir.path())
            .arg("--data-dir")
            .arg(data_dir)
            .args(arguments)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Titles found as a person, by words alone and to the letter.
    #[track_caller]
    fn titles(&self, query: &str, user: &str) -> Vec<String> {
        let found = self.json(&[
            "search",
            query,
            "--workspace",
            "observatory",
            "--as",
            user,
            "--lexical",
            "--limit",
            "100",
            "--json",
        ]);
        let results = found["results"].as_array().unwrap();
        results.iter().map(|hit| hit["page"]["title"].as_str().unwrap().to_owned()).collect()
    }
}

/// The sample, imported by words alone: no test here needs a model.
fn imported() -> Site {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let report = import(&site);
    assert_eq!((report["pages_seen"].as_u64(), report["rejected"].as_u64()), (Some(85), Some(0)), "{report}");
    site
}

fn import(site: &Site) -> serde_json::Value {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/northwind-observatory");
    site.json(&["import", "markdown", sample.to_str().unwrap(), "--text-only", "--json"])
}

#[test]
fn each_person_finds_what_they_may_and_nothing_else() {
    let site = imported();
    for (word, readers) in GUARDED {
        for user in PEOPLE {
            let quoted = format!("\"{word}\"");
            let found = !site.titles(&quoted, user).is_empty();
            assert_eq!(found, readers.contains(&user), "{word} as {user}");
        }
    }
    assert!(site.titles("ERR_DOME_STALL", "oskar").len() >= 3);
    assert!(site.titles("Überstunden", "jonas").contains(&"Arbeitszeit und Gleitzeit".to_owned()));
    assert!(site.titles("液体窒素の補充", "yuki").contains(&"冷却装置の日常点検".to_owned()));
    assert!(site.titles("消光系数", "liwen").contains(&"测光零点与消光改正".to_owned()));
    assert!(site.titles("암전류 측정", "seoyeon").contains(&"암전류 측정 방법".to_owned()));
    assert_eq!(site.titles("Saturn", "rafael"), Vec::<String>::new(), "a public page opens by its id alone");
}

#[test]
fn a_second_import_changes_nothing_and_a_stranger_finds_nothing() {
    let site = imported();
    let again = import(&site);
    assert_eq!((again["pages_changed"].as_u64(), again["events"].as_u64()), (Some(0), Some(0)), "{again}");
    assert_eq!(site.titles("dome", "nobody"), Vec::<String>::new());
}

#[test]
fn suggestions_and_explanations_are_given_on_the_command_line() {
    let site = imported();
    let suggested = site.json(&["suggest", "vellumc", "--workspace", "observatory", "--as", "petra", "--json"]);
    assert_eq!(suggested["results"][0]["text"], "vellumcrest", "{suggested}");
    let withheld = site.json(&["suggest", "vellumc", "--workspace", "observatory", "--as", "ada", "--json"]);
    assert_eq!(withheld["results"].as_array().unwrap().len(), 0);
    let found =
        site.json(&["search", "stonepetrel", "--workspace", "observatory", "--as", "camille", "--lexical", "--json"]);
    let page = found["results"][0]["page"]["id"].as_str().unwrap().to_owned();
    let explain = |user: &str| {
        site.json(&["explain-access", "--workspace", "observatory", "--user", user, "--page", &page, "--json"])
    };
    assert_eq!(
        (explain("camille")["discover"].as_bool(), explain("mira")["discover"].as_bool()),
        (Some(true), Some(false))
    );
}

#[test]
fn what_is_wrong_is_said_and_fails() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let failing: [(&[&str], &str); 3] = [
        (&["search", "x", "--workspace", "w", "--as", "ada"], "there is no index"),
        (&["serve"], "serve --dev"),
        (&["import", "markdown", "nowhere", "--workspace", "w"], "nowhere"),
    ];
    for (arguments, expected) in failing {
        let output = site.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(expected), "{arguments:?}: {told}");
    }
    std::fs::write(site.dir.path().join("tessera.toml"), "[query]\ndepht = 1").unwrap();
    let output = site.run(&["config", "check"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("depht"));
}
