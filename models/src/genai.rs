//! What a trace tells of calls to language models, and of tools that assistants call, as OpenTelemetry's conventions for generative AI name it.
//!
//! The only place in the workspace that knows these names. Messages, which the conventions allow to be told, never are, nor who pays.

use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use crate::generate::{EndpointConfig, Outcome, Request, Task, Usage};
use crate::trace::TARGET;

/// Says why a model stopped; a list by the conventions, which no span of `tracing` can hold: whoever exports it makes it one.
pub const FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// All names of the conventions that spans of ours have.
pub const ATTRIBUTES: [&str; 9] = [
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.max_tokens",
    "gen_ai.request.model",
    "gen_ai.request.temperature",
    FINISH_REASONS,
    "gen_ai.tool.name",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
];

/// Providers by the ends of their hosts, as the conventions call them.
const PROVIDERS: [(&str, &str); 9] = [
    ("openai.com", "openai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("anthropic.com", "anthropic"),
    ("mistral.ai", "mistral_ai"),
    ("groq.com", "groq"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
];

/// The span of a tool that an assistant calls. Its failure is told by [`tool_failed`].
pub fn tool(name: &'static str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "tool",
        otel.name = format_args!("tools/call {name}"),
        otel.status_code = Empty,
        mcp.method.name = "tools/call",
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = name,
        error.type = Empty,
    )
}

/// Says that a tool gave an error, as the conventions name that.
pub fn tool_failed(span: &Span) {
    span.record("error.type", "tool_error").record("otel.status_code", "ERROR");
}

/// The span of one call.
pub(crate) struct Chat(Span);

impl Chat {
    /// Begins with the call, below the span that is current.
    pub(crate) fn begin(endpoint: &EndpointConfig, request: &Request) -> Self {
        let (address, port) = server(&endpoint.base_url);
        let span = tracing::info_span!(
            target: TARGET,
            "chat",
            otel.name = format_args!("chat {}", endpoint.model),
            otel.kind = "client",
            otel.status_code = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = provider(&address),
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
    pub(crate) fn span(&self) -> &Span {
        &self.0
    }

    /// Notes how soon the first text came.
    pub(crate) fn first_text(&self, after: Duration) {
        self.0.record("tessera.first_text_ms", after.as_millis() as u64);
    }

    /// Notes how the call ended, and what it took where that is known: of a call that was turned away, nothing is.
    pub(crate) fn end(&self, outcome: Outcome, usage: &Usage) {
        if usage.prompt_tokens > 0 || usage.completion_tokens > 0 {
            self.0.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
            self.0.record("gen_ai.usage.output_tokens", usage.completion_tokens);
        }
        match outcome {
            Outcome::Complete => self.0.record("gen_ai.response.finish_reasons", "stop"),
            Outcome::Length => self.0.record("gen_ai.response.finish_reasons", "length"),
            Outcome::Filtered => self.0.record("gen_ai.response.finish_reasons", "content_filter"),
            // Whoever asked went away: nothing failed.
            Outcome::Dropped => self.0.record("error.type", outcome.name()),
            Outcome::Busy
            | Outcome::Unavailable
            | Outcome::Refused
            | Outcome::Silent
            | Outcome::Late
            | Outcome::Interrupted => self.0.record("otel.status_code", "ERROR").record("error.type", outcome.name()),
        };
    }
}

fn task_name(task: Task) -> &'static str {
    match task {
        Task::Answer => "answer",
        Task::Rewrite => "rewrite",
        Task::Compose => "compose",
    }
}

/// Who is asked at a host. Whoever else it is speaks the protocol of OpenAI, which the conventions then have said.
fn provider(host: &str) -> &'static str {
    let is_of = |end: &str| host.strip_suffix(end).is_some_and(|begin| begin.is_empty() || begin.ends_with('.'));
    PROVIDERS.iter().find(|(end, _)| is_of(end)).map_or("openai", |(_, name)| *name)
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
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;
    use crate::generate::{Account, Meter};

    #[test]
    fn of_an_address_the_host_and_the_port_are_told() {
        assert_eq!(server("http://127.0.0.1:8099/v1"), ("127.0.0.1".to_owned(), Some(8_099)));
        assert_eq!(server("https://name:secret@api.example.com/v1?key=x"), ("api.example.com".to_owned(), Some(443)));
        assert_eq!(server("nowhere"), (String::new(), None));
    }

    #[test]
    fn a_provider_is_called_as_the_conventions_have_it() {
        for (host, name) in [
            ("api.openai.com", "openai"),
            ("ours.openai.azure.com", "azure.ai.openai"),
            ("api.mistral.ai", "mistral_ai"),
            ("api.x.ai", "x_ai"),
            // No provider, but a host that ends alike.
            ("max.ai.example.com", "openai"),
            ("notgroq.com", "openai"),
            ("127.0.0.1", "openai"),
        ] {
            assert_eq!(provider(host), name, "{host}");
        }
    }

    /// What a span told, by name.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<BTreeMap<String, String>>>);

    impl Visit for Told {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.lock().unwrap().insert(field.name().to_owned(), format!("{value:?}"));
        }
    }

    impl<S: tracing::Subscriber> Layer<S> for Told {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            attributes.record(&mut self.clone());
        }

        fn on_record(&self, _: &Id, record: &Record<'_>, _: Context<'_, S>) {
            record.record(&mut self.clone());
        }
    }

    fn told(outcome: Outcome, usage: Usage) -> BTreeMap<String, String> {
        let endpoint: EndpointConfig =
            toml::from_str("name = \"a\"\nbase_url = \"https://api.groq.com/v1\"\nmodel = \"m\"").unwrap();
        let request = Request {
            task: Task::Answer,
            messages: Vec::new(),
            tokens_max: 7,
            temperature: None,
            deadline: Instant::now(),
            account: Account { workspace: "acme".into(), user: "ada".into() },
            meter: Meter::default(),
        };
        let told = Told::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(told.clone()), || {
            Chat::begin(&endpoint, &request).end(outcome, &usage);
            tool("search");
        });
        let told = told.0.lock().unwrap().clone();
        for name in told.keys().filter(|name| name.starts_with("gen_ai.")) {
            assert!(ATTRIBUTES.contains(&name.as_str()), "{name} is not among those that are let out");
        }
        told
    }

    /// A trace told that a call that nobody answered took 0 tokens, as if it had been answered for nothing.
    #[test]
    fn what_a_call_took_is_told_where_it_is_known() {
        let refused = told(Outcome::Refused, Usage::default());
        assert_eq!(refused["error.type"], "\"refused\"");
        assert!(!refused.contains_key("gen_ai.usage.input_tokens"), "{refused:?}");
        let complete = told(Outcome::Complete, Usage { prompt_tokens: 210, completion_tokens: 12, cost_micros: 0 });
        assert_eq!(
            (complete["gen_ai.usage.input_tokens"].as_str(), complete["gen_ai.usage.output_tokens"].as_str()),
            ("210", "12")
        );
        assert_eq!(complete["gen_ai.provider.name"], "\"groq\"");
    }
}
