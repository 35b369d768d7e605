//! `/v1/events`: batches of events over HTTP, and the JSON Schema of an event.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::block::{BlockContent, RichText};
use crate::event::{BlockPatch, InvalidCode};
use crate::grant::{Grant, Level, Principal, Role};
use crate::ids::{GroupId, PageId, UserId, WorkspaceId};
use crate::limits;
use crate::page::{PageKind, PagePatch, Parent, PropertyValue};
use crate::version::{Timestamp, VectorClock, Version};

/// What to wait for before the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Until the events are committed to disk: answered with 202.
    #[default]
    Durable,
    /// Until searches find them: answered with 200.
    Searchable,
}

/// What became of a batch. The events that were turned down are listed; all others are safe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventsResponse {
    /// Events that changed something.
    pub accepted: u64,
    /// Events that were seen before, or are older than what is there.
    pub unchanged: u64,
    /// Events that met a concurrent write; they are counted under `accepted` or `unchanged` too.
    pub conflicts: u64,
    /// Events that were turned down, in the order of the batch.
    pub rejected: Vec<RejectedEvent>,
    /// The commit that holds the batch: give it as `at_least.index_seq` to read what was written.
    pub index_seq: u64,
    /// The request, as logs name it.
    pub request_id: String,
}

/// An event that was turned down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RejectedEvent {
    /// Its place in the batch, counted from 0.
    pub index: u64,
    /// The id that its source gave it, as far as it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The field that is wrong, as `data.version.clock`; empty for the event as a whole.
    pub field: String,
    /// A stable name of the kind of problem.
    pub code: InvalidCode,
    /// What is wrong, and the limit where one was broken.
    pub reason: String,
}

/// One event, as its JSON Schema describes it: a CloudEvents 1.0 object. [`crate::event::Event::decode`] reads it.
pub struct EventDocument;

/// What one request can send, as its JSON Schema describes it: one event or an array of them.
pub struct EventBatch;

impl PartialSchema for EventDocument {
    fn schema() -> RefOr<Schema> {
        let id_of = |name: &str| Ref::from_schema_name(name);
        let on_page = || ObjectBuilder::new().property("page", id_of(&PageId::name())).required("page");
        let access = || {
            let grants = ArrayBuilder::new().items(id_of(&Grant::name())).max_items(Some(limits::GRANTS_MAX));
            ObjectBuilder::new()
                .property("grants", grants)
                .property("restricted", ObjectBuilder::new().schema_type(Type::Boolean))
        };
        let members = || {
            let members =
                ArrayBuilder::new().items(id_of(&Principal::name())).max_items(Some(limits::GROUP_MEMBERS_MAX));
            let described = members.description(Some("Users and groups in it; absent when the group is deleted."));
            ObjectBuilder::new().property("members", described)
        };
        let role = || ObjectBuilder::new().property("role", id_of(&Role::name())).required("role");
        let nothing = ObjectBuilder::new;
        let kinds: [(&str, &str, ObjectBuilder); 11] = [
            ("block.upserted", "The block.", fields_of::<BlockPatch>()),
            ("block.deleted", "The block.", on_page()),
            ("page.upserted", "The page.", fields_of::<PagePatch>()),
            ("page.trashed", "The page.", nothing()),
            ("page.restored", "The page.", nothing()),
            ("page.deleted", "The page.", nothing()),
            ("page.access_changed", "The page.", access()),
            ("group.changed", "The group.", members()),
            ("member.changed", "The person.", role()),
            ("workspace.erased", "", nothing()),
            ("user.erased", "The person.", nothing()),
        ];
        let all = OneOfBuilder::new().description(Some("A change in a workspace, as a CloudEvents 1.0 object."));
        kinds.into_iter().fold(all, |all, (kind, subject, data)| all.item(envelope(kind, subject, data))).into()
    }
}

/// The fields of a shape, to add `version` to.
fn fields_of<T: PartialSchema>() -> ObjectBuilder {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => ObjectBuilder::from(object),
        _ => ObjectBuilder::new(),
    }
}

fn envelope(kind: &str, subject: &str, data: ObjectBuilder) -> ObjectBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(512));
    let constant = |value: &str| ObjectBuilder::new().schema_type(Type::String).enum_values(Some([value]));
    let data = data
        .property("version", Ref::from_schema_name(Version::name()))
        .required("version")
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let time = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .description(Some("When it happened, if the source says so."));
    let mut event = ObjectBuilder::new()
        .title(Some(kind))
        .property("specversion", constant("1.0"))
        .property("id", text().description(Some("Unique together with `source`.")))
        .property("source", text().description(Some("Where it comes from.")))
        .property("type", constant(kind))
        .property("workspaceid", Ref::from_schema_name(WorkspaceId::name()))
        .property("time", time)
        .property("datacontenttype", constant("application/json"))
        .property("data", data);
    for field in ["specversion", "id", "source", "type", "workspaceid", "data"] {
        event = event.required(field);
    }
    if subject.is_empty() {
        return event;
    }
    let pattern = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128));
    event.property("subject", pattern.pattern(Some(r"^\S+$")).description(Some(subject))).required("subject")
}

impl ToSchema for EventDocument {
    fn name() -> std::borrow::Cow<'static, str> {
        "Event".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((T::name().into_owned(), T::schema()));
        }
        add::<BlockContent>(schemas);
        add::<RichText>(schemas);
        add::<crate::block::BlockType>(schemas);
        add::<Grant>(schemas);
        add::<Principal>(schemas);
        add::<Level>(schemas);
        add::<Role>(schemas);
        add::<Parent>(schemas);
        add::<PageKind>(schemas);
        add::<PropertyValue>(schemas);
        add::<Version>(schemas);
        add::<VectorClock>(schemas);
        add::<Timestamp>(schemas);
        add::<crate::ids::RegionId>(schemas);
        add::<crate::ids::BlockId>(schemas);
        add::<PageId>(schemas);
        add::<UserId>(schemas);
        add::<GroupId>(schemas);
        add::<WorkspaceId>(schemas);
    }
}

impl PartialSchema for EventBatch {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name(EventDocument::name());
        let array = ArrayBuilder::new().items(event()).max_items(Some(limits::BATCH_EVENTS_MAX));
        OneOfBuilder::new().item(event()).item(array).description(Some("One event, or an array of them.")).into()
    }
}

impl ToSchema for EventBatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((EventDocument::name().into_owned(), EventDocument::schema()));
        EventDocument::schemas(schemas);
    }
}

/// The JSON Schema (draft 2020-12) of one event, complete in itself.
pub fn event_json_schema() -> serde_json::Value {
    let mut named = Vec::new();
    EventDocument::schemas(&mut named);
    let definitions: serde_json::Map<String, serde_json::Value> =
        named.into_iter().map(|(name, schema)| (name, as_json(&schema))).collect();
    let mut document = as_json(&EventDocument::schema());
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    document["title"] = "Tessera event".into();
    document["$defs"] = definitions.into();
    point_inside(&mut document);
    document
}

fn as_json(schema: &RefOr<Schema>) -> serde_json::Value {
    serde_json::to_value(schema).expect("a schema has text keys and finite numbers")
}

/// Points references at the document's own definitions.
fn point_inside(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    serde_json::Value::String(target) if name == "$ref" => {
                        *target = target.replace("#/components/schemas/", "#/$defs/");
                    }
                    nested => point_inside(nested),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(point_inside),
        _ => {}
    }
}
