//! Language models that write what a test says, and remember what they were asked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream;
use models::generate::{
    Account, End, Generate, GenerateError, Generating, Generation, Piece, Request, StopReason, Task, Usage,
};

/// What becomes of one request.
pub enum Script {
    /// These pieces, then the end.
    Writes(Vec<String>),
    /// The end without a word, for this reason.
    Ends(StopReason),
    /// These pieces, then the end for this reason.
    Stops(Vec<String>, StopReason),
    /// These pieces, then it breaks off.
    BreaksOff(Vec<String>),
    /// Nothing comes.
    Fails(GenerateError),
}

/// Writes by a script for each request.
pub struct Scripted<F> {
    script: F,
    /// Tokens that whoever asks can afford.
    purse: AtomicU64,
    /// What it was asked.
    pub asked: Mutex<Vec<Request>>,
}

impl<F: Fn(&Request) -> Script + Send + Sync + 'static> Scripted<F> {
    /// A model that follows a script.
    pub fn new(script: F) -> Self {
        Self { script, purse: AtomicU64::new(u64::MAX), asked: Mutex::default() }
    }

    /// A model of which nobody can afford more tokens than these.
    pub fn dear(purse: u64, script: F) -> Self {
        Self { purse: AtomicU64::new(purse), ..Self::new(script) }
    }

    /// A model that nobody can afford.
    pub fn poor(script: F) -> Self {
        Self::dear(0, script)
    }

    /// From now on nobody can afford it.
    pub fn grow_dear(&self) {
        self.purse.store(0, Ordering::Relaxed);
    }

    /// All that it was told, request after request.
    pub fn told(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|request| request.messages.iter().map(|message| message.text.as_str()).collect()).collect()
    }
}

/// A text in pieces of three characters.
pub fn pieces(text: &str) -> Vec<String> {
    text.chars().collect::<Vec<_>>().chunks(3).map(|piece| piece.iter().collect()).collect()
}

fn end(reason: StopReason, pieces: usize) -> Piece {
    Piece::End(End { reason, usage: usage(pieces) })
}

fn usage(pieces: usize) -> Usage {
    Usage { prompt_tokens: 100, completion_tokens: pieces as u64, cost_micros: 7 }
}

impl<F: Fn(&Request) -> Script + Send + Sync + 'static> Generate for Scripted<F> {
    fn generate(&self, request: Request) -> Generating<'_> {
        let script = (self.script)(&request);
        let meter = request.meter.clone();
        self.asked.lock().unwrap().push(request);
        let (texts, last) = match script {
            Script::Fails(error) => return Box::pin(async move { Err(error) }),
            Script::Writes(texts) => {
                let last = end(StopReason::Complete, texts.len());
                (texts, Ok(last))
            }
            Script::Ends(reason) => (Vec::new(), Ok(end(reason, 0))),
            Script::Stops(texts, reason) => {
                let last = end(reason, texts.len());
                (texts, Ok(last))
            }
            Script::BreaksOff(texts) => (texts, Err(GenerateError::Interrupted("as told".to_owned()))),
        };
        // What a text takes, it takes however it ends.
        meter.add(&usage(texts.len()));
        let pieces: Vec<Result<Piece, GenerateError>> =
            texts.into_iter().map(|text| Ok(Piece::Text(text))).chain([last]).collect();
        Box::pin(async move { Ok(Generation { model: "scripted".to_owned(), pieces: Box::pin(stream::iter(pieces)) }) })
    }

    fn models(&self, _: Task) -> Vec<String> {
        vec!["scripted".to_owned()]
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(3)
    }

    fn prompt_tokens_max(&self, _: Task) -> usize {
        4_000
    }

    fn afford(&self, _: &Account, tokens: u64) -> Result<(), GenerateError> {
        let retry_after = std::time::Duration::from_mins(1);
        if tokens > self.purse.load(Ordering::Relaxed) {
            Err(GenerateError::Budget { whose: "user", retry_after })
        } else {
            Ok(())
        }
    }
}
