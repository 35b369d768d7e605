//! Rows of the tables of members, groups, pages and blocks, as the events that say the same.
//!
//! Pure. A row comes as JSON, as `row_to_json` writes it, so that the types of its columns are the database's own affair. It is
//! the whole state of its entity under one version, that of the last write: each attribute it names is written under that
//! version, and the registers decide what holds ([ADR 2](../../../../docs/adr/0002-registers-per-attribute.md)). A column that
//! is absent or null says nothing, but where it is said otherwise. Every event goes through [`Event::decode`], so that the
//! limits are those of events.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemas::event::{Event, InvalidCode, InvalidEvent};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The `source` of the events.
const SOURCE: &str = "tessera/import/postgres";

/// A table of the documented schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Members,
    Groups,
    Pages,
    Blocks,
}

impl Table {
    /// In the order in which they are read: so no page is open to a group that is not known yet, and no block is on a page
    /// whose sharing is not known yet.
    pub(super) const ALL: [Self; 4] = [Self::Members, Self::Groups, Self::Pages, Self::Blocks];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Groups => "groups",
            Self::Pages => "pages",
            Self::Blocks => "blocks",
        }
    }

    /// Whether a product may do without it.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Self::Members | Self::Groups)
    }

    /// The columns to read it by. Blocks come page by page, so that a page is written once or twice, not once for each block.
    pub(super) fn order(self) -> &'static str {
        match self {
            Self::Blocks => "t.workspace, t.page",
            _ => "t.workspace, t.id",
        }
    }
}

/// What a row says.
#[derive(Debug)]
pub(super) struct Said {
    /// Its events with their bytes, what takes access or gives it first.
    pub(super) events: Vec<(Event, usize)>,
    /// True when it names all properties of a page, so that those it does not name are gone.
    pub(super) names_all_properties: bool,
}

/// Makes events of a row. All of it is good, or none: a page without its sharing may be open to more than it should be.
pub(super) fn events(table: Table, row: &str, now_ms: u64) -> Result<Said, InvalidEvent> {
    let fields = Fields::read(row)?;
    let (workspace, id) = (fields.needed_text("workspace")?, fields.needed_text("id")?);
    let version = fields.needed("version")?;
    let is_deleted = fields.flag("deleted")?;
    let mut said = Said { events: Vec::new(), names_all_properties: false };
    let mut say = |kind: &'static str, data: Data<'_>| {
        let event = envelope(kind, &workspace, &id, version, data);
        said.events.push((Event::decode(event.as_bytes(), now_ms)?, event.len()));
        Ok(())
    };
    match table {
        Table::Members => say("member.changed", Data::from([("role", Part::Raw(fields.needed("role")?))]))?,
        Table::Groups if is_deleted => say("group.changed", Data::new())?,
        Table::Groups => say("group.changed", Data::from([("members", Part::Raw(fields.needed("members")?))]))?,
        Table::Pages if is_deleted => say("page.deleted", Data::new())?,
        Table::Pages => {
            if let Some(grants) = fields.raw("grants") {
                let restricted = Part::Value(Value::Bool(fields.flag("restricted")?));
                say("page.access_changed", Data::from([("grants", Part::Raw(grants)), ("restricted", restricted)]))?;
            }
            say("page.upserted", fields.page()?)?;
            let trashed = if fields.flag("trashed")? { "page.trashed" } else { "page.restored" };
            say(trashed, Data::new())?;
            said.names_all_properties = fields.raw("properties").is_some();
        }
        Table::Blocks => {
            let page = ("page", Part::Text(fields.needed_text("page")?));
            if is_deleted {
                say("block.deleted", Data::from([page]))?;
            } else {
                let mut data = Data::from([page, ("position", Part::Raw(fields.needed("position")?))]);
                data.insert("content", Part::Fields(fields.content()?));
                data.extend(fields.text("parent")?.map(|parent| ("parent", Part::Text(parent))));
                say("block.upserted", data)?;
            }
        }
    }
    Ok(said)
}

