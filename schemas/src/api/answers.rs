//! `/v1/answers`: a question answered from the pages that its caller can read, with citations.

use serde::{Deserialize, Serialize};

use super::generate::FilledValue;
use super::search::{Filters, HighlightUnit, object, object_or_null, whole_or_null};
use super::{Consistency, Crumb, PageSummary};
use crate::block::BlockType;
use crate::ids::{BlockId, PageId};
use crate::version::Version;

/// Longest question, in characters.
pub const QUESTION_CHARS_MAX: usize = 1_000;
/// Most turns of the conversation before.
pub const TURNS_MAX: usize = 20;
/// Longest instructions, in characters.
pub const INSTRUCTIONS_CHARS_MAX: usize = 4_000;
/// Longest turn, in characters.
pub const TURN_CHARS_MAX: usize = 8_000;
/// Shortest time an answer may be given, in milliseconds.
pub const ANSWER_TIMEOUT_MS_MIN: u32 = 100;
/// Longest time an answer may be given, in milliseconds; the server may be configured to allow less.
pub const ANSWER_TIMEOUT_MS_MAX: u32 = 300_000;

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The question. `type:` `author:` `in:` `tag:` `before:` `after:` narrow the pages as in a search; everything else is words.
    #[schema(min_length = 1, max_length = 1000)]
    pub question: String,
    /// The conversation that it follows on, kept on this server: the `conversation` of an answer before, or `new`. Not beside `messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^(new|[0-9a-f]{32})$", required = false)]
    pub conversation: Option<String>,
    /// The conversation before it, oldest first, where the caller keeps it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20, required = false)]
    pub messages: Vec<Turn>,
    /// Which pages to answer from, beside what the question itself says.
    #[serde(default, deserialize_with = "object")]
    #[schema(required = false)]
    pub filters: Filters,
    /// How the answer is laid out.
    #[serde(default)]
    #[schema(required = false)]
    pub style: Style,
    /// How long the answer is.
    #[serde(default)]
    #[schema(required = false)]
    pub length: Length,
    /// How to write, in the words of whoever asks; no sources, and no change to what an answer may rest on. Without a language
    /// model it is not heeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 4000)]
    pub instructions: Option<String>,
    /// Whether to answer piece by piece, as server-sent events. `Accept: text/event-stream` says the same.
    #[serde(default)]
    #[schema(required = false)]
    pub stream: bool,
    /// Whether to leave language models out: the answer is made of sentences of the sources alone.
    #[serde(default)]
    #[schema(required = false)]
    pub extractive: bool,
    /// What the answering process must have read at least ("read your writes").
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub at_least: Option<Consistency>,
    /// How long the whole answer may take, in milliseconds.
    #[serde(default, deserialize_with = "whole_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 100, maximum = 300_000)]
    pub timeout_ms: Option<u32>,
}

/// A turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Who said it.
    pub role: TurnRole,
    /// What was said.
    #[schema(max_length = 8000)]
    pub content: String,
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TurnRole {
    /// The person.
    User,
    /// The answering side.
    Assistant,
}

/// How an answer is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Running text.
    #[default]
    Text,
    /// A list.
    Bullets,
}

/// How long an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// A sentence or two.
    Short,
    /// A paragraph.
    #[default]
    Medium,
    /// Several paragraphs.
    Long,
}

/// A text that an answer may rest on. All of it is readable by the caller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnswerSource {
    /// What markers in the answer name it by, from 1.
    pub number: u32,
    /// Its page.
    pub page: PageSummary,
    /// The pages above it, from the root down, as far as the caller can read them.
    pub breadcrumb: Vec<Crumb>,
    /// The headings that it stands under, outermost first.
    pub headings: Vec<String>,
    /// The blocks it consists of, in reading order.
    pub blocks: Vec<SourceBlock>,
    /// How well it fits, 0 to 1. Comparable within one response only.
    pub score: f32,
}

/// A block of a source, or a part of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceBlock {
    /// The block.
    pub block: BlockId,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: BlockType,
    /// The version that was read.
    #[schema(value_type = Object)]
    pub version: Version,
    /// `[start, end)` in the text of the block, counted in `unit`.
    #[schema(value_type = Vec<u32>)]
    pub range: [u32; 2],
    /// What the range counts.
    pub unit: HighlightUnit,
    /// That text. It is content: show it as plain text, never as markup.
    pub text: String,
}

/// A place that a sentence of an answer rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Citation {
    /// The number of the source.
    pub source: u32,
    /// Its page.
    pub page: PageId,
    /// The block.
    pub block: BlockId,
    /// The version of the block that was read.
    #[schema(value_type = Object)]
    pub version: Version,
    /// `[start, end)` of the cited text in the text of the block, counted in `unit`.
    #[schema(value_type = Vec<u32>)]
    pub range: [u32; 2],
    /// What the range counts.
    pub unit: HighlightUnit,
    /// The cited text. It is content: show it as plain text, never as markup.
    pub text: String,
}

