//! Reading a conversation in OpenAI's shape as a question.
//!
//! Pure. Older turns than an answer takes are left out, as clients send all of a conversation each time, and long ones are cut.

use schemas::api::answers::{
    AnswerRequest, INSTRUCTIONS_CHARS_MAX, QUESTION_CHARS_MAX, TURN_CHARS_MAX, TURNS_MAX, Turn, TurnRole,
};
use schemas::api::openai::{ChatContent, ChatMessage, ChatRequest};
use serde_json::Value;

use super::{EXTRACTIVE_MODEL, known};
use crate::answer::answering::Sampling;
use crate::http::problem::ApiError;

/// Most messages that are looked at.
const MESSAGES_MAX: usize = 1_000;

/// What is asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) request: AnswerRequest,
    pub(super) sampling: Sampling,
    /// As it was named.
    pub(super) model: &'static str,
    pub(super) include_usage: bool,
}

/// The question of a conversation.
pub(super) fn question(request: &ChatRequest) -> Result<Question, ApiError> {
    let model = known(&request.model)?;
    refuse_what_cannot_be_had(request)?;
    if request.messages.len() > MESSAGES_MAX {
        return Err(ApiError::field("messages", format!("must have at most {MESSAGES_MAX} messages")));
    }
    let (mut turns, mut wishes) = (Vec::new(), Vec::new());
    for (at, message) in request.messages.iter().enumerate() {
        let Some(text) = text_of(message, at)?.filter(|text| !text.trim().is_empty()) else { continue };
        match message.role.as_str() {
            "system" | "developer" => wishes.push(text),
            "user" => turns.push(Turn { role: TurnRole::User, content: text }),
            "assistant" => turns.push(Turn { role: TurnRole::Assistant, content: text }),
            _ => {
                let field = format!("messages[{at}].role");
                return Err(ApiError::field(field, "must be `system`, `developer`, `user` or `assistant`"));
            }
        }
    }
    let last = turns.pop().filter(|turn| turn.role == TurnRole::User);
    let question =
        last.ok_or_else(|| ApiError::field("messages", "must end with a message of the `user` that is not empty"))?;
    let chars = question.content.chars().count();
    if chars > QUESTION_CHARS_MAX {
        let reason = format!("must end with a question of at most {QUESTION_CHARS_MAX} characters, it has {chars}");
        return Err(ApiError::field("messages", reason));
    }
    let wishes = wishes.join("\n");
    let chars = wishes.chars().count();
    if chars > INSTRUCTIONS_CHARS_MAX {
        let reason =
            format!("must have at most {INSTRUCTIONS_CHARS_MAX} characters of `system` messages, there are {chars}");
        return Err(ApiError::field("messages", reason));
    }
    let oldest = turns.len().saturating_sub(TURNS_MAX);
    let mut messages = turns.split_off(oldest);
    for turn in &mut messages {
        if let Some((end, _)) = turn.content.char_indices().nth(TURN_CHARS_MAX) {
            turn.content.truncate(end);
        }
    }
    let stream = request.stream.unwrap_or_default();
    let include_usage = request.stream_options.and_then(|options| options.include_usage).unwrap_or_default();
    Ok(Question {
        request: AnswerRequest {
            question: question.content,
            messages,
            instructions: (!wishes.is_empty()).then_some(wishes),
            stream,
            extractive: model == EXTRACTIVE_MODEL,
            ..AnswerRequest::default()
        },
        sampling: Sampling {
            tokens_max: request.max_completion_tokens.or(request.max_tokens),
            temperature: request.temperature,
        },
        model,
        include_usage,
    })
}

/// The text of a message; nothing where it has none, as one that called tools.
fn text_of(message: &ChatMessage, at: usize) -> Result<Option<String>, ApiError> {
    match &message.content {
        None => Ok(None),
        Some(ChatContent::Text(text)) => Ok(Some(text.clone())),
        Some(ChatContent::Parts(parts)) => {
            let mut texts = Vec::new();
            for part in parts {
                let text = part.text.as_deref().filter(|_| part.kind == "text");
                texts.push(text.ok_or_else(|| {
                    ApiError::field(
                        format!("messages[{at}].content"),
                        "must be text: pictures, sounds and files are not taken",
                    )
                })?);
            }
            Ok(Some(texts.join("\n")))
        }
    }
}

