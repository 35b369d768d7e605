//! An answer while it is given: events one by one, or all of them as one response.
//!
//! Nothing runs but while somebody waits in [`Answering::next`], so that a reader who is slow slows the writer down, and one who
//! has gone stops it. Invariants: the first event is `sources`; the last one is `done` or `error`; every event that says
//! something passes [`Watch`]; time is bounded by the deadline of the request.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use access::{Caller, PageOrdinal};
use futures_util::StreamExt as _;
use index::analysis::{Language, detect_language};
use models::extract::Word;
use models::generate::{End, Generate, GenerateError, Piece, Pieces, Request, StopReason, Task};
use schemas::api::Consistency;
use schemas::api::answers::{
    AnswerDegraded, AnswerErrorCode, AnswerObject, AnswerRequest, AnswerResponse, AnswerSource, AnswerUsage,
    CitationEvent, DeltaEvent, DoneEvent, ErrorEvent, SourcesEvent, Style,
};
use schemas::api::search::Degraded;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use super::extractive::{Prepared, question};
use super::prompt::{self, Manner, Titled};
use super::support::{ByMeaning, Support as _};
use super::writing::{Readable, Writing, Written};
use super::{account, not_found};
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::engine::sources::{Gathered, Gatherer};
use crate::error::QueryError;
use crate::gate::Watch;

/// Something of an answer that goes out.
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

/// Who asks what, and by when.
pub(crate) struct Asked {
    pub(crate) caller: Caller,
    pub(crate) request: AnswerRequest,
    pub(crate) request_id: String,
    pub(crate) started: Instant,
    pub(crate) deadline: Deadline,
    /// By when a model must be done, so that the extractor can still answer.
    pub(crate) model_deadline: Deadline,
    /// Who writes; the extractor where there is nobody.
    pub(crate) writer: Option<Arc<dyn Generate>>,
}

/// An answer that is being given.
pub struct Answering {
    engine: Engine,
    asked: Asked,
    view: Option<Gatherer>,
    words: Vec<Word>,
    /// What the answer rests on; none without sources.
    watch: Option<Watch>,
    sources: Vec<AnswerSource>,
    writing: Writing,
    language: Language,
    degraded: BTreeSet<AnswerDegraded>,
    consistency: Consistency,
    usage: AnswerUsage,
    model: Option<String>,
    truncated: bool,
    queue: VecDeque<AnswerEvent>,
    state: State,
    _permit: OwnedSemaphorePermit,
}

enum State {
    /// The sources are there.
    Begun,
    /// A model writes.
    Model(Model),
    /// It has been written.
    Written,
    /// The last event is on its way.
    Ended,
}

/// A model that writes.
struct Model {
    pieces: Pieces,
    /// What came so far, while it may still become the word for "not found".
    lead: Option<String>,
}

impl Answering {
    /// Lets out the sources that the caller may read now.
    pub(super) fn begin(
        engine: Engine,
        asked: Asked,
        gathered: Option<Gathered>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let mut degraded = BTreeSet::new();
        let mut sources = Vec::new();
        let mut readable = Vec::new();
        let mut pages: Vec<PageOrdinal> = Vec::new();
        let (mut view, mut words, mut watch, mut consistency) = (None, Vec::new(), None, Consistency::default());
        if let Some(gathered) = gathered {
            degraded.extend(gathered.degraded.iter().filter_map(|leg| match leg {
                Degraded::Lexical => Some(AnswerDegraded::Lexical),
                Degraded::Semantic => Some(AnswerDegraded::Semantic),
                Degraded::Facets => None,
            }));
            let gate = gathered.view.gate(&engine);
            for held in gathered.held {
                let Some(permit) = gate.permit(held.page()) else { continue };
                let Some(text) = held.let_out(permit) else { continue };
                pages.push(permit.ordinal());
                sources.push(AnswerSource {
                    number: sources.len() as u32 + 1,
                    page: permit.summary(),
                    breadcrumb: permit.breadcrumb(),
                    headings: text.headings.clone(),
                    blocks: text.shown(),
                    score: text.score,
                });
                readable.push(Readable { page: permit.head().page.clone(), text });
            }
            consistency = Consistency { index_seq: gathered.view.index_seq(), access_seq: gate.access_seq() };
            drop(gate);
            let of = &gathered.view;
            let dropped = Arc::clone(engine.dropped());
            watch = Some(Watch::new(Arc::clone(of.workspace()), of.caller().clone(), of.purpose(), pages, dropped));
            (view, words) = (Some(gathered.view), gathered.words);
        }
        let language = detect_language(&asked.request.question, Language::English);
        let first = SourcesEvent { sources: sources.clone(), consistency, request_id: asked.request_id.clone() };
        Self {
            engine,
            asked,
            view,
            words,
            watch,
            sources,
            writing: Writing::new(readable, language),
            language,
            degraded,
            consistency,
            usage: AnswerUsage::default(),
            model: None,
            truncated: false,
            queue: VecDeque::from([AnswerEvent::Sources(first)]),
            state: State::Begun,
            _permit: permit,
        }
    }

