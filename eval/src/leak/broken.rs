//! Streamed answers whose connection breaks, and that are gone on with later, in a form that can be judged.

use access::Caller;
use anyhow::{Context as _, Result};
use query::answer::outgoing::AnswerEvent;
use query::answer::resume::{AskedBy, Streams};
use query::engine::Engine;
use schemas::api::answers::AnswerRequest;

use super::request::{Answer, Body, absent};

/// An answer whose connection broke.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Who asked what.
    pub caller: Caller,
    question: String,
    last_event_id: String,
}

fn request(question: &str) -> AnswerRequest {
    AnswerRequest { question: question.to_owned(), stream: true, ..AnswerRequest::default() }
}

/// Asks, reads so many events, and is gone; `None` where fewer came.
pub async fn break_off(
    engine: &Engine,
    streams: &Streams,
    caller: &Caller,
    question: &str,
    events: u32,
) -> Result<Option<Broken>> {
    let asked = AskedBy::new(caller, &request(question));
    let answering = engine.ask(caller, request(question), String::new()).await.context("answer")?;
    let mut reader = streams.begin(asked, answering).ok().context("there is room for a stream")?;
    let mut last = None;
    for _ in 0..events {
        last = reader.next().await.map(|(id, _)| id);
    }
    let (caller, question) = (caller.clone(), question.to_owned());
    Ok(last.map(|last_event_id| Broken { caller, question, last_event_id }))
}

/// What was told of an answer that was gone on with.
#[derive(Debug)]
pub struct GoneOn {
    /// All of it.
    pub told: Answer,
    /// Whether it ended because access was lost.
    pub is_lost: bool,
}

/// Goes on with an answer, as whoever asked or as somebody else; `None` where there is none to go on with.
pub async fn go_on(streams: &Streams, broken: &Broken, caller: &Caller) -> Result<Option<GoneOn>> {
    let asked = AskedBy::new(caller, &request(&broken.question));
    let Ok(mut reader) = streams.resume(&asked, &broken.last_event_id) else { return Ok(None) };
    let mut gone_on = GoneOn { told: absent().with(Body::Answer), is_lost: false };
    while let Some((_, event)) = reader.next().await {
        gone_on.is_lost |= matches!(event, AnswerEvent::Error(_));
        gone_on.told.json.push_str(&serde_json::to_string(&event).context("an event is JSON")?);
    }
    Ok(Some(gone_on))
}
