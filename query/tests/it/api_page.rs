//! `docs/api.md`, the API for people: made of the OpenAPI document, checked in, and compared here. `UPDATE=1` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

/// The groups of endpoints, as the document calls them, with what they are called here.
const GROUPS: [(&str, &str); 6] = [
    ("search", "Search"),
    ("pages", "Pages"),
    ("answers", "Answers and texts"),
    ("openai", "In OpenAI's shape"),
    ("events", "Events"),
    ("operate", "For operators and administrators"),
];

/// What comes before the endpoints.
const INTRODUCTION: &str = "\
# API

Made of [the OpenAPI document](../schemas/generated/openapi.json), which a server gives at `/openapi.json`; a test compares the two. How to begin is in
[Connect your product](connect.md), what events say in [Events](events.md), what a query may say in [Query language](query-language.md), what answers are made of in
[Answers](answers.md). Assistants ask at [`/mcp`](assistants.md), which is no part of this document.

## Who asks

`Authorization: Bearer` with a token or a service key says who asks, see [Identity](identity.md). A service key that acts for a person names them in
`Tessera-Act-As`, and the workspace in `Tessera-Workspace`; a token for several workspaces names one there. In insecure development, `Tessera-Workspace` and
`Tessera-User` are believed. These headers are not listed again below. `X-Request-Id` names a request in its answer and in the log, in both directions.

";

/// What stands in front of the shapes.
const SHAPES: &str = "\
## Shapes

Fields in **bold** must be sent in a request, and are there in every answer. Others are left out where there is nothing to say. A request with a field that is not listed
is refused, unless it says otherwise.

";

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the product")]
fn the_api_for_people_is_what_the_document_says() {
    let document: Value = serde_json::from_str(&query::http::openapi::document()).unwrap();
    let generated = page(&document);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == generated, "docs/api.md is out of date: run the tests of `query` with UPDATE=1");
}

#[test]
fn every_endpoint_and_every_shape_is_in_the_api_for_people() {
    let document: Value = serde_json::from_str(&query::http::openapi::document()).unwrap();
    let page = page(&document);
    for (path, method, _) in endpoints(&document) {
        assert!(page.contains(&format!("\n### `{method} {path}`\n")), "{method} {path}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("\n### `{name}`\n")), "{name}");
    }
    // Each link within the page leads somewhere.
    let headings: Vec<String> =
        page.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' ')).map(anchor).collect();
    for link in page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(headings.iter().any(|heading| heading == link), "#{link} leads nowhere");
    }
}

/// Each endpoint: its path, its method in capitals, and what is said of it.
fn endpoints(document: &Value) -> Vec<(&str, String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, methods) in paths {
        for (method, endpoint) in methods.as_object().unwrap() {
            all.push((path.as_str(), method.to_uppercase(), endpoint));
        }
    }
    all
}

fn page(document: &Value) -> String {
    let mut out = INTRODUCTION.to_owned();
    let common = &document["paths"]["/v1/status"]["get"]["responses"];
    out.push_str("## Errors\n\nAn error is a [`Problem`](#problem), `application/problem+json` (RFC 9457). Any endpoint may answer:\n\n");
    out.push_str("| Status | When |\n|---|---|\n");
    for (status, response) in common.as_object().unwrap().iter().filter(|(status, _)| *status != "200") {
        writeln!(out, "| {status} | {} |", cell(text(response, "description"))).unwrap();
    }
    out.push_str(
        "\nWhat is said of a status below is beside these. 429 and 503 say in `Retry-After` when to come again.\n",
    );
    let all = endpoints(document);
    for (tag, name) in GROUPS {
        write!(out, "\n## {name}\n").unwrap();
        let of_group = |endpoint: &Value| endpoint["tags"].as_array().is_some_and(|tags| tags.contains(&tag.into()));
        for (path, method, endpoint) in all.iter().filter(|(.., endpoint)| of_group(endpoint)) {
            write!(out, "\n### `{method} {path}`\n\n").unwrap();
            write_endpoint(&mut out, endpoint, common);
        }
    }
    out.push('\n');
    out.push_str(SHAPES.trim_end());
    out.push('\n');
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        write!(out, "\n### `{name}`\n\n").unwrap();
        write_shape(&mut out, schema);
    }
    out
}

