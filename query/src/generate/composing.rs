//! A text while it is made: events one by one, or all of them as one response.
//!
//! The same events, the same watch over access and the same cleaning as for an answer. What differs: a model that fails ends it, but for
//! what the extractor can do; nothing of a property goes out before its value was checked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use access::Caller;
use index::analysis::{Language, detect_language};
use models::generate::{Generate, GenerateError, Meter, Request, StopReason, Task};
use schemas::api::Consistency;
use schemas::api::answers::{AnswerDegraded, AnswerSource, DoneEvent, SourcesEvent};
use schemas::api::generate::{
    FilledValue, GenerateRequest, GenerateResponse, GenerateTask, GenerationObject, PropertyKind,
};
use schemas::ids::PageId;

use super::given::Addresses;
use super::pick::{Line, Picks, pick};
use super::{prompt, property};
use crate::answer::answering::usage_of;
use crate::answer::asking::{Asking, Came, Lack, said_nothing};
use crate::answer::defuse::{visible, without_markers};
use crate::answer::outgoing::{AnswerEvent, Outgoing, Shown, Telling};
use crate::answer::places::Place;
use crate::answer::prompt::Titled;
use crate::answer::writing::Writing;
use crate::answer::{account, judging};
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::engine::open::Opened;
use crate::engine::sources::Gatherer;
use crate::error::QueryError;
use crate::gate::Watch;

/// Bytes of what a model may write for a value.
const VALUE_BYTES_MAX: usize = 16_384;
/// Characters by which the language of a text is told.
const LANGUAGE_CHARS: usize = 2_000;

/// Who wants what, and by when.
pub(crate) struct Ordered {
    pub(crate) caller: Caller,
    pub(crate) request: GenerateRequest,
    pub(crate) request_id: String,
    pub(crate) started: Instant,
    pub(crate) deadline: Deadline,
    /// By when a model must be done.
    pub(crate) model_deadline: Deadline,
    /// Who writes; the extractor where there is nobody.
    pub(crate) writer: Option<Arc<dyn Generate>>,
    /// What language models took for it.
    pub(crate) meter: Meter,
}

/// A text that is being made.
pub struct Composing {
    engine: Engine,
    ordered: Ordered,
    view: Option<Gatherer>,
    sources: Vec<AnswerSource>,
    addresses: Addresses,
    writing: Writing,
    language: Language,
    degraded: BTreeSet<AnswerDegraded>,
    consistency: Consistency,
    model: Option<String>,
    truncated: bool,
    cut: bool,
    value: Option<FilledValue>,
    outgoing: Outgoing,
    state: State,
    _place: Place,
}

enum State {
    /// The sources are there.
    Begun,
    /// A model writes.
    Model(Asking),
    /// A model writes a value, which is not let out before it was checked.
    Value(Asking, String),
    /// It has been written.
    Written,
    /// The last event is on its way.
    Ended,
}

impl Telling for Composing {
    fn next(&mut self) -> impl Future<Output = Option<AnswerEvent>> + Send {
        Composing::next(self)
    }

    fn watch(&self) -> Option<Watch> {
        self.outgoing.watch()
    }
}

impl Composing {
    /// The pages of the sources that were let out, in their order.
    pub(crate) fn source_pages(&self) -> impl Iterator<Item = &PageId> {
        self.sources.iter().map(|source| &source.page.id)
    }

    /// Lets out the pages, all of them or none.
    pub(super) fn begin(
        engine: Engine,
        ordered: Ordered,
        opened: Option<Opened>,
        place: Place,
    ) -> Result<Self, QueryError> {
        let (mut view, mut cut, mut shown) = (None, false, Shown::default());
        if let Some(opened) = opened {
            shown = Shown::of(&engine, &opened.view, opened.held);
            (view, cut) = (Some(opened.view), opened.cut);
        }
        let Shown { sources, readable, watch, consistency, has_lost } = shown;
        if has_lost {
            return Err(QueryError::NotFound);
        }
        let given = ordered.request.text.as_deref().unwrap_or("");
        let of_pages = readable.first().and_then(|page| page.text.blocks.first()).map(|block| block.language);
        let language = of_pages.unwrap_or_else(|| {
            let end = given.char_indices().nth(LANGUAGE_CHARS).map_or(given.len(), |(at, _)| at);
            detect_language(&given[..end], Language::English)
        });
        let addresses = Addresses::of(given);
        let first = SourcesEvent {
            sources: sources.clone(),
            conversation: None,
            consistency,
            request_id: ordered.request_id.clone(),
        };
        Ok(Self {
            engine,
            ordered,
            view,
            sources,
            addresses,
            writing: Writing::new(readable, language),
            language,
            degraded: BTreeSet::new(),
            consistency,
            model: None,
            truncated: false,
            cut,
            value: None,
            outgoing: Outgoing::new(first, watch),
            state: State::Begun,
            _place: place,
        })
    }

