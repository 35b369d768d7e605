//! The way of an answer into the cache and out of it: what it is known by, looked for once its sources are let out.

use std::sync::Arc;

use access::Caller;
use models::embed::Embedder;
use models::extract::Word;
use schemas::api::answers::{AnswerRequest, AnswerSource};

use super::answering::{Asked, Sampling};
use super::cache::{Compared, Known, QuestionKey, SourceKey};
use crate::engine::Engine;
use crate::error::QueryError;

impl Engine {
    /// A question as kept answers compare it: its words by their rarity in the workspace, and an embedding. For measuring. Blocks.
    pub fn compared(
        &self,
        caller: &Caller,
        question: &str,
        vector: Option<Arc<[f32]>>,
    ) -> Result<Compared, QueryError> {
        let request = AnswerRequest { question: question.to_owned(), ..AnswerRequest::default() };
        let words = self.weighed(caller, &request)?;
        Ok(Compared(QuestionKey::new(&request, Sampling::default(), &words, vector)))
    }
}

/// What an answer is known by.
#[derive(Debug)]
pub(super) struct Keyed {
    caller: Caller,
    question: QuestionKey,
    sources: Vec<SourceKey>,
}

impl Keyed {
    /// Of a question and its sources; `None` where no answers are kept. The question was embedded for retrieval just now, so that its
    /// embedding is remembered as a rule; without one only the same question is the same.
    pub(super) async fn of(
        engine: &Engine,
        asked: &Asked,
        words: &[Word],
        sources: &[AnswerSource],
        embedder: Option<Embedder>,
    ) -> Option<Self> {
        let cache = &engine.answers().cache;
        if !cache.is_on() {
            return None;
        }
        let Asked { caller, request, sampling, model_deadline: deadline, .. } = asked;
        let vector = match embedder.filter(|_| cache.takes_near()) {
            Some(embedder) => {
                let (question, due) = (request.question.clone(), deadline.instant());
                let work = move || Ok(embedder.embed_query(&question, due).ok());
                engine.embedding_work(*deadline, work).await.ok().flatten()
            }
            None => None,
        };
        let question = QuestionKey::new(request, *sampling, words, vector);
        Some(Self { caller: caller.clone(), question, sources: sources.iter().map(SourceKey::of).collect() })
    }

    /// The answer, if it is known.
    pub(super) fn find(&self, engine: &Engine) -> Option<Known> {
        engine.answers().cache.find(&self.caller.workspace, &self.question, &self.sources)
    }

    /// Keeps the answer that was made.
    pub(super) fn keep(self, engine: &Engine, text: &str, model: &str) {
        if let access::Subject::User(user) = &self.caller.subject {
            engine.answers().cache.keep(&self.caller.workspace, user, self.question, self.sources, text, model);
        }
    }
}
