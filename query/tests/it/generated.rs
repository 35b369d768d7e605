//! The generated documents in `schemas/generated` say what the code says. `UPDATE=1` writes them anew.

use std::path::Path;

#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the product")]
fn check(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/generated").join(name);
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == generated, "schemas/generated/{name} is out of date: run the tests of `query` with UPDATE=1");
}

#[test]
fn the_api_description_is_checked_in() {
    check("openapi.json", &query::http::openapi::document());
}

#[test]
fn the_schema_of_events_is_checked_in() {
    let schema = schemas::api::events::event_json_schema();
    check("events.schema.json", &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
}

#[test]
fn every_reference_of_the_api_description_leads_somewhere() {
    let document: serde_json::Value = serde_json::from_str(&query::http::openapi::document()).unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &serde_json::Value, references: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    serde_json::Value::String(target) if name == "$ref" => references.push(target.clone()),
                    nested => collect(nested, references),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