    /// The next event; `None` after the last one.
    ///
    /// Cancel safety: not safe; what is dropped while it waits ends the text.
    pub async fn next(&mut self) -> Option<AnswerEvent> {
        loop {
            if let Some(event) = self.outgoing.pop() {
                if matches!(event, AnswerEvent::Error(_)) {
                    self.state = State::Ended;
                }
                return Some(event);
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Begun => self.start().await,
                State::Model(asking) => self.follow(asking).await,
                State::Value(asking, text) => self.follow_value(asking, text).await,
                State::Written => self.conclude().await,
                State::Ended => return None,
            }
        }
    }

    /// The whole text at once.
    ///
    /// # Errors
    ///
    /// [`QueryError::AccessChanged`] when a page was lost meanwhile, [`QueryError::DeadlineExceeded`], and what says that a language
    /// model was needed and failed.
    pub async fn whole(mut self) -> Result<GenerateResponse, QueryError> {
        let mut done = None;
        while let Some(event) = self.next().await {
            if let AnswerEvent::Done(event) = event {
                done = Some(event);
            }
        }
        let Some(done) = done else {
            return Err(self.outgoing.failure().unwrap_or(QueryError::DeadlineExceeded));
        };
        let text = if done.not_found { String::new() } else { self.writing.shown().trim().to_owned() };
        Ok(GenerateResponse {
            object: GenerationObject::Generation,
            task: self.ordered.request.task,
            text,
            value: done.value,
            citations: if done.not_found { Vec::new() } else { self.writing.citations() },
            sentences: done.sentences,
            sources: std::mem::take(&mut self.sources),
            cut: done.cut,
            not_found: done.not_found,
            extractive: done.extractive,
            model: done.model,
            degraded: done.degraded,
            truncated: done.truncated,
            usage: usage_of(&self.ordered.meter),
            consistency: self.consistency,
            took_ms: done.took_ms,
            request_id: std::mem::take(&mut self.ordered.request_id),
        })
    }

    /// Whether there is anything to make a text of.
    fn has_material(&self) -> bool {
        self.ordered.request.text.is_some() || self.writing.sources().iter().any(|of| !of.text.blocks.is_empty())
    }

