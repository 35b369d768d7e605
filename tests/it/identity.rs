//! Who is let in by a running server: service keys as they are made, replaced and revoked; and, where `TESSERA_TEST_OIDC` names a folder
//! with npm's oidc-provider (`scripts/test-services.sh oidc`), tokens of a real OpenID provider that changes its keys.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::server::Process;
use super::{Site, imported};

/// A server that believes nobody without proof, killed in the end.
struct Server {
    _process: Process,
    address: String,
}

impl Server {
    fn start(site: &Site, settings: &[(&str, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
        command.current_dir(site.dir.path()).arg("--data-dir").arg(site.dir.path().join("data"));
        command.env("TESSERA__MODELS__ENABLED", "false").envs(settings.iter().map(|(key, value)| (key, value)));
        let (process, [address]) = Process::start(command.args(["serve", "--listen", "127.0.0.1:0"]));
        Self { _process: process, address }
    }

    /// The status of a search, and the titles found.
    fn search(&self, query: &str, headers: &[(&str, &str)]) -> (u16, Vec<String>) {
        let url = format!("http://{}/v1/search", self.address);
        let query = format!("query={query}");
        let mut arguments = vec!["--get", &url, "--data-urlencode", &query, "--write-out", "\n%{http_code}"];
        let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        for header in &headers {
            arguments.extend(["--header", header.as_str()]);
        }
        let answer = curl(&arguments);
        let (body, status) = answer.rsplit_once('\n').unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        let hits = body["results"].as_array().cloned().unwrap_or_default();
        let titles = hits.iter().map(|hit| hit["page"]["title"].as_str().unwrap().to_owned());
        (status.parse().unwrap(), titles.collect())
    }
}

fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["--silent", "--show-error", "--max-time", "30"]).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for what a running server sees within a second.
#[track_caller]
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let is_so = (0..200).any(|_| {
        let now = holds();
        if !now {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        now
    });
    assert!(is_so, "{what}");
}

#[test]
fn a_service_key_is_made_replaced_and_revoked_beside_a_running_server() {
    let site = imported();
    let key = |arguments: &[&str]| {
        let output = site.run(&[&["keys"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let first = key(&["create", "backend", "--scopes", "search", "--workspace", "observatory"]);
    let server = Server::start(&site, &[]);
    let as_petra = |key: &str| {
        let bearer = format!("Bearer {key}");
        let person = [("Tessera-Workspace", "observatory"), ("Tessera-Act-As", "petra"), ("Authorization", &bearer)];
        server.search("\"vellumcrest\"", &person)
    };
    let (status, titles) = as_petra(&first);
    assert_eq!((status, titles.len()), (200, 1), "{titles:?}");
    assert_eq!(as_petra("tsk_0123456789012345678901234567890123456789").0, 401);
    let bearer = format!("Bearer {first}");
    let elsewhere = [("Tessera-Workspace", "other"), ("Tessera-Act-As", "petra"), ("Authorization", bearer.as_str())];
    assert_eq!(server.search("dome", &elsewhere).0, 403);

    let listed = site.json(&["keys", "list", "--json"]);
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert!(!listed.to_string().contains(&first), "only its hash is kept");
    let second = key(&["rotate", &id, "--overlap-hours", "1"]);
    soon("the new key holds", || as_petra(&second).0 == 200);
    assert_eq!(as_petra(&first).0, 200, "so does the former one, for an hour");
    key(&["revoke", &id]);
    soon("the former one is revoked", || as_petra(&first).0 == 401);
    assert_eq!(as_petra(&second).0, 200);
    let table = key(&["list"]);
    assert!(table.contains("backend") && table.contains("ended") && !table.contains(&second), "{table}");

    let wrong = site.run(&["keys", "create", "x", "--scopes", "sing"]);
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("`sing` is no scope"), "{said}");
}

/// npm's oidc-provider, killed in the end.
struct Provider {
    process: Child,
    issuer: String,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Provider {
    fn start(folder: &str, port: u16, ttl: u32) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/oidc-provider.mjs");
        let mut command = Command::new("node");
        command.args([script, folder, &port.to_string()]).env("TTL", ttl.to_string()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = lines.find_map(|line| line.ok().filter(|line| line.starts_with("http"))).expect("it starts");
        Self { process, issuer }
    }

    fn token(&self, person: &str, resource: &str, scope: &str) -> String {
        let (client, resource) = (format!("client_id={person}"), format!("resource={resource}"));
        let (secret, scope) = ("client_secret=for tests", format!("scope={scope}"));
        let url = format!("{}/token", self.issuer);
        let mut arguments = vec![url.as_str(), "--fail-with-body"];
        for field in ["grant_type=client_credentials", &client, secret, &resource, &scope] {
            arguments.extend(["--data-urlencode", field]);
        }
        let answer: serde_json::Value = serde_json::from_str(&curl(&arguments)).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

#[test]
fn tokens_of_a_real_provider_are_believed_for_what_they_say_and_no_longer_than_its_keys() {
    let Some(folder) = std::env::var_os("TESSERA_TEST_OIDC").and_then(|folder| folder.into_string().ok()) else {
        println!("SKIPPED: tokens of a real OpenID provider; run scripts/test-services.sh oidc");
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let provider = Provider::start(&folder, port, 600);
    let site = imported();
    let audience = "https://search.example.com";
    let settings = [
        ("TESSERA__AUTH__OIDC__ISSUER", provider.issuer.clone()),
        ("TESSERA__AUTH__OIDC__AUDIENCE", audience.to_owned()),
        ("TESSERA__AUTH__OIDC__USER_CLAIM", "person".to_owned()),
        ("TESSERA__AUTH__OIDC__FETCH_SECS_MIN", "1".to_owned()),
        ("TESSERA__AUTH__OIDC__REFRESH_SECS", "2".to_owned()),
        ("TESSERA__AUTH__JWT_ADMIN_SCOPE", "tessera:admin".to_owned()),
    ];
    let server = Server::start(&site, &settings);
    let found = |token: &str| server.search("\"vellumcrest\"", &[("Authorization", &format!("Bearer {token}"))]);
    let petra = provider.token("petra", audience, "search");
    assert_eq!((found(&petra).0, found(&petra).1.len()), (200, 1));
    let rafael = provider.token("rafael", audience, "search");
    assert_eq!(found(&rafael), (200, Vec::new()), "a token says who somebody is, not what they may see");
    assert_eq!(found(&provider.token("petra", "https://other.example.com", "search")).0, 401, "for another service");
    let explain = |token: &str| {
        let url = format!("http://{}/v1/explain-access?user=petra&page=none", server.address);
        let bearer = format!("Authorization: Bearer {token}");
        curl(&[&url, "--header", &bearer, "--output", "/dev/null", "--write-out", "%{http_code}"])
    };
    assert_eq!(explain(&provider.token("petra", audience, "tessera:admin")), "200");
    assert_eq!(explain(&petra), "403");

    // It comes back with other keys, at the same address.
    drop(provider);
    let provider = Provider::start(&folder, port, 5);
    let new = provider.token("petra", audience, "search");
    soon("a token by the new key is believed", || found(&new).0 == 200);
    soon("one by the old key is not", || found(&petra).0 == 401);
    // Clocks may be thirty seconds apart, so a token of five seconds is refused after thirty-five.
    std::thread::park_timeout(Duration::from_secs(37));
    assert_eq!(found(&new).0, 401, "expired");
    drop(provider);
}