    /// The next event; `None` after the last one.
    ///
    /// Cancel safety: not safe; what is dropped while it waits ends the answer.
    pub async fn next(&mut self) -> Option<AnswerEvent> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(self.let_out(event));
            }
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Begun => self.start().await,
                State::Model(model) => self.follow(model).await,
                State::Written => self.conclude().await,
                State::Ended => return None,
            }
        }
    }

    /// The whole answer at once.
    ///
    /// # Errors
    ///
    /// [`QueryError::AccessChanged`] when a source was lost meanwhile, [`QueryError::DeadlineExceeded`].
    pub async fn whole(mut self) -> Result<AnswerResponse, QueryError> {
        let mut done = None;
        while let Some(event) = self.next().await {
            match event {
                AnswerEvent::Done(event) => done = Some(event),
                AnswerEvent::Error(error) => {
                    return Err(match error.code {
                        AnswerErrorCode::AccessChanged => QueryError::AccessChanged,
                        _ => QueryError::DeadlineExceeded,
                    });
                }
                _ => {}
            }
        }
        let done = done.ok_or(QueryError::DeadlineExceeded)?;
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
            usage: self.usage,
            consistency: self.consistency,
            took_ms: done.took_ms,
            request_id: std::mem::take(&mut self.asked.request_id),
        })
    }

    /// The language that the question is in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// The last check of an event: a source that the caller lost ends the answer.
    fn let_out(&mut self, event: AnswerEvent) -> AnswerEvent {
        if matches!(event, AnswerEvent::Error(_)) {
            return event;
        }
        let checked = match &mut self.watch {
            Some(watch) => watch.let_out(event),
            None => Some(event),
        };
        checked.unwrap_or_else(|| {
            self.queue.clear();
            self.state = State::Ended;
            AnswerEvent::Error(ErrorEvent { code: AnswerErrorCode::AccessChanged, retryable: true })
        })
    }

    async fn start(&mut self) {
        self.state = State::Written;
        if self.sources.is_empty() {
            return;
        }
        let Some(writer) = self.asked.writer.clone() else { return self.extract().await };
        let titled = self.sources.iter().zip(self.writing.sources());
        let titled: Vec<Titled<'_>> =
            titled.map(|(shown, source)| Titled { title: &shown.page.title, source }).collect();
        let AnswerRequest { question, messages, style, length, .. } = &self.asked.request;
        let messages = prompt::answer(question, messages, &titled, Manner { style: *style, length: *length });
        // A prompt leaves the house, too.
        let Some(messages) = self.watch.as_mut().and_then(|watch| watch.let_out(messages)) else {
            return self.fail(AnswerErrorCode::AccessChanged);
        };
        let request = Request {
            task: Task::Answer,
            messages,
            tokens_max: self.engine.config().answer.answer_tokens_max,
            temperature: None,
            deadline: self.asked.model_deadline.instant(),
            account: account(&self.asked.caller),
        };
        let begun = timeout_at(self.asked.model_deadline.instant().into(), writer.generate(request)).await;
        match begun.unwrap_or(Err(GenerateError::Late)) {
            Ok(generation) => {
                self.model = Some(generation.model);
                self.state = State::Model(Model { pieces: generation.pieces, lead: Some(String::new()) });
            }
            Err(error) => self.fall_back(&error).await,
        }
    }

    async fn follow(&mut self, mut model: Model) {
        let next = timeout_at(self.asked.model_deadline.instant().into(), model.pieces.next()).await;
        match next {
            Ok(Some(Ok(Piece::Text(text)))) => {
                let Some(text) = model.settle(text, false) else {
                    self.state = State::Model(model);
                    return;
                };
                if text.starts_with(prompt::NOT_FOUND) {
                    // Dropping the stream stops the model.
                    self.state = State::Written;
                    return;
                }
                self.write(&text);
                self.state = State::Model(model);
            }
            Ok(Some(Ok(Piece::End(end)))) => {
                let left = model.settle(String::new(), true).unwrap_or_default();
                if left.trim() != prompt::NOT_FOUND {
                    self.write(&left);
                }
                self.take_end(&end);
                let (engine, view) = (&self.engine, self.view.as_ref());
                let link = |address: &str| view.and_then(|view| view.gate(engine).page_address(address));
                let written = self.writing.finish(&link);
                self.queue_written(written);
                self.state = State::Written;
            }
            Ok(Some(Err(error))) => self.fall_back(&error).await,
            Ok(None) => self.fall_back(&GenerateError::Interrupted("the stream ended early".to_owned())).await,
            Err(_) => self.fall_back(&GenerateError::Late).await,
        }
    }

    fn write(&mut self, text: &str) {
        let (engine, view) = (&self.engine, self.view.as_ref());
        let link = |address: &str| view.and_then(|view| view.gate(engine).page_address(address));
        let written = self.writing.push(text, &link);
        self.queue_written(written);
    }

    fn take_end(&mut self, end: &End) {
        self.truncated = end.reason != StopReason::Complete;
        self.usage = AnswerUsage {
            prompt_tokens: end.usage.prompt_tokens,
            completion_tokens: end.usage.completion_tokens,
            cost_micros: end.usage.cost_micros,
        };
    }

    /// The model failed: the extractor answers if nothing went out yet, else the answer ends here.
    async fn fall_back(&mut self, error: &GenerateError) {
        tracing::warn!(error = error as &dyn std::error::Error, "the language model failed");
        let can_begin_again = self.writing.is_empty() || !self.asked.request.stream;
        if !can_begin_again {
            let is_late = matches!(error, GenerateError::Late);
            return self.fail(if is_late {
                AnswerErrorCode::DeadlineExceeded
            } else {
                AnswerErrorCode::ModelInterrupted
            });
        }
        self.queue.clear();
        self.writing = Writing::new(self.writing.sources().to_vec(), self.language);
        self.degraded.insert(AnswerDegraded::Model);
        self.model = None;
        self.state = State::Written;
        self.extract().await;
    }

    fn fail(&mut self, code: AnswerErrorCode) {
        self.queue.push_back(AnswerEvent::Error(ErrorEvent { code, retryable: true }));
        self.state = State::Ended;
    }

    /// Picks sentences of the sources.
    async fn extract(&mut self) {
        let titles: Vec<String> = self.sources.iter().map(|source| source.page.title.clone()).collect();
        let readable = self.writing.sources().to_vec();
        let mut asked = question(std::mem::take(&mut self.words));
        let (text, length) = (self.asked.request.question.clone(), self.asked.request.length);
        let embedded_max = self.engine.config().answer.embedded_max;
        let embedder = self.view.as_ref().and_then(Gatherer::embedder).filter(|_| embedded_max > 0).cloned();
        let deadline = self.asked.deadline;
        let work = move || {
            let mut prepared = Prepared::new(&readable, &titles);
            if let Some(embedder) = embedder
                && let Err(error) = prepared.embed(&mut asked, &text, &embedder, embedded_max, deadline.instant())
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "sentences are picked by words alone");
            }
            let picked = prepared.extract(&asked, length).picked;
            Ok(picked.into_iter().map(|of| (of.source, prepared.span(of.source, of.sentence))).collect::<Vec<_>>())
        };
        let picked = match self.engine.embedding_work(deadline, work).await {
            Ok(picked) => picked,
            Err(QueryError::DeadlineExceeded | QueryError::Overloaded) => {
                return self.fail(AnswerErrorCode::DeadlineExceeded);
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no sentences were picked");
                return self.fail(AnswerErrorCode::Internal);
            }
        };
        for (source, span) in picked {
            let lead = match (self.asked.request.style, self.writing.is_empty()) {
                (Style::Text, true) => "",
                (Style::Text, false) => " ",
                (Style::Bullets, true) => "- ",
                (Style::Bullets, false) => "\n- ",
            };
            let (engine, view) = (&self.engine, self.view.as_ref());
            let link = |address: &str| view.and_then(|view| view.gate(engine).page_address(address));
            let written = self.writing.quote(lead, source, span, &link);
            self.queue_written(written);
        }
    }

    fn queue_written(&mut self, written: Vec<Written>) {
        for written in written {
            self.queue.push_back(match written {
                Written::Delta(text) => AnswerEvent::Delta(DeltaEvent { text }),
                Written::Cited(sentence, index) => {
                    AnswerEvent::Citation(CitationEvent { sentence, index, citation: self.writing.citation(index) })
                }
            });
        }
    }

    /// Judges what was written, and says that it is complete.
    async fn conclude(&mut self) {
        if self.model.is_some() {
            self.judge_by_meaning().await;
        }
        self.engine.answers().count(self.writing.dropped());
        let not_found = !self.writing.sentences().iter().any(|sentence| sentence.supported);
        let message = not_found.then(|| not_found::not_found(&self.asked.request.question).to_owned());
        self.queue.push_back(AnswerEvent::Usage(self.usage));
        self.queue.push_back(AnswerEvent::Done(DoneEvent {
            sentences: if not_found { Vec::new() } else { self.writing.sentences().to_vec() },
            not_found,
            message,
            extractive: self.model.is_none(),
            model: self.model.clone(),
            degraded: self.degraded.iter().copied().collect(),
            truncated: self.truncated,
            took_ms: self.asked.started.elapsed().as_millis() as u64,
        }));
    }

    /// Compares sentences with what they cite by meaning, where words did not bear them out.
    async fn judge_by_meaning(&mut self) {
        let sentences = self.writing.sentences().iter().enumerate();
        let open = sentences.filter(|(_, sentence)| !sentence.supported && !sentence.citations.is_empty());
        let open: Vec<(usize, String, Vec<String>)> =
            open.map(|(at, sentence)| (at, sentence.text.clone(), self.writing.cited_texts(sentence))).collect();
        let Some(embedder) = self.view.as_ref().and_then(Gatherer::embedder).filter(|_| !open.is_empty()).cloned()
        else {
            return;
        };
        let mut left = self.engine.config().answer.embedded_max;
        let work = move || {
            let by_meaning = ByMeaning::new(embedder, ByMeaning::THRESHOLD);
            let mut judged = Vec::new();
            for (at, sentence, cited) in open {
                // A citation is one sentence or two, so that it and the sentence are up to four texts.
                left = left.saturating_sub(1 + 3 * cited.len());
                if left == 0 {
                    break;
                }
                let cited: Vec<&str> = cited.iter().map(String::as_str).collect();
                if let Ok(score) = by_meaning.score(&cited, &sentence) {
                    judged.push((at, score));
                }
            }
            Ok(judged)
        };
        // Late or failed, words have the last word.
        for (at, score) in self.engine.embedding_work(self.asked.deadline, work).await.unwrap_or_default() {
            self.writing.raise(at, score as f32, score >= ByMeaning::THRESHOLD);
        }
    }
}

impl Model {
    /// What is to be written of what came; nothing while it may still become the word for "not found".
    fn settle(&mut self, text: String, ended: bool) -> Option<String> {
        let Some(mut lead) = self.lead.take() else { return Some(text) };
        lead.push_str(&text);
        let begins = lead.trim_start();
        if !ended && begins.len() < prompt::NOT_FOUND.len() && prompt::NOT_FOUND.starts_with(begins) {
            self.lead = Some(lead);
            return None;
        }
        Some(begins.to_owned())
    }
}
