//! Language models behind endpoints that speak the protocol of OpenAI: the real [`Generate`].
//!
//! [`Providers::ask`] reads as its sentence: set aside what it may cost, choose an endpoint, wait for its first text, and go to
//! the next one as long as none has come and there is time. Invariant: every request to an endpoint has a line in the ledger.

mod choice;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;
use tracing::Instrument as _;

use self::choice::{Asking, Tried};
use super::accounts::{Accounts, Call};
use super::breaker::Standing;
use super::config::{Config, ConfigError};
use super::endpoint::Endpoint;
use super::fault::{Fault, Faults};
use super::ledger::{Ledger, LedgerError};
use super::route::Turns;
use super::writing::Writing;
use super::{Account, Generate, GenerateError, Generating, Generation, Request, Task, tokens};
use crate::metrics::Metrics;
use crate::trace::Propagate;

/// When to come again where it is not known.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a connection may take to be made.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// The time of the calendar, by which budgets begin anew.
    fn now(&self) -> Timestamp;
    /// The time that never goes back, by which endpoints are left alone.
    fn instant(&self) -> Instant;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// Why providers cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProvidersError {
    /// A value of the configuration cannot hold.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An endpoint takes a key and was given none.
    #[error("no key for the endpoint {endpoint}: set the variable {variable}")]
    NoKey {
        /// The endpoint.
        endpoint: String,
        /// The variable of the environment that holds it.
        variable: String,
    },
    /// A key has characters that no request can carry.
    #[error("the key of the endpoint {endpoint} has characters that no key has")]
    BadKey {
        /// The endpoint.
        endpoint: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    /// The ledger could not be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// All configured endpoints.
pub struct Providers {
    config: Config,
    endpoints: Vec<Arc<Endpoint>>,
    turns: Mutex<Turns>,
    /// A place for each request that may wait.
    queue: Semaphore,
    accounts: Arc<Accounts>,
    clock: Arc<dyn Clock>,
}

impl Providers {
    /// Makes clients for all endpoints, and opens the ledger in a folder.
    ///
    /// `keys` has the key of each endpoint that takes one, by the name of the endpoint.
    pub fn open(
        config: Config,
        keys: HashMap<String, SecretString>,
        ledger_dir: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProvidersError> {
        Self::open_traced(config, keys, ledger_dir, clock, None)
    }

    /// As [`Providers::open`]; with `propagate`, endpoints are told the trace that they are asked in.
    pub fn open_traced(
        config: Config,
        mut keys: HashMap<String, SecretString>,
        ledger_dir: &Path,
        clock: Arc<dyn Clock>,
        propagate: Option<&Propagate>,
    ) -> Result<Self, ProvidersError> {
        config.check()?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            // A key and a prompt go nowhere but where they were meant for, and the environment is not looked at.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_MAX)
            .build()
            .map_err(ProvidersError::Client)?;
        let mut endpoints = Vec::new();
        for settings in &config.endpoints {
            let endpoint = settings.name.clone();
            let key = keys.remove(&endpoint);
            if key.is_none() && !settings.key_env.is_empty() {
                return Err(ProvidersError::NoKey { endpoint, variable: settings.key_env.clone() });
            }
            let made = Endpoint::new(settings.clone(), key, &config, http.clone(), propagate.cloned());
            endpoints.push(Arc::new(made.ok_or(ProvidersError::BadKey { endpoint })?));
        }
        let ledger = Arc::new(Ledger::open(ledger_dir, config.ledger.clone(), clock.now())?);
        let metrics = Metrics::default();
        for endpoint in &config.endpoints {
            metrics.expect(&endpoint.name);
        }
        let accounts = Arc::new(Accounts::new(ledger, config.budgets.clone(), Arc::clone(&clock), metrics));
        let turns = Mutex::new(Turns::new(config.routing, endpoints.len()));
        let queue = Semaphore::new(config.queue_len_max);
        Ok(Self { config, endpoints, turns, queue, accounts, clock })
    }

    /// The record of what was spent.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.accounts.ledger
    }

    /// What is counted of them.
    pub fn metrics(&self) -> &Metrics {
        &self.accounts.metrics
    }

    /// Requests that wait for an endpoint.
    pub(crate) fn queue_len(&self) -> usize {
        self.config.queue_len_max.saturating_sub(self.queue.available_permits())
    }

    /// The endpoints by their names, and whether each is left alone at the moment: it failed too often, or asked for that.
    pub(crate) fn left_alone(&self) -> Vec<(&str, bool)> {
        let now = self.clock.instant();
        let is_left_alone = |endpoint: &Endpoint| endpoint.standing(now) != Standing::Ready;
        self.endpoints.iter().map(|endpoint| (endpoint.config.name.as_str(), is_left_alone(endpoint))).collect()
    }

    /// Asks endpoints until one begins to write.
    async fn ask(&self, request: &Request) -> Result<Generation, GenerateError> {
        let mut asking = self.asking(request)?;
        for attempts_left in (0..self.config.attempts_max).rev() {
            let reserved = self.accounts.reserve(request, asking.prompt_tokens)?;
            let (index, permit) = self.choose(&mut asking).await?;
            let call = reserved.begin(&self.endpoints[index].config, request);
            let until = self.silent_at(&asking, index, attempts_left);
            match self.begin(index, permit, request, call, until).await {
                Ok(writing) => {
                    let model = writing.endpoint.config.model.clone();
                    return Ok(Generation { model, pieces: writing.into_pieces() });
                }
                Err(fault) => asking.note(index, &self.endpoints[index].config.name, fault, self.clock.instant()),
            }
        }
        Err(asking.faults.into_error(RETRY_AFTER))
    }

    /// The endpoints that take a request.
    fn asking<'a>(&self, request: &'a Request) -> Result<Asking<'a>, GenerateError> {
        let prompt_tokens = self.count_messages(&request.messages);
        let takes = |index: &usize| prompt_tokens <= self.endpoints[*index].config.prompt_tokens_max;
        let for_task = self.for_task(request.task);
        if for_task.is_empty() {
            return Err(GenerateError::NotConfigured);
        }
        let open: Vec<usize> = for_task.into_iter().filter(takes).collect();
        if open.is_empty() {
            let reason = format!("the messages have {prompt_tokens} tokens, more than any model for this takes");
            return Err(GenerateError::Refused(reason));
        }
        let open = open.into_iter().map(|index| Tried { index, times: 0, not_before: None }).collect();
        Ok(Asking { request, prompt_tokens, open, faults: Faults::default() })
    }

    fn for_task(&self, task: Task) -> Vec<usize> {
        (0..self.endpoints.len()).filter(|&index| self.endpoints[index].config.tasks.contains(&task)).collect()
    }

    /// Asks one endpoint, and waits for its first text until then.
    async fn begin(
        &self,
        index: usize,
        permit: OwnedSemaphorePermit,
        request: &Request,
        mut call: Call,
        until: Instant,
    ) -> Result<Writing, Fault> {
        let endpoint = Arc::clone(&self.endpoints[index]);
        let asked_at = self.clock.instant();
        let span = call.chat.span().clone();
        let begun = match timeout_at(until.into(), endpoint.begin(request, &mut call)).instrument(span).await {
            Ok(begun) => begun,
            Err(_) if until >= request.deadline => Err(Fault::Late),
            Err(_) => Err(Fault::Silent),
        };
        let now = self.clock.instant();
        match begun {
            Ok(begun) => {
                endpoint.started(now.saturating_duration_since(asked_at), now);
                Ok(Writing {
                    endpoint,
                    begun,
                    call,
                    clock: Arc::clone(&self.clock),
                    deadline: request.deadline,
                    silence_max: self.config.silence_max(),
                    first_text_max: self.config.first_text_max(),
                    text_bytes_left: self.config.text_bytes_max,
                    permit,
                })
            }
            Err(fault) => {
                endpoint.note(&fault, now.saturating_duration_since(asked_at), self.config.first_text_max(), now);
                call.settle(fault.outcome(), None);
                Err(fault)
            }
        }
    }
}

impl Generate for Providers {
    fn generate(&self, request: Request) -> Generating<'_> {
        Box::pin(async move { self.ask(&request).await })
    }

    fn models(&self, task: Task) -> Vec<String> {
        let now = self.clock.instant();
        let candidates = self.for_task(task).into_iter().map(|index| self.endpoints[index].candidate(index, now));
        // Of a copy: to be told is not to be asked.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut models: Vec<String> = Vec::new();
        for index in turns.order(candidates.collect()) {
            let model = &self.endpoints[index].config.model;
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        models
    }

    fn count_tokens(&self, text: &str) -> usize {
        tokens::of_text(text)
    }

    fn prompt_tokens_max(&self, task: Task) -> usize {
        // The least of all, so that each can take over from each other.
        let most = |index: usize| self.endpoints[index].config.prompt_tokens_max;
        self.for_task(task).into_iter().map(most).min().unwrap_or(0)
    }

    fn afford(&self, account: &Account, tokens: u64) -> Result<(), GenerateError> {
        self.accounts.afford(account, tokens)
    }
}
