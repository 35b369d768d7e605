//! What an outbox promises: order, places, dead letters, and what is said when it cannot be read.

use std::time::Duration;

use indexer::postgres::config::{Config, Secrets};
use indexer::postgres::{PostgresError, read_outbox};
use schemas::event::{Change, Event};
use schemas::grant::Role;
use tokio_util::sync::CancellationToken;

use super::{Database, PASSWORD, READER, workspace};
use crate::site::{PATIENCE, Site};
use crate::source::{Source, page, user};

#[test]
fn rows_that_appear_behind_others_are_not_passed_by() {
    let Some(database) = Database::new("out_of_order") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let mut source = Source::new("acme", "eu");
    let (slow, quick) = (database.session(), database.session());

    // The first row has the smallest id and the oldest transaction, and is seen last.
    slow.run("BEGIN");
    slow.send(&source.page("slow", "Slow", None).encode());
    quick.send(&source.page("quick", "Quick", None).encode());
    let read = database.outbox(&engine);
    assert_eq!((read.rows, read.held_back), (0, 1), "what came later waits for what may come before it");
    slow.run("COMMIT");
    let read = database.outbox(&engine);
    assert_eq!((read.rows, read.held_back, read.taken.accepted), (2, 0, 2));

    // A transaction that began first writes last: its row has a greater id than one of a later transaction that was over.
    slow.run("BEGIN; SELECT pg_current_xact_id()");
    quick.send(&source.page("between", "Between", None).encode());
    assert_eq!(database.outbox(&engine).held_back, 1);
    slow.send(&source.page("late", "Late", None).encode());
    slow.run("COMMIT");
    assert_eq!(database.outbox(&engine).rows, 2);

    // One that is taken back holds up and leaves nothing; so does one that is prepared, until it is over.
    slow.run("BEGIN");
    slow.send(&source.page("never", "Never", None).encode());
    quick.run("BEGIN");
    quick.send(&source.page("prepared", "Prepared", None).encode());
    quick.run(&format!("PREPARE TRANSACTION 'out_of_order_{}'", std::process::id()));
    quick.send(&source.page("last", "Last", None).encode());
    slow.run("ROLLBACK");
    let read = database.outbox(&engine);
    assert_eq!((read.rows, read.held_back), (0, 1));
    quick.run(&format!("COMMIT PREPARED 'out_of_order_{}'", std::process::id()));
    assert_eq!(database.outbox(&engine).rows, 2);

    let mut pages = engine.pages(&workspace());
    pages.sort();
    assert_eq!(pages, ["between", "last", "late", "prepared", "quick", "slow"].map(page));
}

