//! Room: how many tokens of sources fit into what a language model reads, and how many turns before them.
//!
//! Pure. The oldest turns go first: at least as much is left for sources as is configured for them, or half of what the model reads,
//! whichever is less. Invariant: instructions, turns, question and as many tokens of sources as there is room for are together no
//! longer than the model takes, all counted as they stand in the prompt.

use std::sync::Arc;

use index::records::PageHead;
use models::embed::TokenCounter;
use models::generate::{Generate, Task};
use schemas::api::answers::{AnswerRequest, Turn};

use super::prompt::{self, Manner, Titled};
use super::source::SourceText;

/// Where less is left, no source would say anything: the model turns the prompt down, and that is told.
const SOURCES_TOKENS_MIN: usize = 100;

/// Counts the tokens of a text, never too few.
pub(crate) type Count = Arc<dyn Fn(&str) -> usize + Send + Sync>;

/// How much text the sources may have.
#[derive(Clone)]
pub(crate) struct Room {
    /// Counts the tokens of a text.
    pub(crate) count: Count,
    /// Tokens of all sources.
    pub(crate) tokens_max: usize,
    /// Whether they stand in a prompt, with a title and delimiters around each.
    is_prompt: bool,
}

impl Room {
    /// For the extractor, which takes what is configured.
    pub(crate) fn of_extractor(tokens_max: usize) -> Self {
        let counter = TokenCounter::estimate();
        Self { count: Arc::new(move |text: &str| counter.count(text)), tokens_max, is_prompt: false }
    }

    /// In a prompt of a language model.
    pub(crate) fn of_prompt(writer: &Arc<dyn Generate>, tokens_max: usize) -> Self {
        let writer = Arc::clone(writer);
        Self { count: Arc::new(move |text: &str| writer.count_tokens(text)), tokens_max, is_prompt: true }
    }

    /// Tokens of what stands around a source.
    pub(crate) fn around(&self, head: Option<&PageHead>, headings: &[String]) -> usize {
        let empty = SourceText { headings: headings.to_vec(), ..SourceText::default() };
        if self.is_prompt { self.taken(head, &empty) } else { 0 }
    }

    /// Tokens that a source takes.
    pub(crate) fn taken(&self, head: Option<&PageHead>, source: &SourceText) -> usize {
        if !self.is_prompt {
            return (self.count)(&source.whole());
        }
        let (title, edited_at) = head.map_or(("", None), |head| (head.title.as_str(), head.edited_at));
        // Two digits are the most that a number of a source has.
        (self.count)(&prompt::one(99, &Titled { title, edited_at, source }))
    }
}

/// Drops the oldest turns of a request that leave too little room for sources, and gives that room.
pub(super) fn make_room(writer: Option<&Arc<dyn Generate>>, request: &mut AnswerRequest, tokens_max: usize) -> Room {
    let Some(writer) = writer else { return Room::of_extractor(tokens_max) };
    let most = writer.prompt_tokens_max(Task::Answer);
    let fixed = writer.count_messages(&prompt::answer(&request.question, &[], &[], Manner::of(request)));
    let for_turns = most.saturating_sub(fixed + tokens_max.min(most / 2));
    let (kept, taken) = newest(&**writer, &request.messages, for_turns);
    request.messages.drain(..request.messages.len() - kept);
    let left = most.saturating_sub(fixed + taken);
    Room::of_prompt(writer, if left < SOURCES_TOKENS_MIN { tokens_max } else { tokens_max.min(left) })
}

/// How many of the newest turns fit into so many tokens, and how many they take.
pub(super) fn newest(writer: &dyn Generate, turns: &[Turn], tokens_max: usize) -> (usize, usize) {
    let (mut kept, mut taken) = (0, 0);
    for turn in turns.iter().rev() {
        let tokens = writer.count_messages(&[prompt::turn(turn)]);
        if taken + tokens > tokens_max {
            break;
        }
        (kept, taken) = (kept + 1, taken + tokens);
    }
    (kept, taken)
}
