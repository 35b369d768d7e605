//! What rows say, and what is wrong with those that say nothing.

use super::*;
use serde_json::json;

const VERSION: &str = r#"{"clock":{"eu":5},"timestamp":{"wall_ms":1000},"region":"eu"}"#;

fn row(mut fields: Value) -> String {
    let version: Value = serde_json::from_str(VERSION).unwrap();
    fields.as_object_mut().unwrap().entry("version").or_insert(version);
    fields.as_object_mut().unwrap().entry("workspace").or_insert("w".into());
    fields.to_string()
}

/// The types and data of the events of a row, without their version.
#[track_caller]
fn check(table: Table, fields: Value, expected: &Value) {
    let said = events(table, &row(fields), 2_000).unwrap();
    let found: Vec<Value> = said
        .events
        .iter()
        .map(|(event, bytes)| {
            assert!(*bytes > 0 && event.workspace.as_str() == "w" && event.version.clock.0.len() == 1);
            let mut event: Value = serde_json::from_str(&event.encode()).unwrap();
            event["data"].as_object_mut().unwrap().remove("version");
            json!([event["type"], event["subject"], event["data"]])
        })
        .collect();
    assert_eq!(&Value::Array(found), expected);
}

#[track_caller]
fn check_bad(table: Table, fields: Value, expected: &str) {
    let error = events(table, &row(fields), 2_000).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn a_page_says_its_sharing_first_and_all_of_its_state() {
    check(
        Table::Pages,
        json!({
            "id": "p", "parent": "top", "title": "T", "kind": "page", "icon": null, "properties": {"n": 12.50},
            "created_by": 7, "created_at": "2026-01-01T00:00:00+00:00", "edited_by": null, "edited_at": null,
            "trashed": false, "deleted": false, "grants": [{"principal": "user:ada", "level": "view"}], "restricted": true,
        }),
        &json!([
            ["page.access_changed", "p", {"grants": [{"principal": "user:ada", "level": "view"}], "restricted": true}],
            ["page.upserted", "p", {
                "title": "T", "kind": "page", "icon": null, "properties": {"n": 12.5}, "created_by": "7",
                "created_at": "2026-01-01T00:00:00Z", "parent": {"type": "page", "id": "top"},
            }],
            ["page.restored", "p", {}],
        ]),
    );
}

#[test]
fn columns_that_are_absent_or_null_say_nothing() {
    check(
        Table::Pages,
        json!({"id": 12, "grants": null}),
        &json!([["page.upserted", "12", {"parent": {"type": "workspace"}}], ["page.restored", "12", {}]]),
    );
    assert!(!events(Table::Pages, &row(json!({"id": "p", "properties": null})), 0).unwrap().names_all_properties);
    assert!(events(Table::Pages, &row(json!({"id": "p", "properties": {}})), 2_000).unwrap().names_all_properties);
}

#[test]
fn what_is_gone_says_only_that() {
    check(Table::Pages, json!({"id": "p", "deleted": true, "grants": []}), &json!([["page.deleted", "p", {}]]));
    check(
        Table::Blocks,
        json!({"id": "b", "page": "p", "deleted": true}),
        &json!([["block.deleted", "b", {"page": "p"}]]),
    );
    check(Table::Groups, json!({"id": "g", "deleted": true}), &json!([["group.changed", "g", {"members": null}]]));
    let trashed = json!({"id": "p", "trashed": true});
    let said = events(Table::Pages, &row(trashed), 2_000).unwrap();
    assert_eq!(said.events.last().unwrap().0.change.type_name(), "page.trashed");
}

#[test]
fn the_type_of_a_block_stands_beside_its_content_or_in_it() {
    let expected = json!([["block.upserted", "b", {
        "page": "p", "parent": "a", "position": "1", "content": {"type": "to_do", "rich_text": [{"plain_text": "x"}], "checked": true},
    }]]);
    let nested = json!({"to_do": {"rich_text": ["x"], "checked": true}});
    let place = |content: Value, kind: Value| json!({"id": "b", "page": "p", "parent": "a", "position": "1", "type": kind, "content": content});
    check(Table::Blocks, place(nested, "to_do".into()), &expected);
    check(Table::Blocks, place(json!({"type": "to_do", "rich_text": ["x"], "checked": true}), Value::Null), &expected);
    check(
        Table::Blocks,
        json!({"id": "b", "page": "p", "position": "1", "type": "divider"}),
        &json!([["block.upserted", "b", {"page": "p", "position": "1", "content": {"type": "divider"}}]]),
    );
}

#[test]
fn people_and_groups_are_read() {
    check(
        Table::Members,
        json!({"id": "ada", "role": "guest"}),
        &json!([["member.changed", "ada", {"role": "guest"}]]),
    );
    check(
        Table::Groups,
        json!({"id": "g", "members": ["user:ada"]}),
        &json!([["group.changed", "g", {"members": ["user:ada"]}]]),
    );
}

#[test]
fn a_bad_row_names_its_column_and_is_left_out_whole() {
    check_bad(Table::Pages, json!({"title": "T"}), "id: is missing or null");
    check_bad(Table::Pages, json!({"id": "p", "version": null}), "version: is missing or null");
    check_bad(Table::Pages, json!({"id": "p", "version": 7}), "data.version");
    check_bad(Table::Pages, json!({"id": "p", "trashed": "no"}), "trashed: must be a boolean");
    check_bad(Table::Pages, json!({"id": "p", "parent": {"id": "q"}}), "parent: must be text");
    check_bad(Table::Pages, json!({"id": "p", "grants": [{"principal": "everyone", "level": "view"}]}), "data");
    check_bad(Table::Pages, json!({"id": "a b"}), "subject");
    check_bad(
        Table::Pages,
        json!({"id": "p", "title": "x".repeat(3_000)}),
        "data.title: 3000 characters, the limit is 2000",
    );
    check_bad(Table::Blocks, json!({"id": "b", "page": "p", "type": "quote"}), "position: is missing");
    check_bad(Table::Blocks, json!({"id": "b", "page": "p", "position": "1"}), "type: is missing");
    check_bad(
        Table::Blocks,
        json!({"id": "b", "page": "p", "position": "1", "type": "quote", "content": []}),
        "content: must be",
    );
    check_bad(Table::Blocks, json!({"id": "b", "page": "p", "position": 1, "type": "quote"}), "data");
    check_bad(Table::Members, json!({"id": "ada", "role": "owner"}), "data");
    assert!(events(Table::Pages, "[]", 0).unwrap_err().to_string().contains("no JSON object"));
}
