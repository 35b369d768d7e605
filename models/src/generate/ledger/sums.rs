//! The sums of the ledger, in memory: a bounded number, in which the oldest lose their detail first.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::civil::Date;

use super::{Entry, Sum, Totals};
use crate::generate::{Account, Usage};

/// Sums by workspace, day, user and model.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    by_key: BTreeMap<Key, Totals>,
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

    /// Whether a call for an account needs no further sum, or there is an older one to give way to it.
    pub(super) fn has_room(&self, account: &Account, today: Date) -> bool {
        let has_former = || self.by_key.keys().any(|key| key.day < today.first_of_month());
        let is_known = self.of(&account.workspace, today..=today).iter().any(|sum| sum.user == account.user);
        is_known || has_former()
    }

    /// Takes a user out, whose sums become those of nobody in particular, or a workspace, of which nothing is left.
    pub(super) fn forget(&mut self, workspace: &str, user: Option<&str>) {
        let is_meant = |key: &Key| key.workspace == workspace && user.is_none_or(|user| key.user == user);
        let forgotten = self.by_key.extract_if(.., |key, _| is_meant(key)).collect::<Vec<_>>();
        for (key, totals) in forgotten.into_iter().filter(|_| user.is_some()) {
            self.by_key.entry(Key { user: String::new(), ..key }).or_default().add(&totals);
        }
    }

    /// Removes what is older than so many days, and makes room for one more than there may be: users of former months are
    /// told apart no more, the oldest days first, then the oldest days go. What is of this month stays as it is: budgets
    /// rest on it.
    pub(super) fn shrink(&mut self, sums_max: usize, days: u32, today: Date) {
        let oldest = today.checked_sub(jiff::Span::new().days(days)).unwrap_or(Date::MIN);
        self.by_key.retain(|key, _| key.day >= oldest);
        if self.len() <= sums_max {
            return;
        }
        // Down to well below the bound, since this looks at all of them.
        let wanted = sums_max - sums_max / 10;
        let mut former: Vec<Date> = self.by_key.keys().map(|key| key.day).collect();
        former.retain(|day| *day < today.first_of_month());
        former.sort_unstable();
        former.dedup();
        for day in &former {
            if self.len() <= wanted {
                return;
            }
            let of_day = self.by_key.extract_if(.., |key, _| key.day == *day).collect::<Vec<_>>();
            for (key, totals) in of_day {
                self.by_key.entry(Key { user: String::new(), ..key }).or_default().add(&totals);
            }
        }
        for day in former {
            if self.len() <= wanted {
                return;
            }
            self.by_key.retain(|key, _| key.day != day);
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
