//! What the commands of a stream refuse before they go to a broker.

use super::Site;

#[test]
fn settings_that_a_stream_cannot_have_are_refused_with_what_to_do() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let events = site.dir.path().join("none.ndjson");
    std::fs::write(&events, "").unwrap();
    let check = |config: &str, arguments: &[&str], expected: &str| {
        let config = format!("[kafka]\nbrokers = \"127.0.0.1:1\"\n{config}");
        std::fs::write(site.dir.path().join("tessera.toml"), config).unwrap();
        let output = site.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(expected), "{told}");
    };
    check("[postgres]\nfollow = true", &["indexer"], "`postgres.follow` is for `tessera serve`");
    check("session_timeout_ms = 300001", &["indexer"], "must be 1000 to 300000");
    let beat = "[kafka.properties]\n\"heartbeat.interval.ms\" = \"1000\"";
    check(beat, &["indexer"], "set `kafka.session_timeout_ms`");
    let file = events.to_str().unwrap();
    for rate in ["1e-20", "0", "-1", "NaN"] {
        check("", &["produce", "ndjson", file, &format!("--rate={rate}")], "--rate must be 0.001 or more");
    }
}
