//! The conversation that an answer follows on: what it may repeat of the turns before, and where it is kept when it is complete.

use access::{Caller, PageOrdinal};
use jiff::Timestamp;
use schemas::api::Consistency;
use schemas::api::answers::{AnswerSentence, AnswerSource, Citation};
use schemas::api::conversations::KeptCitation;
use schemas::ids::BlockId;
use schemas::version::Version;

use super::writing::Readable;
use crate::conversations::turn::{Places, Said, Source, Told, Turn};
use crate::conversations::{Conversations, Kept};
use crate::engine::Engine;
use crate::random_id::RandomId;

/// A conversation that goes on.
pub(crate) struct Following {
    pub(crate) conversations: Conversations,
    pub(crate) id: RandomId,
    /// Whether this is its first turn.
    pub(crate) begins: bool,
    /// Where the words of the turns before may come from that a language model is given.
    pub(crate) also: Places,
    /// The pages of these.
    pub(crate) pages: Vec<PageOrdinal>,
}

/// An answer that is complete.
pub(super) struct Complete<'a> {
    pub(super) question: &'a str,
    /// What it says, or that nothing was found.
    pub(super) answer: String,
    pub(super) sentences: Vec<AnswerSentence>,
    pub(super) citations: Vec<Citation>,
    pub(super) sources: &'a [AnswerSource],
    /// Their texts, in the same order.
    pub(super) readable: &'a [Readable],
    pub(super) not_found: bool,
    pub(super) model: Option<&'a str>,
    pub(super) consistency: Consistency,
}

impl Following {
    /// Keeps an answer in the conversation, and gives its id; `None` where it could not be kept.
    pub(super) async fn keep(self, engine: &Engine, caller: &Caller, complete: Complete<'_>) -> Option<String> {
        let turn = turn_of(self.id, self.also, complete);
        put(self.conversations, engine, caller, turn, self.begins).await
    }

    /// Keeps a question whose answer was not completed, so that what follows on it knows of it.
    pub(super) async fn keep_question(
        self,
        engine: &Engine,
        caller: &Caller,
        question: &str,
        consistency: Consistency,
    ) {
        let turn = Turn {
            conversation: self.id,
            at: now(),
            question: question.to_owned(),
            consistency,
            said: None,
            unanswered: true,
        };
        put(self.conversations, engine, caller, turn, self.begins).await;
    }
}

/// Keeps a turn, and gives the id of its conversation; `None` where it could not be kept.
async fn put(
    conversations: Conversations,
    engine: &Engine,
    caller: &Caller,
    turn: Turn,
    begins: bool,
) -> Option<String> {
    let (caller, id) = (caller.clone(), turn.conversation.to_string());
    // What was written stays: nobody waits here for longer than for any file, and it is no use to be told later.
    let work = move || Ok(conversations.keep(&caller, &turn, begins));
    match engine.writing_work(work).await {
        Ok(Ok(Kept::Kept)) => return Some(id),
        Ok(Ok(Kept::Refused)) => {
            tracing::debug!("a turn is not kept: its conversation is gone, or what it was made of");
        }
        Ok(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "a turn was not kept"),
        Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "a turn may not be kept"),
    }
    None
}

fn turn_of(id: RandomId, also: Places, complete: Complete<'_>) -> Turn {
    let Complete { question, answer, sentences, citations, sources, readable, not_found, model, consistency } =
        complete;
    // That nothing was found is made of nothing.
    let sources: &[AnswerSource] = if not_found { &[] } else { sources };
    let source = |(source, readable): (&AnswerSource, &Readable)| {
        let headings = readable.text.heading_blocks.iter();
        let is_beside = |heading: &&(BlockId, Version)| !source.blocks.iter().any(|block| block.block == heading.0);
        let told = || Told::new(&source.page.title, headings.filter(is_beside).cloned().collect());
        Source {
            page: source.page.id.clone(),
            blocks: source.blocks.iter().map(|block| (block.block.clone(), block.version.clone())).collect(),
            // Sentences that were picked are the words of blocks alone.
            told: model.map(|_| told()),
        }
    };
    let citation = |citation: Citation| {
        let Citation { source, page, block, version, range, unit, .. } = citation;
        KeptCitation { source, page, block, version, range, unit }
    };
    let said = Said {
        answer,
        sentences,
        citations: citations.into_iter().map(citation).collect(),
        sources: sources.iter().zip(readable).map(source).collect(),
        // Nor do they repeat anything.
        also: if not_found || model.is_none() { Places::new() } else { also },
        not_found,
        extractive: model.is_none(),
        model: model.map(str::to_owned),
    };
    Turn {
        conversation: id,
        at: now(),
        question: question.to_owned(),
        consistency,
        said: Some(said),
        unanswered: false,
    }
}

/// Now, in whole milliseconds: lists are ordered by time, and cursors write it in full.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
