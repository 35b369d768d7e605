//! `tessera reindex` as an operator calls it: alone, beside a running server, and back.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::{GUARDED, Site, imported};

/// Runs without a model: passages of another size, whatever the machine has.
fn tessera(site: &Site, passage_tokens: usize) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.current_dir(site.dir.path()).arg("--data-dir").arg(site.dir.path().join("data"));
    command.env("TESSERA__MODELS__ENABLED", "false");
    command.env("TESSERA__INDEXER__PASSAGE_TOKENS", passage_tokens.to_string());
    command
}

/// The steps that `tessera reindex` tells of.
#[track_caller]
fn reindex(site: &Site, passage_tokens: usize, arguments: &[&str]) -> Vec<Value> {
    let output =
        tessera(site, passage_tokens).args(["reindex", "--json", "--share", "1"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn check_last(steps: &[Value], step: &str, generation: u64) {
    let last = steps.last().unwrap();
    assert_eq!((last["step"].as_str(), last["generation"].as_u64()), (Some(step), Some(generation)), "{steps:?}");
}

#[track_caller]
fn check_guarded(site: &Site) {
    for (word, readers) in GUARDED.into_iter().take(4) {
        for user in ["ada", "mira", "petra", "camille"] {
            let found = !site.titles(&format!("\"{word}\""), user).is_empty();
            assert_eq!(found, readers.contains(&user), "{word} as {user}");
        }
    }
}

/// A server over the data of a site, killed in the end.
struct Server(Child);

impl Server {
    fn start(site: &Site) -> Self {
        let mut command = tessera(site, 200);
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines();
        assert!(lines.any(|line| line.unwrap().contains("serving")), "the server starts");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_passage_size_is_built_compared_switched_to_and_taken_back() {
    let site = imported();
    let steps = reindex(&site, 120, &["--no-switch"]);
    check_last(&steps, "kept", 2);
    let steps = reindex(&site, 120, &[]);
    check_last(&steps, "switched", 2);
    let compared = steps.iter().find(|step| step["step"] == "compared").unwrap();
    assert!(compared["questions"].as_u64().unwrap() > 20, "{compared}");
    assert!(compared["overlap_at_10"].as_f64().unwrap() > 0.5, "{compared}");
    check_guarded(&site);
    let again = tessera(&site, 120).args(["reindex"]).output().unwrap();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("what the configuration asks for"));
    check_last(&reindex(&site, 200, &["--rollback"]), "switched", 1);
    check_guarded(&site);
}

#[test]
fn a_running_server_does_it_without_a_pause() {
    let site = imported();
    let server = Server::start(&site);
    check_last(&reindex(&site, 120, &[]), "switched", 2);
    check_guarded(&site);
    check_last(&reindex(&site, 120, &["--rollback"]), "switched", 1);
    drop(server);
    assert!(Path::new(&site.dir.path().join("data/index/g000002")).is_dir(), "the former generation is kept");
    check_guarded(&site);
}

/// `tests/fixtures/format-1` was written by the first release of the format: a teamspace of three pages, a member `ada` and
/// a guest `bob`.
#[test]
fn an_index_of_an_older_format_is_refused_by_all_but_reindex_which_builds_it_anew() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let shard = site.dir.path().join("data/index");
    std::fs::create_dir_all(&shard).unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1");
    for entry in std::fs::read_dir(fixture).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), shard.join(entry.file_name())).unwrap();
    }
    let search = |user: &str| {
        let arguments = ["search", "gnomon", "--workspace", "old", "--as", user, "--lexical", "--json"];
        tessera(&site, 200).args(arguments).output().unwrap()
    };
    let refused = search("ada");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("tessera reindex"), "{message}");
    let rebuilt = tessera(&site, 200).args(["reindex"]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let found = |user: &str| -> Value { serde_json::from_slice(&search(user).stdout).unwrap() };
    assert_eq!(found("ada")["results"][0]["page"]["title"], "Sundial");
    assert_eq!(found("bob")["results"].as_array().unwrap().len(), 0);
    let left: Vec<_> = std::fs::read_dir(&shard).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the older files are gone: {left:?}");
}
