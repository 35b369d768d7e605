//! Which endpoint is asked next for a request, with a place at it; and how long that is waited for.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::{Providers, RETRY_AFTER};
use crate::generate::breaker::Standing;
use crate::generate::fault::{Fault, Faults};
use crate::generate::route::Candidate;
use crate::generate::{GenerateError, Request};

/// The first pause before an endpoint that failed is asked again for the same text; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What is known of one request while endpoints are asked for it.
pub(super) struct Asking<'a> {
    pub(super) request: &'a Request,
    pub(super) prompt_tokens: usize,
    /// The endpoints that may still be asked, with what is known of each.
    pub(super) open: Vec<Tried>,
    pub(super) faults: Faults,
}

pub(super) struct Tried {
    pub(super) index: usize,
    pub(super) times: u32,
    pub(super) not_before: Option<Instant>,
}

impl Asking<'_> {
    /// Notes what went wrong: what was refused is not asked again, and nobody twice at once.
    pub(super) fn note(&mut self, index: usize, name: &str, fault: Fault, now: Instant) {
        match fault {
            Fault::Refused { .. } => self.open.retain(|tried| tried.index != index),
            _ => {
                for tried in self.open.iter_mut().filter(|tried| tried.index == index) {
                    tried.not_before = Some(now + PAUSE.saturating_mul(1 << tried.times.min(10)).min(PAUSE_MAX));
                    tried.times += 1;
                }
            }
        }
        self.faults.push(name, fault);
    }
}

impl Providers {
    /// The next endpoint to ask, with a place at it; waits for one where that may help.
    pub(super) async fn choose(&self, asking: &mut Asking<'_>) -> Result<(usize, OwnedSemaphorePermit), GenerateError> {
        loop {
            if asking.request.deadline <= Instant::now() {
                return Err(GenerateError::Late);
            }
            let now = self.clock.instant();
            let ready = match self.ready(asking, now) {
                Ok(ready) => ready,
                Err(until) => {
                    self.pause(asking, until, now).await?;
                    continue;
                }
            };
            let order = self.turns.lock().unwrap_or_else(PoisonError::into_inner).order(ready);
            let free = order.iter().find_map(|&index| Some((index, self.permits(index).try_acquire_owned().ok()?)));
            let (index, permit) = match free {
                Some(free) => free,
                None => self.wait_for_place(&order, asking.request.deadline).await?,
            };
            if self.endpoints[index].admit(self.clock.instant()) {
                return Ok((index, permit));
            }
        }
    }

    /// The endpoints that may be asked now; if there are none, when there may be, if that can be waited for.
    fn ready(&self, asking: &Asking<'_>, now: Instant) -> Result<Vec<Candidate>, Option<Instant>> {
        let (mut ready, mut soonest) = (Vec::new(), None);
        for tried in &asking.open {
            let endpoint = &self.endpoints[tried.index];
            let until = match endpoint.standing(now) {
                Standing::Ready => tried.not_before.filter(|&until| until > now),
                Standing::LeftAlone { until } => Some(until).max(tried.not_before),
                // It is not waited for: a rest is long, and what comes after it is only a trial.
                Standing::Failing { .. } => continue,
            };
            match until {
                None => ready.push(endpoint.candidate(tried.index, now)),
                Some(until) => soonest = Some(soonest.map_or(until, |soonest: Instant| soonest.min(until))),
            }
        }
        if ready.is_empty() { Err(soonest) } else { Ok(ready) }
    }

    /// Waits until an endpoint may be asked again, if that is before the deadline.
    async fn pause(&self, asking: &mut Asking<'_>, until: Option<Instant>, now: Instant) -> Result<(), GenerateError> {
        let Some(until) = until else {
            let rests = |tried: &&Tried| matches!(self.endpoints[tried.index].standing(now), Standing::Failing { .. });
            for tried in asking.open.iter().filter(rests) {
                let fault = Fault::unavailable("rests after it failed too often");
                asking.faults.push(&self.endpoints[tried.index].config.name, fault);
            }
            return Err(std::mem::take(&mut asking.faults).into_error(RETRY_AFTER));
        };
        let wait = until.saturating_duration_since(now);
        let left = asking.request.deadline.saturating_duration_since(Instant::now());
        let place = self.queue.try_acquire();
        if wait >= left || place.is_err() {
            return Err(std::mem::take(&mut asking.faults).into_error(wait));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Waits for a place at any of some endpoints, for as long as requests may.
    async fn wait_for_place(
        &self,
        indexes: &[usize],
        deadline: Instant,
    ) -> Result<(usize, OwnedSemaphorePermit), GenerateError> {
        let busy = GenerateError::Busy { retry_after: RETRY_AFTER };
        let Ok(_place) = self.queue.try_acquire() else { return Err(busy) };
        let places = indexes.iter().map(|&index| Box::pin(self.permits(index).acquire_owned()));
        let until = deadline.min(Instant::now() + self.config.queue_max());
        match timeout_at(until.into(), select_all(places)).await {
            Ok((Ok(permit), which, _)) => Ok((indexes[which], permit)),
            Err(_) if until == deadline => Err(GenerateError::Late),
            // They are never closed.
            Ok((Err(_), ..)) | Err(_) => Err(busy),
        }
    }

    /// Until when an endpoint is waited for: as long as a first text may take, and half of the time that is left, so that another can still
    /// be asked, where there is one that has not been.
    pub(super) fn silent_at(&self, asking: &Asking<'_>, index: usize, attempts_left: usize) -> Instant {
        let (now, deadline) = (Instant::now(), asking.request.deadline);
        let until = (now + self.config.first_text_max()).min(deadline);
        let at = self.clock.instant();
        let can_be_asked = |other: usize| {
            let has_place = self.endpoints[other].permits.available_permits() > 0;
            has_place && self.endpoints[other].standing(at) == Standing::Ready
        };
        let is_another = |tried: &Tried| tried.index != index && tried.times == 0 && can_be_asked(tried.index);
        if attempts_left > 0 && asking.open.iter().any(is_another) {
            until.min(now + deadline.saturating_duration_since(now) / 2)
        } else {
            until
        }
    }

    fn permits(&self, index: usize) -> Arc<Semaphore> {
        Arc::clone(&self.endpoints[index].permits)
    }
}
