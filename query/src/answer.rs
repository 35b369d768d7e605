//! Answers: a question in, cited text out, from what the caller may read and from nothing else.
//!
//! ```text
//! question ─> retrieve ─> pack ─> gate ─> sources ─> write ─> cite ─> judge support ─> watch ─> respond
//! ```
//!
//! [`Engine::ask`] goes as far as the sources, and no language model was asked by then unless `answer.rewrite` allows it;
//! [`answering::Answering`] gives the rest piece by piece as it is asked for, and stops when it is dropped. Whoever writes, a
//! language model or the built-in extractor, writes through [`writing`]. Invariants: content goes to a model and to the caller
//! only while the caller may read every source ([`crate::gate::Watch`]); what a model writes holds no foreign link and no
//! forged citation ([`markup`]); when the model fails before it has said anything, the extractor answers and the answer says so.

pub mod answering;
pub(crate) mod asking;
pub mod cache;
pub mod config;
pub mod defuse;
pub(crate) mod extractive;
pub(crate) mod following;
pub(crate) mod judging;
mod kept;
pub mod markup;
mod not_found;
pub mod outgoing;
pub(crate) mod pack;
pub(crate) mod places;
pub(crate) mod prompt;
pub mod resume;
pub(crate) mod room;
pub mod source;
pub mod support;
pub mod writing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use access::Caller;
use futures_util::StreamExt as _;
use models::extract::Word;
use models::generate::{Account, Generate, Meter, Piece, Request, Task};
use schemas::api::answers::{
    ANSWER_TIMEOUT_MS_MAX, ANSWER_TIMEOUT_MS_MIN, AnswerRequest, INSTRUCTIONS_CHARS_MAX, QUESTION_CHARS_MAX,
    TURN_CHARS_MAX, TURNS_MAX, Turn, TurnRole,
};
use schemas::api::search::SearchRequest;

use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::parse::{Part, PartKind};
use crate::plan::Plan;
use answering::{Answering, Asked, Sampling};
use cache::Cache;
use config::{AnswerConfig, OnBudget};
use following::Following;
use places::Places;
use room::{make_room, newest};

/// Share of the time that the extractor keeps for itself when a model is late.
pub(crate) const EXTRACTOR_SHARE: f32 = 0.1;
/// Share of the time that making a question stand alone may take.
const REWRITE_SHARE: f32 = 0.2;
/// Tokens of a question that stands alone.
const REWRITE_TOKENS_MAX: u32 = 200;

/// What answers share.
pub(crate) struct Answers {
    pub(crate) generate: Option<Arc<dyn Generate>>,
    /// Among the texts that are written side by side.
    pub(crate) places: Places,
    pub(crate) cache: Cache,
    counts: Counts,
}

/// What was taken out of answers since the start.
#[derive(Debug, Default)]
struct Counts {
    markers_dropped: AtomicU64,
    links_removed: AtomicU64,
}

impl Answers {
    pub(crate) fn new(generate: Option<Arc<dyn Generate>>, config: &AnswerConfig) -> Self {
        let places = Places::new(config);
        Self { generate, places, cache: Cache::new(config.cache), counts: Counts::default() }
    }

    /// Counts what was taken out of an answer.
    pub(crate) fn count(&self, (markers, links): (u64, u64)) {
        self.counts.markers_dropped.fetch_add(markers, Ordering::Relaxed);
        self.counts.links_removed.fetch_add(links, Ordering::Relaxed);
    }

    /// The models that may do something; without any, there is nobody to ask.
    pub(crate) fn writer(&self, task: Task) -> Option<&Arc<dyn Generate>> {
        self.generate.as_ref().filter(|generate| !generate.models(task).is_empty())
    }
}

impl Engine {
    /// Finds the sources of an answer, which is then written piece by piece.
    ///
    /// # Errors
    ///
    /// [`QueryError::InvalidRequest`] names the field that breaks a bound, [`QueryError::TooManyAnswers`] and
    /// [`QueryError::Overloaded`] come at once when too many answers are being written, for whoever asks or in all; the others are
    /// those of a search.
    ///
    /// Cancel safety: safe.
    pub async fn ask(
        &self,
        caller: &Caller,
        request: AnswerRequest,
        request_id: String,
    ) -> Result<Answering, QueryError> {
        self.ask_sampled(caller, request, Sampling::default(), request_id).await
    }

