//! What a server says when it cannot start: which key, file, variable or address is to blame, and what to do about it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use super::Site;

/// What `serve` with these arguments and variables says, which must end it.
fn told(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    // One that starts all the same is ended.
    let mut command = Command::new("timeout");
    command
        .args(["60", env!("CARGO_BIN_EXE_tessera")])
        .current_dir(dir)
        .env("TESSERA__MODELS__ENABLED", "false")
        .envs(variables.iter().copied());
    let output = command.args(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} {variables:?}");
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
fn check(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
}

#[test]
fn whoever_cannot_start_is_told_what_is_to_blame_and_what_to_do() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let dir = site.dir.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    std::fs::write(dir.join("no-key.pem"), "not a key").unwrap();
    std::fs::create_dir(dir.join("folder")).unwrap();
    let pem = |name: &str| format!("{}/query/tests/it/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    let (cert, key, other_key) = (pem("first-cert.pem"), pem("first-key.pem"), pem("second-key.pem"));
    let (no_key, nowhere) = (path("no-key.pem"), path("nowhere.pem"));
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let dev = ["serve", "--dev", "--listen", "127.0.0.1:0"];
    let secret = "a secret of at least thirty-two bytes";

    check(
        &told(dir, &["serve", "--dev", "--listen", &address], &[]),
        &[&address, "another process", "`--listen`", "ss -ltnp"],
    );
    check(
        &told(dir, &dev, &[("TESSERA__METRICS__LISTEN", &address)]),
        &[&address, "another process", "`metrics.listen`"],
    );
    check(&told(dir, &["serve", "--dev", "--listen", "192.0.2.1:8080"], &[]), &["192.0.2.1:8080", "no such address"]);
    check(
        &told(dir, &serve, &[("TESSERA_JWT_HS256_SECRET", "short")]),
        &["TESSERA_JWT_HS256_SECRET", "openssl rand", "32 bytes"],
    );
    for algorithm in ["rs256", "eddsa"] {
        let named = format!("auth.jwt_{algorithm}_public_key");
        let variable = format!("TESSERA__AUTH__JWT_{}_PUBLIC_KEY", algorithm.to_uppercase());
        check(&told(dir, &serve, &[(&variable, &no_key)]), &[&no_key, &named, "BEGIN PUBLIC KEY"]);
        check(&told(dir, &serve, &[(&variable, &nowhere)]), &[&nowhere, &named, "may read", "No such file"]);
    }
    let tls = |cert: &str, key: &str| {
        let files = [("TESSERA__HTTP__TLS__CERT_FILE", cert), ("TESSERA__HTTP__TLS__KEY_FILE", key)];
        told(dir, &serve, &[&files[..], &[("TESSERA_JWT_HS256_SECRET", secret)]].concat())
    };
    check(&tls(&nowhere, &key), &[&nowhere, "http.tls", "may read"]);
    check(&tls(&no_key, &key), &[&no_key, "http.tls.cert_file", "the server's own"]);
    check(&tls(&cert, &other_key), &[&other_key, "http.tls.key_file", "one pair"]);
    check(&told(dir, &["--config", &path("folder"), "serve"], &[]), &["folder", "--config", "may read"]);
    check(&told(dir, &["--config", &path("absent.toml"), "serve"], &[]), &["absent.toml", "--config", "No such file"]);
    check(
        &told(dir, &dev, &[("TESSERA__MEMORY_BYTES", "1000000")]),
        &["memory_bytes", "1000000", "at least", "give it more"],
    );

    // Logs, where something else lies in their place.
    for (folder, key, variables) in [
        ("audit", "audit.enabled", &[][..]),
        ("feedback", "query.feedback.enabled", &[("TESSERA__QUERY__FEEDBACK__ENABLED", "true")][..]),
    ] {
        let data = dir.join(format!("data-{folder}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join(folder), "a file").unwrap();
        let told = told(dir, &[&["--data-dir", data.to_str().unwrap()][..], &dev].concat(), variables);
        check(&told, &[data.join(folder).to_str().unwrap(), key, "= false", "let this user write"]);
    }
}
