//! An answer while it is given: events one by one, or all of them as one response.
//!
//! Nothing runs but while somebody waits in [`Answering::next`], so that a reader who is slow slows the writer down, and one who
//! has gone stops it. Invariants: the first event is `sources`; the last one is `done` or `error`; every event that says
//! something passes the gate (`Outgoing`); time is bounded by the deadline of the request.

mod extracting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use access::Caller;
use index::analysis::{Language, detect_language};
use models::extract::Word;
use models::generate::{Generate, GenerateError, Meter, Request, StopReason, Task, Usage};
use schemas::api::Consistency;
use schemas::api::answers::{
    AnswerDegraded, AnswerObject, AnswerRequest, AnswerResponse, AnswerSource, AnswerUsage, DoneEvent, SourcesEvent,
};
use schemas::api::search::Degraded;
use schemas::ids::PageId;

use super::asking::{Asking, Came, Lack, said_nothing};
use super::following::{Complete, Following};
use super::kept::Keyed;
use super::outgoing::{AnswerEvent, Outgoing, Shown, Telling};
use super::places::Place;
use super::prompt::{self, Manner, Titled};
use super::writing::Writing;
use super::{account, judging, not_found};
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::engine::sources::{Gathered, Gatherer};
use crate::error::QueryError;
use crate::gate::Watch;
use crate::metrics::AnswerKind;

/// Who asks what, and by when.
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) request: AnswerRequest,
    pub(crate) sampling: Sampling,
    pub(crate) request_id: String,
    pub(crate) started: Instant,
    pub(crate) deadline: Deadline,
    /// By when a model must be done, so that the extractor can still answer.
    pub(crate) model_deadline: Deadline,
    /// Who writes; the extractor where there is nobody.
    pub(crate) writer: Option<Arc<dyn Generate>>,
    /// What language models took for it.
    pub(crate) meter: Meter,
}

/// How a language model is to write, where whoever asks says so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Most tokens to write; what is configured is never exceeded.
    pub tokens_max: Option<u32>,
    /// How freely to choose words, 0 to 2.
    pub temperature: Option<f32>,
}

impl Sampling {
    /// Most tokens to write where so many are allowed.
    pub(crate) fn within(&self, tokens_max: u32) -> u32 {
        self.tokens_max.map_or(tokens_max, |wanted| wanted.min(tokens_max))
    }
}

/// An answer that is being given.
pub struct Answering {
    engine: Engine,
    asked: Asked,
    view: Option<Gatherer>,
    words: Vec<Word>,
    sources: Vec<AnswerSource>,
    writing: Writing,
    language: Language,
    degraded: BTreeSet<AnswerDegraded>,
    consistency: Consistency,
    model: Option<String>,
    truncated: bool,
    /// As what it is to be kept.
    keyed: Option<Keyed>,
    /// Whether it had been written before.
    cached: bool,
    /// The conversation that it follows on.
    following: Option<Following>,
    outgoing: Outgoing,
    state: State,
    _place: Place,
}

enum State {
    /// The sources are there.
    Begun,
    /// A model writes.
    Model(Asking),
    /// It has been written.
    Written,
    /// The last event is on its way.
    Ended,
}

impl Telling for Answering {
    fn next(&mut self) -> impl Future<Output = Option<AnswerEvent>> + Send {
        Answering::next(self)
    }

    fn watch(&self) -> Option<Watch> {
        self.outgoing.watch()
    }

    fn leave(&mut self) -> impl Future<Output = ()> + Send {
        Answering::leave(self)
    }
}

impl Answering {
    /// The pages of the sources that were let out, in their order; one may come more than once.
    pub(crate) fn source_pages(&self) -> impl Iterator<Item = &PageId> {
        self.sources.iter().map(|source| &source.page.id)
    }

    /// Lets out the sources that the caller may read now.
    pub(super) fn begin(
        engine: Engine,
        asked: Asked,
        gathered: Option<Gathered>,
        following: Option<Following>,
        place: Place,
    ) -> Self {
        let mut degraded = BTreeSet::new();
        let (mut view, mut words, mut shown) = (None, Vec::new(), Shown::default());
        if let Some(gathered) = gathered {
            degraded.extend(gathered.degraded.iter().filter_map(|leg| match leg {
                Degraded::Lexical => Some(AnswerDegraded::Lexical),
                Degraded::Semantic => Some(AnswerDegraded::Semantic),
                Degraded::Facets => None,
            }));
            shown = Shown::of(&engine, &gathered.view, gathered.held);
            (view, words) = (Some(gathered.view), gathered.words);
        }
        let Shown { sources, readable, mut watch, consistency, .. } = shown;
        // A language model is given their words, and may say them again.
        if let (Some(watch), Some(following)) = (&mut watch, &following)
            && asked.writer.is_some()
        {
            watch.follow(following.pages.iter().copied());
        }
        let language = detect_language(&asked.request.question, Language::English);
        engine.metrics().answer_begun();
        let first = SourcesEvent {
            sources: sources.clone(),
            conversation: following.as_ref().map(|following| following.id.to_string()),
            consistency,
            request_id: asked.request_id.clone(),
        };
        Self {
            engine,
            asked,
            view,
            words,
            sources,
            writing: Writing::new(readable, language),
            language,
            degraded,
            consistency,
            model: None,
            truncated: false,
            keyed: None,
            cached: false,
            following,
            outgoing: Outgoing::new(first, watch),
            state: State::Begun,
            _place: place,
        }
    }