    /// As [`Engine::ask`], with how a language model is to write.
    pub async fn ask_sampled(
        &self,
        caller: &Caller,
        request: AnswerRequest,
        sampling: Sampling,
        request_id: String,
    ) -> Result<Answering, QueryError> {
        self.ask_following(caller, request, sampling, request_id, None).await
    }

    /// As [`Engine::ask_sampled`], for a question that may follow on a conversation, of which `messages` are the turns.
    pub(crate) async fn ask_following(
        &self,
        caller: &Caller,
        mut request: AnswerRequest,
        sampling: Sampling,
        request_id: String,
        following: Option<Following>,
    ) -> Result<Answering, QueryError> {
        let started = Instant::now();
        check(&request)?;
        let config = &self.config().answer;
        let place = self.answers().places.take(caller, self.metrics())?;
        let deadline = config.deadline(request.timeout_ms);
        let writer = self.answers().writer(Task::Answer).filter(|_| !request.extractive).cloned();
        // What is known already takes no tokens; that is seen by the sources.
        let tokens = sampling.within(config.answer_tokens_max);
        let unaffordable = match self.afford(writer.as_ref(), caller, tokens) {
            Err(error) if self.answers().cache.is_on() => Some(error),
            afforded => {
                afforded?;
                None
            }
        };
        let meter = Meter::default();
        // To make the question stand alone would take some.
        let standing_alone = match unaffordable {
            Some(_) => None,
            None => self.standing_alone(caller, &request, deadline, &meter).await,
        };
        let plan = self.plan_for(caller, &request, standing_alone)?;
        let room = make_room(writer.as_ref(), &mut request, config.sources_tokens_max);
        let retrieval = Deadline::after(self.config().timeout(request.timeout_ms)).min(deadline);
        let gathered = self.gather(caller, plan, room, retrieval).await?;
        let model_deadline = deadline.keeping(EXTRACTOR_SHARE);
        let asked = Asked {
            caller: caller.clone(),
            request,
            sampling,
            request_id,
            started,
            deadline,
            model_deadline,
            writer,
            meter,
        };
        let mut answering = Answering::begin(self.clone(), asked, gathered, following, place);
        match unaffordable {
            Some(error) if !answering.takes_no_model().await => Err(error),
            _ => Ok(answering),
        }
    }

    /// Markers that named no source, and links that led elsewhere, taken out of answers since the start.
    pub fn taken_out_of_answers(&self) -> (u64, u64) {
        let counts = &self.answers().counts;
        (counts.markers_dropped.load(Ordering::Relaxed), counts.links_removed.load(Ordering::Relaxed))
    }

    /// Turns away a caller whose budget is used up already, where the operator does not have the extractor do it then. Nothing
    /// was retrieved or asked by then.
    pub(crate) fn afford(
        &self,
        writer: Option<&Arc<dyn Generate>>,
        caller: &Caller,
        tokens: u32,
    ) -> Result<(), QueryError> {
        let Some(writer) = writer.filter(|_| self.config().answer.on_budget == OnBudget::Refuse) else { return Ok(()) };
        writer.afford(&account(caller), u64::from(tokens)).map_err(|error| QueryError::of_model(&error))
    }

    /// Drops kept answers that are too old, or rest on erased workspaces, people or pages. To be called from time to time.
    pub fn sweep_answers(&self) {
        self.answers().cache.sweep(self.index());
    }

    /// How many kept answers rest on erased workspaces, people and pages: none after [`Engine::sweep_answers`].
    pub fn answers_of_erased(&self) -> usize {
        self.answers().cache.resting_on_erased(self.index())
    }

    /// How many answers are kept, and the bytes that they take.
    pub fn kept_answers(&self) -> (usize, usize) {
        self.answers().cache.held()
    }

    /// What to retrieve for a question: itself, as it stands alone, or with what was asked before it.
    fn plan_for(
        &self,
        caller: &Caller,
        request: &AnswerRequest,
        standing_alone: Option<String>,
    ) -> Result<Plan, QueryError> {
        let search = SearchRequest {
            query: request.question.clone(),
            filters: request.filters.clone(),
            at_least: request.at_least,
            ..SearchRequest::default()
        };
        let mut plan = Plan::of(caller, &search, self.config())?;
        plan.query = plan.query.as_question();
        plan.limit = 2 * self.config().answer.sources_max;
        let more = standing_alone.or_else(|| {
            let before = request.messages.iter().rev().find(|turn| turn.role == TurnRole::User)?;
            Some(before.content.chars().take(QUESTION_CHARS_MAX).collect())
        });
        plan.query.parts.extend(more.map(|text| Part { excluded: false, kind: PartKind::Word(text) }));
        Ok(plan)
    }

