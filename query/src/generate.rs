//! Generation: a text made of a given text, or of pages that the caller can read.
//!
//! ```text
//! request ─> open the pages ─> gate ─> sources ─> write or pick ─> check a value ─> cite ─> watch ─> respond
//! ```
//!
//! [`Engine::generate`] goes as far as the sources; [`composing::Composing`] gives the rest event by event, as an answer is given, through
//! the same gate, cleaning and citations. Invariants: a page that is not there and one that the caller may not read are refused alike,
//! before anything else is said; no text is written by the extractor but sentences of what was given, and it says so; what takes a
//! language model and has none is refused with that reason; a value of a property is of its type, or there is none.

pub mod composing;
pub mod config;
mod given;
mod pick;
mod prompt;
pub mod property;

use std::sync::Arc;
use std::time::Instant;

use access::Caller;
use models::generate::{Generate, Meter, Task};
use schemas::api::answers::{ANSWER_TIMEOUT_MS_MAX, ANSWER_TIMEOUT_MS_MIN};
use schemas::api::generate::{
    DESCRIPTION_CHARS_MAX, GenerateRequest, GenerateTask, NAME_CHARS_MAX, OPTIONS_MAX, PAGES_MAX, PROPERTY_CHARS_MAX,
    PropertyKind, PropertySpec, TEXT_CHARS_MAX,
};

use crate::answer::EXTRACTOR_SHARE;
use crate::answer::room::Room;
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::error::QueryError;
use composing::{Composing, Ordered};

/// Tokens that the instructions over pages may have more than those over a text.
const INSTRUCTIONS_TOKENS: usize = 100;

impl Engine {
    /// Opens what a text is to be made of; it is then written piece by piece.
    ///
    /// # Errors
    ///
    /// [`QueryError::InvalidRequest`] names the field that breaks a bound, [`QueryError::NotFound`] where a page is not there for this
    /// caller, [`QueryError::NoLanguageModel`], [`QueryError::BudgetExhausted`], [`QueryError::TooManyAnswers`] and
    /// [`QueryError::Overloaded`] at once when too many texts are being written, for whoever asks or in all.
    ///
    /// Cancel safety: safe.
    pub async fn generate(
        &self,
        caller: &Caller,
        request: GenerateRequest,
        request_id: String,
    ) -> Result<Composing, QueryError> {
        let started = Instant::now();
        check(&request)?;
        let config = self.config();
        let place = self.answers().places.take(caller, self.metrics())?;
        let writer = self.answers().writer(Task::Compose).filter(|_| !request.extractive).cloned();
        if writer.is_none() && !request.task.is_extractable() {
            return Err(QueryError::NoLanguageModel);
        }
        let deadline = config.answer.deadline(request.timeout_ms);
        let opening = Deadline::after(config.timeout(request.timeout_ms)).min(deadline);
        let room = self.room_for_pages(writer.as_ref(), &request)?;
        let opened = if request.pages.is_empty() {
            None
        } else {
            let at_least = request.at_least.unwrap_or_default();
            Some(self.open_pages(caller, request.pages.clone(), room, at_least, opening).await?)
        };
        // After the pages: what is said of budgets must not tell what is there.
        self.afford(writer.as_ref(), caller, config.generate.tokens_max)?;
        let model_deadline = if request.task.is_extractable() { deadline.keeping(EXTRACTOR_SHARE) } else { deadline };
        let ordered = Ordered {
            caller: caller.clone(),
            request,
            request_id,
            started,
            deadline,
            model_deadline,
            writer,
            meter: Meter::default(),
        };
        Composing::begin(self.clone(), ordered, opened, place)
    }

    /// How much room there is for pages; refuses a text that no model for this can read.
    fn room_for_pages(
        &self,
        writer: Option<&Arc<dyn Generate>>,
        request: &GenerateRequest,
    ) -> Result<Room, QueryError> {
        let tokens_max = self.config().generate.sources_tokens_max;
        let Some(writer) = writer else { return Ok(Room::of_extractor(tokens_max)) };
        let taken = writer.count_messages(&prompt::messages(request, &[])) + INSTRUCTIONS_TOKENS;
        let left = writer.prompt_tokens_max(Task::Compose).saturating_sub(taken);
        let is_given = request.text.is_some() || request.property.is_some();
        if left == 0 && is_given && !request.task.is_extractable() {
            let field = if request.text.is_some() { "text" } else { "property" };
            let reason = format!("has about {taken} tokens, more than the language model takes");
            return Err(QueryError::InvalidRequest { field, reason });
        }
        Ok(Room::of_prompt(writer, tokens_max.min(left)))
    }
}

