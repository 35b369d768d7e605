//! The indexer as the HTTP API sees it: takes batches on blocking threads and translates the answers.

use std::sync::Arc;

use indexer::dead_letters::{DeadLetter, SentFor};
use query::audit::Audit;
use query::deadline::Deadline;
use query::feedback::Feedback;
use query::http::ingest::{Ingest, IngestError, Kept, Receipt, Refused, Submitted};
use schemas::api::events::Wait;
use schemas::api::operate::IngestStatus;
use schemas::event::{Change, Event};

/// Puts the write side behind the HTTP API.
pub(crate) struct IndexerIngest {
    pub(crate) indexer: indexer::engine::Engine,
    /// The stream that is read beside requests.
    pub(crate) stream: Option<Arc<indexer::kafka::Source>>,
    /// Told when somebody was erased, so that the log need not look for it.
    pub(crate) feedback: Option<Feedback>,
    /// As well.
    pub(crate) audit: Option<Audit>,
}

impl Ingest for IndexerIngest {
    fn submit(&self, events: Vec<Event>, wait: Wait, deadline: Deadline) -> Submitted {
        let engine = self.indexer.clone();
        let is_erasing = |event: &Event| matches!(event.change, Change::WorkspaceErased | Change::UserErased { .. });
        let erases = events.iter().any(is_erasing);
        let (feedback, audit) = (self.feedback.clone().filter(|_| erases), self.audit.clone().filter(|_| erases));
        let wait = match wait {
            Wait::Durable => indexer::engine::Wait::Durable,
            Wait::Searchable => indexer::engine::Wait::Searchable,
        };
        // The task goes on when the request does not: writes are not cancelled.
        let task = tokio::task::spawn_blocking({
            let engine = engine.clone();
            move || {
                let submitted = engine.submit(&events, wait);
                if let Some(feedback) = feedback {
                    feedback.look_for_erased();
                }
                if let Some(audit) = audit {
                    audit.look_for_erased();
                }
                submitted
            }
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
        let engine = self.indexer.clone();
        let task = tokio::task::spawn_blocking(move || {
            let letters = refused.iter().map(|Refused { event, error, sent_for }| DeadLetter {
                event,
                error,
                origin: None,
                sent_for: sent_for.as_ref().map_or(SentFor::Nobody, |workspace| SentFor::One(workspace.as_str())),
            });
            engine.keep(&letters.collect::<Vec<_>>())
        });
        Box::pin(async move {
            let kept = task.await.map_err(|error| IngestError::Failed(Box::new(error)))?;
            kept.map_err(translate)
        })
    }

    fn status(&self) -> IngestStatus {
        let status = self.indexer.status();
        IngestStatus {
            accepting: status.accepting,
            queue_len: status.pending_events,
            pending_vectors: status.semantic_pending,
            lag_ms: status.lag_ms,
            rejected_total: status.rejected_total,
            stream: self.stream.as_ref().map(|stream| stream.status()),
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
