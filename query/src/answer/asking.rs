//! A language model that was asked: what it writes, as it comes, and the one word by which it says that it has nothing to say.
//!
//! Dropping it stops the model. No text is kept but what may still become that word.

use std::sync::Arc;

use futures_util::StreamExt as _;
use models::generate::{End, Generate, GenerateError, Piece, Pieces, Request};
use tokio::time::timeout_at;

use super::prompt::NOT_FOUND;
use crate::deadline::Deadline;

/// Longest text that is held back because it may say "not found" and nothing more.
const WORD_BYTES_MAX: usize = 64;

/// A model that writes.
pub(crate) struct Asking {
    pieces: Pieces,
    deadline: Deadline,
    /// What came so far, while it may still become the word for "not found", or there is nothing to be seen of it.
    lead: Option<String>,
    /// Whether it may say that it has nothing to say.
    may_lack: bool,
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
    /// Asks a model, and waits until it begins to write; says which one does. With `may_lack` it was told the word for "not found";
    /// else that is a word like any other.
    pub(crate) async fn begin(
        writer: &Arc<dyn Generate>,
        request: Request,
        deadline: Deadline,
        may_lack: bool,
    ) -> Result<(String, Self), GenerateError> {
        let begun = timeout_at(deadline.instant().into(), writer.generate(request)).await;
        let generation = begun.unwrap_or(Err(GenerateError::Late))?;
        let lead = Some(String::new());
        let asking = Self { pieces: generation.pieces, deadline, lead, may_lack, has_said: false };
        Ok((generation.model, asking))
    }

    /// What comes next.
    ///
    /// Cancel safety: not safe; a piece may be lost.
    pub(crate) async fn next(&mut self) -> Came {
        loop {
            match timeout_at(self.deadline.instant().into(), self.pieces.next()).await {
                Ok(Some(Ok(Piece::Text(text)))) => {
                    if let Some(text) = self.settle(text) {
                        return Came::Text(text);
                    }
                }
                Ok(Some(Ok(Piece::End(end)))) => {
                    let lead = self.lead.take().unwrap_or_default();
                    return match lead.trim() {
                        "" if !self.has_said => Came::Nothing,
                        said if self.may_lack && is_not_found(said) => Came::NotFound,
                        said => Came::End(said.to_owned(), end),
                    };
                }
                Ok(Some(Err(error))) => return Came::Failed(error),
                Ok(None) => return Came::Failed(GenerateError::Interrupted("the stream ended early".to_owned())),
                Err(_) => return Came::Failed(GenerateError::Late),
            }
        }
    }

    /// What is settled of what came; nothing while it may still become the word for "not found".
    fn settle(&mut self, text: String) -> Option<String> {
        let Some(mut lead) = self.lead.take() else { return Some(text) };
        lead.push_str(&text);
        let said = lead.trim_start();
        let may_be_word = NOT_FOUND.starts_with(said) || is_not_found(said) && said.len() <= WORD_BYTES_MAX;
        if said.is_empty() || self.may_lack && may_be_word {
            self.lead = Some(lead);
            return None;
        }
        self.has_said = true;
        Some(said.to_owned())
    }
}

/// Whether a text is the word for "not found" and says nothing more: signs may stand after it, letters and digits make it a text.
fn is_not_found(said: &str) -> bool {
    said.strip_prefix(NOT_FOUND).is_some_and(|rest| !rest.contains(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use models::generate::{StopReason, Usage};

    use super::*;

    /// What comes of these pieces, text after text; at the end how it ended.
    async fn came(pieces: &[&str], may_lack: bool) -> (String, &'static str) {
        let end = Piece::End(End { reason: StopReason::Complete, usage: Usage::default() });
        let texts = pieces.iter().map(|text| Piece::Text((*text).to_owned()));
        let pieces: Vec<Result<Piece, GenerateError>> = texts.chain([end]).map(Ok).collect();
        let pieces: Pieces = Box::pin(stream::iter(pieces));
        let deadline = Deadline::after(Duration::from_mins(1));
        let mut asking = Asking { pieces, deadline, lead: Some(String::new()), may_lack, has_said: false };
        let mut said = String::new();
        loop {
            match asking.next().await {
                Came::Text(text) => said.push_str(&text),
                Came::End(text, _) => return (said + &text, "end"),
                Came::NotFound => return (said, "not found"),
                Came::Nothing => return (said, "nothing"),
                Came::Failed(error) => panic!("{error}"),
            }
        }
    }

    #[tokio::test]
    async fn the_word_for_not_found_counts_alone_at_the_beginning_and_where_it_was_told() {
        for (pieces, said, how) in [
            (&["NOT", "_FOUND"][..], "", "not found"),
            (&[" NOT_FOUND.", "\n"], "", "not found"),
            (&["**", "NOT_FOUND"], "**NOT_FOUND", "end"),
            (&["NOT_FOUND", " means 404."], "NOT_FOUND means 404.", "end"),
            (&["The code is ", "NOT_FOUND", ". Try again."], "The code is NOT_FOUND. Try again.", "end"),
            (&["NOT_F"], "NOT_F", "end"),
            (&[" ", "\n"], "", "nothing"),
            (&[], "", "nothing"),
        ] {
            assert_eq!(came(pieces, true).await, (said.to_owned(), how), "{pieces:?}");
        }
        assert_eq!(came(&["NOT_", "FOUND"], false).await, ("NOT_FOUND".to_owned(), "end"));
        let long = format!("NOT_FOUND{}", "!".repeat(200));
        assert_eq!(came(&[&long], true).await, (long.clone(), "end"), "what is held back is bounded");
    }
}
