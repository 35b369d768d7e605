//! Blocks: the pieces a page is made of, with the types and the rich text of the Notion API.
//!
//! An unknown type is kept with its text: nothing is dropped silently. Reading is lenient about where the text of
//! a block stands (`rich_text` at the top or under the type's name, `plain_text` or `text.content`), writing is not.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum BlockType {
    /// Running text.
    Paragraph,
    /// A heading; level 1, 2 or 3.
    Heading(u8),
    /// An item of a bulleted list.
    BulletedListItem,
    /// An item of a numbered list.
    NumberedListItem,
    /// A task with a box to tick.
    ToDo,
    /// A line that folds its children.
    Toggle,
    /// A quotation.
    Quote,
    /// A box that stands out.
    Callout,
    /// Program text.
    Code,
    /// A table; its rows are its children.
    Table,
    /// One row of a table.
    TableRow,
    /// A formula.
    Equation,
    /// A link with a caption.
    Bookmark,
    /// A picture with a caption.
    Image,
    /// A file with a caption.
    File,
    /// A place that shows a page below this one.
    ChildPage,
    /// A place that shows a database below this page.
    ChildDatabase,
    /// A block shown in several places.
    SyncedBlock,
    /// A line across the page.
    Divider,
    /// A type this release does not know, by its name.
    Other(String),
}

const NAMES: &[(&str, BlockType)] = &[
    ("paragraph", BlockType::Paragraph),
    ("heading_1", BlockType::Heading(1)),
    ("heading_2", BlockType::Heading(2)),
    ("heading_3", BlockType::Heading(3)),
    ("bulleted_list_item", BlockType::BulletedListItem),
    ("numbered_list_item", BlockType::NumberedListItem),
    ("to_do", BlockType::ToDo),
    ("toggle", BlockType::Toggle),
    ("quote", BlockType::Quote),
    ("callout", BlockType::Callout),
    ("code", BlockType::Code),
    ("table", BlockType::Table),
    ("table_row", BlockType::TableRow),
    ("equation", BlockType::Equation),
    ("bookmark", BlockType::Bookmark),
    ("image", BlockType::Image),
    ("file", BlockType::File),
    ("child_page", BlockType::ChildPage),
    ("child_database", BlockType::ChildDatabase),
    ("synced_block", BlockType::SyncedBlock),
    ("divider", BlockType::Divider),
];

impl From<String> for BlockType {
    fn from(name: String) -> Self {
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, kind)) => kind.clone(),
            None => Self::Other(name),
        }
    }
}

impl From<BlockType> for String {
    fn from(kind: BlockType) -> Self {
        kind.as_str().to_owned()
    }
}

impl BlockType {
    /// The name in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => NAMES.iter().find(|(_, kind)| kind == known).map_or("heading_3", |(name, _)| name),
        }
    }
}

impl utoipa::PartialSchema for BlockType {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .examples(NAMES.iter().map(|(name, _)| *name))
            .description(Some("A block type of the Notion API. Unknown types are kept with their text."))
            .into()
    }
}

impl utoipa::ToSchema for BlockType {}

/// A run of text with one style.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
pub struct RichText {
    /// The text as a reader sees it.
    pub plain_text: String,
    /// Where it links to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
    /// Names of its styles: `bold`, `italic`, `strikethrough`, `underline`, `code`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub annotations: Vec<String>,
}

impl RichText {
    /// Text without style.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { plain_text: text.into(), ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for RichText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Link {
            url: String,
        }
        #[derive(Deserialize)]
        struct Text {
            content: String,
            link: Option<Link>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Annotations {
            Names(Vec<String>),
            Flags(Map<String, Value>),
        }
        #[derive(Deserialize)]
        struct Object {
            plain_text: Option<String>,
            href: Option<String>,
            text: Option<Text>,
            annotations: Option<Annotations>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Plain(String),
            Object(Object),
        }
        let object = match Raw::deserialize(deserializer)? {
            Raw::Plain(text) => return Ok(Self::plain(text)),
            Raw::Object(object) => object,
        };
        let (content, link) = match object.text {
            Some(text) => (Some(text.content), text.link.map(|link| link.url)),
            None => (None, None),
        };
        let Some(plain_text) = object.plain_text.or(content) else {
            return Err(serde::de::Error::custom("rich text needs `plain_text` or `text.content`"));
        };
        let annotations = match object.annotations {
            None => Vec::new(),
            Some(Annotations::Names(names)) => names,
            Some(Annotations::Flags(flags)) => {
                flags.into_iter().filter(|(_, on)| *on == Value::Bool(true)).map(|(name, _)| name).collect()
            }
        };
        Ok(Self { plain_text, href: object.href.or(link), annotations })
    }
}

/// Type and content of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BlockContent {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: BlockType,
    /// Its text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub rich_text: Vec<RichText>,
    /// The cells of a table row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub cells: Vec<Vec<RichText>>,
    /// The caption of a picture, file or bookmark.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub caption: Vec<RichText>,
    /// Whether a to-do is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<bool>,
    /// The programming language of code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The formula of an equation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The address of a bookmark, picture or file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl BlockContent {
    /// A block of one kind with plain text.
    pub fn text(kind: BlockType, text: impl Into<String>) -> Self {
        Self { rich_text: vec![RichText::plain(text)], ..Self::empty(kind) }
    }

    /// A block of one kind without content.
    pub fn empty(kind: BlockType) -> Self {
        Self {
            kind,
            rich_text: Vec::new(),
            cells: Vec::new(),
            caption: Vec::new(),
            checked: None,
            language: None,
            expression: None,
            url: None,
        }
    }

    /// The text a reader sees, as it is indexed: cells joined by ` | `, captions after the text.
    pub fn plain_text(&self) -> String {
        let cells: Vec<&[RichText]> = self.cells.iter().map(Vec::as_slice).collect();
        joined(&self.rich_text, &cells, self.expression.as_deref(), &self.caption, |run| &run.plain_text)
    }

    /// Addresses that the block links to.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        let runs = self.rich_text.iter().chain(self.cells.iter().flatten()).chain(&self.caption);
        runs.filter_map(|run| run.href.as_deref()).chain(self.url.as_deref())
    }
}

