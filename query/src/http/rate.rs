//! How many requests a second a person, a key and a workspace may send.
//!
//! Each has a bucket that a request takes from and that fills evenly (the generic cell rate algorithm, by `governor`). Buckets
//! are made when they are needed; at most [`RateConfig::buckets_max`] are kept, those not used for longest forgotten first. Batches of
//! events are not counted, since a revocation must not wait for them; neither are health checks, nor insecure development.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use schemas::ids::{UserId, WorkspaceId};
use schemas::problem::ProblemCode;
use serde::{Deserialize, Serialize};

use super::auth::{Identity, IdentityKind};
use super::config::out_of_range;
use super::problem::ApiError;
use crate::metrics::{Bound, Metrics};

/// How many requests may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateConfig {
    /// Requests a second of one caller, a person in a workspace or a service key for a person; at most 1,000,000; more are answered
    /// with 429. 0 for no limit; 50.
    pub caller_per_second: u32,
    /// How many of them may come at once, at most 1,000,000, and always one; 200.
    pub caller_burst: u32,
    /// Requests a second of one workspace, all callers together, at most 1,000,000. 0 for no limit; 500.
    pub workspace_per_second: u32,
    /// How many of them may come at once, at most 1,000,000, and always one; 2,000.
    pub workspace_burst: u32,
    /// Callers, and workspaces, that are remembered, 1 to 10,000,000; 100,000, of some 300 bytes each.
    pub buckets_max: u64,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            caller_per_second: 50,
            caller_burst: 200,
            workspace_per_second: 500,
            workspace_burst: 2_000,
            buckets_max: 100_000,
        }
    }
}

impl RateConfig {
    /// The first value that cannot hold, and why.
    pub(super) fn wrong(&self) -> Option<String> {
        let some = 0..=1_000_000;
        out_of_range([
            ("rate.caller_per_second", self.caller_per_second.into(), some.clone()),
            ("rate.caller_burst", self.caller_burst.into(), some.clone()),
            ("rate.workspace_per_second", self.workspace_per_second.into(), some.clone()),
            ("rate.workspace_burst", self.workspace_burst.into(), some),
            ("rate.buckets_max", self.buckets_max, 1..=10_000_000),
        ])
    }
}

/// Counts requests.
pub(super) struct Rates<C: Clock = DefaultClock> {
    callers: Option<Buckets<Sender, C>>,
    workspaces: Option<Buckets<WorkspaceId, C>>,
    metrics: Metrics,
}

/// Whose requests are counted together. All who show nothing in a workspace are one.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Sender {
    service: Option<String>,
    workspace: Option<WorkspaceId>,
    user: Option<UserId>,
}