    async fn start(&mut self) {
        self.state = State::Written;
        if !self.has_material() {
            return;
        }
        let Some(writer) = self.ordered.writer.clone() else { return self.extract().await };
        let titled = Titled::all(&self.sources, self.writing.sources());
        let messages = prompt::messages(&self.ordered.request, &titled);
        // A prompt leaves the house, too.
        let Some(messages) = self.outgoing.let_out(messages) else {
            return self.outgoing.fail(QueryError::AccessChanged);
        };
        let deadline = self.ordered.model_deadline;
        let request = Request {
            task: Task::Compose,
            messages,
            tokens_max: self.engine.config().generate.tokens_max,
            temperature: None,
            deadline: deadline.instant(),
            account: account(&self.ordered.caller),
            meter: self.ordered.meter.clone(),
        };
        let is_value = self.ordered.request.task == GenerateTask::FillProperty;
        let may_lack = is_value || self.ordered.request.task == GenerateTask::ActionItems;
        let lack = if may_lack { Lack::WithReason } else { Lack::Never };
        match Asking::begin(&writer, request, deadline, lack).await {
            Ok((model, asking)) => {
                self.model = Some(model);
                self.state = if is_value { State::Value(asking, String::new()) } else { State::Model(asking) };
            }
            Err(error) => self.fall_back(&error).await,
        }
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

    async fn follow_value(&mut self, mut asking: Asking, mut value: String) {
        match asking.next().await {
            Came::Text(text) if value.len() + text.len() > VALUE_BYTES_MAX => {
                self.fall_back(&GenerateError::Refused("the value is longer than one can be".to_owned())).await;
            }
            Came::Text(text) => {
                value.push_str(&text);
                self.state = State::Value(asking, value);
            }
            Came::NotFound => self.state = State::Written,
            Came::Nothing => self.fall_back(&said_nothing()).await,
            // The beginning of a value is another value.
            Came::End(_, end) if end.reason != StopReason::Complete => {
                self.fall_back(&GenerateError::Refused("the value was cut off".to_owned())).await;
            }
            Came::End(text, _) => {
                value.push_str(&text);
                self.take_value(&value).await;
            }
            Came::Failed(error) => self.fall_back(&error).await,
        }
    }

    /// Lets out a value that a model wrote, if it is one; else what the extractor finds, if that is sure.
    async fn take_value(&mut self, written: &str) {
        self.state = State::Written;
        let Some(spec) = self.ordered.request.property.clone() else { return };
        if property::is_lacking(written, &spec) {
            return;
        }
        self.write(written, true);
        self.value = if spec.kind == PropertyKind::Select {
            property::read(written, &spec)
        } else {
            let said = self.writing.sentences().iter().map(|sentence| sentence.text.as_str());
            property::read(&said.collect::<Vec<_>>().join(" "), &spec)
        };
        if self.value.is_none() {
            tracing::debug!("the language model wrote no value of the type");
            self.begin_again();
            self.extract().await;
        }
    }

    fn write(&mut self, text: &str, ended: bool) {
        let (engine, view, addresses) = (&self.engine, self.view.as_ref(), &self.addresses);
        let link = |address: &str| {
            let page = view.and_then(|view| view.gate(engine).page_address(address));
            page.or_else(|| addresses.find(address))
        };
        self.outgoing.write(&mut self.writing, text, ended, &link);
    }

    /// The model failed: the extractor does it, if it can and nothing went out yet; else the text ends here.
    async fn fall_back(&mut self, error: &GenerateError) {
        tracing::warn!(error = error as &dyn std::error::Error, "the language model failed");
        let request = &self.ordered.request;
        let is_over = self.engine.config().answer.refuses_after(error);
        let can_begin_again = self.writing.is_empty() || !request.stream;
        if is_over || !can_begin_again || !request.task.is_extractable() {
            return self.outgoing.fail(QueryError::of_model(error));
        }
        self.begin_again();
        self.extract().await;
    }

    /// Drops what a model wrote.
    fn begin_again(&mut self) {
        self.outgoing.clear();
        self.writing = Writing::new(self.writing.sources().to_vec(), self.language);
        self.degraded.insert(AnswerDegraded::Model);
        self.model = None;
        self.state = State::Written;
    }

    /// Picks from what was given.
    async fn extract(&mut self) {
        let titles: Vec<String> = self.sources.iter().map(|source| source.page.title.clone()).collect();
        let readable = self.writing.sources().to_vec();
        let (request, language) = (self.ordered.request.clone(), self.language);
        let work = move || Ok(pick(&request, language, &readable, &titles));
        let picked = match self.engine.picking_work(self.ordered.deadline, work).await {
            Ok(picked) => picked,
            Err(error) => {
                return self.outgoing.fail_to_pick(error);
            }
        };
        let Picks { lines, value } = picked;
        let is_list = matches!(self.ordered.request.task, GenerateTask::KeyPoints | GenerateTask::ActionItems);
        for line in lines {
            let lead = match (is_list, self.writing.is_empty()) {
                (false, true) => "",
                (false, false) => " ",
                (true, true) => "- ",
                (true, false) => "\n- ",
            };
            match line {
                Line::Given(text) => {
                    let text = without_markers(&visible(&text)).split_whitespace().collect::<Vec<_>>().join(" ");
                    self.write(&format!("{lead}{text}"), true);
                }
                Line::Cited(source, span) => {
                    let (engine, view) = (&self.engine, self.view.as_ref());
                    let link = |address: &str| view.and_then(|view| view.gate(engine).page_address(address));
                    let written = self.writing.quote(lead, source, span, &link);
                    self.outgoing.push_written(written, &self.writing);
                }
            }
        }
        // Words of a page go out cleaned, as all that is quoted of it.
        self.value = match (value, self.writing.sentences().first(), &self.ordered.request.property) {
            (Some(FilledValue::Text(_)), Some(said), Some(spec)) => property::read(&said.text, spec),
            (value, ..) => value,
        };
    }

    /// Judges what was written, and says that it is complete.
    async fn conclude(&mut self) {
        let has_pages = !self.sources.is_empty();
        if self.model.is_some() && has_pages {
            let embedder = self.view.as_ref().and_then(Gatherer::embedder).cloned();
            let written = judging::by_meaning(&self.engine, embedder, &mut self.writing, self.ordered.deadline).await;
            self.outgoing.push_written(written, &self.writing);
        }
        self.engine.answers().count(self.writing.dropped());
        let is_value = self.ordered.request.task == GenerateTask::FillProperty;
        let not_found = if is_value { self.value.is_none() } else { self.writing.is_empty() };
        let sentences = if not_found || !has_pages { Vec::new() } else { self.writing.sentences().to_vec() };
        self.outgoing.push(AnswerEvent::Usage(usage_of(&self.ordered.meter)));
        self.outgoing.push(AnswerEvent::Done(DoneEvent {
            sentences,
            not_found,
            message: None,
            extractive: self.model.is_none(),
            model: self.model.clone(),
            degraded: self.degraded.iter().copied().collect(),
            truncated: self.truncated,
            cached: false,
            conversation: None,
            value: self.value.clone(),
            cut: self.cut,
            took_ms: self.ordered.started.elapsed().as_millis() as u64,
        }));
    }
}
