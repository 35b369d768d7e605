//! A language model that was asked: what it writes, as it comes, and the one word by which it says that it has nothing to say.
//!
//! Dropping it stops the model. No text is kept but what may still become that word.

use std::sync::Arc;

use futures_util::StreamExt as _;
use models::generate::{End, Generate, GenerateError, Piece, Pieces, Request};
use tokio::time::timeout_at;

use super::prompt::NOT_FOUND;
use crate::deadline::Deadline;

/// A model that writes.
pub(crate) struct Asking {
    pieces: Pieces,
    deadline: Deadline,
    /// What came so far, while it may still become the word for "not found".
    lead: Option<String>,
    /// Whether it said anything.
    has_said: bool,
}

/// What is said of a model that ended without a word.
pub(crate) fn said_nothing() -> GenerateError {
    GenerateError::Refused("it ended without a text".to_owned())
}

/// What came of a model.
pub(crate) enum Came {
    /// Some text.
    Text(String),
    /// It says that the sources do not answer.
    NotFound,
    /// It ended without a word: it called a tool, thought for as long as it may write, or was held back.
    Nothing,
    /// The last of the text, and how it ended.
    End(String, End),
    /// It failed; there may have been text before.
    Failed(GenerateError),
}

impl Asking {
    /// Asks a model, and waits until it begins to write; says which one does.
    pub(crate) async fn begin(
        writer: &Arc<dyn Generate>,
        request: Request,
        deadline: Deadline,
    ) -> Result<(String, Self), GenerateError> {
        let begun = timeout_at(deadline.instant().into(), writer.generate(request)).await;
        let generation = begun.unwrap_or(Err(GenerateError::Late))?;
        let asking = Self { pieces: generation.pieces, deadline, lead: Some(String::new()), has_said: false };
        Ok((generation.model, asking))
    }

    /// What comes next.
    ///
    /// Cancel safety: not safe; a piece may be lost.
    pub(crate) async fn next(&mut self) -> Came {
        loop {
            match timeout_at(self.deadline.instant().into(), self.pieces.next()).await {
                Ok(Some(Ok(Piece::Text(text)))) => match self.settle(text, false) {
                    Some(text) if text.starts_with(NOT_FOUND) => return Came::NotFound,
                    Some(text) => {
                        self.has_said |= !text.trim().is_empty();
                        return Came::Text(text);
                    }
                    None => {}
                },
                Ok(Some(Ok(Piece::End(end)))) => {
                    let left = self.settle(String::new(), true).unwrap_or_default();
                    return match left.trim() {
                        NOT_FOUND => Came::NotFound,
                        "" if !self.has_said => Came::Nothing,
                        _ => Came::End(left, end),
                    };
                }
                Ok(Some(Err(error))) => return Came::Failed(error),
                Ok(None) => return Came::Failed(GenerateError::Interrupted("the stream ended early".to_owned())),
                Err(_) => return Came::Failed(GenerateError::Late),
            }
        }
    }

    /// What is settled of what came; nothing while it may still become the word for "not found".
    fn settle(&mut self, text: String, ended: bool) -> Option<String> {
        let Some(mut lead) = self.lead.take() else { return Some(text) };
        lead.push_str(&text);
        let begins = lead.trim_start();
        if !ended && begins.len() < NOT_FOUND.len() && NOT_FOUND.starts_with(begins) {
            self.lead = Some(lead);
            return None;
        }
        Some(begins.to_owned())
    }
}
