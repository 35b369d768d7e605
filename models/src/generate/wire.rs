//! The messages of the protocol, as far as we write and read them.
//!
//! They are ours and not those of async-openai, because services that call themselves compatible leave out fields that it
//! demands, and give reasons to stop that it does not know. What is not named here is not looked at.

use serde::{Deserialize, Serialize};

use super::config::{EndpointConfig, TokensKey};
use super::{Message, Request, Role, StopReason};

/// The body of a request.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<BodyMessage<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
}

#[derive(Serialize)]
struct BodyMessage<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl<'a> Body<'a> {
    /// The body that asks an endpoint for what a request asks.
    pub(super) fn new(request: &'a Request, endpoint: &'a EndpointConfig) -> Self {
        let tokens_max = |key| (endpoint.tokens_key == key).then_some(request.tokens_max);
        Self {
            model: &endpoint.model,
            messages: request.messages.iter().map(BodyMessage::new).collect(),
            stream: true,
            stream_options: endpoint.tells_usage.then_some(StreamOptions { include_usage: true }),
            max_tokens: tokens_max(TokensKey::MaxTokens),
            max_completion_tokens: tokens_max(TokensKey::MaxCompletionTokens),
            temperature: request.temperature.filter(|_| endpoint.takes_temperature),
        }
    }
}

impl<'a> BodyMessage<'a> {
    fn new(message: &'a Message) -> Self {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        Self { role, content: &message.text }
    }
}

/// One event of a stream.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    /// What the text took, in the last event.
    #[serde(default)]
    pub(super) usage: Option<ChunkUsage>,
    /// A failure after the stream had begun.
    #[serde(default)]
    pub(super) error: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
}

/// What a text took, as the provider counts; none where it leaves a number out.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct ChunkUsage {
    #[serde(default)]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(super) completion_tokens: Option<u64>,
}

impl Chunk {
    /// The text in it, and why the model stopped if it did. Only one text was asked for, so the first choice is it.
    pub(super) fn take(&mut self) -> (Option<String>, Option<StopReason>) {
        let Some(choice) = self.choices.take().and_then(|choices| choices.into_iter().next()) else {
            return (None, None);
        };
        let text = choice.delta.and_then(|delta| delta.content).filter(|text| !text.is_empty());
        let stop = choice.finish_reason.map(|reason| match reason.as_str() {
            "length" => StopReason::Length,
            "content_filter" => StopReason::Filtered,
            // `stop`, and what compatible services say in its place: `eos`, `end_turn`.
            _ => StopReason::Complete,
        });
        (text, stop)
    }
}

/// The body of a refusal; only its short names are looked at, since its message may repeat the prompt or the key.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    error: RefusalReason,
}

#[derive(Debug, Default, Deserialize)]
struct RefusalReason {
    #[serde(default)]
    r#type: Option<serde_json::Value>,
    #[serde(default)]
    code: Option<serde_json::Value>,
}

impl Refusal {
    /// The name of the reason, if it has one that is a plain word.
    pub(super) fn name(&self) -> Option<&str> {
        let is_plain = |name: &&str| {
            (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let RefusalReason { code, r#type } = &self.error;
        [code, r#type].into_iter().flatten().filter_map(serde_json::Value::as_str).find(is_plain)
    }
}