    /// The next event; `None` after the last one.
    ///
    /// Cancel safety: not safe; what is dropped while it waits ends the answer.
    pub async fn next(&mut self) -> Option<AnswerEvent> {
        loop {
            if let Some(event) = self.outgoing.pop() {
                if matches!(event, AnswerEvent::Error(_)) {
                    self.leave().await;
                }
                return Some(event);
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Begun => self.start().await,
                State::Model(asking) => self.follow(asking).await,
                State::Written => self.conclude().await,
                State::Ended => return None,
            }
        }
    }

    /// The whole answer at once.
    ///
    /// # Errors
    ///
    /// [`QueryError::AccessChanged`] when a source was lost meanwhile, [`QueryError::DeadlineExceeded`],
    /// [`QueryError::BudgetExhausted`].
    pub async fn whole(mut self) -> Result<AnswerResponse, QueryError> {
        let mut done = None;
        while let Some(event) = self.next().await {
            if let AnswerEvent::Done(event) = event {
                done = Some(event);
            }
        }
        let Some(done) = done else {
            return Err(self.outgoing.failure().unwrap_or(QueryError::DeadlineExceeded));
        };
        let answer = done.message.unwrap_or_else(|| self.writing.shown().trim().to_owned());
        Ok(AnswerResponse {
            object: AnswerObject::Answer,
            answer,
            citations: if done.not_found { Vec::new() } else { self.writing.citations() },
            sentences: done.sentences,
            sources: std::mem::take(&mut self.sources),
            not_found: done.not_found,
            extractive: done.extractive,
            model: done.model,
            degraded: done.degraded,
            truncated: done.truncated,
            cached: done.cached,
            conversation: done.conversation,
            usage: usage_of(&self.asked.meter),
            consistency: self.consistency,
            took_ms: done.took_ms,
            request_id: std::mem::take(&mut self.asked.request_id),
        })
    }

    /// The language that the question is in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Why it ended with an error event, once it has.
    pub(crate) fn failure(&mut self) -> Option<QueryError> {
        self.outgoing.failure()
    }

    async fn start(&mut self) {
        self.state = State::Written;
        if self.sources.is_empty() {
            return;
        }
        let Some(writer) = self.asked.writer.clone() else { return self.extract().await };
        if self.recall().await {
            return;
        }
        let titled = Titled::all(&self.sources, self.writing.sources());
        let request = &self.asked.request;
        let messages = prompt::answer(&request.question, &request.messages, &titled, Manner::of(request));
        // A prompt leaves the house, too.
        let Some(messages) = self.outgoing.let_out(messages) else {
            return self.outgoing.fail(QueryError::AccessChanged);
        };
        let tokens_max = self.engine.config().answer.answer_tokens_max;
        let deadline = self.asked.model_deadline;
        let request = Request {
            task: Task::Answer,
            messages,
            tokens_max: self.asked.sampling.within(tokens_max),
            temperature: self.asked.sampling.temperature,
            deadline: deadline.instant(),
            account: account(&self.asked.caller),
            meter: self.asked.meter.clone(),
        };
        match Asking::begin(&writer, request, deadline, Lack::Alone).await {
            Ok((model, asking)) => {
                self.model = Some(model);
                self.state = State::Model(asking);
            }
            Err(error) => self.fall_back(&error).await,
        }
    }

    /// Whether it is told without asking a model: nothing was found, or it was answered before, which is written then.
    pub(super) async fn takes_no_model(&mut self) -> bool {
        let is_told = self.sources.is_empty() || self.recall().await;
        if is_told {
            self.state = State::Written;
        }
        is_told
    }

    /// Writes what was answered before to the same question from the same sources, if that is known.
    async fn recall(&mut self) -> bool {
        // What a model may repeat of turns before is no source that kept answers are known by.
        if self.following.as_ref().is_some_and(|following| !following.also.is_empty()) {
            return false;
        }
        let embedder = self.view.as_ref().and_then(Gatherer::embedder).cloned();
        self.keyed = Keyed::of(&self.engine, &self.asked, &self.words, &self.sources, embedder).await;
        let Some(known) = self.keyed.as_ref().and_then(|keyed| keyed.find(&self.engine)) else { return false };
        (self.model, self.cached) = (Some(known.model), true);
        self.write(&known.text, true);
        true
    }

    async fn follow(&mut self, mut asking: Asking) {
        match asking.next().await {
            Came::Text(text) => {
                self.write(&text, false);
                self.state = State::Model(asking);
            }
            Came::NotFound => self.state = State::Written,
            Came::Nothing => self.fall_back(&said_nothing()).await,
            Came::End(text, end) => {
                self.write(&text, true);
                self.truncated = end.reason != StopReason::Complete;
                self.state = State::Written;
            }
            Came::Failed(error) => self.fall_back(&error).await,
        }
    }

