//! `/v1/generate`: a text made of a given text, or of pages that the caller can read.
//!
//! What goes out piece by piece are the events of [`super::answers`]: the same words mean the same there.

use serde::{Deserialize, Serialize};

use super::Consistency;
use super::answers::{AnswerDegraded, AnswerSentence, AnswerSource, AnswerUsage, Citation, Length};
use super::search::{object_or_null, whole_or_null};
use crate::ids::PageId;

/// Longest text that is given, in characters.
pub const TEXT_CHARS_MAX: usize = 20_000;
/// Most pages that one text is made of.
pub const PAGES_MAX: usize = 10;
/// Longest name of a language or tone, in characters.
pub const NAME_CHARS_MAX: usize = 50;
/// Longest name of a property and of each of its options, in characters.
pub const PROPERTY_CHARS_MAX: usize = 200;
/// Longest description of a property, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Most options of a property.
pub const OPTIONS_MAX: usize = 100;

/// What is to be made of what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateRequest {
    /// What to make.
    pub task: GenerateTask,
    /// The text to make it of; the outline of a `draft`. Either this or `pages`; a `draft` takes pages beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 20_000)]
    pub text: Option<String>,
    /// The pages to make it of, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10, required = false)]
    pub pages: Vec<PageId>,
    /// The language to write in, by its name or tag; that of the text where it is left out. `translate` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 50)]
    pub language: Option<String>,
    /// The tone of a `rewrite`, in a word or some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 50)]
    pub tone: Option<String>,
    /// The property that `fill_property` finds a value for.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub property: Option<PropertySpec>,
    /// How long it is, where the task leaves that open.
    #[serde(default)]
    #[schema(required = false)]
    pub length: Length,
    /// Whether to send it piece by piece, as server-sent events. `Accept: text/event-stream` says the same.
    #[serde(default)]
    #[schema(required = false)]
    pub stream: bool,
    /// Whether to leave language models out. Only `summarise`, `key_points`, `action_items` and `fill_property` can be done then.
    #[serde(default)]
    #[schema(required = false)]
    pub extractive: bool,
    /// What the answering process must have read at least ("read your writes").
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub at_least: Option<Consistency>,
    /// How long it may take, in milliseconds.
    #[serde(default, deserialize_with = "whole_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 300_000)]
    pub timeout_ms: Option<u32>,
}

/// What is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GenerateTask {
    /// What it says, in short.
    #[default]
    Summarise,
    /// Its points, as a list.
    KeyPoints,
    /// What is left to do, as a list.
    ActionItems,
    /// The same in another tone.
    Rewrite,
    /// The same without mistakes of spelling and grammar.
    Fix,
    /// The same in fewer words.
    Shorter,
    /// The same in more words.
    Longer,
    /// How it goes on.
    Continue,
    /// The same in another language.
    Translate,
    /// What it means, for somebody who is new to it.
    Explain,
    /// A text by an outline.
    Draft,
    /// The value of a property.
    FillProperty,
}

impl GenerateTask {
    /// Whether it can be done without a language model, by sentences of what is given.
    pub fn is_extractable(self) -> bool {
        matches!(self, Self::Summarise | Self::KeyPoints | Self::ActionItems | Self::FillProperty)
    }
}

/// A property that a value is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PropertySpec {
    /// What it is called.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: PropertyKind,
    /// The values of a `select`, of which one is chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100, required = false)]
    pub options: Vec<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub description: Option<String>,
}

/// What the values of a property are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PropertyKind {
    /// Words.
    #[default]
    Text,
    /// One of the options.
    Select,
    /// A day.
    Date,
    /// A number.
    Number,
}

/// A value that was found, of the type that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum FilledValue {
    /// Words.
    Text(String),
    /// One of the options, as it was given.
    Select(String),
    /// A day, `2026-03-01`.
    #[schema(value_type = String)]
    Date(jiff::civil::Date),
    /// A finite number.
    Number(f64),
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing, by its name in JSON")]
pub struct GenerateResponse {
    /// Always `generation`.
    pub object: GenerationObject,
    /// What was asked for.
    pub task: GenerateTask,
    /// The text as Markdown; with markers as `[1]`, which name sources, where it was made of pages. Empty when `not_found`.
    pub text: String,
    /// The value of `fill_property`; absent when there is none that is sure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<FilledValue>,
    /// What it says, sentence by sentence; empty where it was made of a given text.
    pub sentences: Vec<AnswerSentence>,
    /// What it rests on.
    pub citations: Vec<Citation>,
    /// The pages it was made of, as far as they were read.
    pub sources: Vec<AnswerSource>,
    /// Whether some of the pages was too long to be read whole.
    pub cut: bool,
    /// True when there is nothing to make it of: no action item, no sure value, no text at all.
    pub not_found: bool,
    /// True when no language model wrote it: it is made of sentences of what was given.
    pub extractive: bool,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What was down or late and therefore left out; empty when all went well.
    pub degraded: Vec<AnswerDegraded>,
    /// Whether it was cut off at the most that may be written.
    pub truncated: bool,
    /// What it took.
    pub usage: AnswerUsage,
    /// What had been read when this was made.
    pub consistency: Consistency,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The request, as logs name it.
    pub request_id: String,
}

/// The word `generation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GenerationObject {
    /// A generation.
    #[default]
    Generation,
}