/// The text of a block, of the texts of its runs.
pub(crate) fn joined<T>(
    rich_text: &[T],
    cells: &[&[T]],
    expression: Option<&str>,
    caption: &[T],
    text_of: impl Fn(&T) -> &str,
) -> String {
    fn push<'a>(out: &mut String, separator: &str, texts: impl Iterator<Item = &'a str>) {
        let mut comes_after = !out.is_empty();
        for text in texts.filter(|text| !text.is_empty()) {
            if std::mem::take(&mut comes_after) {
                out.push_str(separator);
            }
            out.push_str(text);
        }
    }
    let mut out = String::new();
    push(&mut out, "", rich_text.iter().map(&text_of));
    for cell in cells {
        push(&mut out, " | ", cell.iter().map(&text_of));
    }
    push(&mut out, " ", expression.into_iter());
    push(&mut out, " ", caption.iter().map(&text_of));
    out
}

impl<'de> Deserialize<'de> for BlockContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut object = Map::<String, Value>::deserialize(deserializer)?;
        let kind = match object.remove("type") {
            Some(Value::String(name)) if !name.is_empty() && name.len() <= 64 => BlockType::from(name),
            Some(_) => return Err(D::Error::custom("field `type` must be text of 1 to 64 bytes")),
            None => return Err(D::Error::custom("missing field `type`")),
        };
        // Notion nests the content under the type's name; both forms are read. A type may have the name of a field.
        match object.remove(kind.as_str()) {
            Some(Value::Object(nested)) => {
                for (name, value) in nested {
                    object.entry(name).or_insert(value);
                }
            }
            Some(field) => {
                object.insert(kind.as_str().to_owned(), field);
            }
            None => {}
        }
        let mut content = Self {
            rich_text: take(&mut object, "rich_text")?,
            cells: take(&mut object, "cells")?,
            caption: take(&mut object, "caption")?,
            checked: take(&mut object, "checked")?,
            language: take(&mut object, "language")?,
            expression: take(&mut object, "expression")?,
            url: take(&mut object, "url")?,
            kind,
        };
        if let BlockType::Other(_) = content.kind {
            let mut texts = Vec::new();
            object.values().for_each(|value| collect_text(value, 0, &mut texts));
            if !texts.is_empty() {
                content.rich_text.push(RichText::plain(texts.join(" ")));
            }
        }
        Ok(content)
    }
}

/// Takes a field out of a block; absent and `null` are the default.
fn take<T: for<'a> Deserialize<'a> + Default, E: serde::de::Error>(
    object: &mut Map<String, Value>,
    name: &str,
) -> Result<T, E> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => T::deserialize(value).map_err(|error| E::custom(format!("field `{name}`: {error}"))),
    }
}

/// Gathers the readable text of an unknown block: `plain_text`, `content`, `text`, `title`, `name` and `caption` fields.
fn collect_text(value: &Value, depth: usize, texts: &mut Vec<String>) {
    const DEPTH_MAX: usize = 8;
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_text(item, depth + 1, texts)),
        Value::Object(fields) => {
            let named = ["plain_text", "content", "text", "title", "name", "caption"];
            for (name, field) in fields {
                match field {
                    Value::String(text) if named.contains(&name.as_str()) => texts.push(text.clone()),
                    Value::String(_) => {}
                    nested => collect_text(nested, depth + 1, texts),
                }
                if name == "plain_text" {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(json: Value, text: &str) {
        let content: BlockContent = serde_json::from_value(json).unwrap();
        assert_eq!(content.plain_text(), text);
        let again: BlockContent = serde_json::from_value(serde_json::to_value(&content).unwrap()).unwrap();
        assert_eq!(again, content, "writing and reading again changes nothing");
    }

    #[test]
    fn notions_nesting_and_the_flat_form_read_alike() {
        check(json!({"type": "paragraph", "rich_text": [{"plain_text": "a"}, "b"]}), "ab");
        check(
            json!({"type": "paragraph", "paragraph": {"rich_text": [{"type": "text", "text": {"content": "hi", "link": {"url": "/p"}}, "annotations": {"bold": true, "color": "red"}}]}}),
            "hi",
        );
        check(json!({"type": "table_row", "table_row": {"cells": [[{"plain_text": "x"}], ["y"]]}}), "x | y");
    }

    #[test]
    fn a_type_with_the_name_of_a_field_keeps_its_text() {
        check(json!({"type": "rich_text", "rich_text": [{"plain_text": "a"}, "b"]}), "ab");
        check(json!({"type": "caption", "caption": ["a"], "rich_text": ["b"]}), "b a");
        check(json!({"type": "rich_text", "other": [{"plain_text": "a"}]}), "a");
        check(json!({"type": "steps", "steps": [{"text": "a"}, {"text": "b"}]}), "a b");
    }

    #[test]
    fn an_unknown_type_keeps_its_text() {
        check(
            json!({"type": "hologram", "hologram": {"label": {"text": "deep"}, "parts": [{"content": "parts"}]}}),
            "deep parts",
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        let error = serde_json::from_value::<BlockContent>(json!({"type": "to_do", "checked": "yes"})).unwrap_err();
        assert!(error.to_string().contains("`checked`"), "{error}");
    }
}
