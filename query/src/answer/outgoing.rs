//! What goes out of a text while it is written: events in order, each checked against the newest access.
//!
//! Invariants: nothing that was made of pages goes out, to a reader or to a model, once the caller lost one of them; what waited then is
//! dropped, and an `error` is the last that comes.

use std::collections::VecDeque;
use std::sync::Arc;

use access::PageOrdinal;
use schemas::api::Consistency;
use schemas::api::answers::{
    AnswerErrorCode, AnswerSource, AnswerUsage, CitationEvent, DeltaEvent, DoneEvent, ErrorEvent, SourcesEvent,
};
use serde::Serialize;

use super::markup::PageLink;
use super::source::SourceText;
use super::writing::{Readable, Writing, Written};
use crate::engine::Engine;
use crate::engine::sources::Gatherer;
use crate::error::{ErrorKind, QueryError};
use crate::gate::{Held, Watch};
use crate::http::problem::whole_seconds;

/// Something of a text that goes out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerEvent {
    /// What it is made from.
    Sources(SourcesEvent),
    /// Some of its text.
    Delta(DeltaEvent),
    /// A sentence rests on a place.
    Citation(CitationEvent),
    /// What it took.
    Usage(AnswerUsage),
    /// It is complete.
    Done(DoneEvent),
    /// It ends here.
    Error(ErrorEvent),
}

/// A text that is told event by event.
pub trait Telling: Send + 'static {
    /// The next event; `None` after the last one.
    fn next(&mut self) -> impl Future<Output = Option<AnswerEvent>> + Send;

    /// What follows access to all that it is made of; none without pages.
    fn watch(&self) -> Option<Watch>;

    /// It ends here, before its last event was told: what is to be kept of it is kept.
    fn leave(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Events on their way to a reader.
pub(crate) struct Outgoing {
    queue: VecDeque<AnswerEvent>,
    /// What the text rests on; none without pages.
    watch: Option<Watch>,
    /// Why it ended badly.
    failure: Option<QueryError>,
}

impl Outgoing {
    pub(crate) fn new(first: SourcesEvent, watch: Option<Watch>) -> Self {
        Self { queue: VecDeque::from([AnswerEvent::Sources(first)]), watch, failure: None }
    }

    /// The event that waits longest, if the caller may have it. Nothing comes after an error.
    pub(crate) fn pop(&mut self) -> Option<AnswerEvent> {
        let event = self.queue.pop_front()?;
        if matches!(event, AnswerEvent::Error(_)) {
            self.queue.clear();
            return Some(event);
        }
        let checked = self.let_out(event);
        if checked.is_none() {
            self.fail(QueryError::AccessChanged);
            return self.queue.pop_front();
        }
        checked
    }

    /// Lets out what was made of the pages, if the caller may see every one of them now.
    pub(crate) fn let_out<T>(&mut self, value: T) -> Option<T> {
        match &mut self.watch {
            Some(watch) => watch.let_out(value),
            None => Some(value),
        }
    }

    /// What follows access for whoever tells the events once more.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.watch.as_ref().map(Watch::anew)
    }

    pub(crate) fn push(&mut self, event: AnswerEvent) {
        self.queue.push_back(event);
    }

    /// Takes a piece of a text in, and pushes what can be told of it; with `ended` it is the last.
    pub(crate) fn write(&mut self, writing: &mut Writing, text: &str, ended: bool, page_link: PageLink<'_>) {
        let mut written = writing.push(text, page_link);
        if ended {
            written.extend(writing.finish(page_link));
        }
        self.push_written(written, writing);
    }

    /// What was written, with the places that it rests on.
    pub(crate) fn push_written(&mut self, written: Vec<Written>, writing: &Writing) {
        for written in written {
            self.queue.push_back(match written {
                Written::Delta(text) => AnswerEvent::Delta(DeltaEvent { text }),
                Written::Cited(sentence, index) => {
                    AnswerEvent::Citation(CitationEvent { sentence, index, citation: writing.citation(index) })
                }
            });
        }
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }

    /// Drops what waits: an error is the last event.
    pub(crate) fn fail(&mut self, failure: QueryError) {
        self.queue.clear();
        self.queue.push_back(AnswerEvent::Error(told(&failure)));
        self.failure = Some(failure);
    }

    /// As [`Outgoing::fail`], where the extractor did not come to its end: a bug of ours is for the log.
    pub(crate) fn fail_to_pick(&mut self, failure: QueryError) {
        if failure.kind() == ErrorKind::Bug {
            tracing::error!(error = &failure as &dyn std::error::Error, "no sentences were picked");
        }
        self.fail(failure);
    }

    /// Why it ended badly, once it has.
    pub(crate) fn failure(&mut self) -> Option<QueryError> {
        self.failure.take()
    }
}

/// How a stream says why it ends.
fn told(failure: &QueryError) -> ErrorEvent {
    let (code, retryable, wait) = match failure {
        QueryError::AccessChanged => (AnswerErrorCode::AccessChanged, true, None),
        QueryError::DeadlineExceeded | QueryError::Overloaded => (AnswerErrorCode::DeadlineExceeded, true, None),
        QueryError::BudgetExhausted { retry_after, .. } => (AnswerErrorCode::BudgetExhausted, true, Some(*retry_after)),
        QueryError::ModelUnavailable { retry_after } => (AnswerErrorCode::ModelUnavailable, true, Some(*retry_after)),
        QueryError::NoLanguageModel => (AnswerErrorCode::ModelUnavailable, false, None),
        QueryError::ModelInterrupted => (AnswerErrorCode::ModelInterrupted, true, None),
        QueryError::ModelRefused => (AnswerErrorCode::ModelRefused, false, None),
        _ => (AnswerErrorCode::Internal, true, None),
    };
    ErrorEvent { code, retryable, retry_after_seconds: wait.map(whole_seconds) }
}

/// Sources that were let out, and what follows access to them.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) sources: Vec<AnswerSource>,
    pub(crate) readable: Vec<Readable>,
    pub(crate) watch: Option<Watch>,
    pub(crate) consistency: Consistency,
    /// Whether some could not be let out.
    pub(crate) has_lost: bool,
}

impl Shown {
    /// Lets out the sources that the caller may read now.
    pub(crate) fn of(engine: &Engine, view: &Gatherer, held: Vec<Held<SourceText>>) -> Self {
        let mut shown = Self::default();
        let mut pages: Vec<PageOrdinal> = Vec::new();
        let gate = view.gate(engine);
        for held in held {
            let permit = gate.permit(held.page());
            let Some((permit, text)) = permit.and_then(|permit| Some((permit, held.let_out(permit)?))) else {
                shown.has_lost = true;
                continue;
            };
            pages.push(permit.ordinal());
            shown.sources.push(AnswerSource {
                number: shown.sources.len() as u32 + 1,
                page: permit.summary(),
                breadcrumb: permit.breadcrumb(),
                headings: text.headings.clone(),
                blocks: text.shown(),
                score: text.score,
            });
            shown.readable.push(Readable { page: permit.head().page.clone(), text });
        }
        shown.consistency = Consistency { index_seq: view.index_seq(), access_seq: gate.access_seq() };
        drop(gate);
        let dropped = Arc::clone(engine.dropped());
        let (workspace, caller) = (Arc::clone(view.workspace()), view.caller().clone());
        shown.watch = Some(Watch::new(workspace, caller, view.purpose(), pages, dropped));
        shown
    }
}