fn write_endpoint(out: &mut String, endpoint: &Value, common: &Value) {
    for name in ["summary", "description"] {
        if let Some(said) = endpoint[name].as_str() {
            write!(out, "{}\n\n", said.trim()).unwrap();
        }
    }
    let parameters = endpoint["parameters"].as_array().into_iter().flatten();
    let own = |parameter: &&Value| !text(parameter, "name").starts_with("Tessera-");
    let parameters: Vec<&Value> = parameters.filter(own).collect();
    if !parameters.is_empty() {
        out.push_str("| Parameter | In | Type | What it is |\n|---|---|---|---|\n");
        for parameter in parameters {
            let name = named(text(parameter, "name"), parameter["required"] == true);
            let kind = cell(&typed(&parameter["schema"]));
            let said = said(parameter).or_else(|| said(&parameter["schema"])).unwrap_or_default();
            writeln!(out, "| {name} | {} | {kind} | {} |", text(parameter, "in"), cell(&said)).unwrap();
        }
        out.push('\n');
    }
    if let Some(content) = endpoint["requestBody"]["content"].as_object() {
        writeln!(out, "Body: {}\n", contents(content)).unwrap();
    }
    out.push_str("| Status | Body | When |\n|---|---|---|\n");
    for (status, response) in endpoint["responses"].as_object().unwrap() {
        if common.get(status).is_some_and(|common| status != "200" && common["description"] == response["description"])
        {
            continue;
        }
        let body = response["content"].as_object().map_or_else(|| "-".to_owned(), contents);
        writeln!(out, "| {status} | {} | {} |", cell(&body), cell(text(response, "description"))).unwrap();
    }
}

/// Media types with what they hold; those that hold the same together.
fn contents(content: &Map<String, Value>) -> String {
    let mut by_shape: Vec<(String, Vec<String>)> = Vec::new();
    for (media_type, held) in content {
        let (shape, media_type) = (typed(&held["schema"]), format!("`{media_type}`"));
        match by_shape.iter_mut().find(|(other, _)| *other == shape) {
            Some((_, media_types)) => media_types.push(media_type),
            None => by_shape.push((shape, vec![media_type])),
        }
    }
    let told = by_shape.iter().map(|(shape, media_types)| format!("{shape} as {}", media_types.join(", ")));
    told.collect::<Vec<_>>().join("; ")
}

fn write_shape(out: &mut String, schema: &Value) {
    if let Some(said) = said(schema) {
        write!(out, "{}\n\n", said.trim()).unwrap();
    }
    let parts = |name: &str| schema[name].as_array().cloned().unwrap_or_default();
    let (variants, all) = ([parts("oneOf"), parts("anyOf")].concat(), parts("allOf"));
    if !variants.is_empty() {
        let is_plain = |variant: &Value| variant["properties"].is_null();
        if variants.iter().all(is_plain) {
            writeln!(out, "{}.", capital(&typed(schema))).unwrap();
            return;
        }
        let tables: Vec<Vec<String>> = variants.iter().map(|variant| rows(variant, "")).collect();
        let is_common = |row: &&String| tables.iter().all(|table| table.contains(row));
        let common: Vec<String> = tables[0].iter().filter(is_common).cloned().collect();
        if !common.is_empty() {
            out.push_str("All of them have:\n\n");
            write_table(out, &common);
            out.push('\n');
        }
        out.push_str("One of:\n");
        for (variant, table) in variants.iter().zip(&tables) {
            let name = variant["title"].as_str().or_else(|| constant(&variant["properties"]["type"]));
            let name = name.map_or_else(|| typed(variant), |name| format!("`{name}`"));
            let said = said(variant).map(|said| format!(": {}", said.trim())).unwrap_or_default();
            write!(out, "\n- {name}{said}\n").unwrap();
            let own: Vec<String> = table.iter().filter(|row| !common.contains(row)).cloned().collect();
            if !own.is_empty() {
                out.push('\n');
                write_table(out, &own);
            }
        }
        return;
    }
    if all.is_empty() && !schema["properties"].is_object() {
        writeln!(out, "{}.", capital(&typed(schema))).unwrap();
        return;
    }
    for part in &all {
        if part["$ref"].is_string() {
            writeln!(out, "All of {}, and:\n", typed(part)).unwrap();
        } else {
            write_table(out, &rows(part, ""));
        }
    }
    if all.is_empty() {
        write_table(out, &rows(schema, ""));
    }
}

