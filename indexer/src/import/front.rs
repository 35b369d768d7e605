//! Front matter: what a Markdown file says about its page before its text, in YAML (`---`) or TOML (`+++`).
//!
//! Keys that mean nothing here are passed over: other tools have theirs. What is wrong is said and passed over too,
//! but never towards more access: a page whose front matter cannot be read and that speaks of access is kept from all.

use std::collections::BTreeMap;

use schemas::grant::Grant;
use schemas::ids::{PageId, UserId};
use schemas::page::{PageKind, PropertyValue};
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

use super::desired::DesiredAccess;

/// Most bytes of front matter.
pub const FRONT_BYTES_MAX: usize = 64 << 10;
const NESTING_MAX: usize = 16;

/// What a page says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Front {
    /// Its id.
    pub id: Option<PageId>,
    /// Its title.
    pub title: Option<String>,
    /// Its icon.
    pub icon: Option<String>,
    /// What kind it is.
    pub kind: Option<PageKind>,
    /// Its properties, tags included.
    pub properties: BTreeMap<String, PropertyValue>,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Option<jiff::Timestamp>,
    /// Who changed it last.
    pub edited_by: Option<UserId>,
    /// When it was changed last.
    pub edited_at: Option<jiff::Timestamp>,
    /// Its sharing.
    pub access: Option<DesiredAccess>,
    /// Whether it is in the trash.
    pub trashed: bool,
}

/// A value of either language. What stands bare may be a number or a tick; what is quoted is text.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Bare(String),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

/// Reads the front matter of a file and returns it with the text after it.
pub fn read<'a>(text: &'a str, warn: &mut dyn FnMut(String)) -> (Front, &'a str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some((fence, raw, body)) = split(text) else { return (Front::default(), text) };
    let fields = if raw.len() > FRONT_BYTES_MAX {
        Err(format!("it is longer than {FRONT_BYTES_MAX} bytes"))
    } else if fence == "+++" {
        toml_fields(raw)
    } else {
        yaml_fields(raw)
    };
    match fields {
        // A rule across the page, not front matter.
        Ok(None) => (Front::default(), text),
        Ok(Some(fields)) => (front(fields, warn), body),
        Err(reason) => {
            warn(format!("the front matter cannot be read: {reason}"));
            (salvage(raw, warn), body)
        }
    }
}

/// The fence, what is between the fences, and what comes after.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let fence = ["---", "+++"].into_iter().find(|fence| text.starts_with(fence))?;
    let (first, rest) = text.split_once('\n')?;
    if first.trim_end() != fence {
        return None;
    }
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        let mark = line.trim_end();
        if mark == fence || (fence == "---" && mark == "...") {
            return Some((fence, &rest[..at], &rest[at + line.len()..]));
        }
        at += line.len();
    }
    None
}

