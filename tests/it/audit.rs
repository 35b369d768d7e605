//! What commands leave in the audit log: those that take content in past the API, too.

use super::imported;

#[test]
fn whoever_takes_content_in_by_the_command_line_leaves_a_line() {
    let site = imported();
    let shown = |kind: &str| {
        let output = site.run(&["audit", "show", "--kind", kind, "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["what"].clone())
            .collect::<Vec<_>>()
    };
    let [taken_in] = shown("imported").try_into().unwrap();
    assert_eq!(
        (&taken_in["workspace"], &taken_in["notes"]["from"]),
        (&"observatory".into(), &"markdown".into()),
        "{taken_in}"
    );
    // Whether or not the brokers are there.
    let events = site.dir.path().join("none.ndjson");
    std::fs::write(&events, "").unwrap();
    let config = site.dir.path().join("tessera.toml");
    std::fs::write(config, "[kafka]\nbrokers = \"127.0.0.1:1\"\ntopic = \"changes\"").unwrap();
    site.run(&["produce", "ndjson", events.to_str().unwrap()]);
    let [produced] = shown("produced").try_into().unwrap();
    assert_eq!(produced["notes"]["topic"], "changes", "{produced}");
    assert!(site.run(&["audit", "verify"]).status.success());
}
