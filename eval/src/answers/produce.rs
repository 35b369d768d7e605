//! Answers of the product to the queries of a collection, in the shape in which they are scored.
//!
//! The engine is the one that is served, asked as the first of the people. Without a language model: what is measured is the
//! built-in extractor.

use std::collections::BTreeMap;

use anyhow::Context;
use query::engine::Engine;
use schemas::api::answers::{AnswerRequest, AnswerResponse, Length};

use super::{Answer, Citation, Sentence};
use crate::progress::{Step, Watch};
use crate::workspace::Built;

/// Far more than an answer takes, so that nothing is left out of it.
const TIMEOUT_MS: u32 = 60_000;

/// Asks all questions, by id, for answers of one length.
pub fn produce(
    built: &Built,
    config: &query::config::Config,
    questions: &BTreeMap<String, String>,
    length: Length,
    watch: Watch<'_>,
) -> anyhow::Result<Vec<Answer>> {
    let mut config = config.clone();
    (config.timeout_ms, config.timeout_ms_max) = (TIMEOUT_MS, TIMEOUT_MS);
    let engine = Engine::new(built.index.clone(), built.embedder.clone(), config)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    let caller = built.asker();
    let mut answers = Vec::with_capacity(questions.len());
    for (at, (id, question)) in questions.iter().enumerate() {
        watch(Step { what: "answers", done: at as u64, total: Some(questions.len() as u64) });
        let request = AnswerRequest {
            question: question.clone(),
            length,
            timeout_ms: Some(TIMEOUT_MS),
            ..AnswerRequest::default()
        };
        let response = runtime.block_on(async { engine.ask(&caller, request, String::new()).await?.whole().await });
        answers.push(answer(built, id, response.with_context(|| format!("cannot answer {id}"))?)?);
    }
    Ok(answers)
}

fn answer(built: &Built, query_id: &str, response: AnswerResponse) -> anyhow::Result<Answer> {
    let citations: anyhow::Result<Vec<Citation>> = response
        .citations
        .into_iter()
        .map(|citation| {
            Ok(Citation {
                page: built.names.of_place(&citation.page, Some(&citation.block)),
                block: Some(citation.block.to_string()),
                version: Some(serde_json::to_value(&citation.version)?),
                range: Some(citation.range),
                text: citation.text,
            })
        })
        .collect();
    let sentence = |sentence: schemas::api::answers::AnswerSentence| Sentence {
        text: sentence.text,
        citations: sentence.citations.into_iter().map(|at| at as usize).collect(),
    };
    Ok(Answer {
        query_id: query_id.to_owned(),
        not_found: response.not_found,
        sentences: response.sentences.into_iter().map(sentence).collect(),
        citations: citations?,
    })
}
