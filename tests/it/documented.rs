//! The commands of the documents: run as somebody who reads them would, each page from its first to its last.
//!
//! A page is a shell with a folder of its own, the sample workspace in it, and a server over a copy of that where `make demo`
//! serves. What a page says a command prints is compared, numbers aside. What cannot be run here is in `ELSEWHERE` with the
//! reason, and is at least read by the command line of the program, so that no option of it is made up.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Site, imported};

/// How commands begin that are not run, with what they take: `PAGE: COMMAND`.
const ELSEWHERE: [(&str, &str); 42] = [
    ("README.md: make", "is what runs this, or takes minutes"),
    ("README.md: target/release/tessera search 'animals", "takes the embedding model"),
    ("README.md: tessera import markdown PATH/", "a folder of the reader's"),
    ("README.md: tessera import notion-export", "a file of the reader's"),
    ("README.md: tessera import ndjson", "a file of the reader's"),
    ("README.md: tessera import history", "files of the reader's"),
    ("README.md: tessera import markdown HANDBOOK", "a file of the reader's"),
    ("README.md: tessera search 'how do I take", "what that file holds"),
    ("README.md: tessera import postgres", "PostgreSQL; tests/it/real_postgres.rs"),
    ("README.md: TESSERA_JWT_HS256_SECRET=... ", "a secret of the reader's; docs/connect.md does the same"),
    ("README.md: tessera snapshot s3:", "S3; index/tests/it/archive.rs"),
    ("README.md: tessera restore s3:", "S3; index/tests/it/archive.rs"),
    ("README.md: tessera reindex", "the embedding model; tests/it/reindex.rs"),
    ("docs/answers.md: tessera eval", "a collection that is not carried"),
    ("docs/assistants.md: claude", "a program of others"),
    ("docs/backfill.md: export", "PostgreSQL; tests/it/real_postgres.rs"),
    ("docs/backfill.md: tessera import postgres", "PostgreSQL; tests/it/real_postgres.rs"),
    ("docs/backfill.md: TESSERA__POSTGRES__FOLLOW", "PostgreSQL; tests/it/real_postgres.rs"),
    ("docs/deploy.md: make models", "is what runs this, or takes minutes"),
    ("docs/deploy.md: docker", "an engine of containers"),
    ("docs/evaluation.md: tessera eval run samples", "the embedding model; tests/it/evaluation.rs"),
    ("docs/evaluation.md: tessera eval run ../data", "a collection that is not carried"),
    ("docs/evaluation.md: tessera eval score", "a file of the reader's; tests/it/evaluation.rs"),
    ("docs/evaluation.md: tessera eval compare", "files of the reader's; tests/it/evaluation.rs"),
    ("docs/evaluation.md: tessera eval gate", "the embedding model; tests/it/evaluation.rs"),
    ("docs/evaluation.md: tessera eval report", "an evaluation of the reader's; tests/it/evaluation.rs"),
    ("docs/evaluation.md: tessera eval run my-queries", "queries of the reader's"),
    ("docs/evaluation.md: tessera --data-dir", "what an evaluation left"),
    ("docs/feedback.md: tessera eval", "a log of clicks, or a collection that is not carried"),
    ("docs/oidc.md: ", "an OpenID provider; the test of it below"),
    ("docs/operations.md: tessera reindex", "the embedding model; tests/it/reindex.rs"),
    ("docs/ranking.md: tessera eval", "a collection that is not carried"),
    ("docs/streams.md: scripts/kafka.sh", "Kafka; tests/it/real_kafka.rs"),
    ("docs/streams.md: export", "Kafka; tests/it/real_kafka.rs"),
    ("docs/streams.md: tessera produce", "Kafka; tests/it/real_kafka.rs"),
    ("docs/streams.md: tessera serve", "Kafka; tests/it/real_kafka.rs"),
    ("docs/streams.md: curl", "Kafka; tests/it/real_kafka.rs"),
    ("docs/streams.md: tessera dead-letters replay", "Kafka; tests/it/real_kafka.rs"),
    ("docs/streams.md: tessera dead-letters list", "Kafka; tests/it/real_kafka.rs"),
    ("docs/tutorial.md: curl -s http://127.0.0.1:8080/v1/answers", "takes the embedding model"),
    ("docs/tutorial.md: make demo", "takes minutes; the server of this test stands for it"),
    ("docs/configuration.md: tessera config check", "a configuration of the reader's; docs/connect.md does the same"),
];

