use serde_json::{Value, json};

use super::*;

const NOW_MS: u64 = 1_780_000_000_000;

fn envelope(kind: &str, subject: &str, mut data: Value) -> Value {
    data["version"] = json!({"clock": {"eu": 1}, "timestamp": {"wall_ms": NOW_MS}, "region": "eu"});
    json!({
        "specversion": "1.0", "id": "e1", "source": "/product", "type": kind, "workspaceid": "acme",
        "subject": subject, "time": "2026-05-28T21:06:40Z", "data": data,
    })
}

#[track_caller]
fn accept(event: &Value) -> Event {
    let decoded = Event::decode(event.to_string().as_bytes(), NOW_MS).unwrap();
    let again = Event::decode(decoded.encode().as_bytes(), NOW_MS).unwrap();
    assert_eq!(again, decoded, "writing and reading again changes nothing");
    decoded
}

#[track_caller]
fn refuse(event: &Value, code: InvalidCode, field: &str, reason: &str) {
    let error = Event::decode(event.to_string().as_bytes(), NOW_MS).unwrap_err();
    assert_eq!((error.code, error.field.as_str()), (code, field), "{error}");
    assert!(error.reason.contains(reason), "{error}");
}

#[test]
fn every_type_of_event_is_read_and_written() {
    accept(&envelope(
        "block.upserted",
        "b1",
        json!({"page": "p1", "position": "a0", "content": {"type": "code", "rich_text": [{"plain_text": "x"}], "language": "rust"}}),
    ));
    accept(&envelope("block.upserted", "b1", json!({"page": "p1", "parent": "b0", "position": ""})));
    accept(&envelope("block.deleted", "b1", json!({"page": "p1"})));
    accept(&envelope(
        "page.upserted",
        "p1",
        json!({"title": "T", "icon": null, "parent": {"type": "page", "id": "p0"}, "kind": "row", "properties": {"Due": "2026-06-01", "Done": false, "Old": null}, "edited_at": "2026-05-28T21:06:40Z"}),
    ));
    accept(&envelope("page.upserted", "p1", json!({"parent": {"type": "workspace"}})));
    for kind in ["page.trashed", "page.restored", "page.deleted"] {
        accept(&envelope(kind, "p1", json!({})));
    }
    accept(&envelope(
        "page.access_changed",
        "p1",
        json!({"grants": [{"principal": "public", "level": "view"}], "restricted": true}),
    ));
    accept(&envelope("group.changed", "g1", json!({"members": ["user:ada", "group:g2"]})));
    accept(&envelope("group.changed", "g1", json!({"members": null})));
    accept(&envelope("member.changed", "ada", json!({"role": "guest"})));
    accept(&envelope("user.erased", "ada", json!({})));
    let mut erased = envelope("workspace.erased", "", json!({}));
    erased.as_object_mut().unwrap().remove("subject");
    accept(&erased);
}

#[test]
fn numbers_are_read_to_the_last_bit() {
    for number in ["0.5e+217", "0.30000000000000004", "1.7976931348623157e308", "-2.2250738585072014e-308"] {
        let event = envelope("page.upserted", "p1", json!({"properties": {"Points": "here"}}));
        let text = event.to_string().replace("\"here\"", number);
        let decoded = Event::decode(text.as_bytes(), NOW_MS).unwrap();
        let written: Value = serde_json::from_str(&decoded.encode()).unwrap();
        let read = written["data"]["properties"]["Points"].as_f64().map(f64::to_bits);
        assert_eq!(read, Some(number.parse::<f64>().unwrap().to_bits()), "{number}");
        assert_eq!(Event::decode(decoded.encode().as_bytes(), NOW_MS), Ok(decoded));
    }
}

#[test]
fn what_is_wrong_is_named() {
    use InvalidCode::{ClockAhead, LimitExceeded, Malformed, UnknownType};
    refuse(&json!([]), Malformed, "", "");
    refuse(&envelope("page.painted", "p1", json!({})), UnknownType, "type", "not a type");
    refuse(&envelope("page.trashed", "", json!({})), Malformed, "subject", "empty");
    refuse(&envelope("page.upserted", "p1", json!({"titel": "T"})), Malformed, "data", "titel");
    refuse(&envelope("page.upserted", "p1", json!({"title": "x".repeat(2001)})), LimitExceeded, "data.title", "2000");
    refuse(
        &envelope("group.changed", "g", json!({"members": ["user:a", "public"]})),
        Malformed,
        "data.members[1]",
        "users and groups",
    );
    let long =
        json!({"page": "p", "position": "a", "content": {"type": "paragraph", "rich_text": ["x".repeat(100_001)]}});
    refuse(&envelope("block.upserted", "b", long), LimitExceeded, "data.content", "100000");
    let mut ahead = envelope("page.trashed", "p", json!({}));
    ahead["data"]["version"]["timestamp"]["wall_ms"] = json!(NOW_MS + limits::CLOCK_AHEAD_MS_MAX + 1);
    refuse(&ahead, ClockAhead, "data.version.timestamp", "ahead");
    let mut uncounted = envelope("page.trashed", "p", json!({}));
    uncounted["data"]["version"]["clock"] = json!({"us": 1});
    refuse(&uncounted, Malformed, "data.version.clock", "count the region");
    refuse(&envelope("page.trashed", "p", json!({"x": "y".repeat(1 << 20)})), LimitExceeded, "", "1048576");
}
