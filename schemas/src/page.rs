//! Pages: what a product says about a page, apart from its blocks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::{PageId, UserId};

/// Where a page hangs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Parent {
    /// At the root of the workspace.
    Workspace,
    /// Below a page, a database or a teamspace.
    Page {
        /// The page above.
        id: PageId,
    },
}

/// What kind of page it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PageKind {
    /// A page of text.
    #[default]
    Page,
    /// A database, whose rows are the pages below it.
    Database,
    /// A row of a database.
    Row,
    /// A teamspace: the container of a team's pages.
    Teamspace,
}

impl PageKind {
    /// The name in JSON and in the query language (`type:database`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Database => "database",
            Self::Row => "row",
            Self::Teamspace => "teamspace",
        }
    }
}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PropertyValue {
    /// A tick box.
    Checkbox(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text, a date, a select option, an address.
    Text(String),
    /// Several options, people or files.
    List(Vec<String>),
}

impl PropertyValue {
    /// The value as text, for search and display.
    pub fn plain_text(&self) -> String {
        match self {
            Self::Checkbox(on) => (if *on { "yes" } else { "no" }).to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(items) => items.join(", "),
        }
    }
}

impl utoipa::PartialSchema for PropertyValue {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ArrayBuilder, Object, OneOfBuilder, Type};
        OneOfBuilder::new()
            .item(Object::with_type(Type::Boolean))
            .item(Object::with_type(Type::Number))
            .item(Object::with_type(Type::String))
            .item(ArrayBuilder::new().items(Object::with_type(Type::String)))
            .description(Some("A tick box, a number, text, or several options."))
            .into()
    }
}

impl utoipa::ToSchema for PropertyValue {}

/// What a `page.upserted` event says; what is absent stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PagePatch {
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it hangs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// What kind it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<PageKind>,
    /// Its icon; `null` takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub icon: Option<Option<String>>,
    /// Its properties by name; `null` takes one away, unnamed ones stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, PropertyValue>)]
    pub properties: BTreeMap<String, Option<PropertyValue>>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserId>,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<jiff::Timestamp>,
    /// Who changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<UserId>,
    /// When it was changed last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub edited_at: Option<jiff::Timestamp>,
}

/// Reads `null` as "take it away" and absence as "leave it".
#[expect(clippy::option_option, reason = "absence and null say different things here")]
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_takes_away_and_absence_leaves() {
        let patch: PagePatch =
            serde_json::from_str(r#"{"icon": null, "properties": {"Due": null, "Points": 3}}"#).unwrap();
        assert_eq!(patch.icon, Some(None));
        assert_eq!(patch.properties["Due"], None);
        assert_eq!(patch.properties["Points"], Some(PropertyValue::Number(3.into())));
        assert_eq!(serde_json::from_str::<PagePatch>("{}").unwrap().icon, None);
    }
}