/// The `data` of an event.
type Data<'a> = BTreeMap<&'static str, Part<'a>>;

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    /// As the row has it.
    Raw(&'a RawValue),
    Text(String),
    Value(Value),
    Fields(BTreeMap<Cow<'a, str>, &'a RawValue>),
}

fn envelope<'a>(kind: &str, workspace: &str, subject: &str, version: &'a RawValue, mut data: Data<'a>) -> String {
    #[derive(Serialize)]
    struct Envelope<'b> {
        specversion: &'b str,
        id: &'b str,
        source: &'b str,
        #[serde(rename = "type")]
        kind: &'b str,
        workspaceid: &'b str,
        subject: &'b str,
        data: Data<'b>,
    }
    data.insert("version", Part::Raw(version));
    // An id that is too long is found where it is the subject.
    let id: String = format!("{kind}:{subject}").chars().take(128).collect();
    let envelope =
        Envelope { specversion: "1.0", id: &id, source: SOURCE, kind, workspaceid: workspace, subject, data };
    serde_json::to_string(&envelope).expect("maps have text keys")
}

/// The columns of a row.
struct Fields<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Fields<'a> {
    fn read(row: &'a str) -> Result<Self, InvalidEvent> {
        let fields = serde_json::from_str(row);
        fields.map(Self).map_err(|_| malformed("", "the row is no JSON object"))
    }

    /// A column that is there and is not null.
    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    fn needed(&self, name: &str) -> Result<&'a RawValue, InvalidEvent> {
        self.raw(name).ok_or_else(|| malformed(name, "is missing or null"))
    }

    /// Text; a whole number is taken for an id.
    fn text(&self, name: &str) -> Result<Option<String>, InvalidEvent> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match serde_json::from_str(raw.get()) {
            Ok(Value::String(text)) => Ok(Some(text)),
            Ok(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            _ => Err(malformed(name, "must be text or a whole number")),
        }
    }

    fn needed_text(&self, name: &str) -> Result<String, InvalidEvent> {
        self.text(name)?.ok_or_else(|| malformed(name, "is missing or null"))
    }

    fn flag(&self, name: &str) -> Result<bool, InvalidEvent> {
        let Some(raw) = self.raw(name) else { return Ok(false) };
        serde_json::from_str(raw.get()).map_err(|_| malformed(name, "must be a boolean"))
    }

    /// What a page says of itself. A page without a parent is at the root, and an icon that is null is none.
    fn page(&self) -> Result<Data<'a>, InvalidEvent> {
        let mut data = Data::new();
        for name in ["title", "kind", "properties", "created_at", "edited_at"] {
            data.extend(self.raw(name).map(|value| (name, Part::Raw(value))));
        }
        data.extend(self.0.get("icon").map(|icon| ("icon", Part::Raw(icon))));
        for name in ["created_by", "edited_by"] {
            data.extend(self.text(name)?.map(|user| (name, Part::Text(user))));
        }
        let parent = match self.text("parent")? {
            Some(page) => serde_json::json!({"type": "page", "id": page}),
            None => serde_json::json!({"type": "workspace"}),
        };
        data.insert("parent", Part::Value(parent));
        Ok(data)
    }

    /// Type and content of a block. The type may stand in a column of its own or in the content.
    fn content(&self) -> Result<BTreeMap<Cow<'a, str>, &'a RawValue>, InvalidEvent> {
        let mut content: BTreeMap<Cow<'a, str>, &'a RawValue> = match self.raw("content") {
            Some(content) => {
                serde_json::from_str(content.get()).map_err(|_| malformed("content", "must be an object"))?
            }
            None => BTreeMap::new(),
        };
        content.extend(self.raw("type").map(|kind| (Cow::Borrowed("type"), kind)));
        if !content.contains_key("type") {
            return Err(malformed("type", "is missing, and is not in the content either"));
        }
        Ok(content)
    }
}

fn malformed(field: &str, reason: &str) -> InvalidEvent {
    InvalidEvent::new(InvalidCode::Malformed, field, reason)
}

#[cfg(test)]
mod tests;