/// How long the commands of one page may take together, in seconds.
const PAGE_SECONDS: &str = "300";
/// Between what two commands print.
const MARK: &str = "\u{1}command ";

/// A command of a document, and what the document says it prints.
#[derive(Debug)]
struct Documented {
    /// Where it stands: the document and the line.
    place: String,
    command: String,
    printed: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents, by their paths from the root.
fn documents() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages.iter().map(|path| path.strip_prefix(root()).unwrap().to_owned()).collect()
}

/// The commands of a document: those after `$ ` in a block that has any, otherwise all of its lines. A backslash and a document
/// that is written in place (`<<'END'`) go on on the next line.
fn commands(page: &Path) -> Vec<Documented> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let mut lines = text.lines().enumerate();
    let mut commands = Vec::new();
    while let Some((_, line)) = lines.next() {
        if !["```console", "```sh"].contains(&line.trim()) {
            continue;
        }
        let block: Vec<_> = lines.by_ref().take_while(|(_, line)| line.trim() != "```").collect();
        let has_prompts = block.iter().any(|(_, line)| line.starts_with("$ "));
        let mut block = block.into_iter();
        while let Some((number, line)) = block.next() {
            let begins = if has_prompts { line.strip_prefix("$ ") } else { Some(line) };
            let Some(first) = begins.filter(|line| !line.trim().is_empty()) else {
                if let Some(Documented { printed: Some(printed), .. }) = commands.last_mut() {
                    writeln!(printed, "{line}").unwrap();
                }
                continue;
            };
            let mut command = first.to_owned();
            while command.ends_with('\\') {
                let (_, more) = block.next().expect("a command goes on");
                write!(command, "\n{more}").unwrap();
            }
            if let Some((_, end)) = first.split_once("<<'") {
                let end = end.trim_end_matches('\'');
                for (_, more) in block.by_ref() {
                    write!(command, "\n{more}").unwrap();
                    if more == end {
                        break;
                    }
                }
            }
            let place = format!("{}:{}", page.display(), number + 1);
            commands.push(Documented { place, command, printed: has_prompts.then(String::new) });
        }
    }
    commands
}

/// A server over a copy of the sample, as `make demo` starts one.
struct Demo {
    process: Child,
    address: String,
    _site: Site,
}

