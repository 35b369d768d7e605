//! A text on its way from an endpoint to whoever asked: bounded in time and length, and accounted for however it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{StreamExt as _, unfold};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;

use super::accounts::Call;
use super::door;
use super::endpoint::{Begun, Endpoint};
use super::fault::Outcome;
use super::{Clock, End, GenerateError, Piece, Pieces, StopReason};

/// How long what a text took is waited for once it is complete.
const USAGE_WAIT: Duration = Duration::from_secs(1);
/// How long the end of the stream is waited for after that, so that its connection can be used again.
const CLOSE_WAIT: Duration = Duration::from_millis(100);

/// A text that is being written.
pub(super) struct Writing {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) begun: Begun,
    pub(super) call: Call,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) deadline: Instant,
    pub(super) silence_max: Duration,
    /// How long a first text may take.
    pub(super) first_text_max: Duration,
    pub(super) text_bytes_left: usize,
    #[expect(dead_code, reason = "the place at the endpoint, held until the text ends")]
    pub(super) permit: OwnedSemaphorePermit,
}

impl Writing {
    /// The text, piece by piece.
    pub(super) fn into_pieces(self) -> Pieces {
        Box::pin(unfold(Some(self), |writing| async move { writing?.next().await }))
    }

    /// The next piece, and the rest unless it is the last.
    async fn next(mut self) -> Option<(Result<Piece, GenerateError>, Option<Self>)> {
        loop {
            if let Some(text) = self.begun.text.take() {
                let Some(left) = self.text_bytes_left.checked_sub(text.len()) else {
                    return Some((Err(self.interrupt("the text is longer than allowed")), None));
                };
                self.text_bytes_left = left;
                self.call.write(&text);
                return Some((Ok(Piece::Text(text)), Some(self)));
            }
            match self.read().await {
                Ok(None) => {}
                Ok(Some(reason)) => return Some((Ok(self.end(reason)), None)),
                Err(error) => return Some((Err(error), None)),
            }
        }
    }

    /// Reads the next event. At the end of the stream of a text that is complete, says why the model stopped.
    async fn read(&mut self) -> Result<Option<StopReason>, GenerateError> {
        let wait = match (self.begun.stop, self.begun.usage) {
            (None, _) => self.silence_max,
            (Some(_), None) => USAGE_WAIT,
            (Some(_), Some(_)) => CLOSE_WAIT,
        };
        let until = self.deadline.min(Instant::now() + wait);
        let event = timeout_at(until.into(), self.begun.events.next()).await;
        let broke_off = match event {
            Ok(Some(Ok(mut chunk))) if chunk.error.is_none() => {
                self.begun.usage = chunk.usage.or(self.begun.usage);
                let (text, stop) = chunk.take();
                self.begun.text = text.filter(|_| self.begun.stop.is_none());
                self.begun.stop = self.begun.stop.or(stop);
                return Ok(None);
            }
            // Nothing after the end of a text can harm it any more.
            _ if self.begun.stop.is_some() => return Ok(self.begun.stop),
            Err(_) if until == self.deadline => {
                self.call.settle(Outcome::Late, self.begun.usage);
                return Err(GenerateError::Late);
            }
            Err(_) => "no more text came in time".to_owned(),
            Ok(None) => door::CUT.to_owned(),
            Ok(Some(Err(error))) => door::fault_of(error).to_string(),
            Ok(Some(Ok(_))) => "an error was reported".to_owned(),
        };
        Err(self.interrupt(&broke_off))
    }

    fn interrupt(&mut self, reason: &str) -> GenerateError {
        self.endpoint.broke_off(self.first_text_max, self.clock.instant());
        self.call.settle(Outcome::Interrupted, self.begun.usage);
        GenerateError::Interrupted(format!("{}: {reason}", self.endpoint.config.name))
    }

    fn end(&mut self, reason: StopReason) -> Piece {
        let outcome = match reason {
            StopReason::Complete => Outcome::Complete,
            StopReason::Length => Outcome::Length,
            StopReason::Filtered => Outcome::Filtered,
        };
        self.endpoint.ended();
        let usage = self.call.settle(outcome, self.begun.usage);
        Piece::End(End { reason, usage })
    }
}
