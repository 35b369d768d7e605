//! What reading the tables brings: all of a row or nothing, what it says of access first, under the version it has.

use access::{Caller, Purpose, Subject};
use index::Index;
use indexer::engine::{Engine, Wait};
use indexer::postgres::read_tables;
use schemas::ids::WorkspaceId;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Database, Session, workspace};
use crate::site::{PATIENCE, Site};
use crate::source::{Source, page, user};

fn version(counter: u64) -> Value {
    json!({"clock": {"eu": counter}, "timestamp": {"wall_ms": counter}, "region": "eu"})
}

/// A row of a page, with what is given in place of what is plain.
fn page_row(id: &str, other: Value) -> Value {
    let mut row = json!({
        "workspace": "acme", "id": id, "title": id, "kind": "page", "properties": {}, "trashed": false, "deleted": false,
        "restricted": false, "version": version(1),
    });
    let Value::Object(other) = other else { panic!("an object") };
    row.as_object_mut().unwrap().extend(other);
    row
}

fn block_row(id: &str, on: &str, other: Value) -> Value {
    let mut row = json!({
        "workspace": "acme", "id": id, "page": on, "position": id, "type": "paragraph",
        "content": {"rich_text": [{"plain_text": "words"}]}, "deleted": false, "version": version(1),
    });
    let Value::Object(other) = other else { panic!("an object") };
    row.as_object_mut().unwrap().extend(other);
    row
}

/// How many pages a person may find.
fn may_find(engine: &Engine, index: &Index, name: &str) -> usize {
    assert!(engine.wait_idle(PATIENCE));
    let caller = Caller { workspace: workspace(), subject: Subject::User(user(name)) };
    let known = index.catalog().get(&workspace()).unwrap();
    known.read().access.mask(&caller, Purpose::Discover).iter().count()
}

#[test]
fn people_groups_and_grants_come_with_the_pages() {
    let Some(database) = Database::new("sharing") else { return };
    let site = Site::new();
    let index = site.index();
    let engine = site.open_over(index.clone());
    let session = database.session();
    for (name, role) in [("ada", "member"), ("mira", "member"), ("rafael", "guest")] {
        session.insert("members", &json!({"workspace": "acme", "id": name, "role": role, "version": version(1)}));
    }
    session.insert(
        "groups",
        &json!({"workspace": "acme", "id": "g", "members": ["user:mira"], "deleted": false, "version": version(1)}),
    );
    let to = |principal: &str| json!([{"principal": principal, "level": "view"}]);
    session.insert("pages", &page_row("open", json!({"grants": to("workspace")})));
    session.insert("pages", &page_row("shut", json!({"parent": "open", "grants": to("group:g"), "restricted": true})));
    session.insert("pages", &page_row("below", json!({"parent": "shut", "title": "Below"})));
    session.insert("blocks", &block_row("b", "below", json!({})));
    let report = database.tables(&engine);
    assert_eq!(report.rows, [("members", 3), ("groups", 1), ("pages", 3), ("blocks", 1)].into());
    let found = ["ada", "mira", "rafael"].map(|name| may_find(&engine, &index, name));
    assert_eq!(found, [1, 3, 0], "members see the open page, the group all, guests nothing");
    session.run("DROP TABLE tessera.members, tessera.groups");
    let again = database.tables(&engine);
    assert_eq!((again.taken.accepted, again.rows.contains_key("members")), (0, false), "people may come another way");
}

#[test]
fn a_bad_row_is_kept_with_its_name_and_brings_nothing_of_itself() {
    let Some(database) = Database::new("bad_rows") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    session.insert("pages", &page_row("good", json!({})));
    session.insert("pages", &page_row("bad-grant", json!({"grants": [{"principal": "everyone", "level": "view"}]})));
    session.insert("pages", &page_row("bad version", json!({"version": {"clock": {}}})));
    session.insert("pages", &page_row("long", json!({"title": "x".repeat(3_000)})));
    session.insert("blocks", &block_row("huge", "good", json!({"content": {"rich_text": ["y".repeat(2 << 20)]}})));
    session.insert("blocks", &block_row("typeless", "good", json!({"content": [1]})));
    session.insert("blocks", &block_row("fine", "good", json!({})));
    let report = database.tables(&engine);
    assert_eq!(report.rows, [("members", 0), ("groups", 0), ("pages", 4), ("blocks", 3)].into());
    assert_eq!(report.taken.rejected, 5);
    assert_eq!(engine.pages(&workspace()), [page("good")], "a page without its sharing is not taken");
    assert_eq!(engine.page_record(&workspace(), &page("good")).unwrap().unwrap().blocks.len(), 1);
    let mut letters: Vec<_> = site
        .dead_letters()
        .iter()
        .map(|letter| {
            let event: Value = serde_json::from_str(letter["event"].as_str().unwrap()).unwrap();
            assert_eq!((&event["workspaceid"], &event["table"]), (&json!("acme"), &letter["table"]), "{letter}");
            let (row, reason) = (letter["row"].as_str().unwrap(), letter["reason"].as_str().unwrap());
            format!("{row} {}: {}", letter["field"].as_str().unwrap(), reason.split(", expected").next().unwrap())
        })
        .collect();
    letters.sort();
    assert_eq!(letters.len(), 5);
    assert!(letters[0].starts_with("acme/bad version data.version: missing field"), "{letters:?}");
    assert!(letters[1].starts_with("acme/bad-grant data: a principal is"), "{letters:?}");
    assert!(letters[2].ends_with("the limit is 1048576: it is in the table alone"), "{letters:?}");
    assert!(letters[3].starts_with("acme/long data.title: 3000 characters"), "{letters:?}");
    assert_eq!(letters[4], "acme/typeless content: must be an object");

    // Corrected, and with a new version, it comes.
    session.run("DELETE FROM tessera.pages WHERE id = 'long'");
    session.insert("pages", &page_row("long", json!({"title": "Short", "version": version(2)})));
    assert_eq!(database.tables(&engine).taken.rejected, 4);
    assert_eq!(engine.pages(&workspace()).len(), 2);
}

