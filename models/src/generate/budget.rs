//! What workspaces and their users may still spend.
//!
//! Tokens are set aside when a call begins, as many as it may take at most, and counted as spent when it ends, as many as it
//! took. So calls side by side do not spend more than there is, but for what a provider takes beyond what it was allowed.
//! Pure: what time it is, it is told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::config::BudgetConfig;
use super::{Account, GenerateError};

/// When to come again where others hold what they may not need.
const SOON: Duration = Duration::from_secs(1);

/// What was spent and set aside, of all.
#[derive(Debug)]
pub(super) struct Budgets {
    config: BudgetConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By workspace and user; without a user, of the whole workspace.
    spent: HashMap<(String, Option<String>), Spent>,
    /// The first day of the month that it is.
    month: Date,
}

/// What one of them spent.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    day: Date,
    day_tokens: u64,
    month: Date,
    month_tokens: u64,
    /// Set aside for calls that are not over.
    reserved: u64,
}

impl Budgets {
    pub(super) fn new(config: BudgetConfig) -> Self {
        Self { config, state: Mutex::default() }
    }

    /// Counts what was spent before a start, on a day.
    pub(super) fn restore(&self, account: &Account, tokens: u64, day: Date, today: Date) {
        if !self.is_bounded() || day.first_of_month() != today.first_of_month() {
            return;
        }
        let mut state = self.lock();
        for owner in owners(account) {
            let spent = state.spent.entry(owner).or_default();
            spent.turn_to(today);
            spent.month_tokens = spent.month_tokens.saturating_add(tokens);
            if day == today {
                spent.day_tokens = spent.day_tokens.saturating_add(tokens);
            }
        }
    }

    /// Says whether so many tokens are left, or whose budget has not, and until when. Sets none aside.
    pub(super) fn check(&self, account: &Account, tokens: u64, now: Timestamp) -> Result<(), GenerateError> {
        if self.is_bounded() { self.look(&self.lock(), account, tokens, now) } else { Ok(()) }
    }

    /// Sets tokens aside for a call, or says whose budget has none left, and until when.
    pub(super) fn reserve(&self, account: &Account, tokens: u64, now: Timestamp) -> Result<(), GenerateError> {
        if !self.is_bounded() {
            return Ok(());
        }
        let today = day_of(now);
        let mut state = self.lock();
        state.forget_former_months(today);
        self.look(&state, account, tokens, now)?;
        for owner in owners(account) {
            let spent = state.spent.entry(owner).or_default();
            spent.turn_to(today);
            spent.reserved = spent.reserved.saturating_add(tokens);
        }
        Ok(())
    }

    fn look(&self, state: &State, account: &Account, tokens: u64, now: Timestamp) -> Result<(), GenerateError> {
        let today = day_of(now);
        for owner in owners(account) {
            let (whose, per_day, per_month) = self.limits(&owner);
            let mut spent = state.spent.get(&owner).copied().unwrap_or_default();
            spent.turn_to(today);
            let periods = [
                (per_month, spent.month_tokens, next_month(today)),
                (per_day, spent.day_tokens, today.tomorrow().unwrap_or(today)),
            ];
            for (limit, used, renewed_on) in periods.into_iter().filter(|(limit, ..)| *limit > 0) {
                if used.saturating_add(tokens) > limit {
                    return Err(GenerateError::Budget { whose, retry_after: until(renewed_on, now) });
                }
                if used.saturating_add(spent.reserved).saturating_add(tokens) > limit {
                    return Err(GenerateError::Budget { whose, retry_after: SOON });
                }
            }
        }
        Ok(())
    }

    /// Counts what a call took, and frees what was set aside for it.
    pub(super) fn settle(&self, account: &Account, reserved: u64, tokens: u64, now: Timestamp) {
        if !self.is_bounded() {
            return;
        }
        let mut state = self.lock();
        for owner in owners(account) {
            let spent = state.spent.entry(owner).or_default();
            spent.turn_to(day_of(now));
            spent.reserved = spent.reserved.saturating_sub(reserved);
            spent.day_tokens = spent.day_tokens.saturating_add(tokens);
            spent.month_tokens = spent.month_tokens.saturating_add(tokens);
        }
    }

    fn is_bounded(&self) -> bool {
        self.config != BudgetConfig::default()
    }

