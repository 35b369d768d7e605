//! Feedback on what was shown: taken from the caller it was shown to, on pages that the caller can still read.

use access::{Caller, Purpose};
use schemas::api::feedback::{DWELL_MS_MAX, FEEDBACK_EVENTS_MAX, FEEDBACK_RANK_MAX, FeedbackKind, FeedbackRequest};

use super::Engine;
use crate::error::QueryError;
use crate::feedback::Feedback;
use crate::gate::Gate;

impl Engine {
    /// Takes feedback, all of it or none, and says how many events it has. An event that was taken before is not recorded
    /// again.
    ///
    /// # Errors
    ///
    /// [`QueryError::NotFound`] when this caller was never shown such a list, when it is too long ago, when a page was not in
    /// it, and when a page cannot be read any more: all of these are one answer.
    pub fn take_feedback(
        &self,
        feedback: &Feedback,
        caller: &Caller,
        request: &FeedbackRequest,
    ) -> Result<u64, QueryError> {
        check(request)?;
        let (list, ranks) = feedback.find(caller, request).ok_or(QueryError::NotFound)?;
        let workspace = self.0.index.catalog().get(&caller.workspace).ok_or(QueryError::NotFound)?;
        {
            let gate = Gate::open(&workspace, caller, Purpose::Read, &self.0.url, &self.0.dropped);
            let is_readable = |page| gate.look_by_id(page).is_some();
            if !request.events.iter().all(|event| is_readable(&event.page)) {
                return Err(QueryError::NotFound);
            }
        }
        for (event, rank) in request.events.iter().zip(ranks) {
            feedback.done(caller, list, event, rank);
        }
        Ok(request.events.len() as u64)
    }
}

fn check(request: &FeedbackRequest) -> Result<(), QueryError> {
    let rule = |holds: bool, field, reason: &str| {
        if holds { Ok(()) } else { Err(QueryError::InvalidRequest { field, reason: reason.to_owned() }) }
    };
    let events = &request.events;
    let count = (1..=FEEDBACK_EVENTS_MAX).contains(&events.len());
    rule(count, "events", &format!("must have 1 to {FEEDBACK_EVENTS_MAX} items, it has {}", events.len()))?;
    for event in events {
        let rank = event.rank.is_none_or(|rank| (1..=FEEDBACK_RANK_MAX).contains(&rank));
        rule(rank, "events.rank", &format!("must be from 1 to {FEEDBACK_RANK_MAX}"))?;
        let is_dwell = event.kind == FeedbackKind::Dwell;
        rule(event.dwell_ms.is_some() == is_dwell, "events.dwell_ms", "must be there for `dwell`, and for it alone")?;
        let dwell = event.dwell_ms.is_none_or(|ms| ms <= DWELL_MS_MAX);
        rule(dwell, "events.dwell_ms", &format!("must be at most {DWELL_MS_MAX}"))?;
    }
    Ok(())
}