impl Demo {
    fn start() -> Self {
        let site = imported();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Command::new(env!("CARGO_BIN_EXE_tessera"))
            .current_dir(site.dir.path())
            .env("TESSERA__MODELS__ENABLED", "false")
            .args(["serve", "--dev", "--data-dir", "data", "--listen", &address])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address, _site: site }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A folder in which the commands of a page mean what they mean to its reader.
fn folder(demo: &Demo) -> Site {
    let site = imported();
    let dir = site.dir.path();
    std::fs::rename(dir.join("data"), dir.join(".tessera")).unwrap();
    for name in ["samples", "scripts", "config.example.toml"] {
        std::os::unix::fs::symlink(root().join(name), dir.join(name)).unwrap();
    }
    for name in ["bin", "target/release"] {
        std::fs::create_dir_all(dir.join(name)).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tessera"), dir.join(name).join("tessera")).unwrap();
    }
    let events = std::fs::read_to_string(root().join("docs/events.md")).unwrap();
    let first = events.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(dir.join("events.ndjson"), first).unwrap();
    assert_ne!(demo.address, "127.0.0.1:8080", "a port of its own");
    site
}

/// A shell's script of these commands, in which what each prints and how it ends can be told apart.
fn script(commands: &[&Documented], demo: &Demo) -> String {
    let own = commands.iter().any(|documented| documented.command.ends_with("serve &"));
    let address = if own { format!("127.0.0.1:{}", free_port()) } else { demo.address.clone() };
    let mut script = format!(
        "curl() {{ command curl --fail-with-body --max-time 60 \"$@\"; }}\n\
         ready() {{ for _ in $(seq 600); do command curl -sf http://{address}/readyz >/dev/null && return; sleep 0.1; done; return 1; }}\n\
         export PATH=\"$PWD/bin:$PATH\" TESSERA__MODELS__ENABLED=false\n\
         trap 'jobs -p | xargs -r kill' EXIT\n"
    );
    if own {
        writeln!(script, "export TESSERA__HTTP__LISTEN={address}").unwrap();
    } else {
        script.push_str("ready\n");
    }
    for documented in commands {
        let command = ["127.0.0.1:8080", "localhost:8080"]
            .iter()
            .fold(documented.command.clone(), |command, known| command.replace(known, &address));
        let wait = if command.ends_with("serve &") { "ready\n" } else { "" };
        writeln!(script, "{command}\n{wait}printf '\\n{MARK}%s\\n' $?").unwrap();
    }
    script
}

/// A text without what differs from one run to the next: numbers, ids that were drawn, and that there is no model here.
fn steady(text: &str) -> String {
    let mut steady = String::new();
    let text = text.replace("\ndegraded: [\"semantic\"]", "").replace(r#""degraded":["semantic"]"#, r#""degraded":[]"#);
    let ids = text.split('"').map(|part| {
        let is_id = part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { "ID" } else { part }
    });
    for character in ids.collect::<Vec<_>>().join("\"").chars() {
        match character {
            '0'..='9' if steady.ends_with('#') => {}
            '0'..='9' => steady.push('#'),
            other => steady.push(other),
        }
    }
    steady.trim().to_owned()
}

fn is_elsewhere<'a>(page: &Path, documented: &Documented) -> Option<&'a str> {
    let named = format!("{}: {}", page.display(), documented.command);
    ELSEWHERE.iter().find(|(begin, _)| named.starts_with(begin)).map(|(begin, _)| *begin)
}

#[test]
fn every_command_of_the_documents_does_what_they_say() {
    let demo = Demo::start();
    let (mut passed_over, mut run) = (HashSet::new(), 0);
    for page in documents() {
        let commands = commands(&page);
        let mut here = Vec::new();
        for documented in &commands {
            match is_elsewhere(&page, documented) {
                Some(begin) => {
                    passed_over.insert(begin);
                    is_one_of_the_program(documented);
                }
                None => here.push(documented),
            }
        }
        if !here.is_empty() {
            run_all(&here, &demo, &folder(&demo));
            run += here.len();
        }
    }
    assert!(run > 30, "documents have commands");
    let stale = ELSEWHERE.iter().filter(|(begin, _)| !passed_over.contains(begin)).collect::<Vec<_>>();
    assert!(stale.is_empty(), "no document has these any more: {stale:?}");
}

/// As an administrator who connects a provider reads them, but for its installation.
#[test]
fn steps_at_an_openid_provider_do_what_they_say() {
    let Some(installed) = std::env::var_os("TESSERA_TEST_OIDC") else {
        println!("SKIPPED: docs/oidc.md; run scripts/test-services.sh oidc");
        return;
    };
    let demo = Demo::start();
    let site = folder(&demo);
    std::fs::create_dir_all(site.dir.path().join(".cache")).unwrap();
    std::os::unix::fs::symlink(installed, site.dir.path().join(".cache/oidc-provider")).unwrap();
    let mut commands = commands(Path::new("docs/oidc.md"));
    commands.retain(|documented| !documented.command.starts_with("npm "));
    run_all(&commands.iter().collect::<Vec<_>>(), &demo, &site);
}

/// What a snapshot lacks was not said: whoever restored one had no keys, no audit log and no receipts any more.
#[test]
fn a_backup_as_documented_brings_back_what_lies_beside_the_index() {
    let demo = Demo::start();
    let site = folder(&demo);
    let dir = site.dir.path();
    let made = Command::new(env!("CARGO_BIN_EXE_tessera"))
        .current_dir(dir)
        .args(["keys", "create", "backend", "--scopes", "ingest"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let receipt = r#"{"a":"file of a store that the index knows nothing of"}"#;
    std::fs::create_dir_all(dir.join(".tessera/usage")).unwrap();
    std::fs::write(dir.join(".tessera/usage/usage.ndjson"), receipt).unwrap();
    let commands = commands(Path::new("docs/backup.md"));
    assert!(commands.len() > 10, "{commands:?}");
    run_all(&commands.iter().collect::<Vec<_>>(), &demo, &site);
    for file in ["keys.json", "usage/usage.ndjson"] {
        let read = |folder: &str| std::fs::read(dir.join(folder).join(file)).unwrap();
        assert_eq!(read(".tessera"), read(".tessera.before"), "{file}");
    }
    let shown = Command::new(env!("CARGO_BIN_EXE_tessera"))
        .current_dir(dir)
        .args(["audit", "show", "--kind", "key_created"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("backend"), "the log of before is gone on with");
    let found = Command::new(env!("CARGO_BIN_EXE_tessera"))
        .current_dir(dir)
        .args(["search", "vellumcrest", "--workspace", "observatory", "--as", "petra", "--lexical"])
        .output()
        .unwrap();
    assert!(found.status.success() && !found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stderr));
}

fn run_all(commands: &[&Documented], demo: &Demo, site: &Site) {
    let path = site.dir.path().join("commands.sh");
    std::fs::write(&path, script(commands, demo)).unwrap();
    let log = std::fs::File::create(site.dir.path().join("log")).unwrap();
    let output = Command::new("timeout")
        .args([PAGE_SECONDS, "bash", "commands.sh"])
        .current_dir(site.dir.path())
        .stdin(Stdio::null())
        .stderr(log)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let log = std::fs::read_to_string(site.dir.path().join("log")).unwrap();
    let mut rest = printed.as_str();
    for Documented { place, command, printed: expected } in commands {
        let (text, after) =
            rest.split_once(MARK).unwrap_or_else(|| panic!("{place}: {command}\ndid not end: {rest}\n{log}"));
        let (status, after) = after.split_once('\n').unwrap();
        assert_eq!(status, "0", "{place}: {command}\n{text}\n{log}");
        if let Some(expected) = expected.as_ref().filter(|expected| !expected.trim().is_empty()) {
            assert_eq!(steady(text), steady(expected), "{place}: {command}");
        }
        rest = after;
    }
}

/// A command that is not run here is known to the program, with all of its options.
fn is_one_of_the_program(Documented { place, command, .. }: &Documented) {
    let words = command.split_whitespace().take_while(|word| *word != "#");
    let mut words = words.skip_while(|word| word.contains('=') && !word.starts_with('-')).peekable();
    if words.peek().is_none_or(|word| word.rsplit('/').next() != Some("tessera")) {
        return;
    }
    let line = command.split(" # ").next().unwrap();
    let (_, arguments) = line.split_once("tessera ").unwrap();
    // Asked for help, it reads all that stands before and does nothing.
    let asked = format!("{} {} --help", env!("CARGO_BIN_EXE_tessera"), arguments.trim_end_matches('&'));
    let output = Command::new("bash").args(["-c", &asked]).output().unwrap();
    assert!(output.status.success(), "{place}: {command}\n{}", String::from_utf8_lossy(&output.stderr));
}