    /// What to call an owner, and what it may spend in a day and in a month.
    fn limits(&self, owner: &(String, Option<String>)) -> (&'static str, u64, u64) {
        let config = &self.config;
        match owner.1 {
            None => ("workspace", config.workspace_tokens_per_day, config.workspace_tokens_per_month),
            Some(_) => ("user", config.user_tokens_per_day, config.user_tokens_per_month),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_former_months(&mut self, today: Date) {
        if self.month != today.first_of_month() {
            self.month = today.first_of_month();
            self.spent.retain(|_, spent| spent.reserved > 0 || spent.month == self.month);
        }
    }
}

impl Spent {
    /// Begins a new day or month, if it is one.
    fn turn_to(&mut self, today: Date) {
        if self.day != today {
            (self.day, self.day_tokens) = (today, 0);
        }
        if self.month != today.first_of_month() {
            (self.month, self.month_tokens) = (today.first_of_month(), 0);
        }
    }
}

/// Who pays for an account: the workspace, and the user in it.
fn owners(account: &Account) -> [(String, Option<String>); 2] {
    [(account.workspace.clone(), None), (account.workspace.clone(), Some(account.user.clone()))]
}

/// The day that it is, of UTC.
pub(super) fn day_of(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

fn next_month(today: Date) -> Date {
    today.last_of_month().tomorrow().unwrap_or(today)
}

/// How long it is until a day begins.
fn until(day: Date, now: Timestamp) -> Duration {
    let begins = day.to_zoned(TimeZone::UTC).map_or(now, |zoned| zoned.timestamp());
    begins.duration_since(now).try_into().unwrap_or(SOON)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str) -> Account {
        Account { workspace: "acme".to_owned(), user: user.to_owned() }
    }

    fn budgets() -> Budgets {
        Budgets::new(BudgetConfig {
            workspace_tokens_per_day: 1_000,
            user_tokens_per_month: 600,
            ..BudgetConfig::default()
        })
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[track_caller]
    fn refused(result: Result<(), GenerateError>) -> (&'static str, u64) {
        match result.unwrap_err() {
            GenerateError::Budget { whose, retry_after } => (whose, retry_after.as_secs()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_set_aside_cannot_be_spent_twice_and_comes_back() {
        let (budgets, now) = (budgets(), at("2026-11-28T23:00:00Z"));
        budgets.check(&account("ada"), 600, now).unwrap();
        budgets.reserve(&account("ada"), 600, now).unwrap();
        assert_eq!(refused(budgets.check(&account("ada"), 1, now)), ("user", 1), "to ask sets nothing aside");
        assert_eq!(refused(budgets.reserve(&account("ada"), 1, now)), ("user", 1));
        assert_eq!(refused(budgets.reserve(&account("bob"), 500, now)), ("workspace", 1));
        budgets.settle(&account("ada"), 600, 100, now);
        budgets.reserve(&account("ada"), 500, now).unwrap();
        budgets.settle(&account("ada"), 500, 500, now);
        assert_eq!(refused(budgets.reserve(&account("ada"), 1, now)), ("user", 49 * 3_600), "until December");
        assert_eq!(refused(budgets.reserve(&account("bob"), 401, now)), ("workspace", 3_600), "until midnight");
        budgets.reserve(&account("bob"), 400, now).unwrap();
    }

    #[test]
    fn a_new_day_and_a_new_month_begin_at_nothing() {
        let budgets = budgets();
        let (late, tomorrow) = (at("2026-11-29T23:59:59Z"), at("2026-11-30T00:00:00Z"));
        budgets.reserve(&account("ada"), 600, late).unwrap();
        // Begun on one day and over on the next: it counts where it is over.
        budgets.settle(&account("ada"), 600, 550, tomorrow);
        assert_eq!(refused(budgets.reserve(&account("bob"), 500, tomorrow)).0, "workspace");
        assert_eq!(refused(budgets.reserve(&account("ada"), 100, tomorrow)), ("user", 86_400));
        budgets.reserve(&account("ada"), 600, at("2026-12-01T00:00:00Z")).unwrap();
    }

    #[test]
    fn what_was_spent_before_a_start_counts() {
        let (budgets, now) = (budgets(), at("2026-11-28T12:00:00Z"));
        let today = day_of(now);
        budgets.restore(&account("ada"), 400, today.yesterday().unwrap(), today);
        budgets.restore(&account("ada"), 100, today, today);
        budgets.restore(&account("ada"), 600, "2026-10-31".parse().unwrap(), today);
        assert_eq!(refused(budgets.reserve(&account("ada"), 101, now)).0, "user");
        budgets.reserve(&account("ada"), 100, now).unwrap();
        budgets.reserve(&account("bob"), 500, now).unwrap();
    }
}