impl Rates {
    /// What is turned away is counted, too.
    pub(super) fn new(config: &RateConfig, metrics: Metrics) -> Self {
        Self::by_clock(config, metrics, &DefaultClock::default())
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> Rates<C>
where
    C::Instant: Send + Sync,
{
    fn by_clock(config: &RateConfig, metrics: Metrics, clock: &C) -> Self {
        Self {
            callers: Buckets::new(config.caller_per_second, config.caller_burst, config.buckets_max, clock),
            workspaces: Buckets::new(config.workspace_per_second, config.workspace_burst, config.buckets_max, clock),
            metrics,
        }
    }

    /// Counts a request of somebody, or says when to come again. What is turned away for its caller is not counted for its
    /// workspace, so that one cannot use up what the others have.
    pub(super) fn admit(&self, identity: &Identity) -> Result<(), ApiError> {
        let service = match identity.kind() {
            IdentityKind::Development => return Ok(()),
            IdentityKind::Service(name) => Some(name.clone()),
            IdentityKind::Anonymous | IdentityKind::Person => None,
        };
        let workspace = identity.workspace().cloned();
        if let Some(callers) = &self.callers {
            let sender = Sender { service, workspace: workspace.clone(), user: identity.user().cloned() };
            callers.take(sender).map_err(|wait| self.too_many(Bound::CallerRate, "this caller sends", wait))?;
        }
        if let (Some(workspaces), Some(workspace)) = (&self.workspaces, workspace) {
            let who = "the callers of this workspace send";
            workspaces.take(workspace).map_err(|wait| self.too_many(Bound::WorkspaceRate, who, wait))?;
        }
        Ok(())
    }

    fn too_many(&self, bound: Bound, who: &str, wait: Duration) -> ApiError {
        self.metrics.shed(bound);
        let detail = format!("{who} more requests than are allowed; come again after the time in `Retry-After`");
        ApiError::new(ProblemCode::TooManyRequests, detail).retry_after(wait)
    }
}

type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

struct Buckets<K, C: Clock> {
    quota: Quota,
    clock: C,
    kept: Cache<K, Arc<Bucket<C>>>,
}

impl<K: Hash + Eq + Send + Sync + 'static, C: Clock + Clone + Send + Sync + 'static> Buckets<K, C>
where
    C::Instant: Send + Sync,
{
    /// `None` for no limit.
    fn new(per_second: u32, burst: u32, kept_max: u64, clock: &C) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(per_second)?).allow_burst(NonZeroU32::new(burst.max(1))?);
        // A bucket that is full again says no more than none.
        let full_after = quota.replenish_interval() * quota.burst_size().get() + Duration::from_secs(1);
        let kept = Cache::builder().max_capacity(kept_max).time_to_idle(full_after).build();
        Some(Self { quota, clock: clock.clone(), kept })
    }

    /// Takes one, or says after how long there is one.
    fn take(&self, key: K) -> Result<(), Duration> {
        let made = || Arc::new(RateLimiter::direct_with_clock(self.quota, self.clock.clone()));
        self.kept.get_with(key, made).check().map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates(config: &RateConfig) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Rates::by_clock(config, Metrics::default(), &clock), clock)
    }

    fn person(user: &str) -> Identity {
        Identity::test_person("acme", user)
    }

    #[test]
    fn a_caller_who_asks_too_often_waits_and_others_do_not() {
        let (rates, clock) = rates(&RateConfig { caller_per_second: 2, caller_burst: 3, ..RateConfig::default() });
        let (ada, bob) = (person("ada"), person("bob"));
        for _ in 0..3 {
            rates.admit(&ada).unwrap();
        }
        let refused = rates.admit(&ada).unwrap_err();
        assert_eq!(refused.code(), ProblemCode::TooManyRequests);
        rates.admit(&bob).unwrap();
        clock.advance(Duration::from_millis(500));
        rates.admit(&ada).unwrap();
        assert!(rates.admit(&ada).is_err());
        clock.advance(Duration::from_mins(1));
        assert_eq!((0..10).filter(|_| rates.admit(&ada).is_ok()).count(), 3, "a bucket holds no more than its burst");
    }

    #[test]
    fn a_workspace_has_a_limit_that_one_caller_cannot_use_up() {
        let config = RateConfig {
            caller_per_second: 1,
            caller_burst: 2,
            workspace_per_second: 1,
            workspace_burst: 5,
            ..RateConfig::default()
        };
        let (rates, _) = rates(&config);
        assert_eq!((0..100).filter(|_| rates.admit(&person("ada")).is_ok()).count(), 2);
        assert_eq!((0..100).filter(|_| rates.admit(&person("bob")).is_ok()).count(), 2);
        assert_eq!((0..100).filter(|_| rates.admit(&person("eve")).is_ok()).count(), 1);
        rates.admit(&Identity::test_person("globex", "eve")).unwrap();
    }

    #[test]
    fn zero_is_no_limit() {
        let config = RateConfig { caller_per_second: 0, workspace_per_second: 0, ..RateConfig::default() };
        let (rates, _) = rates(&config);
        assert!((0..10_000).all(|_| rates.admit(&person("ada")).is_ok()));
    }
}
