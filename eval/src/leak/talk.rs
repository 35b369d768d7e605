//! Conversations as they are gone on with and read again, in a form that can be judged.

use access::Caller;
use anyhow::{Context as _, Result};
use query::answer::outgoing::AnswerEvent;
use query::conversations::Conversations;
use query::engine::Engine;
use query::error::QueryError;
use schemas::api::answers::AnswerRequest;
use schemas::ids::PageId;

use super::request::{Answer, Body, absent, answer};

/// Asks a question that begins a conversation, or follows on one. Gives what was told and the conversation, if it was kept; `None` where
/// there is no such conversation for the caller, or access was lost while it was written.
pub async fn converse(
    engine: &Engine,
    conversations: &Conversations,
    caller: &Caller,
    conversation: &str,
    question: &str,
    stream: bool,
) -> Result<Option<(Answer, Option<String>)>> {
    let request = AnswerRequest {
        question: question.to_owned(),
        conversation: Some(conversation.to_owned()),
        stream,
        ..AnswerRequest::default()
    };
    let mut answering = match engine.ask_in(Some(conversations), caller, request, String::new()).await {
        Ok(answering) => answering,
        Err(QueryError::NotFound) => return Ok(None),
        Err(error) => return Err(error).context("follow up"),
    };
    if !stream {
        return match answering.whole().await {
            Ok(body) => {
                let pages: Vec<PageId> = body.sources.iter().map(|source| source.page.id.clone()).collect();
                Ok(Some((answer(&body, pages)?.with(Body::Answer), body.conversation)))
            }
            Err(QueryError::AccessChanged) => Ok(None),
            Err(error) => Err(error).context("follow up"),
        };
    }
    let (mut told, mut kept) = (absent().with(Body::Answer), None);
    while let Some(event) = answering.next().await {
        match &event {
            AnswerEvent::Sources(sources) => {
                told.pages.extend(sources.sources.iter().map(|source| source.page.id.clone()));
            }
            AnswerEvent::Done(done) => kept.clone_from(&done.conversation),
            _ => {}
        }
        told.json.push_str(&serde_json::to_string(&event).context("an event is JSON")?);
    }
    Ok(Some((told, kept)))
}

/// What was told of a conversation that was opened.
#[derive(Debug)]
pub struct Reread {
    /// All of it but the questions, which are the words of whoever asked.
    pub told: Answer,
    /// Turns that were told with their answers, and made of something.
    pub shown: u64,
    /// Turns that were withdrawn.
    pub withdrawn: u64,
}

/// Opens a conversation; `None` where there is none for the caller.
pub async fn reread(
    engine: &Engine,
    conversations: &Conversations,
    caller: &Caller,
    conversation: &str,
) -> Result<Option<Reread>> {
    let mut body = match engine.conversation(Some(conversations), caller, conversation).await {
        Ok(body) => body,
        Err(QueryError::NotFound) => return Ok(None),
        Err(error) => return Err(error).context("open a conversation"),
    };
    body.summary.title.clear();
    body.turns.iter_mut().for_each(|turn| turn.question.clear());
    let count = |of: &dyn Fn(&schemas::api::conversations::ConversationTurn) -> bool| {
        body.turns.iter().filter(|turn| of(turn)).count() as u64
    };
    let (shown, withdrawn) = (count(&|turn| !turn.sources.is_empty()), count(&|turn| turn.withdrawn));
    let sources = body.turns.iter().flat_map(|turn| &turn.sources).map(|source| source.page.id.clone());
    let pages: Vec<PageId> = sources.collect();
    Ok(Some(Reread { told: answer(&body, pages)?.with(Body::Answer), shown, withdrawn }))
}
