//! Judging sentences by meaning, where words did not bear them out. By words they are judged as they are written.
//!
//! A marker that words lead to no place of its source cites the sentence there that is nearest in meaning, if that bears it out; one in
//! another language than its source as a rule. Else it cites no place.

use std::collections::HashSet;

use models::embed::Embedder;

use super::support::{ByMeaning, Support as _, windows};
use super::writing::{Place, Writing, Written};
use crate::deadline::Deadline;
use crate::engine::Engine;

/// A sentence that words do not bear out.
struct Open {
    /// Which one it is.
    at: usize,
    sentence: String,
    /// What it cites.
    cited: Vec<String>,
    /// What its markers may mean beside.
    places: Vec<Place>,
}

/// How far a sentence is borne out.
struct Judged {
    at: usize,
    score: f64,
    /// What it cites from now on.
    place: Option<Place>,
}

/// Compares sentences that are not supported yet with what they cite, or may mean; gives what is cited now. Late or failed, words have the
/// last word.
pub(crate) async fn by_meaning(
    engine: &Engine,
    embedder: Option<Embedder>,
    writing: &mut Writing,
    deadline: Deadline,
) -> Vec<Written> {
    let sentences = writing.sentences().iter().enumerate().filter(|(_, sentence)| !sentence.supported);
    let open = sentences.map(|(at, sentence)| {
        let (cited, places) = (writing.cited_texts(sentence), writing.places(at));
        Open { at, sentence: sentence.text.clone(), cited, places }
    });
    let open = within(open, engine.config().answer.embedded_max);
    let Some(embedder) = embedder.filter(|_| !open.is_empty()) else { return Vec::new() };
    let work = move || {
        let by_meaning = ByMeaning::new(embedder, ByMeaning::THRESHOLD);
        Ok(open.into_iter().filter_map(|open| judged(&by_meaning, open)).collect::<Vec<_>>())
    };
    let mut written = Vec::new();
    for Judged { at, score, place } in engine.embedding_work(deadline, work).await.unwrap_or_default() {
        written.extend(place.map(|place| writing.place(at, place)));
        writing.raise(at, score as f32, score >= ByMeaning::THRESHOLD);
    }
    written
}

/// How far what a sentence cites bears it out, or else the nearest place that its markers may mean; nothing where that is too far, or where
/// the model fails.
fn judged(by_meaning: &ByMeaning, open: Open) -> Option<Judged> {
    let Open { at, sentence, cited, mut places } = open;
    let cited: Vec<&str> = cited.iter().map(String::as_str).collect();
    let score = if cited.is_empty() { None } else { Some(by_meaning.score(&cited, &sentence).ok()?) };
    if score.is_none_or(|score| score < ByMeaning::THRESHOLD) {
        let texts: Vec<&str> = places.iter().map(|place| place.text.as_str()).collect();
        let nearest = by_meaning.nearest(&texts, &sentence).ok()?;
        if let Some((place, score)) = nearest.filter(|(_, score)| *score >= ByMeaning::THRESHOLD) {
            return Some(Judged { at, score, place: Some(places.swap_remove(place)) });
        }
    }
    score.map(|score| Judged { at, score, place: None })
}

/// The first sentences, as many as are embedded together with what they cite in at most `texts_max` texts, each of which is embedded once:
/// a sentence takes one, a cited sentence another, two cited side by side three. Of the places that a marker may mean the first are taken, as
/// far as there is room.
fn within(open: impl Iterator<Item = Open>, texts_max: usize) -> Vec<Open> {
    let mut embedded: HashSet<String> = HashSet::new();
    let mut taken = Vec::new();
    for mut open in open {
        if open.cited.is_empty() && open.places.is_empty() {
            continue;
        }
        let mut wanted: HashSet<String> = open.cited.iter().flat_map(|text| windows(text)).collect();
        wanted.insert(open.sentence.trim().to_owned());
        embedded.extend(wanted);
        if embedded.len() > texts_max {
            break;
        }
        open.places.retain(|place| {
            let is_taken = embedded.contains(place.text.trim()) || embedded.len() < texts_max;
            if is_taken {
                embedded.insert(place.text.trim().to_owned());
            }
            is_taken
        });
        if !(open.cited.is_empty() && open.places.is_empty()) {
            taken.push(open);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of twenty sentences are compared that each cite texts of their own; `{}` stands for their numbers.
    #[track_caller]
    fn check(cited: &[&str], texts_max: usize, expected: usize) {
        let open = (0..20).map(|at| Open {
            at,
            sentence: format!("It is {at}."),
            cited: cited.iter().map(|text| text.replace("{}", &at.to_string())).collect(),
            places: Vec::new(),
        });
        assert_eq!(within(open, texts_max).len(), expected);
    }

    #[test]
    fn as_many_sentences_are_compared_as_may_be_embedded() {
        check(&["One {}."], 16, 8);
        check(&["One {}. Two {}."], 16, 4);
        check(&["One {}.", "One {} too. Two {}."], 16, 3);
        check(&["One {}. Two {}."], 3, 0);
        check(&["One {}."], 0, 0);
        // What all cite is embedded once.
        check(&["One."], 16, 15);
        check(&[], 16, 0);
    }

    #[test]
    fn places_that_may_be_meant_are_looked_at_as_far_as_there_is_room() {
        let places = Place::of_first_source(&["One.", "Two.", "Three.", "Four."]);
        let open = |at: usize| Open { at, sentence: format!("It is {at}."), cited: Vec::new(), places: places.clone() };
        let looked = |texts_max: usize| {
            let taken = within((0..3).map(open), texts_max);
            taken.iter().map(|open| open.places.len()).collect::<Vec<_>>()
        };
        assert_eq!(looked(7), [4, 4, 4]);
        assert_eq!(looked(6), [4, 4]);
        assert_eq!(looked(3), [2]);
        assert_eq!(looked(1), [0_usize; 0]);
    }

    #[test]
    fn the_nearest_place_is_cited_where_it_bears_the_sentence_out() {
        let by_meaning = ByMeaning::new(Embedder::fake(64), ByMeaning::THRESHOLD);
        let places = Place::of_first_source(&["Penguins dance.", "The dome closes.", "Lunch is late."]);
        let near = |sentence: &str, cited: &[&str]| {
            let cited = cited.iter().map(|text| (*text).to_owned()).collect();
            let open = Open { at: 3, sentence: sentence.to_owned(), cited, places: places.clone() };
            judged(&by_meaning, open).map(|of| (of.at, of.place.map(|place| place.text), of.score >= 0.6))
        };
        assert_eq!(near("closes the dome", &[]), Some((3, Some("The dome closes.".to_owned()), true)));
        assert_eq!(near("closes the dome", &["Lunch is late."]), Some((3, Some("The dome closes.".to_owned()), true)));
        assert_eq!(near("closes the dome", &["The dome closes."]), Some((3, None, true)));
        assert_eq!(near("elsewhere", &[]), None);
        assert_eq!(near("elsewhere", &["Lunch is late."]), Some((3, None, false)));
    }
}