fn write_table(out: &mut String, rows: &[String]) {
    out.push_str("| Field | Type | What it is |\n|---|---|---|\n");
    for row in rows {
        writeln!(out, "{row}").unwrap();
    }
}

/// A row for each field, and for each field of a shape that has no name of its own.
fn rows(schema: &Value, path: &str) -> Vec<String> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut found = Vec::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{name}");
        let (kind, said) = (cell(&typed(field)), cell(&said(field).unwrap_or_default()));
        found.push(format!("| {} | {kind} | {said} |", named(&path, required.contains(&name.as_str()))));
        found.extend(rows(field, &format!("{path}.")));
        found.extend(rows(&field["items"], &format!("{path}[].")));
    }
    found
}

/// The type of a value, with its bounds.
fn typed(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return format!("[`{name}`](#{})", anchor(name));
    }
    for (name, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")] {
        if let Some(parts) = schema[name].as_array() {
            let parts = parts.iter().filter(|part| part["type"] != "null").map(typed);
            return parts.collect::<Vec<_>>().join(between);
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
        _ => vec!["anything"],
    };
    let kind = kinds.join(" or ");
    let kind = match kind.as_str() {
        _ if schema["enum"].is_array() => {
            let values = schema["enum"].as_array().into_iter().flatten().filter(|value| !value.is_null());
            let values = values.map(|value| format!("`{}`", plain(value)));
            values.collect::<Vec<_>>().join(", ")
        }
        "array" => format!("list of {}", typed(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", typed(&schema["additionalProperties"]))
        }
        "integer" => "whole number".to_owned(),
        kind => kind.to_owned(),
    };
    let bounds = bounds(schema);
    if bounds.is_empty() { kind } else { format!("{kind}, {bounds}") }
}

fn bounds(schema: &Value) -> String {
    let mut bounds = Vec::new();
    let mut range = |least: &str, most: &str, what: &str| {
        let number = |name: &str| Some(&schema[name]).filter(|value| value.is_number());
        match (number(least), number(most)) {
            (Some(least), Some(most)) => bounds.push(format!("{least} to {most}{what}")),
            (None, Some(most)) => bounds.push(format!("at most {most}{what}")),
            (Some(least), None) if least.as_f64() > Some(0.0) => bounds.push(format!("at least {least}{what}")),
            _ => {}
        }
    };
    range("minLength", "maxLength", " characters");
    range("minimum", "maximum", "");
    range("minItems", "maxItems", " of them");
    if let Some(format) = schema["format"].as_str().filter(|format| format.starts_with("date")) {
        bounds.push(format!("a `{format}`"));
    }
    if !schema["default"].is_null() && schema["default"] != Value::Array(Vec::new()) && !schema["default"].is_object() {
        bounds.push(format!("`{}` unless said", plain(&schema["default"])));
    }
    bounds.join(", ")
}

/// What is said of something; of what may be null, what is said of the rest.
fn said(schema: &Value) -> Option<String> {
    let parts = ["oneOf", "allOf"].into_iter().filter_map(|name| schema[name].as_array()).flatten();
    let inner = || parts.filter(|part| part["$ref"].is_string()).find_map(|part| part["description"].as_str());
    schema["description"].as_str().or_else(inner).map(str::to_owned)
}

fn constant(schema: &Value) -> Option<&str> {
    let [only] = schema["enum"].as_array()?.as_slice() else { return None };
    only.as_str()
}

fn named(name: &str, is_required: bool) -> String {
    if is_required { format!("**`{name}`**") } else { format!("`{name}`") }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text as one cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

/// Where a heading is linked to, as the host of the repository makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}