    /// The words of a question as answers weigh them; none where nothing was ever said about the workspace. Blocks.
    pub(crate) fn weighed(&self, caller: &Caller, request: &AnswerRequest) -> Result<Vec<Word>, QueryError> {
        let plan = self.plan_for(caller, request, None)?;
        self.words_of(caller, &plan)
    }

    /// Has a model make the question stand alone, where that is allowed and there is a conversation before it.
    async fn standing_alone(
        &self,
        caller: &Caller,
        request: &AnswerRequest,
        deadline: Deadline,
        meter: &Meter,
    ) -> Option<String> {
        let allowed = self.config().answer.rewrite && !request.messages.is_empty() && !request.extractive;
        let writer = self.answers().writer(Task::Rewrite).filter(|_| allowed)?;
        let deadline = deadline.keeping(1.0 - REWRITE_SHARE);
        let fixed = writer.count_messages(&prompt::rewrite(&request.question, &[]));
        let left = writer.prompt_tokens_max(Task::Rewrite).saturating_sub(fixed);
        let (kept, _) = newest(&**writer, &request.messages, left);
        let messages = prompt::rewrite(&request.question, &request.messages[request.messages.len() - kept..]);
        let asked = Request {
            task: Task::Rewrite,
            messages,
            tokens_max: REWRITE_TOKENS_MAX,
            temperature: Some(0.0),
            deadline: deadline.instant(),
            account: account(caller),
            meter: meter.clone(),
        };
        let rewritten = async {
            let mut generation = writer.generate(asked).await.ok()?;
            let mut text = String::new();
            while let Some(Ok(Piece::Text(piece))) = generation.pieces.next().await {
                text.push_str(&piece);
                if text.len() > 4 * QUESTION_CHARS_MAX {
                    return None;
                }
            }
            let text: String = defuse::visible(&text).trim().chars().take(QUESTION_CHARS_MAX).collect();
            (!text.is_empty()).then_some(text)
        };
        let rewritten = tokio::time::timeout_at(deadline.instant().into(), rewritten).await.ok().flatten();
        if rewritten.is_none() {
            tracing::warn!("no model made the question stand alone; it is taken as it is");
        }
        rewritten
    }
}

/// Who pays for what a caller asks.
pub(crate) fn account(caller: &Caller) -> Account {
    let user = match &caller.subject {
        access::Subject::User(user) => user.as_str().to_owned(),
        access::Subject::Anonymous => String::new(),
    };
    Account { workspace: caller.workspace.as_str().to_owned(), user }
}

fn check(request: &AnswerRequest) -> Result<(), QueryError> {
    let rule = |holds: bool, field, reason: &dyn Fn() -> String| {
        if holds { Ok(()) } else { Err(QueryError::InvalidRequest { field, reason: reason() }) }
    };
    let chars = request.question.chars().count();
    rule(!request.question.trim().is_empty(), "question", &|| "must not be empty".to_owned())?;
    rule(chars <= QUESTION_CHARS_MAX, "question", &|| {
        format!("must have at most {QUESTION_CHARS_MAX} characters, it has {chars}")
    })?;
    let turns = request.messages.len();
    rule(turns <= TURNS_MAX, "messages", &|| format!("must have at most {TURNS_MAX} turns, it has {turns}"))?;
    let is_long = |turn: &Turn| turn.content.chars().count() > TURN_CHARS_MAX;
    rule(!request.messages.iter().any(is_long), "messages", &|| {
        format!("must have turns of at most {TURN_CHARS_MAX} characters")
    })?;
    let wishes = request.instructions.as_deref().map_or(0, |text| text.chars().count());
    rule(wishes <= INSTRUCTIONS_CHARS_MAX, "instructions", &|| {
        format!("must have at most {INSTRUCTIONS_CHARS_MAX} characters, it has {wishes}")
    })?;
    let in_time = request.timeout_ms.is_none_or(|ms| (ANSWER_TIMEOUT_MS_MIN..=ANSWER_TIMEOUT_MS_MAX).contains(&ms));
    rule(in_time, "timeout_ms", &|| format!("must be from {ANSWER_TIMEOUT_MS_MIN} to {ANSWER_TIMEOUT_MS_MAX}"))
}
