//! The indexer as the HTTP API sees it: takes batches on blocking threads and translates the answers.

use query::deadline::Deadline;
use query::http::ingest::{Ingest, IngestError, Kept, Receipt, Refused, Submitted};
use schemas::api::events::Wait;
use schemas::api::operate::IngestStatus;
use schemas::event::Event;

/// Puts the write side behind the HTTP API.
pub(crate) struct IndexerIngest(pub(crate) indexer::engine::Engine);

impl Ingest for IndexerIngest {
    fn submit(&self, events: Vec<Event>, wait: Wait, deadline: Deadline) -> Submitted {
        let engine = self.0.clone();
        let wait = match wait {
            Wait::Durable => indexer::engine::Wait::Durable,
            Wait::Searchable => indexer::engine::Wait::Searchable,
        };
        // The task goes on when the request does not: writes are not cancelled.
        let task = tokio::task::spawn_blocking({
            let engine = engine.clone();
            move || engine.submit(&events, wait)
        });
        Box::pin(async move {
            let Ok(joined) = tokio::time::timeout_at(deadline.instant().into(), task).await else {
                return Err(engine
                    .failure()
                    .map_or(IngestError::Late, |failure| IngestError::Failing(Box::new(failure))));
            };
            let submitted = joined.map_err(|error| IngestError::Failed(Box::new(error)))?.map_err(translate)?;
            let rejected = submitted.rejected.into_iter().collect();
            Ok(Receipt {
                accepted: submitted.accepted,
                unchanged: submitted.unchanged,
                conflicts: submitted.conflicts,
                rejected,
                index_seq: submitted.index_seq,
            })
        })
    }

    fn reject(&self, refused: Vec<Refused>) -> Kept {
        let engine = self.0.clone();
        let task = tokio::task::spawn_blocking(move || engine.reject(&refused));
        Box::pin(async move {
            let kept = task.await.map_err(|error| IngestError::Failed(Box::new(error)))?;
            kept.map_err(translate)
        })
    }

    fn status(&self) -> IngestStatus {
        let status = self.0.status();
        IngestStatus {
            accepting: status.accepting,
            queue_len: status.pending_events,
            pending_vectors: status.semantic_pending,
            lag_ms: status.lag_ms,
            rejected_total: status.rejected_total,
        }
    }
}

fn translate(error: indexer::error::IngestError) -> IngestError {
    use indexer::error::IngestError as Theirs;
    match error {
        Theirs::Overloaded { .. } => IngestError::Busy,
        Theirs::NotYetCommitted { .. } => IngestError::Late,
        Theirs::Stopped => IngestError::Closed,
        Theirs::Failing { .. } | Theirs::DeadLetters { .. } => IngestError::Failing(Box::new(error)),
        other => IngestError::Failed(Box::new(other)),
    }
}
