//! Calls and what they take: set aside in the budgets when one begins, counted there and in the ledger when it is over.
//!
//! A [`Call`] is settled exactly once, whatever becomes of it: by how it ended, or when it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::{Budgets, day_of};
use super::config::{BudgetConfig, EndpointConfig};
use super::fault::Outcome;
use super::ledger::{Entry, Ledger};
use super::tokens::Counter;
use super::wire::ChunkUsage;
use super::{Account, Clock, GenerateError, Meter, Request, Task, Usage};
use crate::genai::Chat;
use crate::metrics::{Ended, Metrics};

/// The ledger and the budgets, which rest on it.
pub(super) struct Accounts {
    pub(super) ledger: Arc<Ledger>,
    pub(super) metrics: Metrics,
    budgets: Budgets,
    clock: Arc<dyn Clock>,
}

impl Accounts {
    /// Budgets from which what the ledger holds of this month is taken already.
    pub(super) fn new(ledger: Arc<Ledger>, budgets: BudgetConfig, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let budgets = Budgets::new(budgets);
        let today = day_of(clock.now());
        for sum in ledger.all() {
            let tokens = sum.totals.prompt_tokens.saturating_add(sum.totals.completion_tokens);
            let account = Account { workspace: sum.workspace, user: sum.user };
            budgets.restore(&account, tokens, sum.day, today);
        }
        Self { ledger, metrics, budgets, clock }
    }

    /// Says whether the budgets of an account have so many tokens left.
    pub(super) fn afford(&self, account: &Account, tokens: u64) -> Result<(), GenerateError> {
        self.budgets.check(account, tokens, self.clock.now())
    }

    /// Sets aside what a call may take at most.
    pub(super) fn reserve(
        self: &Arc<Self>,
        request: &Request,
        prompt_tokens: usize,
    ) -> Result<Reserved, GenerateError> {
        let now = self.clock.now();
        let unavailable = |reason: &str| GenerateError::Unavailable(reason.to_owned());
        self.ledger.check_room(&request.account, now).map_err(unavailable)?;
        let prompt_tokens = prompt_tokens as u64;
        let tokens = prompt_tokens + u64::from(request.tokens_max);
        self.budgets.reserve(&request.account, tokens, now)?;
        let (accounts, account) = (Arc::clone(self), request.account.clone());
        let meter = request.meter.clone();
        Ok(Reserved { accounts, account, meter, task: request.task, prompt_tokens, tokens })
    }
}

/// Tokens set aside; given back when this is dropped.
pub(super) struct Reserved {
    accounts: Arc<Accounts>,
    account: Account,
    /// What whoever asked is told that it took.
    meter: Meter,
    task: Task,
    /// As counted here.
    prompt_tokens: u64,
    tokens: u64,
}

impl Reserved {
    /// Begins the call that they were set aside for.
    pub(super) fn begin(self, endpoint: &EndpointConfig, request: &Request) -> Call {
        Call {
            chat: Chat::begin(endpoint, request),
            endpoint: endpoint.name.clone(),
            model: endpoint.model.clone(),
            prices: [endpoint.prompt_price, endpoint.completion_price],
            began: self.accounts.clock.instant(),
            first_text: None,
            written: Counter::default(),
            is_accepted: false,
            is_settled: false,
            reserved: self,
        }
    }

    /// Gives back what was set aside, less what was spent.
    fn settle(&mut self, spent: u64) {
        self.accounts.budgets.settle(&self.account, std::mem::take(&mut self.tokens), spent, self.accounts.clock.now());
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.tokens > 0 {
            self.settle(0);
        }
    }
}

/// A call to an endpoint that is not over, or was settled.
pub(super) struct Call {
    reserved: Reserved,
    /// What a trace tells of it.
    pub(super) chat: Chat,
    endpoint: String,
    model: String,
    /// Of a million tokens read and written.
    prices: [f64; 2],
    began: Instant,
    first_text: Option<Duration>,
    written: Counter,
    is_accepted: bool,
    is_settled: bool,
}

impl Call {
    /// Notes that the endpoint began to answer: from now on it has read what it was asked.
    pub(super) fn accept(&mut self) {
        self.is_accepted = true;
    }

    /// Notes that text came.
    pub(super) fn write(&mut self, text: &str) {
        if self.first_text.is_none() {
            let after = self.reserved.accounts.clock.instant().saturating_duration_since(self.began);
            self.chat.first_text(after);
            self.first_text = Some(after);
        }
        self.written.read(text);
    }

    /// Counts what it took: as the provider says, else as counted here.
    pub(super) fn settle(&mut self, outcome: Outcome, told: Option<ChunkUsage>) -> Usage {
        self.is_settled = true;
        // Whoever is silent may have read it all, and charge for it.
        let is_turned_away = matches!(outcome, Outcome::Busy | Outcome::Refused | Outcome::Unavailable);
        let read = if self.is_accepted || !is_turned_away { self.reserved.prompt_tokens } else { 0 };
        let told = told.unwrap_or_default();
        let prompt_tokens = told.prompt_tokens.unwrap_or(read);
        let completion_tokens = told.completion_tokens.unwrap_or(self.written.tokens() as u64);
        let [prompt_price, completion_price] = self.prices;
        // A price for a million tokens, in millionths: what one costs. Rounded up once, so that sums of lines are exact.
        let cost = prompt_tokens as f64 * prompt_price + completion_tokens as f64 * completion_price;
        let usage = Usage { prompt_tokens, completion_tokens, cost_micros: cost.ceil() as u64 };

        self.chat.end(outcome, &usage);
        self.reserved.meter.add(&usage);
        self.reserved.settle(prompt_tokens.saturating_add(completion_tokens));
        let Reserved { accounts, account, task, .. } = &self.reserved;
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let took = accounts.clock.instant().saturating_duration_since(self.began);
        let (endpoint, first_text) = (self.endpoint.as_str(), self.first_text);
        accounts.metrics.ended(Ended { endpoint, outcome, usage, took, first_text });
        accounts.ledger.record(&Entry {
            at: accounts.clock.now(),
            workspace: account.workspace.clone(),
            user: account.user.clone(),
            task: *task,
            endpoint: self.endpoint.clone(),
            model: self.model.clone(),
            prompt_tokens,
            completion_tokens,
            cost_micros: usage.cost_micros,
            outcome,
            duration_ms: ms(took),
            first_text_ms: self.first_text.map(ms),
        });
        usage
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.is_settled {
            self.settle(Outcome::Dropped, None);
        }
    }
}
