//! Snapshots as an operator takes and restores them, in a folder and in S3.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use index::OpenMode;
use indexer::engine::Engine;
use serde_json::Value;

use crate::{Site, imported};

/// Names a bucket or a prefix in one, as s3://bucket/prefix, for `make test-services`.
const S3_VARIABLE: &str = "TESSERA_TEST_S3";

impl Site {
    /// Adds a page to the workspace, as an edit would.
    fn edit(&self, title: &str) {
        let file = self.dir.path().join("pages.jsonl");
        let page = serde_json::json!({ "path": format!("{title}.md"), "markdown": format!("{title} on the dome") });
        std::fs::write(&file, page.to_string()).unwrap();
        let report = self.json(&[
            "import",
            "markdown",
            file.to_str().unwrap(),
            "--workspace",
            "observatory",
            "--text-only",
            "--json",
        ]);
        assert_eq!(report["pages_changed"].as_u64(), Some(1), "{report}");
    }

    /// What a member, another and a guest find, and the digest of all that is stored.
    fn state(&self) -> (Vec<Vec<String>>, String) {
        let found = ["ada", "petra", "rafael"].iter().map(|user| self.titles("dome", user)).collect();
        let config = index::Config { dir: self.dir.path().join("data/index"), ..index::Config::default() };
        let settings =
            indexer::config::Config { data_dir: self.dir.path().join("data"), ..indexer::config::Config::default() };
        let engine = Engine::open(index::Index::open(&config, OpenMode::ReadWrite).unwrap(), None, settings).unwrap();
        let digest = engine.content_digest(&"observatory".parse().unwrap()).unwrap();
        assert!(engine.close());
        (found, digest)
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], expected: &str) {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(expected), "{arguments:?}: {told}");
    }
}

fn count(report: &Value, key: &str) -> u64 {
    report[key].as_u64().unwrap_or_else(|| panic!("no {key} in {report}"))
}

/// Snapshots, lists, verifies, edits, and goes back.
fn round_trip(destination: &str) {
    let site = imported();
    let before = site.state();
    let first = site.json(&["snapshot", destination, "--json"]);
    assert!(count(&first, "uploaded_files") > 0 && count(&first, "reused_files") == 0, "{first}");
    site.edit("Quillmark");
    let after = site.state();
    assert_ne!(before.1, after.1);
    let second = site.json(&["snapshot", destination, "--keep", "2", "--json"]);
    assert!(count(&second, "reused_bytes") > count(&second, "uploaded_bytes"), "{second}");
    let listed = site.json(&["snapshot", "list", destination, "--json"]);
    let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|listed| listed["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [first["id"].as_str().unwrap(), second["id"].as_str().unwrap()]);
    let verified = site.json(&["snapshot", "verify", destination, "--json"]);
    assert_eq!((count(&verified, "snapshots"), verified["damages"].as_array().unwrap().len()), (2, 0));

    site.refused(&["restore", destination], "--replace");
    let restored = site.json(&["restore", destination, ids[0], "--replace", "--json"]);
    assert_eq!(restored["id"].as_str(), Some(ids[0]));
    assert_eq!(site.state(), before);
    site.json(&["restore", destination, "--replace", "--json"]);
    assert_eq!(site.state(), after);
    let elsewhere = Site { dir: tempfile::tempdir().unwrap() };
    elsewhere.json(&["restore", destination, "--json"]);
    assert_eq!(elsewhere.state(), after);
    let third = site.json(&["snapshot", destination, "--keep", "1", "--json"]);
    assert_eq!(third["retired"].as_array().unwrap().len(), 2, "{third}");
    site.refused(&["restore", destination, ids[0], "--replace"], ids[0]);
}

#[test]
fn a_snapshot_in_a_folder_brings_back_every_page_and_who_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    round_trip(dir.path().join("kept").to_str().unwrap());
}