    fn write(&mut self, text: &str, ended: bool) {
        let (engine, view) = (&self.engine, self.view.as_ref());
        let link = |address: &str| view.and_then(|view| view.gate(engine).page_address(address));
        self.outgoing.write(&mut self.writing, text, ended, &link);
    }

    /// The model failed: the extractor answers if nothing went out yet, else the answer ends here. So it does where the budget is
    /// used up, unless the operator has the extractor answer then.
    async fn fall_back(&mut self, error: &GenerateError) {
        tracing::warn!(error = error as &dyn std::error::Error, "the language model failed");
        let is_over = self.engine.config().answer.refuses_after(error);
        let can_begin_again = self.writing.is_empty() || !self.asked.request.stream;
        if is_over || !can_begin_again {
            let interrupted = matches!(error, GenerateError::Unavailable(_) | GenerateError::Refused(_));
            let failure = if interrupted { QueryError::ModelInterrupted } else { QueryError::of_model(error) };
            return self.outgoing.fail(failure);
        }
        self.outgoing.clear();
        self.writing = Writing::new(self.writing.sources().to_vec(), self.language);
        self.degraded.insert(AnswerDegraded::Model);
        self.model = None;
        self.state = State::Written;
        self.extract().await;
    }

    /// Ends the answer here, so that no model writes it any more; keeps the question in the conversation whose id was told already, where it
    /// was not complete.
    async fn leave(&mut self) {
        self.state = State::Ended;
        let following = self.following.take().filter(|_| self.asked.request.stream);
        if let Some(following) = following {
            let (caller, question) = (&self.asked.caller, &self.asked.request.question);
            following.keep_question(&self.engine, caller, question, self.consistency).await;
        }
    }

    /// Judges what was written, and says that it is complete.
    async fn conclude(&mut self) {
        if self.model.is_some() {
            let embedder = self.view.as_ref().and_then(Gatherer::embedder).cloned();
            let written = judging::by_meaning(&self.engine, embedder, &mut self.writing, self.asked.deadline).await;
            self.outgoing.push_written(written, &self.writing);
        }
        self.engine.answers().count(self.writing.dropped());
        let is_supported = self.writing.sentences().iter().any(|sentence| sentence.supported);
        let not_found = !is_supported && !self.writing.is_foreign(&self.asked.request.question);
        self.engine.metrics().answer_ended(match (not_found, self.cached, &self.model) {
            (true, ..) => AnswerKind::NotFound,
            (false, true, _) => AnswerKind::Cached,
            (false, false, Some(_)) => AnswerKind::Model,
            (false, false, None) => AnswerKind::Extractive,
        });
        if let (Some(keyed), Some(model)) = (self.keyed.take(), &self.model)
            && !(self.cached || not_found || self.truncated)
        {
            keyed.keep(&self.engine, self.writing.shown().trim(), model);
        }
        let message = not_found.then(|| not_found::not_found(&self.asked.request.question).to_owned());
        let conversation = self.keep(not_found, message.as_deref()).await;
        self.outgoing.push(AnswerEvent::Usage(usage_of(&self.asked.meter)));
        self.outgoing.push(AnswerEvent::Done(DoneEvent {
            sentences: if not_found { Vec::new() } else { self.writing.sentences().to_vec() },
            not_found,
            message,
            extractive: self.model.is_none(),
            model: self.model.clone(),
            degraded: self.degraded.iter().copied().collect(),
            truncated: self.truncated,
            cached: self.cached,
            conversation,
            value: None,
            cut: false,
            took_ms: self.asked.started.elapsed().as_millis() as u64,
        }));
    }

    /// Keeps the answer in the conversation that it follows on, and gives the id of that.
    async fn keep(&mut self, not_found: bool, message: Option<&str>) -> Option<String> {
        let following = self.following.take()?;
        let complete = Complete {
            question: &self.asked.request.question,
            answer: message.unwrap_or_else(|| self.writing.shown().trim()).to_owned(),
            sentences: if not_found { Vec::new() } else { self.writing.sentences().to_vec() },
            citations: if not_found { Vec::new() } else { self.writing.citations() },
            sources: &self.sources,
            readable: self.writing.sources(),
            not_found,
            model: self.model.as_deref(),
            consistency: self.consistency,
        };
        let conversation = following.keep(&self.engine, &self.asked.caller, complete).await;
        if conversation.is_none() {
            self.degraded.insert(AnswerDegraded::Conversation);
        }
        conversation
    }
}

/// What all calls for a text took, those that failed too, as responses show it.
pub(crate) fn usage_of(meter: &Meter) -> AnswerUsage {
    let Usage { prompt_tokens, completion_tokens, cost_micros } = meter.total();
    AnswerUsage { prompt_tokens, completion_tokens, cost_micros }
}