/// Names a parameter that asks for another answer than can be given.
fn refuse_what_cannot_be_had(request: &ChatRequest) -> Result<(), ApiError> {
    let refuse = |field: &str, reason: &str| Err(ApiError::field(field, reason));
    let given = |name: &str| request.rest.get(name).filter(|value| !is_nothing(value));
    if request.n.is_some_and(|n| n != 1) {
        return refuse("n", "must be 1: there is one answer");
    }
    if request.max_completion_tokens.or(request.max_tokens) == Some(0) {
        return refuse("max_completion_tokens", "must be at least 1");
    }
    if request.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return refuse("temperature", "must be from 0 to 2");
    }
    let calls_nothing = |name: &str| given(name).is_some_and(|choice| choice == "none");
    for (tools, choice) in [("tools", "tool_choice"), ("functions", "function_call")] {
        if given(tools).is_some() && !calls_nothing(choice) {
            return refuse(tools, "must be empty: no tools are called here");
        }
    }
    let format = given("response_format").and_then(|format| format.get("type"));
    if format.is_some_and(|kind| kind != "text") {
        return refuse("response_format", "must be of the type `text`");
    }
    if given("logprobs").is_some_and(|value| *value != Value::Bool(false)) || given("top_logprobs").is_some() {
        return refuse("logprobs", "must be false: probabilities of tokens are not known");
    }
    for name in ["stop", "logit_bias", "audio"] {
        if given(name).is_some() {
            return refuse(name, "is not supported: leave it out");
        }
    }
    let modalities = given("modalities").and_then(Value::as_array);
    if modalities.is_some_and(|all| all.iter().any(|kind| kind != "text")) {
        return refuse("modalities", "must be `text` alone");
    }
    Ok(())
}

/// Whether a value says as much as its absence.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(request: Value) -> Result<Question, ApiError> {
        question(&serde_json::from_value(request).unwrap())
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": text})
    }

    #[test]
    fn the_last_message_is_the_question_and_the_others_the_conversation() {
        let request = json!({"model": "tessera", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 50,
            "temperature": 0, "top_p": 0.5, "seed": 3, "user": "somebody", "tools": [], "stop": null, "metadata": {"a": "b"},
            "messages": [{"role": "system", "content": "Be brief."}, user("Who?"), {"role": "assistant", "content": "Ada.", "refusal": null},
                {"role": "assistant", "content": null, "tool_calls": []},
                {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "when?"}]}]});
        let read = read(request).unwrap();
        assert_eq!(read.request.question, "And\nwhen?");
        let turns: Vec<&str> = read.request.messages.iter().map(|turn| turn.content.as_str()).collect();
        assert_eq!(turns, ["Who?", "Ada."]);
        assert_eq!(read.request.instructions.as_deref(), Some("Be brief."));
        assert_eq!(read.sampling, Sampling { tokens_max: Some(50), temperature: Some(0.0) });
        assert!(read.request.stream && read.include_usage && !read.request.extractive);
    }

    #[test]
    fn a_long_conversation_loses_its_beginning() {
        let mut messages: Vec<Value> = (0..50).map(|at| user(&format!("{at}{}", "x".repeat(9_000)))).collect();
        messages.push(user("Now?"));
        let read = read(json!({"model": "tessera-extractive", "messages": messages})).unwrap();
        assert_eq!(read.request.messages.len(), TURNS_MAX);
        assert!(read.request.messages[0].content.starts_with("30x") && read.request.extractive);
        assert!(read.request.messages.iter().all(|turn| turn.content.chars().count() == TURN_CHARS_MAX));
    }

    #[test]
    fn what_would_make_another_answer_is_refused_by_name() {
        for (rest, field) in [
            (json!({"tools": [{"type": "function"}]}), "tools"),
            (json!({"functions": [{"name": "x"}]}), "functions"),
            (json!({"n": 2}), "n"),
            (json!({"response_format": {"type": "json_object"}}), "response_format"),
            (json!({"logprobs": true}), "logprobs"),
            (json!({"stop": ["\n"]}), "stop"),
            (json!({"modalities": ["text", "audio"]}), "modalities"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"max_tokens": 0}), "max_completion_tokens"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": [user("x"), {"role": "assistant", "content": "y"}]}), "messages"),
            (json!({"messages": [user(&"x".repeat(1_001))]}), "messages"),
            (json!({"messages": [{"role": "tool", "content": "x"}, user("x")]}), "messages[0].role"),
            (json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "messages[0].content"),
            (json!({"model": "gpt-5"}), "model"),
        ] {
            let mut request = json!({"model": "tessera", "messages": [user("x")]});
            request.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            let error = read(request).unwrap_err();
            assert_eq!(error.first_field(), Some(field), "{rest}");
        }
        let harmless = json!({"tools": [{"type": "function"}], "tool_choice": "none", "logprobs": false, "response_format": {"type": "text"}});
        let mut request = json!({"model": "tessera", "messages": [user("x")]});
        request.as_object_mut().unwrap().extend(harmless.as_object().unwrap().clone());
        read(request).unwrap();
    }
}