/// Reads YAML without recursion; aliases, which can make a little text endless, are refused.
fn yaml_fields(raw: &str) -> Result<Option<Vec<(String, Value)>>, String> {
    let mut parser = Parser::new_from_str(raw);
    // Each open list or map with the key that waits for its value.
    let mut open: Vec<(Value, Option<String>)> = Vec::new();
    loop {
        let (event, mark) = parser.next_token().map_err(|error| error.to_string())?;
        let finished = match event {
            Event::Alias(_) => return Err(format!("line {}: aliases are not supported", mark.line() + 1)),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= NESTING_MAX => {
                return Err(format!("line {}: nested deeper than {NESTING_MAX}", mark.line() + 1));
            }
            Event::SequenceStart(..) => {
                open.push((Value::List(Vec::new()), None));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((Value::Map(Vec::new()), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|(value, _)| value),
            Event::Scalar(text, TScalarStyle::Plain, ..) => Some(Value::Bare(text)),
            Event::Scalar(text, ..) => Some(Value::Text(text)),
            Event::DocumentEnd | Event::StreamEnd => return Ok(None),
            _ => continue,
        };
        let Some(value) = finished else { return Ok(None) };
        match open.last_mut() {
            None => {
                return Ok(match value {
                    Value::Map(fields) => Some(fields),
                    _ => None,
                });
            }
            Some((Value::List(items), _)) => items.push(value),
            Some((Value::Map(fields), key)) => match key.take() {
                Some(key) => {
                    if fields.iter().any(|(known, _)| *known == key) {
                        return Err(format!("line {}: key `{key}` stands there twice", mark.line() + 1));
                    }
                    fields.push((key, value));
                }
                None => *key = Some(plain(&value)),
            },
            Some(_) => return Ok(None),
        }
    }
}

fn toml_fields(raw: &str) -> Result<Option<Vec<(String, Value)>>, String> {
    fn value(from: toml::Value) -> Value {
        match from {
            toml::Value::String(text) => Value::Text(text),
            toml::Value::Array(items) => Value::List(items.into_iter().map(value).collect()),
            toml::Value::Table(table) => Value::Map(table.into_iter().map(|(key, item)| (key, value(item))).collect()),
            other => Value::Bare(other.to_string()),
        }
    }
    match raw.parse::<toml::Table>() {
        Ok(table) => Ok(Some(table.into_iter().map(|(key, item)| (key, value(item))).collect())),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// What can be had from front matter that is broken: its id and title, and that it speaks of access.
fn salvage(raw: &str, warn: &mut dyn FnMut(String)) -> Front {
    let field = |name: &str| {
        let line = raw.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix([':', '=']))?;
        let text = line.trim().trim_matches(['"', '\'']).trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let speaks = |name: &str| raw.lines().any(|line| line.trim_start().trim_matches(['"', '\'']).starts_with(name));
    let mut front =
        Front { id: field("id").and_then(|id| PageId::new(id).ok()), title: field("title"), ..Front::default() };
    if speaks("restricted") || speaks("grants") {
        warn("it speaks of access, so the page is kept from everyone".to_owned());
        front.access = Some(DesiredAccess { grants: Vec::new(), restricted: true });
    }
    front.trashed = speaks("trashed");
    front
}

fn front(fields: Vec<(String, Value)>, warn: &mut dyn FnMut(String)) -> Front {
    let mut front = Front::default();
    let (mut grants, mut restricted) = (None, None);
    for (key, value) in fields {
        let mut bad = |allowed: &str| warn(format!("front matter: `{key}` must be {allowed}"));
        match key.as_str() {
            "id" => match PageId::new(plain(&value)) {
                Ok(id) => front.id = Some(id),
                Err(error) => warn(format!("front matter: `id`: {error}")),
            },
            "title" => front.title = some_text(&value),
            "icon" => front.icon = some_text(&value),
            "kind" => match kind(&plain(&value)) {
                Some(kind) => front.kind = Some(kind),
                None => bad("page, database, row or teamspace"),
            },
            "tags" => {
                let tags = texts(&value);
                if !tags.is_empty() {
                    front.properties.insert("tags".to_owned(), PropertyValue::List(tags));
                }
            }
            "properties" => match value {
                Value::Map(fields) => {
                    let said = fields.into_iter().filter_map(|(name, value)| Some((name, property(&value)?)));
                    front.properties.extend(said);
                }
                _ => bad("a map from names to values"),
            },
            "author" | "created_by" => front.created_by = texts(&value).first().and_then(|name| user_id(name)),
            "edited_by" => front.edited_by = texts(&value).first().and_then(|name| user_id(name)),
            "created" | "created_at" | "date" => match timestamp(&plain(&value)) {
                Some(time) => front.created_at = Some(time),
                None if plain(&value).is_empty() => {}
                None => bad("a date or a time as 2026-05-04T08:30:00Z"),
            },
            "updated" | "updated_at" | "edited_at" | "lastmod" => match timestamp(&plain(&value)) {
                Some(time) => front.edited_at = Some(time),
                None if plain(&value).is_empty() => {}
                None => bad("a date or a time as 2026-05-04T08:30:00Z"),
            },
            "trashed" => {
                front.trashed = tick(&value).unwrap_or_else(|| {
                    bad("true or false");
                    true
                });
            }
            "restricted" => {
                restricted = Some(tick(&value).unwrap_or_else(|| {
                    bad("true or false; the page is kept restricted");
                    true
                }));
            }
            "grants" => grants = Some(grants_of(&value, warn)),
            _ => {}
        }
    }
    if grants.is_some() || restricted.is_some() {
        front.access =
            Some(DesiredAccess { grants: grants.unwrap_or_default(), restricted: restricted.unwrap_or_default() });
    }
    front
}

fn grants_of(value: &Value, warn: &mut dyn FnMut(String)) -> Vec<Grant> {
    let mut grants = Vec::new();
    for text in texts(value) {
        match text.parse() {
            Ok(grant) => grants.push(grant),
            Err(error) => warn(format!("front matter: `grants`: {error}; it was left out")),
        }
    }
    let grants_max = schemas::limits::GRANTS_MAX;
    if grants.len() > grants_max {
        warn(format!("front matter: `grants`: more than {grants_max}; the rest was left out"));
        grants.truncate(grants_max);
    }
    grants
}

/// The name of a page kind as it is written in front matter.
fn kind(name: &str) -> Option<PageKind> {
    let kinds = [PageKind::Page, PageKind::Database, PageKind::Row, PageKind::Teamspace];
    kinds.into_iter().find(|kind| kind.as_str() == name)
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bare(text) if is_null(text) => String::new(),
        Value::Bare(text) | Value::Text(text) => text.trim().to_owned(),
        Value::List(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Map(fields) => {
            fields.iter().map(|(key, value)| format!("{key}: {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
    }
}

fn some_text(value: &Value) -> Option<String> {
    Some(plain(value)).filter(|text| !text.is_empty())
}

/// A list, or one text with commas, without what is empty or said twice.
fn texts(value: &Value) -> Vec<String> {
    let items: Vec<String> = match value {
        Value::List(items) => items.iter().map(plain).collect(),
        other => plain(other).split(',').map(|item| item.trim().to_owned()).collect(),
    };
    let mut texts = Vec::new();
    for item in items {
        if !item.is_empty() && !texts.contains(&item) {
            texts.push(item);
        }
    }
    texts
}

fn tick(value: &Value) -> Option<bool> {
    match plain(value).to_ascii_lowercase().as_str() {
        "true" | "yes" => Some(true),
        "false" | "no" | "" => Some(false),
        _ => None,
    }
}

fn property(value: &Value) -> Option<PropertyValue> {
    match value {
        Value::Bare(text) if is_null(text) => None,
        Value::Bare(text) => Some(match text.as_str() {
            "true" | "True" => PropertyValue::Checkbox(true),
            "false" | "False" => PropertyValue::Checkbox(false),
            text => number(text).map_or_else(|| PropertyValue::Text(text.to_owned()), PropertyValue::Number),
        }),
        Value::List(items) => Some(PropertyValue::List(items.iter().map(plain).collect())),
        other => Some(PropertyValue::Text(plain(other))),
    }
}

/// A number that loses nothing when read as one: no leading zeros, no signs of a telephone number.
pub fn number(text: &str) -> Option<serde_json::Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let padded = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if padded || !digits.starts_with(|c: char| c.is_ascii_digit()) || digits.len() > 17 {
        return None;
    }
    match text.parse::<i64>() {
        Ok(whole) => Some(whole.into()),
        Err(_) if digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            serde_json::Number::from_f64(text.parse().ok()?)
        }
        Err(_) => None,
    }
}

/// A time in RFC 3339; a day or a time without zone is taken as UTC.
pub fn timestamp(text: &str) -> Option<jiff::Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// A person as an id: a name with spaces becomes lower case with hyphens.
pub fn user_id(name: &str) -> Option<UserId> {
    UserId::new(name)
        .ok()
        .or_else(|| UserId::new(name.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(text: &str) -> (Front, &str, Vec<String>) {
        let mut warnings = Vec::new();
        let (front, body) = read(text, &mut |warning| warnings.push(warning));
        (front, body, warnings)
    }

    #[test]
    fn a_whole_front_matter_is_read() {
        let (front, body, warnings) = read_all(
            "---\ntitle: \"A: b\"\nicon: 🛠️\nkind: database\nauthor: ada\nedited_by: Bo Li\ncreated: 2025-01-13\n\
             updated: 2026-05-04T08:30:00Z\ntags: [home, dome]\nrestricted: true\ngrants: [group:g:edit, public:view]\n\
             properties: {Points: 3, Hours: 6.5, Done: yes, Ok: true, Phone: 0123, Day: 2026-02-11, None: , L: [a, b]}\n\
             unknown: {deep: [1]}\n---\nbody\n",
        );
        assert_eq!((body, warnings), ("body\n", vec![]));
        assert_eq!(front.title.as_deref(), Some("A: b"));
        assert_eq!(front.kind, Some(PageKind::Database));
        assert_eq!(front.created_by.unwrap().as_str(), "ada");
        assert_eq!(front.edited_by.unwrap().as_str(), "bo-li");
        assert_eq!(front.created_at.unwrap().to_string(), "2025-01-13T00:00:00Z");
        assert_eq!(front.access.unwrap().grants.len(), 2);
        let json = serde_json::to_string(&front.properties).unwrap();
        assert_eq!(
            json,
            r#"{"Day":"2026-02-11","Done":"yes","Hours":6.5,"L":["a","b"],"Ok":true,"Phone":"0123","Points":3,"tags":["home","dome"]}"#
        );
    }

    #[test]
    fn toml_front_matter_reads_alike() {
        let (front, body, warnings) = read_all("+++\ntitle = \"T\"\ntags = [\"a\"]\ndate = 2025-01-13\n+++\nbody");
        assert_eq!((front.title.as_deref(), body, warnings), (Some("T"), "body", vec![]));
        assert!(front.created_at.is_some() && front.properties.contains_key("tags"));
    }

    #[test]
    fn a_rule_across_the_page_is_no_front_matter() {
        for text in ["---\nhello\n---\nbody", "---\nno end", "--- \n\n---\n", "text", ""] {
            let (front, body, warnings) = read_all(text);
            assert_eq!((front, body, warnings), (Front::default(), text, vec![]), "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_said_and_never_opens_a_page() {
        let (front, body, warnings) = read_all("---\ntitle: One: two\nid: x\n---\nbody");
        assert_eq!((front.title.as_deref(), body, warnings.len()), (Some("One: two"), "body", 1));
        assert_eq!(front.access, None);
        let closed = Some(DesiredAccess { grants: vec![], restricted: true });
        for text in [
            "---\ntitle: a: b\nrestricted: true\ngrants: [public:view]\n---\n",
            "---\nrestricted: treu\n---\n",
            "---\nrestricted: true\ngrants: [everyone:view, ada]\n---\n",
            "---\nrestricted: true\nrestricted: false\n---\n",
            "---\na: &x [1]\nb: *x\nrestricted: true\n---\n",
        ] {
            let (front, _, warnings) = read_all(text);
            assert_eq!(front.access, closed, "{text}");
            assert!(!warnings.is_empty(), "{text}");
        }
    }

    #[test]
    fn hostile_yaml_is_refused_in_bounded_time() {
        for inner in ["[".repeat(60_000), "- ".repeat(30_000), "{a: ".repeat(15_000), "a: |\n".repeat(10_000)] {
            read_all(&format!("---\nkey: {inner}\n---\n"));
        }
    }

    proptest! {
        #[test]
        fn any_front_matter_is_read_without_panic(inner in "[-a-z:\\[\\]{}&*!|>'\"%@#,?\\n\\t ]{0,80}", any in "(?s).{0,60}") {
            read_all(&format!("---\n{inner}\n---\n"));
            read_all(&format!("---\n{any}\n---\n"));
            read_all(&format!("+++\n{inner}\n+++\n"));
        }
    }
}