#[test]
fn a_place_is_of_one_table_and_can_be_set_aside() {
    let Some(database) = Database::new("places") else { return };
    let site = Site::new();
    let session = database.session();
    let mut source = Source::new("acme", "eu");
    for name in ["a", "b", "c"] {
        session.send(&source.page(name, name, None).encode());
    }
    let engine = site.open_with(None);
    assert_eq!(database.outbox(&engine).taken.accepted, 3);
    assert!(engine.close());
    drop(engine);

    let engine = site.open_with(None);
    let read = database.outbox(&engine);
    assert_eq!((read.rows, read.position.map(|at| at.id)), (0, Some(3)), "it goes on where the commit ends");
    let again = read_outbox(&database.config, &database.secrets, &engine, true, &CancellationToken::new(), &mut |_| {})
        .unwrap();
    assert_eq!((again.rows, again.taken.accepted, again.taken.unchanged), (3, 0, 3));

    // Rows that were read may go. A table made anew begins again.
    session.run("DELETE FROM tessera.outbox");
    assert_eq!(database.outbox(&engine).position.map(|at| at.id), Some(3));
    session.run("DROP TABLE tessera.outbox");
    let error = database.try_outbox(&engine).unwrap_err();
    assert!(matches!(&error, PostgresError::NoTable { table } if table == r#""tessera"."outbox""#), "{error}");
    session.run(&format!(
        "CREATE TABLE tessera.outbox (id bigint GENERATED ALWAYS AS IDENTITY, transaction xid8 NOT NULL DEFAULT pg_current_xact_id(), \
         event text); GRANT SELECT ON tessera.outbox TO {}",
        reader(&database)
    ));
    session.execute("INSERT INTO tessera.outbox (event) VALUES ($1)", &[&source.page("d", "d", None).encode()]);
    let read = database.outbox(&engine);
    assert_eq!((read.rows, read.taken.accepted, read.position.map(|at| at.id)), (1, 1, Some(1)));
}

fn reader(database: &Database) -> String {
    let config: tokio_postgres::Config = database.config.url.parse().unwrap();
    config.get_user().unwrap().to_owned()
}

#[test]
fn what_is_no_event_is_kept_with_its_row_and_the_rest_goes_on() {
    let Some(database) = Database::new("poison") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    let mut source = Source::new("acme", "eu");
    session.run("ALTER TABLE tessera.outbox ALTER event TYPE text, ALTER event DROP NOT NULL");
    let send = |text: Option<&str>| session.execute("INSERT INTO tessera.outbox (event) VALUES ($1)", &[&text]);
    send(Some(&source.page("first", "First", None).encode()));
    send(Some("{no JSON"));
    send(Some(&"x".repeat(2 << 20)));
    send(None);
    send(Some(&source.page("other", "Other", None).encode().replace("page.upserted", "page.painted")));
    send(Some(&"[".repeat(100_000)));
    let ahead = source.write_at(Change::PageTrashed { page: page("first") }, u64::MAX / 4);
    send(Some(&ahead.encode()));
    send(Some(&source.page("last", "Last", None).encode()));
    let read = database.outbox(&engine);
    assert_eq!((read.rows, read.taken.accepted, read.taken.rejected), (8, 2, 6));
    let letters: Vec<_> = site
        .dead_letters()
        .iter()
        .map(|letter| {
            assert_eq!(letter["table"], r#""tessera"."outbox""#, "{letter}");
            (letter["row"].as_str().unwrap().to_owned(), letter["code"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [
        ("2", "malformed"),
        ("3", "limit_exceeded"),
        ("4", "malformed"),
        ("5", "unknown_type"),
        ("6", "malformed"),
        ("7", "clock_ahead"),
    ];
    assert_eq!(letters, expected.map(|(row, code)| (row.to_owned(), code.to_owned())));
    let letters = site.dead_letters();
    assert_eq!(letters[0]["event"], "{no JSON");
    assert_eq!(letters[1]["reason"], "2097152 bytes, the limit is 1048576: it is in the table alone");
    assert_eq!(letters[1]["event"], "");
    let mut pages = engine.pages(&workspace());
    pages.sort();
    assert_eq!(pages, ["first", "last"].map(page));
    assert_eq!(database.outbox(&engine).rows, 0, "a bad row is not read again");
}

#[test]
fn rows_of_any_size_are_read_in_parts() {
    let Some(database) = Database::new("large") else { return };
    let config = Config { fetch_bytes_max: 2 << 20, ..database.config.clone() };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    let mut source = Source::new("acme", "eu");
    session.send(&source.page("p", "P", None).encode());
    let text = "cooling ".repeat(10_000);
    for block in 0..150 {
        session.send(&source.block("p", &format!("b{block}"), &text).encode());
    }
    let mut batches = 0;
    let mut count = |_: &indexer::postgres::OutboxReport| batches += 1;
    let stop = CancellationToken::new();
    let read = read_outbox(&config, &database.secrets, &engine, false, &stop, &mut count).unwrap();
    assert_eq!((read.rows, read.taken.accepted), (151, 151));
    assert!(batches >= 2, "12 MB are more than one batch");
    assert!(engine.wait_idle(PATIENCE));
    assert_eq!(engine.page_record(&workspace(), &page("p")).unwrap().unwrap().blocks.len(), 150);
}

#[test]
fn an_erased_workspace_stays_erased() {
    let Some(database) = Database::new("erased") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    let mut source = Source::new("acme", "eu");
    let mut events = vec![source.member("ada", Role::Member), source.page("p", "Secret", None)];
    events.push(source.block("p", "b", "of it"));
    for event in &events {
        session.send(&event.encode());
    }
    session.insert("pages", &serde_json::json!({
        "workspace": "acme", "id": "p", "title": "Secret", "kind": "page", "properties": {}, "trashed": false, "deleted": false,
        "restricted": false, "version": {"clock": {"eu": 9}, "timestamp": {"wall_ms": 9}, "region": "eu"},
    }));
    database.tables(&engine);
    database.outbox(&engine);
    assert_eq!(engine.pages(&workspace()).len(), 1);
    session.send(&source.write(Change::WorkspaceErased).encode());
    assert_eq!(database.outbox(&engine).rows, 1);
    assert_eq!(database.tables(&engine).taken.accepted, 0, "rows that are still there bring nothing back");
    let stop = CancellationToken::new();
    let again = read_outbox(&database.config, &database.secrets, &engine, true, &stop, &mut |_| {}).unwrap();
    assert_eq!((again.rows, again.taken.accepted), (4, 0));
    assert!(engine.pages(&workspace()).is_empty());
    assert_eq!(engine.member_record(&workspace(), &user("ada")).unwrap(), None);
}

#[test]
fn what_stands_in_the_way_is_said_without_the_password() {
    let Some(database) = Database::new("errors") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    let told = |error: &PostgresError| {
        let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        let told = format!("{error}: {} ({error:?})", causes.join(": "));
        assert!(!told.contains(PASSWORD), "{told}");
        told
    };
    let read = |config: &Config, password: Option<&str>| {
        let secrets = Secrets { url: None, password: password.map(str::to_owned) };
        let stop = CancellationToken::new();
        told(&read_outbox(config, &secrets, &engine, false, &stop, &mut |_| {}).unwrap_err())
    };
    let error = read(&database.config, Some(&format!("not-{PASSWORD}")));
    assert!(
        error.contains("cannot connect to PostgreSQL") && error.contains("password authentication failed"),
        "{error}"
    );

    let reader = reader(&database);
    assert!(reader.starts_with(READER));
    session.run(&format!("REVOKE SELECT ON tessera.blocks FROM {reader}"));
    let error = told(&database.try_tables(&engine).unwrap_err());
    assert!(error.contains("permission denied for table blocks"), "{error}");

    // A view that takes longer than a statement may.
    session.run(&format!(
        "GRANT SELECT ON tessera.blocks TO {reader}; ALTER TABLE tessera.outbox RENAME TO kept; \
         CREATE VIEW tessera.outbox AS SELECT k.* FROM tessera.kept k, pg_sleep(60); GRANT SELECT ON tessera.outbox TO {reader}"
    ));
    session.run("INSERT INTO tessera.kept (event) VALUES ('{}')");
    let hasty = Config { statement_timeout_ms: 200, ..database.config.clone() };
    let error = read(&hasty, Some(PASSWORD));
    assert!(error.contains("cannot read the outbox") && error.contains("statement timeout"), "{error}");

    // A server that takes the connection and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("host=127.0.0.1 port={port} user=x dbname=x");
    let silent = Config { url, connect_timeout_ms: 100, ..Config::default() };
    let stop = CancellationToken::new();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read_outbox(&silent, &Secrets::default(), &engine, false, &stop, &mut |_| {}));
        std::thread::park_timeout(Duration::from_millis(50));
        stop.cancel();
        assert!(matches!(reading.join().unwrap(), Err(PostgresError::Stopped)));
    });
    let error = read(&silent, None);
    assert!(error.contains("nothing came from the server for"), "{error}");
    assert!(engine.pages(&workspace()).is_empty());
}

#[test]
fn events_of_several_workspaces_may_be_mixed() {
    let Some(database) = Database::new("mixed") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    let mut sources = [Source::new("acme", "eu"), Source::new("other", "eu")];
    let events: Vec<Event> = (0..40).map(|n| sources[n % 2].page(&format!("p{n}"), "T", None)).collect();
    for event in &events {
        session.send(&event.encode());
    }
    assert_eq!(database.outbox(&engine).taken.accepted, 40);
    assert_eq!(engine.pages(&workspace()).len(), 20);
}
