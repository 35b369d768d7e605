//! Judging sentences by meaning, where words did not bear them out. By words they are judged as they are written.

use models::embed::Embedder;

use super::support::{ByMeaning, Support as _, windows};
use super::writing::Writing;
use crate::deadline::Deadline;
use crate::engine::Engine;

/// A sentence that words do not bear out.
struct Open {
    /// Which one it is.
    at: usize,
    sentence: String,
    /// What it cites.
    cited: Vec<String>,
}

/// Compares sentences that are not supported yet with what they cite; late or failed, words have the last word.
pub(crate) async fn by_meaning(engine: &Engine, embedder: Option<Embedder>, writing: &mut Writing, deadline: Deadline) {
    let sentences = writing.sentences().iter().enumerate();
    let open = sentences
        .filter(|(_, sentence)| !sentence.supported && !sentence.citations.is_empty())
        .map(|(at, sentence)| Open { at, sentence: sentence.text.clone(), cited: writing.cited_texts(sentence) });
    let open = within(open, engine.config().answer.embedded_max);
    let Some(embedder) = embedder.filter(|_| !open.is_empty()) else { return };
    let work = move || {
        let by_meaning = ByMeaning::new(embedder, ByMeaning::THRESHOLD);
        let mut judged = Vec::new();
        for Open { at, sentence, cited } in open {
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

/// The first sentences, as many as are embedded together with what they cite in at most `texts_max` texts: each takes one, a cited
/// sentence another, two cited side by side three.
fn within(open: impl Iterator<Item = Open>, texts_max: usize) -> Vec<Open> {
    let mut left = texts_max;
    let fits = |open: &Open| {
        let cited: usize = open.cited.iter().map(|text| windows(text).len()).sum();
        let rest = left.checked_sub(1 + cited);
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    open.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cited: &[&str], texts_max: usize, expected: usize) {
        let cited: Vec<String> = cited.iter().map(|text| (*text).to_owned()).collect();
        let open = (0..20).map(|at| Open { at, sentence: "It is so.".to_owned(), cited: cited.clone() });
        assert_eq!(within(open, texts_max).len(), expected);
    }

    #[test]
    fn as_many_sentences_are_compared_as_may_be_embedded() {
        check(&["One."], 16, 8);
        check(&["One. Two."], 16, 4);
        check(&["One.", "One. Two."], 16, 3);
        check(&["One. Two."], 3, 0);
        check(&["One."], 0, 0);
    }
}
