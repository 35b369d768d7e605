//! Telling an answer in OpenAI's shape, whole or chunk by chunk.

use std::collections::VecDeque;
use std::time::Duration;

use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::unfold;
use schemas::api::answers::{AnswerResponse, AnswerSource, AnswerUsage, DoneEvent};
use schemas::api::openai::{
    ChatAbout, ChatAnnotation, ChatAnswer, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatDelta,
    ChatUsage, UrlCitation,
};
use serde::Serialize;

use crate::answer::answering::Answering;
use crate::answer::defuse::visible;
use crate::answer::outgoing::AnswerEvent;
use crate::error::QueryError;
use crate::http::App;
use crate::http::problem::ApiError;
use crate::http::sse::streamed;

/// What all chunks of an answer say alike.
pub(super) struct Teller {
    pub(super) app: App,
    pub(super) id: String,
    pub(super) model: &'static str,
    pub(super) created: i64,
    pub(super) include_usage: bool,
}

impl Teller {
    /// The whole answer.
    pub(super) fn whole(self, answer: AnswerResponse) -> ChatCompletion {
        let sources: Vec<Linked> = answer.sources.iter().map(|source| self.linked(source)).collect();
        let annotations = if answer.not_found { Vec::new() } else { annotations(&answer.answer, &sources) };
        ChatCompletion {
            id: self.id,
            object: "chat.completion",
            created: self.created,
            model: self.model.to_owned(),
            choices: vec![ChatChoice {
                index: 0,
                message: ChatAnswer { role: "assistant", content: answer.answer, refusal: None, annotations },
                logprobs: None,
                finish_reason: finish_reason(answer.truncated),
            }],
            usage: usage(answer.usage),
            tessera: ChatAbout { not_found: answer.not_found, extractive: answer.extractive },
        }
    }

    /// The answer as it comes.
    pub(super) fn streamed(self, answering: Answering, heartbeat: Duration) -> Response {
        let chunks = Chunks {
            telling: self,
            answering,
            sources: Vec::new(),
            text: String::new(),
            usage: AnswerUsage::default(),
            queue: VecDeque::new(),
        };
        let events = unfold(chunks, |mut chunks| async move {
            let event = chunks.next().await?;
            Some((event, chunks))
        });
        streamed(events, heartbeat)
    }

    fn chunk(&self, choice: Option<ChatChunkChoice>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.to_owned(),
            choices: choice.into_iter().collect(),
            usage: None,
            tessera: None,
        }
    }

    fn linked(&self, source: &AnswerSource) -> Linked {
        Linked { url: self.app.page_address(&source.page), title: visible(&source.page.title) }
    }
}

/// A source that markers name.
#[derive(Debug)]
struct Linked {
    url: String,
    title: String,
}

/// An answer that is told chunk by chunk.
struct Chunks {
    telling: Teller,
    answering: Answering,
    sources: Vec<Linked>,
    /// What went out.
    text: String,
    usage: AnswerUsage,
    queue: VecDeque<Event>,
}

impl Chunks {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            match self.answering.next().await? {
                AnswerEvent::Sources(event) => {
                    self.sources = event.sources.iter().map(|source| self.telling.linked(source)).collect();
                    let delta =
                        ChatDelta { role: Some("assistant"), content: Some(String::new()), ..ChatDelta::default() };
                    self.push(delta, None, None);
                }
                AnswerEvent::Delta(event) => self.say(event.text),
                AnswerEvent::Citation(_) => {}
                AnswerEvent::Usage(usage) => self.usage = usage,
                AnswerEvent::Done(event) => self.close(event),
                AnswerEvent::Error(_) => {
                    let failure = self.answering.failure().unwrap_or(QueryError::DeadlineExceeded);
                    let problem = super::problem(&ApiError::from(failure).body(""));
                    self.queue.push_back(data(&problem));
                }
            }
        }
    }

    fn say(&mut self, text: String) {
        self.text.push_str(&text);
        self.push(ChatDelta { content: Some(text), ..ChatDelta::default() }, None, None);
    }

    fn close(&mut self, done: DoneEvent) {
        if let Some(message) = done.message {
            // What went out cannot be taken back here: no sentence of it was borne out.
            let apart = if self.text.is_empty() { "" } else { "\n\n" };
            self.say(format!("{apart}{message}"));
        }
        let annotations = if done.not_found { Vec::new() } else { annotations(&self.text, &self.sources) };
        if !annotations.is_empty() {
            self.push(ChatDelta { annotations, ..ChatDelta::default() }, None, None);
        }
        let about = ChatAbout { not_found: done.not_found, extractive: done.extractive };
        self.push(ChatDelta::default(), Some(finish_reason(done.truncated)), Some(about));
        if self.telling.include_usage {
            let chunk = ChatChunk { usage: Some(usage(self.usage)), ..self.telling.chunk(None) };
            self.queue.push_back(data(&chunk));
        }
        self.queue.push_back(Event::default().data("[DONE]"));
    }

    fn push(&mut self, delta: ChatDelta, finish_reason: Option<&'static str>, tessera: Option<ChatAbout>) {
        let choice = ChatChunkChoice { index: 0, delta, logprobs: None, finish_reason };
        let chunk = ChatChunk { tessera, ..self.telling.chunk(Some(choice)) };
        self.queue.push_back(data(&chunk));
    }
}

fn data(value: &impl Serialize) -> Event {
    Event::default().data(serde_json::to_string(value).expect("a chunk is text, numbers and lists of them"))
}

fn finish_reason(truncated: bool) -> &'static str {
    if truncated { "length" } else { "stop" }
}

fn usage(usage: AnswerUsage) -> ChatUsage {
    let AnswerUsage { prompt_tokens, completion_tokens, .. } = usage;
    ChatUsage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

/// The page that each marker of a text names. A `[1]` that is no marker never goes out, so that each is one.
fn annotations(text: &str, sources: &[Linked]) -> Vec<ChatAnnotation> {
    let mut found = Vec::new();
    let mut begun: Option<(usize, usize)> = None;
    for (at, (byte, c)) in text.char_indices().enumerate() {
        match (c, begun) {
            ('[', _) => begun = Some((at, byte + 1)),
            (']', Some((start_index, digits))) => {
                let number = text[digits..byte].parse::<usize>().ok().and_then(|number| number.checked_sub(1));
                if let Some(Linked { url, title }) = number.and_then(|number| sources.get(number)) {
                    let (url, title) = (url.clone(), title.clone());
                    let url_citation = UrlCitation { start_index, end_index: at + 1, url, title };
                    found.push(ChatAnnotation { kind: "url_citation", url_citation });
                }
                begun = None;
            }
            (c, Some(_)) if !c.is_ascii_digit() => begun = None,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_where_they_stand_counted_in_characters() {
        let sources = ["a", "b"].map(|name| Linked { url: format!("https://x/{name}"), title: name.to_owned() });
        let found = annotations("Ünï [1]. [x] [2][9] [[1]", &sources);
        let found: Vec<_> = found
            .iter()
            .map(|of| (of.url_citation.title.as_str(), of.url_citation.start_index, of.url_citation.end_index))
            .collect();
        assert_eq!(found, [("a", 4, 7), ("b", 13, 16), ("a", 21, 24)]);
    }
}
