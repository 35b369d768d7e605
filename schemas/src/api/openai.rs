//! `/v1/chat/completions` and `/v1/models`: the shapes of OpenAI's API, as far as its clients need them.
//!
//! Names and meanings are OpenAI's, not ours. Requests may hold fields that are not known here: what they ask for is looked at where the
//! request is handled.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A conversation whose last message is a question.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
pub struct ChatRequest {
    /// `tessera`, or `tessera-extractive` to leave language models out.
    pub model: String,
    /// The conversation, oldest first. The last message is of the `user` and is the question; `system` and `developer` messages say how to
    /// write.
    #[schema(min_items = 1)]
    pub messages: Vec<ChatMessage>,
    /// Whether to answer piece by piece.
    #[serde(default)]
    pub stream: Option<bool>,
    /// Choices about the stream.
    #[serde(default)]
    pub stream_options: Option<StreamOptions>,
    /// Most tokens that a language model writes; not more than the server allows.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_completion_tokens: Option<u32>,
    /// The former name of `max_completion_tokens`.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub max_tokens: Option<u32>,
    /// How freely a language model chooses words.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// How many answers to give; one.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1)]
    pub n: Option<u32>,
    /// Everything else.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub rest: Map<String, Value>,
}

/// Choices about a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
pub struct StreamOptions {
    /// Whether the last chunk says what the answer took.
    #[serde(default)]
    pub include_usage: Option<bool>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
pub struct ChatMessage {
    /// `system`, `developer`, `user` or `assistant`.
    pub role: String,
    /// What it says.
    #[serde(default)]
    pub content: Option<ChatContent>,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum ChatContent {
    /// As a text.
    Text(String),
    /// In parts.
    Parts(Vec<ChatPart>),
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
pub struct ChatPart {
    /// `text`; nothing else is taken.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChatCompletion {
    /// What it is called.
    pub id: String,
    /// Always `chat.completion`.
    pub object: &'static str,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// The model that was named in the request.
    pub model: String,
    /// The one answer.
    pub choices: Vec<ChatChoice>,
    /// What it took.
    pub usage: ChatUsage,
    /// What OpenAI's shape has no place for.
    pub tessera: ChatAbout,
}

/// An answer among others.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChatChoice {
    /// Its number, 0.
    pub index: u32,
    /// The answer.
    pub message: ChatAnswer,
    /// Always absent.
    pub logprobs: Option<()>,
    /// `stop`, or `length` when it was cut off.
    pub finish_reason: &'static str,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChatAnswer {
    /// Always `assistant`.
    pub role: &'static str,
    /// The answer as Markdown, with markers as `[1]`.
    pub content: String,
    /// Always absent.
    pub refusal: Option<()>,
    /// The page that each marker names.
    pub annotations: Vec<ChatAnnotation>,
}

/// A page that a marker names.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChatAnnotation {
    /// Always `url_citation`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The page.
    pub url_citation: UrlCitation,
}

/// A page that a marker names, and where the marker stands.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct UrlCitation {
    /// Where the marker begins, in Unicode characters of the content.
    pub start_index: usize,
    /// Where it ends.
    pub end_index: usize,
    /// Where people open the page.
    pub url: String,
    /// Its title.
    pub title: String,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChatUsage {
    /// Tokens that the language model read; 0 without one.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
}

/// What OpenAI's shape has no place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ChatAbout {
    /// True when nothing that the caller can see answers.
    pub not_found: bool,
    /// True when no language model wrote it.
    pub extractive: bool,
}

/// Some of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChatChunk {
    /// What the answer is called.
    pub id: String,
    /// Always `chat.completion.chunk`.
    pub object: &'static str,
    /// When it was begun, in seconds since 1970.
    pub created: i64,
    /// The model that was named in the request.
    pub model: String,
    /// What is new; empty in the chunk that has `usage`.
    pub choices: Vec<ChatChunkChoice>,
    /// What it took, in the last chunk where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ChatUsage>,
    /// What OpenAI's shape has no place for, in the chunk that has `finish_reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tessera: Option<ChatAbout>,
}

/// What is new of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChatChunkChoice {
    /// Its number, 0.
    pub index: u32,
    /// What is new.
    pub delta: ChatDelta,
    /// Always absent.
    pub logprobs: Option<()>,
    /// `stop` or `length` in the last one.
    pub finish_reason: Option<&'static str>,
}

/// What is new of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ChatDelta {
    /// `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Some text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The pages that the markers name, once the text is complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<ChatAnnotation>,
}

/// The models that can be named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The models.
    pub data: Vec<ModelView>,
}

/// A model that can be named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelView {
    /// What to call it.
    pub id: &'static str,
    /// Always `model`.
    pub object: &'static str,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Always `tessera`.
    pub owned_by: &'static str,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OpenAiProblem {
    /// What is wrong.
    pub error: OpenAiError,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OpenAiError {
    /// What is wrong, and what to do.
    pub message: String,
    /// The kind of error: `invalid_request_error`, `authentication_error`, `permission_error`, `insufficient_quota`,
    /// `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The parameter that is to blame.
    pub param: Option<String>,
    /// The code: that of a problem, `model_not_found`, `insufficient_quota` or `rate_limit_exceeded`.
    pub code: &'static str,
}
