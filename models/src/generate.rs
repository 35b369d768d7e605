//! Generation: messages in, a stream of text out, by whichever language model is configured, or by none.
//!
//! [`Generate`] is the door: what asks for text knows no provider, no key and no price. This module stores no text and never
//! logs one, knows no page and no access rule. Invariants: after a first piece of text a stream is never begun again by another
//! model, so a reader sees one text; a stream ends with one [`Piece::End`] or with one error.

mod accounts;
mod breaker;
mod budget;
mod config;
mod door;
mod endpoint;
mod fault;
mod ledger;
mod providers;
mod route;
mod tokens;
mod wire;
mod writing;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::Stream;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use config::{BreakerConfig, BudgetConfig, Config, ConfigError, EndpointConfig, LedgerConfig, Routing, TokensKey};
pub use fault::Outcome;
pub use ledger::{Entry, Ledger, LedgerError, Sum, Totals};
pub use providers::{Clock, Providers, ProvidersError, SystemClock};
/// A key of a provider: printed by nothing.
pub use secrecy::SecretString as Secret;

/// What a message takes beside its text: its role, and marks of its beginning and end.
const MESSAGE_TOKENS: usize = 8;
/// What begins the answer to messages.
const ANSWER_TOKENS: usize = 8;

/// Something that writes text when asked.
pub trait Generate: Send + Sync + 'static {
    /// Begins to generate. Answers once a model has begun to write, or none will; dropping the stream stops it, and what it
    /// has cost until then is accounted for.
    fn generate(&self, request: Request) -> Generating<'_>;

    /// The models that may be asked for a task, best first; empty where none is configured.
    fn models(&self, task: Task) -> Vec<String>;

    /// About how many tokens a text takes, never fewer than the model at hand would count.
    fn count_tokens(&self, text: &str) -> usize;

    /// About how many tokens messages take with what is put around their texts, never fewer.
    fn count_messages(&self, messages: &[Message]) -> usize {
        messages.iter().map(|message| self.count_tokens(&message.text) + MESSAGE_TOKENS).sum::<usize>() + ANSWER_TOKENS
    }

    /// Most tokens that the messages of a request for a task may have, as [`Generate::count_messages`] counts them.
    fn prompt_tokens_max(&self, task: Task) -> usize;

    /// Says whether so many tokens are left in the budgets of an account, and sets none aside: a request that is made later may
    /// still be turned away. The error is [`GenerateError::Budget`].
    fn afford(&self, account: &Account, tokens: u64) -> Result<(), GenerateError> {
        let _ = (account, tokens);
        Ok(())
    }
}

/// The answer to a request, when it comes.
pub type Generating<'a> = Pin<Box<dyn Future<Output = Result<Generation, GenerateError>> + Send + 'a>>;

/// What a model writes, piece by piece.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Piece, GenerateError>> + Send>>;

/// A text that is being written.
pub struct Generation {
    /// The model that writes it.
    pub model: String,
    /// The text as it comes. Ends after [`Piece::End`] or the first error.
    pub pieces: Pieces,
}

/// What is asked of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What the text is for: picks the model.
    pub task: Task,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// Most tokens to write.
    pub tokens_max: u32,
    /// How freely to choose words, 0 to 2; none for the model's own.
    pub temperature: Option<f32>,
    /// When the text must be complete.
    pub deadline: Instant,
    /// Who pays.
    pub account: Account,
    /// What the calls that it took are added to, however each ended, as the ledger has them.
    pub meter: Meter,
}

/// What calls to language models took together. Cloning gives the same one.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Usage>>);

impl Meter {
    /// Adds what a call took.
    pub fn add(&self, usage: &Usage) {
        let Usage { prompt_tokens, completion_tokens, cost_micros } = *usage;
        let mut total = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        total.prompt_tokens = total.prompt_tokens.saturating_add(prompt_tokens);
        total.completion_tokens = total.completion_tokens.saturating_add(completion_tokens);
        total.cost_micros = total.cost_micros.saturating_add(cost_micros);
    }

    /// What they took until now.
    pub fn total(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Meter {
    fn eq(&self, other: &Self) -> bool {
        self.total() == other.total()
    }
}

/// What a text is for. Each may be written by another model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// An answer from sources.
    Answer,
    /// A question made to stand alone, from the conversation before it.
    Rewrite,
    /// A text made of another text.
    Compose,
}

/// Who a text is written for: budgets and the ledger go by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The workspace.
    pub workspace: String,
    /// The user in it.
    pub user: String,
}

/// A part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub text: String,
}

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The product.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

/// A piece of what a model writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some text; never empty.
    Text(String),
    /// It is complete, and this is how it ended. The last piece.
    End(End),
}

/// How a text ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Why the model stopped.
    pub reason: StopReason,
    /// What it took: as the provider says, else as counted here.
    pub usage: Usage,
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It had said all.
    Complete,
    /// It came to the most tokens it may write.
    Length,
    /// The provider held the rest back.
    Filtered,
}

/// What a text took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// What it cost, in millionths of the currency of the price table.
    pub cost_micros: u64,
}

/// Why no text came, or no more of it.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// No model is configured for the task.
    #[error("no language model is configured for this")]
    NotConfigured,
    /// The workspace or the user has used up its tokens.
    #[error("the budget of {whose} is used up")]
    Budget {
        /// `workspace` or `user`.
        whose: &'static str,
        /// When there is some again.
        retry_after: Duration,
    },
    /// All models are busy, or asked to be left alone for a while.
    #[error("all language models are busy")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// No model could be reached, or none answered as it should. Nothing was written.
    #[error("no language model answers: {0}")]
    Unavailable(String),
    /// The request was turned down by the provider: too long, not allowed, a wrong key.
    #[error("the language model turned the request down: {0}")]
    Refused(String),
    /// The stream broke off after text had come.
    #[error("the language model broke off: {0}")]
    Interrupted(String),
    /// The deadline came first.
    #[error("the language model did not finish in time")]
    Late,
}

impl GenerateError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::NotConfigured | Self::Refused(_))
    }
}