/// A sentence of an answer, and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnswerSentence {
    /// What it says, without markers.
    pub text: String,
    /// Places in the list of citations.
    pub citations: Vec<u32>,
    /// How far what it cites bears it out, 0 to 1.
    pub support: f32,
    /// Whether that is enough. A sentence that cites nothing is not supported.
    pub supported: bool,
}

/// What was left out of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerDegraded {
    /// Retrieval by words.
    Lexical,
    /// Retrieval by meaning.
    Semantic,
    /// The language model: it failed, and sentences of the sources answer.
    Model,
    /// The conversation: this turn of it could not be kept.
    Conversation,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnswerUsage {
    /// Tokens that the model read; 0 without one.
    pub prompt_tokens: u64,
    /// Tokens that the model wrote; 0 without one.
    pub completion_tokens: u64,
    /// What that cost, in millionths of the currency of the price table.
    pub cost_micros: u64,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing, by its name in JSON")]
pub struct AnswerResponse {
    /// Always `answer`.
    pub object: AnswerObject,
    /// The answer as Markdown, with markers as `[1]` that name sources.
    pub answer: String,
    /// What it says, sentence by sentence.
    pub sentences: Vec<AnswerSentence>,
    /// What it rests on.
    pub citations: Vec<Citation>,
    /// What it was made from, best first.
    pub sources: Vec<AnswerSource>,
    /// True when nothing that the caller can see answers; `answer` says so.
    pub not_found: bool,
    /// True when no language model wrote it: it is made of sentences of the sources.
    pub extractive: bool,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What was down or late and therefore left out; empty when all went well.
    pub degraded: Vec<AnswerDegraded>,
    /// Whether it was cut off at the most that may be written.
    pub truncated: bool,
    /// Whether a language model had written it before, to the same question from the same sources: it took nothing now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub cached: bool,
    /// The conversation that it is kept in, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub conversation: Option<String>,
    /// What it took.
    pub usage: AnswerUsage,
    /// What had been read when this was answered.
    pub consistency: Consistency,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The request, as logs name it.
    pub request_id: String,
}

/// The word `answer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswerObject {
    /// An answer.
    #[default]
    Answer,
}

/// The first event of a stream, `sources`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourcesEvent {
    /// What the answer is made from, best first.
    pub sources: Vec<AnswerSource>,
    /// The conversation that it follows on or begins, where one was asked for. Of one that ends without `done`, the question alone is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub conversation: Option<String>,
    /// What had been read.
    pub consistency: Consistency,
    /// The request, as logs name it.
    pub request_id: String,
}

/// Some text of the answer: the event `delta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeltaEvent {
    /// The text; all of them one after the other are the answer.
    pub text: String,
}

/// A sentence rests on a place: the event `citation`. It comes when the sentence is complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CitationEvent {
    /// Which sentence, from 0.
    pub sentence: u32,
    /// Which citation of the answer, from 0.
    pub index: u32,
    /// The place.
    pub citation: Citation,
}

/// The last event of a stream that ends well, `done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing, by its name in JSON")]
pub struct DoneEvent {
    /// What it says, sentence by sentence.
    pub sentences: Vec<AnswerSentence>,
    /// True when nothing that the caller can see answers. Text that came before is then to be replaced by `message`.
    pub not_found: bool,
    /// What to show then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// True when no language model wrote it.
    pub extractive: bool,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What was left out.
    pub degraded: Vec<AnswerDegraded>,
    /// Whether it was cut off at the most that may be written.
    pub truncated: bool,
    /// Whether a language model had written it before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub cached: bool,
    /// The conversation that it is kept in, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub conversation: Option<String>,
    /// The value that `fill_property` of `/v1/generate` found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub value: Option<FilledValue>,
    /// Whether some of the pages of `/v1/generate` was too long to be read whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub cut: bool,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The last event of a stream that ends badly, `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorEvent {
    /// Why.
    pub code: AnswerErrorCode,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When, where that is known, in seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub retry_after_seconds: Option<u64>,
}

/// Why a stream ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerErrorCode {
    /// The caller may not read a source any more. Nothing that came before may be kept.
    AccessChanged,
    /// The language model broke off after text had come.
    ModelInterrupted,
    /// No language model answers, and nothing can be done without one.
    ModelUnavailable,
    /// The language models turned the request down.
    ModelRefused,
    /// The tokens of the workspace or of the person are used up.
    BudgetExhausted,
    /// The deadline came first.
    DeadlineExceeded,
    /// A bug, or a disk that fails.
    Internal,
}
