//! The sums of the ledger, in memory: a bounded number, in which the oldest lose their detail first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::{Entry, Sum, Totals};
use crate::generate::{Account, Usage};

/// Sums by workspace, day, user and model.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    by_key: BTreeMap<Key, Totals>,
    /// The day on which all gave way that can on it, and too many were left.
    full_on: Option<Date>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    workspace: String,
    day: Date,
    user: String,
    model: String,
}

impl Sums {
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn add(&mut self, sum: Sum) {
        let Sum { workspace, day, user, model, totals } = sum;
        self.by_key.entry(Key { workspace, day, user, model }).or_default().add(&totals);
    }

    pub(super) fn add_entry(&mut self, entry: &Entry) {
        let Entry { prompt_tokens, completion_tokens, cost_micros, .. } = *entry;
        self.add(Sum {
            workspace: entry.workspace.clone(),
            day: super::day_of(entry.at),
            user: entry.user.clone(),
            model: entry.model.clone(),
            totals: Totals::from(&Usage { prompt_tokens, completion_tokens, cost_micros }),
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Sum> {
        self.by_key.iter().map(|(key, totals)| sum(key, totals))
    }

    /// Those of a workspace on some days.
    pub(super) fn of(&self, workspace: &str, days: RangeInclusive<Date>) -> Vec<Sum> {
        let from =
            Key { workspace: workspace.to_owned(), day: *days.start(), user: String::new(), model: String::new() };
        let within = |(key, _): &(&Key, &Totals)| key.workspace == workspace && key.day <= *days.end();
        self.by_key.range(from..).take_while(within).map(|(key, totals)| sum(key, totals)).collect()
    }

    /// Whether an account took anything this month.
    pub(super) fn knows(&self, account: &Account, today: Date) -> bool {
        let Account { workspace, user } = account;
        let is_known_on = |day: Date| {
            let from = Key { workspace: workspace.clone(), day, user: user.clone(), model: String::new() };
            let next = self.by_key.range(from..).next();
            next.is_some_and(|(key, _)| key.day == day && key.user == *user && key.workspace == *workspace)
        };
        today.first_of_month().series(1.day()).take_while(|day| *day <= today).any(is_known_on)
    }

    /// Takes a user out, whose sums become those of nobody in particular, or a workspace, of which nothing is left.
    pub(super) fn forget(&mut self, workspace: &str, user: Option<&str>) {
        let is_meant = |key: &Key| key.workspace == workspace && user.is_none_or(|user| key.user == user);
        let forgotten = self.by_key.extract_if(.., |key, _| is_meant(key)).collect::<Vec<_>>();
        for (key, totals) in forgotten.into_iter().filter(|_| user.is_some()) {
            self.by_key.entry(Key { user: String::new(), ..key }).or_default().add(&totals);
        }
    }

    /// Removes what is older than so many days, and where there are as many as there may be makes room: users of former months are
    /// told apart no more, then the days of this month before today, which are added to its first; the oldest days first in both.
    /// Then the oldest days go. What each took today and this month stays as it is: budgets rest on it.
    pub(super) fn shrink(&mut self, sums_max: usize, days: u32, today: Date) {
        if self.full_on == Some(today) {
            return;
        }
        let oldest = today.checked_sub(jiff::Span::new().days(days)).unwrap_or(Date::MIN);
        self.by_key.retain(|key, _| key.day >= oldest);
        if self.len() >= sums_max {
            // Down to well below the bound, since this looks at all of them.
            let wanted = sums_max - sums_max / 10;
            self.give_way(wanted, today);
            self.full_on = (self.len() > wanted).then_some(today);
        }
    }

    fn give_way(&mut self, wanted: usize, today: Date) {
        let month = today.first_of_month();
        let days: BTreeSet<Date> = self.by_key.keys().map(|key| key.day).collect();
        for &day in days.range(..month) {
            if self.len() <= wanted {
                return;
            }
            self.fold(day, |key| Key { user: String::new(), ..key });
        }
        for &day in days.range(month..today) {
            if self.len() <= wanted {
                return;
            }
            self.fold(day, |key| Key { day: month, ..key });
        }
        for &day in days.range(..month) {
            if self.len() <= wanted {
                return;
            }
            self.by_key.retain(|key, _| key.day != day);
        }
    }

    /// Adds what is of a day to other sums.
    fn fold(&mut self, day: Date, into: impl Fn(Key) -> Key) {
        let of_day = self.by_key.extract_if(.., |key, _| key.day == day).collect::<Vec<_>>();
        for (key, totals) in of_day {
            self.by_key.entry(into(key)).or_default().add(&totals);
        }
    }
}

fn sum(key: &Key, totals: &Totals) -> Sum {
    let Key { workspace, day, user, model } = key.clone();
    Sum { workspace, day, user, model, totals: *totals }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(days: &[&str], users: usize) -> Sums {
        let mut sums = Sums::default();
        for day in days {
            for user in 0..users {
                let totals = Totals { calls: 1, prompt_tokens: 10, completion_tokens: 2, cost_micros: 3 };
                let (workspace, model) = ("acme".to_owned(), "small".to_owned());
                sums.add(Sum { workspace, day: day.parse().unwrap(), user: format!("u{user}"), model, totals });
            }
        }
        sums
    }

    fn calls(sums: &Sums) -> u64 {
        sums.iter().map(|sum| sum.totals.calls).sum()
    }

    #[test]
    fn the_oldest_lose_their_users_first_and_nothing_of_this_month_is_lost() {
        let today: Date = "2026-11-28".parse().unwrap();
        let mut all = sums(&["2026-09-01", "2026-10-01", "2026-11-01", "2026-11-28"], 30);
        all.shrink(100, 400, today);
        assert_eq!(calls(&all), 120, "what is folded still counts");
        let users = |day: &str| all.of("acme", day.parse().unwrap()..=day.parse().unwrap()).len();
        assert_eq!((users("2026-09-01"), users("2026-10-01"), users("2026-11-01")), (1, 1, 30));
        all.shrink(40, 400, today);
        assert_eq!((calls(&all), all.len()), (60, 60), "former days go, this month stays");
    }

    #[test]
    fn days_of_this_month_give_way_to_its_sum_before_former_days_go() {
        let today: Date = "2026-11-28".parse().unwrap();
        let mut all = sums(&["2026-10-01", "2026-11-05", "2026-11-06", "2026-11-07", "2026-11-28"], 30);
        all.shrink(100, 400, today);
        let users = |day: &str| all.of("acme", day.parse().unwrap()..=day.parse().unwrap());
        assert_eq!(users("2026-10-01").len(), 1);
        let month = users("2026-11-01");
        assert_eq!((month.len(), month[0].totals.calls), (30, 3), "each keeps what it took this month");
        assert_eq!((users("2026-11-07").len(), users("2026-11-28").len()), (0, 30));
        let knows = |user: &str| all.knows(&Account { workspace: "acme".into(), user: user.into() }, today);
        assert!(knows("u0") && knows("u29") && !knows("u") && !knows("u3x") && !knows(""));
        let earlier = "2026-10-31".parse().unwrap();
        assert!(!all.knows(&Account { workspace: "acme".into(), user: "u0".into() }, earlier), "told apart no more");
    }

    #[test]
    fn what_cannot_give_way_today_is_not_looked_for_again() {
        let (today, tomorrow): (Date, Date) = ("2026-11-28".parse().unwrap(), "2026-11-29".parse().unwrap());
        let mut all = sums(&["2026-11-01", "2026-11-28"], 60);
        all.shrink(100, 400, today);
        assert_eq!((all.len(), all.full_on), (120, Some(today)));
        all.shrink(100, 400, tomorrow);
        assert_eq!((all.len(), all.full_on), (60, None));
    }

    #[test]
    fn what_is_too_old_goes() {
        let mut all = sums(&["2025-01-01", "2026-11-28"], 2);
        all.shrink(100, 400, "2026-11-28".parse().unwrap());
        assert_eq!(calls(&all), 2);
    }

    #[test]
    fn a_workspace_sees_its_own_days_alone() {
        let mut all = sums(&["2026-11-26", "2026-11-27", "2026-11-28"], 2);
        let day: Date = "2026-11-27".parse().unwrap();
        let mut other = all.of("acme", day..=day)[0].clone();
        other.workspace = "acme2".to_owned();
        all.add(other);
        let of_day = all.of("acme", day..=day);
        assert_eq!(of_day.len(), 2);
        assert!(of_day.iter().all(|sum| sum.workspace == "acme" && sum.day == day));
    }
}