#[test]
fn a_snapshot_in_s3_brings_back_every_page_and_who_may_read_it() {
    let Some(bucket) = std::env::var_os(S3_VARIABLE) else {
        // Past the capture of output: a test that did not run must not look like one that passed.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED: snapshots in S3; `make test-services` starts a server and runs them");
        return;
    };
    let bucket = bucket.into_string().unwrap();
    let unique = jiff::Timestamp::now().as_nanosecond();
    round_trip(&format!("{bucket}/{unique}"));
    let site = imported();
    let output =
        spawn(&site, &["snapshot", &format!("{bucket}/{unique}")]).env("AWS_SECRET_ACCESS_KEY", "wrong").output();
    let told = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(told.contains("no snapshot was taken") && told.contains("403"), "{told}");
}

#[test]
fn damage_at_the_destination_is_told_by_the_name_of_the_object() {
    let site = imported();
    let kept = site.dir.path().join("kept");
    let destination = kept.to_str().unwrap();
    site.json(&["snapshot", destination, "--json"]);
    let folder = std::fs::read_dir(kept.join("objects")).unwrap().next().unwrap().unwrap().path();
    let object = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    let name = object.file_name().unwrap().to_str().unwrap();
    let output = site.run(&["snapshot", "verify", destination]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains(name));
    site.refused(&["restore", destination, "--replace"], name);
    site.refused(&["snapshot", "list", "nowhere"], "nowhere");
    site.refused(&["restore", destination, "1999"], "no snapshot `1999`");
}

/// Runs the binary and kills it after a while, if it has not ended by then.
fn killed_after(site: &Site, arguments: &[&str], delay: Duration) {
    let mut child = spawn(site, arguments).stderr(Stdio::null()).spawn().unwrap();
    let (never, until) = mpsc::channel::<()>();
    assert!(until.recv_timeout(delay).is_err());
    drop(never);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn spawn(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.current_dir(site.dir.path()).args(["--data-dir", "data"]).args(arguments).stdout(Stdio::null());
    command
}

/// How often each of the two is killed.
const KILLS: u32 = 6;

#[test]
fn killed_at_any_moment_snapshots_and_restores_leave_what_was_or_what_was_to_be() {
    let site = imported();
    let kept = site.dir.path().join("kept");
    let destination = kept.to_str().unwrap();
    let began = Instant::now();
    let first = site.json(&["snapshot", destination, "--json"]);
    let whole = began.elapsed();
    let old = site.state();
    site.edit("Quillmark");
    let new = site.state();
    let mut has_new = true;
    for step in 1..=KILLS {
        // From near the start to behind the end.
        let delay = whole * step / (KILLS - 1);
        killed_after(&site, &["snapshot", destination], delay);
        let verified = site.json(&["snapshot", "verify", destination, "--json"]);
        assert_eq!(verified["damages"].as_array().unwrap().len(), 0, "after {delay:?}: {verified}");

        let id = if has_new { first["id"].as_str().unwrap() } else { "latest" };
        killed_after(&site, &["restore", destination, id, "--replace"], delay);
        let state = site.state();
        assert!(state == old || state == new, "after {delay:?}: neither the former index nor the restored one");
        has_new = state == new;
    }
    site.json(&["snapshot", destination, "--json"]);
    let leftovers = std::fs::read_dir(site.dir.path().join("data/index")).unwrap();
    let leftovers: Vec<_> = leftovers.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(leftovers.iter().all(|name| !name.starts_with(".archive-")), "{leftovers:?}");
}

#[test]
fn a_snapshot_is_taken_beside_a_running_server() {
    let site = imported();
    let mut server = spawn(&site, &["serve", "--dev", "--listen", "127.0.0.1:0"])
        .env("TESSERA__MODELS__ENABLED", "false")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("serving")), "the server stopped");
    let kept = site.dir.path().join("kept");
    site.json(&["snapshot", kept.to_str().unwrap(), "--json"]);
    site.refused(&["restore", kept.to_str().unwrap(), "--replace"], "a process writes to the index");
    server.kill().unwrap();
    server.wait().unwrap();
    site.json(&["restore", kept.to_str().unwrap(), "--replace", "--json"]);
}
