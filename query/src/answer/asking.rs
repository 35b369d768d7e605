//! A language model that was asked: what it writes, as it comes, and the one word by which it says that it has nothing to say.
//!
//! Dropping it stops the model. No text is kept but what may still become that word.

use std::sync::Arc;

use futures_util::StreamExt as _;
use models::generate::{End, Generate, GenerateError, Piece, Pieces, Request};
use tokio::time::timeout_at;

use super::prompt::NOT_FOUND;
use crate::deadline::Deadline;

/// Longest text that is held back because it may say "not found" and nothing more, signs around it included.
const WORD_BYTES_MAX: usize = 64;

/// A model that writes.
pub(crate) struct Asking {
    pieces: Pieces,
    deadline: Deadline,
    /// What came so far, while it may still become the word for "not found", or there is nothing to be seen of it.
    lead: Option<String>,
    /// What it was told of the word for "not found".
    lack: Lack,
    /// Whether it said anything.
    has_said: bool,
}

/// What a model was told of the word for "not found".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Nothing: it is a word like any other.
    Never,
    /// To write it and nothing else.
    Alone,
    /// The same, where no text begins with it: a reason may stand after it.
    WithReason,
}

/// What is settled of what came.
enum Settled {
    /// Nothing, while it may still become the word for "not found".
    Nothing,
    /// That it is the word.
    NotFound,
    /// This text.
    Text(String),
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
        lack: Lack,
    ) -> Result<(String, Self), GenerateError> {
        let begun = timeout_at(deadline.instant().into(), writer.generate(request)).await;
        let generation = begun.unwrap_or(Err(GenerateError::Late))?;
        let lead = Some(String::new());
        let asking = Self { pieces: generation.pieces, deadline, lead, lack, has_said: false };
        Ok((generation.model, asking))
    }

    /// What comes next.
    ///
    /// Cancel safety: not safe; a piece may be lost.
    pub(crate) async fn next(&mut self) -> Came {
        loop {
            match timeout_at(self.deadline.instant().into(), self.pieces.next()).await {
                Ok(Some(Ok(Piece::Text(text)))) => match self.settle(text) {
                    Settled::Nothing => {}
                    Settled::NotFound => return Came::NotFound,
                    Settled::Text(text) => return Came::Text(text),
                },
                Ok(Some(Ok(Piece::End(end)))) => {
                    let lead = self.lead.take().unwrap_or_default();
                    return match lead.trim() {
                        "" if !self.has_said => Came::Nothing,
                        said if says_not_found(said, self.lack) => Came::NotFound,
                        said => Came::End(said.to_owned(), end),
                    };
                }
                Ok(Some(Err(error))) => return Came::Failed(error),
                Ok(None) => return Came::Failed(GenerateError::Interrupted("the stream ended early".to_owned())),
                Err(_) => return Came::Failed(GenerateError::Late),
            }
        }
    }

    /// What is settled once this came.
    fn settle(&mut self, text: String) -> Settled {
        let Some(mut lead) = self.lead.take() else { return Settled::Text(text) };
        lead.push_str(&text);
        let said = lead.trim_start();
        let is_short = self.lack != Lack::Never && said.len() <= WORD_BYTES_MAX;
        let may_become_word = NOT_FOUND.starts_with(without_signs(said)) || says_not_found(said, Lack::Alone);
        if said.is_empty() || is_short && may_become_word {
            self.lead = Some(lead);
            return Settled::Nothing;
        }
        if self.lack == Lack::WithReason && has_reason(said) {
            return Settled::NotFound;
        }
        self.has_said = true;
        Settled::Text(said.to_owned())
    }
}

/// Whether a text is the word for "not found" and says nothing more: signs may stand around it, letters and digits make it a text, unless they
/// may be the reason.
pub(crate) fn says_not_found(said: &str, lack: Lack) -> bool {
    let is_alone =
        without_signs(said).strip_prefix(NOT_FOUND).is_some_and(|rest| !rest.contains(char::is_alphanumeric));
    lack != Lack::Never && is_alone || lack == Lack::WithReason && has_reason(said)
}

