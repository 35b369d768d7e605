//! What a trace tells of a call to a language model, as OpenTelemetry's conventions for generative AI name it.
//!
//! The only place that knows these names. Messages, which the conventions allow to be told, never are, nor who pays.

use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use super::config::EndpointConfig;
use super::fault::Outcome;
use super::{Request, Task, Usage};
use crate::trace::TARGET;

/// The span of one call.
pub(super) struct Chat(Span);

impl Chat {
    /// Begins with the call, below the span that is current.
    pub(super) fn begin(endpoint: &EndpointConfig, request: &Request) -> Self {
        let (address, port) = server(&endpoint.base_url);
        let span = tracing::info_span!(
            target: TARGET,
            "chat",
            otel.name = format_args!("chat {}", endpoint.model),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = "chat",
            // Whoever it is, it speaks the protocol of this one.
            gen_ai.provider.name = "openai",
            gen_ai.request.model = endpoint.model,
            gen_ai.request.max_tokens = request.tokens_max,
            gen_ai.request.temperature = request.temperature.map(f64::from),
            gen_ai.response.finish_reasons = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            server.address = address,
            server.port = port,
            "error.type" = Empty,
            tessera.endpoint = endpoint.name,
            tessera.task = task_name(request.task),
            tessera.first_text_ms = Empty,
        );
        Self(span)
    }

    /// The span itself, for what is done within it.
    pub(super) fn span(&self) -> &Span {
        &self.0
    }

    /// Notes how soon the first text came.
    pub(super) fn first_text(&self, after: Duration) {
        self.0.record("tessera.first_text_ms", after.as_millis() as u64);
    }

    /// Notes how the call ended, and what it took.
    pub(super) fn end(&self, outcome: Outcome, usage: &Usage) {
        self.0.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
        self.0.record("gen_ai.usage.output_tokens", usage.completion_tokens);
        match outcome {
            Outcome::Complete => self.0.record("gen_ai.response.finish_reasons", "stop"),
            Outcome::Length => self.0.record("gen_ai.response.finish_reasons", "length"),
            Outcome::Filtered => self.0.record("gen_ai.response.finish_reasons", "content_filter"),
            // Whoever asked went away: nothing failed.
            Outcome::Dropped => self.0.record("error.type", "dropped"),
            Outcome::Busy => self.fail("busy"),
            Outcome::Unavailable => self.fail("unavailable"),
            Outcome::Refused => self.fail("refused"),
            Outcome::Silent => self.fail("silent"),
            Outcome::Late => self.fail("late"),
            Outcome::Interrupted => self.fail("interrupted"),
        };
    }

    fn fail(&self, why: &'static str) -> &Span {
        self.0.record("otel.status_code", "ERROR");
        self.0.record("error.type", why)
    }
}

fn task_name(task: Task) -> &'static str {
    match task {
        Task::Answer => "answer",
        Task::Rewrite => "rewrite",
        Task::Compose => "compose",
    }
}

/// The host and the port of an address. What else it may hold, as a name and a password, is not told.
fn server(base_url: &str) -> (String, Option<u16>) {
    match reqwest::Url::parse(base_url) {
        Ok(url) => (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default()),
        Err(_) => (String::new(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_the_host_and_the_port_are_told() {
        assert_eq!(server("http://127.0.0.1:8099/v1"), ("127.0.0.1".to_owned(), Some(8_099)));
        assert_eq!(server("https://name:secret@api.example.com/v1?key=x"), ("api.example.com".to_owned(), Some(443)));
        assert_eq!(server("nowhere"), (String::new(), None));
    }
}
