//! What language models are configured with: endpoints, how to choose among them, how long to wait, what may be spent.
//!
//! Raw form only: [`Config::check`] says whether the values can go together. Keys of providers are not among the values: an
//! endpoint names the variable of the environment that holds its key, and whoever starts the providers reads it.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Task;

/// Settings of all language models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How an endpoint is chosen among those that can be asked. Default `weighted`.
    pub routing: Routing,
    /// How long an endpoint may take until its first text, in milliseconds, 1 to 600,000; then the next one is asked. Never more than
    /// half of the time that a request has left, while there is another to ask. Default 20,000.
    pub first_text_ms_max: u64,
    /// How long a text may stand still, in milliseconds, 1 to 600,000; then it is given up. Default 15,000.
    pub silence_ms_max: u64,
    /// How often endpoints are asked for one text, 1 to 20. Default 4.
    pub attempts_max: usize,
    /// Requests that wait because all endpoints have as many as they take, 0 to 10,000; more are turned away. Default 64.
    pub queue_len_max: usize,
    /// How long they wait, in milliseconds, 0 to 60,000. Default 2,000.
    pub queue_ms_max: u64,
    /// Most bytes of one text, 1 KiB to 16 MiB. Default 256 KiB.
    pub text_bytes_max: usize,
    /// Most bytes of one line that an endpoint sends, 1 KiB to 1 MiB. Default 64 KiB.
    pub line_bytes_max: usize,
    /// The endpoints. Default none: no language model is used.
    pub endpoints: Vec<EndpointConfig>,
    /// When an endpoint that fails is left alone.
    pub breaker: BreakerConfig,
    /// What may be spent.
    pub budgets: BudgetConfig,
    /// The record of what was spent.
    pub ledger: LedgerConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            routing: Routing::Weighted,
            first_text_ms_max: 20_000,
            silence_ms_max: 15_000,
            attempts_max: 4,
            queue_len_max: 64,
            queue_ms_max: 2_000,
            text_bytes_max: 256 << 10,
            line_bytes_max: 64 << 10,
            endpoints: Vec::new(),
            breaker: BreakerConfig::default(),
            budgets: BudgetConfig::default(),
            ledger: LedgerConfig::default(),
        }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// In turn, each as often as its weight says.
    Weighted,
    /// The one whose first text came soonest of late, its time divided by its weight.
    Fastest,
}

/// When an endpoint that fails is left alone, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failures in a row after which an endpoint is left alone, 1 to 1,000. Default 5.
    pub failures: u32,
    /// For how long, in milliseconds, 1 to 3,600,000; then one request tries it. Default 30,000.
    pub cool_down_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, cool_down_ms: 30_000 }
    }
}

/// Tokens, read and written together, that may be spent; 0 for no bound. Days and months are those of UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// By a workspace in a day. Default 0.
    pub workspace_tokens_per_day: u64,
    /// By a workspace in a month. Default 0.
    pub workspace_tokens_per_month: u64,
    /// By a user of a workspace in a day. Default 0.
    pub user_tokens_per_day: u64,
    /// By a user of a workspace in a month. Default 0.
    pub user_tokens_per_month: u64,
}

/// The record of what was spent, `usage.ndjson`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// Bytes of calls in a file, 64 KiB or more; then a new one begins, and the one before it is kept beside it. Default 64 MiB.
    pub file_bytes_max: u64,
    /// How long lines are gathered before they are written to disk together, in milliseconds, 1 to 60,000: what a crash may
    /// lose. Default 500.
    pub flush_ms: u64,
    /// Bytes of lines that wait for a disk that does not take them, 4 KiB or more; beyond, no model is asked. Default 4 MiB.
    pub pending_bytes_max: usize,
    /// Sums kept, one for each user, model and day, 100 to 10,000,000, some 200 bytes each. Beyond, those of former months
    /// lose their users, then the days of this month before today are told apart no more, the oldest first, then former days
    /// go; when this month and today alone have more, accounts not seen in this month are turned away. Default 100,000.
    pub sums_max: usize,
    /// How long sums are kept, in days, 62 to 3,660. Default 400.
    pub days: u32,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self { file_bytes_max: 64 << 20, flush_ms: 500, pending_bytes_max: 4 << 20, sums_max: 100_000, days: 400 }
    }
}

/// A service that speaks the protocol of OpenAI, and a model that it runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// What it is called in the log and the ledger; no two have the same. Letters, digits, `-`, `_` and `.`, at most 64.
    pub name: String,
    /// Where it is, up to and without `/chat/completions`: `https://api.openai.com/v1`.
    pub base_url: String,
    /// What it calls the model.
    pub model: String,
    /// The variable of the environment that holds its key. Default empty: it takes none.
    #[serde(default)]
    pub key_env: String,
    /// What it is asked for. Default everything.
    #[serde(default = "all_tasks")]
    pub tasks: Vec<Task>,
    /// How often it is asked beside the others, 0 to 1,000; 0 is asked only when no other can be. Default 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// Texts that it writes side by side, 1 to 10,000. Default 16.
    #[serde(default = "sixteen")]
    pub concurrency: usize,
    /// Most tokens of the messages of a request, 256 to 10,000,000. What the model takes, less what it shall write. Default
    /// 8,000.
    #[serde(default = "eight_thousand")]
    pub prompt_tokens_max: usize,
    /// What a million tokens cost that it reads, in any currency, 0 to 100,000. Default 0.
    #[serde(default)]
    pub prompt_price: f64,
    /// What a million tokens cost that it writes, in the same currency, 0 to 100,000. Default 0.
    #[serde(default)]
    pub completion_price: f64,
    /// What it calls the most tokens to write: `max_tokens`, or `max_completion_tokens` as the newer models of OpenAI do.
    /// Default `max_tokens`.
    #[serde(default = "max_tokens")]
    pub tokens_key: TokensKey,
    /// Whether it takes a temperature; some models refuse it. Default true.
    #[serde(default = "yes")]
    pub takes_temperature: bool,
    /// Whether it can be asked to say at the end of a text what it took. Where it cannot, tokens are counted here, rather too
    /// many. Default true.
    #[serde(default = "yes")]
    pub tells_usage: bool,
}