#[test]
fn versions_decide_between_a_row_and_an_event() {
    let Some(database) = Database::new("versions") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session = database.session();
    let mut source = Source::new("acme", "eu");
    let old = source.page("p", "Old", None);
    let property = source.property("p", "Due", "today");
    let now = source.page("p", "Now", None);
    let newer = source.page("p", "Newer", None);
    let title = |engine: &Engine| {
        let record = engine.page_record(&workspace(), &page("p")).unwrap().unwrap();
        let due = record.properties.get("Due").and_then(|register| register.value().cloned().flatten());
        (record.title.value().cloned().unwrap(), due.map(|value| value.plain_text()))
    };
    engine.submit(&[old.clone(), property.clone()], Wait::Applied).unwrap();
    assert_eq!(title(&engine), ("Old".to_owned(), Some("today".to_owned())));
    // The row is of the version of `now`, which has seen the property and does not name it.
    let row = page_row("p", json!({"title": "Now", "version": serde_json::to_value(&now.version).unwrap()}));
    session.insert("pages", &row);
    assert!(database.tables(&engine).taken.accepted > 0);
    assert_eq!(title(&engine), ("Now".to_owned(), None));
    let same = engine.submit(&[now, old, property], Wait::Applied).unwrap();
    assert_eq!((same.accepted, same.unchanged), (0, 3), "the same and older ones change nothing");
    engine.submit(&[newer], Wait::Applied).unwrap();
    let later = source.property("p", "Due", "tomorrow");
    engine.submit(&[later], Wait::Applied).unwrap();
    assert_eq!(database.tables(&engine).taken.accepted, 0, "the row is older by now");
    assert_eq!(title(&engine), ("Newer".to_owned(), Some("tomorrow".to_owned())));
}

#[test]
fn views_of_other_tables_will_do_and_one_workspace_can_be_chosen() {
    let Some(database) = Database::new("views") else { return };
    let site = Site::new();
    let engine = site.open_with(None);
    let session: Session = database.session();
    session.run(
        "CREATE TYPE kind AS ENUM ('paragraph', 'quote');
         CREATE TABLE documents (tenant int, number bigint PRIMARY KEY, name varchar, revision bigint, changed_at timestamptz, secret text);
         CREATE TABLE parts (key uuid PRIMARY KEY DEFAULT gen_random_uuid(), document bigint, kind kind, body text, place int, revision bigint);
         INSERT INTO documents SELECT n % 2, n, 'Page ' || n, 3, now(), 'not read' FROM generate_series(1, 50) n;
         INSERT INTO parts (document, kind, body, place, revision)
             SELECT d, 'quote', 'part ' || n, n, 1 FROM generate_series(1, 50) d, generate_series(1, 20) n;
         CREATE SCHEMA views;
         CREATE VIEW views.pages AS SELECT tenant AS workspace, number AS id, name AS title, changed_at AS edited_at, secret,
             jsonb_build_object('clock', jsonb_build_object('eu', revision), 'region', 'eu',
                 'timestamp', jsonb_build_object('wall_ms', floor(extract(epoch FROM changed_at) * 1000)::bigint)) AS version
             FROM documents;
         CREATE VIEW views.blocks AS SELECT tenant AS workspace, key AS id, document AS page, lpad(place::text, 9, '0') AS position,
             kind AS type, jsonb_build_object('rich_text', jsonb_build_array(body)) AS content,
             jsonb_build_object('clock', jsonb_build_object('eu', parts.revision), 'region', 'eu',
                 'timestamp', jsonb_build_object('wall_ms', floor(extract(epoch FROM changed_at) * 1000)::bigint)) AS version
             FROM parts JOIN documents ON number = document;
         GRANT USAGE ON SCHEMA views TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA views TO PUBLIC",
    );
    let mut config = database.config.clone();
    "views".clone_into(&mut config.schema);
    let stop = CancellationToken::new();
    let one = WorkspaceId::new("1").unwrap();
    let report = read_tables(&config, &database.secrets, &engine, Some(&one), &stop, &mut |_| {}).unwrap();
    assert_eq!(report.rows, [("pages", 25), ("blocks", 500)].into());
    assert_eq!(report.taken.rejected, 0);
    assert!(engine.workspace_status(&WorkspaceId::new("0").unwrap()).is_none());
    let record = engine.page_record(&one, &page("7")).unwrap().unwrap();
    assert_eq!(record.title.value().unwrap(), "Page 7");
    assert!(record.edited_at.value().is_some());
    let blocks = record.blocks_in_order(&page("7"));
    assert_eq!((blocks.len(), blocks[9].1.plain_text()), (20, "part 10".to_owned()));
    let all = read_tables(&config, &database.secrets, &engine, None, &stop, &mut |_| {}).unwrap();
    assert_eq!(all.rows["pages"], 50);
    assert_eq!((all.taken.unchanged, all.taken.rejected), (25 * 2 + 500, 0));
}
