//! Judging sentences by meaning, where words did not bear them out. By words they are judged as they are written.

use models::embed::Embedder;

use super::support::{ByMeaning, Support as _};
use super::writing::Writing;
use crate::deadline::Deadline;
use crate::engine::Engine;

/// Compares sentences that are not supported yet with what they cite; late or failed, words have the last word.
pub(crate) async fn by_meaning(engine: &Engine, embedder: Option<Embedder>, writing: &mut Writing, deadline: Deadline) {
    let sentences = writing.sentences().iter().enumerate();
    let open = sentences.filter(|(_, sentence)| !sentence.supported && !sentence.citations.is_empty());
    let open: Vec<(usize, String, Vec<String>)> =
        open.map(|(at, sentence)| (at, sentence.text.clone(), writing.cited_texts(sentence))).collect();
    let Some(embedder) = embedder.filter(|_| !open.is_empty()) else { return };
    let mut left = engine.config().answer.embedded_max;
    let work = move || {
        let by_meaning = ByMeaning::new(embedder, ByMeaning::THRESHOLD);
        let mut judged = Vec::new();
        for (at, sentence, cited) in open {
            // A citation is one sentence or two, so that it and the sentence are up to four texts.
            left = left.saturating_sub(1 + 3 * cited.len());
            if left == 0 {
                break;
            }
            let cited: Vec<&str> = cited.iter().map(String::as_str).collect();
            if let Ok(score) = by_meaning.score(&cited, &sentence) {
                judged.push((at, score));
            }
        }
        Ok(judged)
    };
    for (at, score) in engine.embedding_work(deadline, work).await.unwrap_or_default() {
        writing.raise(at, score as f32, score >= ByMeaning::THRESHOLD);
    }
}