fn check(request: &GenerateRequest) -> Result<(), QueryError> {
    let rule = |holds: bool, field, reason: &str| {
        if holds { Ok(()) } else { Err(QueryError::InvalidRequest { field, reason: reason.to_owned() }) }
    };
    let GenerateRequest { task, text, pages, property, .. } = request;
    if let Some(text) = text {
        let chars = text.chars().count();
        rule(!text.trim().is_empty(), "text", "must not be empty")?;
        let most = format!("must have at most {TEXT_CHARS_MAX} characters, it has {chars}");
        rule(chars <= TEXT_CHARS_MAX, "text", &most)?;
    }
    rule(pages.len() <= PAGES_MAX, "pages", &format!("must name at most {PAGES_MAX} pages"))?;
    let is_once = |at: usize| !pages[..at].contains(&pages[at]);
    rule((0..pages.len()).all(is_once), "pages", "must name each page once")?;
    if *task == GenerateTask::Draft {
        rule(text.is_some(), "text", "must be the outline of the draft")?;
    } else {
        rule(text.is_some() || !pages.is_empty(), "text", "must be given, or `pages`")?;
        rule(text.is_none() || pages.is_empty(), "pages", "must not be given beside `text`")?;
    }
    for (field, value) in [("language", &request.language), ("tone", &request.tone)] {
        let is_name = |name: &String| {
            let plain = |c: char| c.is_alphanumeric() || " -_(),".contains(c);
            (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(plain) && !name.trim().is_empty()
        };
        let reason = format!("must have 1 to {NAME_CHARS_MAX} letters, digits, spaces, `-`, `_`, `,` and brackets");
        rule(value.as_ref().is_none_or(is_name), field, &reason)?;
    }
    rule(*task != GenerateTask::Translate || request.language.is_some(), "language", "must be given to translate")?;
    rule(request.tone.is_none() || *task == GenerateTask::Rewrite, "tone", "is for the task `rewrite` alone")?;
    let can_extract = !request.extractive || task.is_extractable();
    rule(can_extract, "extractive", "must be false: this task takes a language model")?;
    match property {
        Some(property) => {
            rule(*task == GenerateTask::FillProperty, "property", "is for the task `fill_property` alone")?;
            check_property(property)?;
        }
        None => rule(*task != GenerateTask::FillProperty, "property", "must be given to fill it")?,
    }
    let in_time = request.timeout_ms.is_none_or(|ms| (ANSWER_TIMEOUT_MS_MIN..=ANSWER_TIMEOUT_MS_MAX).contains(&ms));
    rule(in_time, "timeout_ms", &format!("must be from {ANSWER_TIMEOUT_MS_MIN} to {ANSWER_TIMEOUT_MS_MAX}"))
}

fn check_property(property: &PropertySpec) -> Result<(), QueryError> {
    let rule = |holds: bool, reason: &str| {
        if holds { Ok(()) } else { Err(QueryError::InvalidRequest { field: "property", reason: reason.to_owned() }) }
    };
    let is_name = |name: &str| !name.trim().is_empty() && name.chars().count() <= PROPERTY_CHARS_MAX;
    rule(is_name(&property.name), &format!("must have a `name` of 1 to {PROPERTY_CHARS_MAX} characters"))?;
    let description = property.description.as_deref().map_or(0, |text| text.chars().count());
    rule(
        description <= DESCRIPTION_CHARS_MAX,
        &format!("must have a `description` of at most {DESCRIPTION_CHARS_MAX} characters"),
    )?;
    let is_select = property.kind == PropertyKind::Select;
    let options = &property.options;
    let reason = format!("must have 1 to {OPTIONS_MAX} `options`, if it is a `select`, and none otherwise");
    rule(if is_select { (1..=OPTIONS_MAX).contains(&options.len()) } else { options.is_empty() }, &reason)?;
    rule(
        options.iter().all(|option| is_name(option)),
        &format!("must have `options` of 1 to {PROPERTY_CHARS_MAX} characters"),
    )?;
    let folded: Vec<String> = options.iter().map(|option| property::folded(option)).collect();
    let is_once = |at: usize| !folded[..at].contains(&folded[at]);
    rule((0..folded.len()).all(is_once), "must have `options` that differ in more than case and space")
}