/// Whether a text is the word for "not found" and a reason after it: one that begins a point of a list may be of something with that name.
fn has_reason(said: &str) -> bool {
    let said = said.trim_start();
    let bare = without_signs(said);
    let is_point = said[..said.len() - bare.len()].ends_with(char::is_whitespace);
    let Some(rest) = bare.strip_prefix(NOT_FOUND).filter(|_| !is_point) else { return false };
    let rest = rest.trim_start_matches(['`', '*', '"', '\'', '”']).trim_start_matches(' ');
    let mut signs = rest.chars();
    match signs.next() {
        Some('\n' | '(') => true,
        Some(':' | '.' | ',' | ';' | '-' | '–' | '—') => signs.next().is_none_or(|next| !next.is_alphanumeric()),
        _ => false,
    }
}

/// A text from its first letter or digit on.
fn without_signs(text: &str) -> &str {
    text.trim_start_matches(|c: char| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;
    use models::generate::{StopReason, Usage};

    use super::*;

    /// What comes of these pieces, text after text; at the end how it ended.
    async fn came(pieces: &[&str], lack: Lack) -> (String, &'static str) {
        let end = Piece::End(End { reason: StopReason::Complete, usage: Usage::default() });
        let texts = pieces.iter().map(|text| Piece::Text((*text).to_owned()));
        let pieces: Vec<Result<Piece, GenerateError>> = texts.chain([end]).map(Ok).collect();
        let pieces: Pieces = Box::pin(stream::iter(pieces));
        let deadline = Deadline::after(Duration::from_mins(1));
        let mut asking = Asking { pieces, deadline, lead: Some(String::new()), lack, has_said: false };
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
    async fn the_word_for_not_found_counts_alone_whatever_signs_are_around_it_and_where_it_was_told() {
        for (pieces, said, how) in [
            (&["NOT", "_FOUND"][..], "", "not found"),
            (&[" NOT_FOUND.", "\n"], "", "not found"),
            (&["**", "NOT_FOUND", "**"], "", "not found"),
            (&["`NOT_FOUND`"], "", "not found"),
            (&["- ", "NOT", "_FOUND"], "", "not found"),
            (&["- ", "Call Ada."], "- Call Ada.", "end"),
            (&["- ", "NOT_FOUND", " is", " said."], "- NOT_FOUND is said.", "end"),
            (&["NOT_FOUND", ": no owner."], "NOT_FOUND: no owner.", "end"),
            (&["**", " "], "**", "end"),
            (&["NOT_FOUND", " means 404."], "NOT_FOUND means 404.", "end"),
            (&["The code is ", "NOT_FOUND", ". Try again."], "The code is NOT_FOUND. Try again.", "end"),
            (&["NOT_F"], "NOT_F", "end"),
            (&[" ", "\n"], "", "nothing"),
            (&[], "", "nothing"),
        ] {
            assert_eq!(came(pieces, Lack::Alone).await, (said.to_owned(), how), "{pieces:?}");
        }
        assert_eq!(came(&["NOT_", "FOUND"], Lack::Never).await, ("NOT_FOUND".to_owned(), "end"));
        for long in [format!("NOT_FOUND{}", "!".repeat(200)), "*".repeat(200)] {
            assert_eq!(came(&[&long], Lack::Alone).await, (long.clone(), "end"), "what is held back is bounded");
        }
    }

    #[tokio::test]
    async fn a_reason_may_stand_after_the_word_where_no_text_begins_with_it() {
        for (pieces, said, how) in [
            (&["NOT_FOUND", ":", " no owner", " is named"][..], "", "not found"),
            (&["**NOT_FOUND**", " – none."], "", "not found"),
            (&["NOT_FOUND", "\n\nThere are none."], "", "not found"),
            (&["NOT_FOUND", ".", " There are none."], "", "not found"),
            (&["NOT_FOUND", ".", "html is missing"], "NOT_FOUND.html is missing", "end"),
            (&["NOT_FOUND", " means 404."], "NOT_FOUND means 404.", "end"),
            (&["- NOT_FOUND", ": write a test"], "- NOT_FOUND: write a test", "end"),
            (&["- NOT_FOUND"], "", "not found"),
        ] {
            assert_eq!(came(pieces, Lack::WithReason).await, (said.to_owned(), how), "{pieces:?}");
        }
    }
}