/// What an endpoint calls the most tokens to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokensKey {
    /// As most do.
    MaxTokens,
    /// As the newer models of OpenAI do.
    MaxCompletionTokens,
}

fn all_tasks() -> Vec<Task> {
    vec![Task::Answer, Task::Rewrite, Task::Compose]
}

fn one() -> u32 {
    1
}

fn sixteen() -> usize {
    16
}

fn eight_thousand() -> usize {
    8_000
}

fn max_tokens() -> TokensKey {
    TokensKey::MaxTokens
}

fn yes() -> bool {
    true
}

/// A value that cannot hold, and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("configuration of language models: `{key}` {requirement}")]
pub struct ConfigError {
    /// The key; of an endpoint, with its name.
    pub key: String,
    /// What its value must be.
    pub requirement: &'static str,
}

fn rule(holds: bool, key: impl Into<String>, requirement: &'static str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError { key: key.into(), requirement }) }
}

impl Config {
    /// Refuses values out of their range, naming the key and what it must be.
    pub fn check(&self) -> Result<(), ConfigError> {
        let ms = 1..=600_000;
        rule(ms.contains(&self.first_text_ms_max), "first_text_ms_max", "must be from 1 to 600,000")?;
        rule(ms.contains(&self.silence_ms_max), "silence_ms_max", "must be from 1 to 600,000")?;
        rule((1..=20).contains(&self.attempts_max), "attempts_max", "must be from 1 to 20")?;
        rule(self.queue_len_max <= 10_000, "queue_len_max", "must be at most 10,000")?;
        rule(self.queue_ms_max <= 60_000, "queue_ms_max", "must be at most 60,000")?;
        let text = (1 << 10)..=(16 << 20);
        rule(text.contains(&self.text_bytes_max), "text_bytes_max", "must be from 1 KiB to 16 MiB")?;
        let line = (1 << 10)..=(1 << 20);
        rule(line.contains(&self.line_bytes_max), "line_bytes_max", "must be from 1 KiB to 1 MiB")?;
        let BreakerConfig { failures, cool_down_ms } = &self.breaker;
        rule((1..=1_000).contains(failures), "breaker.failures", "must be from 1 to 1,000")?;
        rule((1..=3_600_000).contains(cool_down_ms), "breaker.cool_down_ms", "must be from 1 to 3,600,000")?;
        let LedgerConfig { file_bytes_max, flush_ms, pending_bytes_max, sums_max, days } = &self.ledger;
        rule(*file_bytes_max >= 64 << 10, "ledger.file_bytes_max", "must be at least 64 KiB")?;
        rule((1..=60_000).contains(flush_ms), "ledger.flush_ms", "must be from 1 to 60,000")?;
        rule(*pending_bytes_max >= 4 << 10, "ledger.pending_bytes_max", "must be at least 4 KiB")?;
        rule((100..=10_000_000).contains(sums_max), "ledger.sums_max", "must be from 100 to 10,000,000")?;
        rule((62..=3_660).contains(days), "ledger.days", "must be from 62 to 3,660")?;
        rule(self.endpoints.len() <= 64, "endpoints", "must be at most 64")?;
        let mut names = HashSet::new();
        for endpoint in &self.endpoints {
            endpoint.check()?;
            rule(
                names.insert(&endpoint.name),
                format!("{}.name", endpoint.name),
                "must be told apart from all others",
            )?;
        }
        Ok(())
    }

    pub(super) fn first_text_max(&self) -> Duration {
        Duration::from_millis(self.first_text_ms_max)
    }

    pub(super) fn silence_max(&self) -> Duration {
        Duration::from_millis(self.silence_ms_max)
    }

    pub(super) fn queue_max(&self) -> Duration {
        Duration::from_millis(self.queue_ms_max)
    }
}

impl EndpointConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let key = |key: &str| format!("{}.{key}", self.name);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_name = (1..=64).contains(&self.name.len()) && self.name.chars().all(is_plain);
        rule(is_name, key("name"), "must be 1 to 64 letters, digits, `-`, `_` and `.`")?;
        let url = reqwest::Url::parse(&self.base_url).ok();
        let is_base = |url: &reqwest::Url| {
            ["http", "https"].contains(&url.scheme())
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        rule(
            url.as_ref().is_some_and(is_base),
            key("base_url"),
            "must be an address that begins with http:// or https://, without user, query and fragment",
        )?;
        rule((1..=200).contains(&self.model.len()), key("model"), "must have 1 to 200 bytes")?;
        rule(!self.key_env.contains(['=', '\0']), key("key_env"), "must be the name of a variable")?;
        rule(!self.tasks.is_empty(), key("tasks"), "must name a task, of `answer`, `rewrite` and `compose`")?;
        rule(self.weight <= 1_000, key("weight"), "must be at most 1,000")?;
        rule((1..=10_000).contains(&self.concurrency), key("concurrency"), "must be from 1 to 10,000")?;
        let tokens = 256..=10_000_000;
        rule(tokens.contains(&self.prompt_tokens_max), key("prompt_tokens_max"), "must be from 256 to 10,000,000")?;
        let price = 0.0..=100_000.0;
        rule(price.contains(&self.prompt_price), key("prompt_price"), "must be from 0 to 100,000")?;
        rule(price.contains(&self.completion_price), key("completion_price"), "must be from 0 to 100,000")
    }
}
