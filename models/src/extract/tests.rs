use super::*;

const ROOM: Limits = Limits { sentences_max: 3, words_max: 60 };

fn terms(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_lowercase).collect()
}

fn sentence(text: &str) -> Sentence {
    Sentence { terms: terms(text), words: text.split_whitespace().count(), ..Sentence::default() }
}

fn source(title: &str, sentences: &[&str]) -> Source {
    let sentences = sentences.iter().map(|text| sentence(text)).collect();
    Source { score: 1.0, context: terms(title), sentences }
}

fn question(text: &str) -> Question {
    let word = |term: &str| Word { terms: vec![term.to_owned()], weight: 1.0 };
    Question { words: text.split_whitespace().map(word).collect(), vector: None }
}

fn places(extract: &Extract) -> Vec<(usize, usize)> {
    extract.picked.iter().map(|picked| (picked.source, picked.sentence)).collect()
}

#[test]
fn the_sentence_that_has_the_words_of_the_question_answers_it() {
    let sources = [
        source("lunch", &["lunch is served at noon every day", "bring your own cup to the table"]),
        source("domes", &["the interlock closes the domes when humidity is high", "coating takes four long weeks"]),
    ];
    let found = extract(&question("what closes the domes"), &sources, ROOM);
    assert_eq!(places(&found), [(1, 0)]);
}

#[test]
fn nothing_answers_a_question_about_something_else() {
    let sources = [source("lunch", &["lunch is served at noon every day"])];
    let found = extract(&question("penguin swimming speed record"), &sources, ROOM);
    assert_eq!(found.picked, []);
    assert!(found.confidence < CONFIDENCE_MIN);
    assert_eq!(extract(&question("lunch"), &[], ROOM).picked, []);
    assert_eq!(extract(&Question::default(), &sources, ROOM).picked, []);
}

#[test]
fn what_was_said_is_not_said_again() {
    let sources = [
        source("a", &["the interlock closes the domes", "open the domes by hand after a power failure"]),
        source("b", &["the interlock closes the domes"]),
    ];
    let found = extract(&question("the interlock closes the domes"), &sources, ROOM);
    assert!(!(places(&found).contains(&(0, 0)) && places(&found).contains(&(1, 0))), "{found:?}");
}

#[test]
fn sentences_of_a_source_come_in_their_order_and_within_the_limits() {
    let sources =
        [source("domes", &["domes open at dusk tonight", "domes close at dawn again", "domes are made of steel"])];
    let found = extract(&question("domes open close dawn"), &sources, ROOM);
    let mut sorted = places(&found);
    sorted.sort_unstable();
    assert_eq!(places(&found), sorted);
    let one = extract(&question("domes"), &sources, Limits { sentences_max: 3, words_max: 2 });
    assert_eq!(one.picked.len(), 1, "the first one is taken whatever its length");
    let none = extract(&question("domes"), &sources, Limits { sentences_max: 0, words_max: 99 });
    assert_eq!(none.picked, []);
}

#[test]
fn the_title_counts_for_its_sentences() {
    let sources = [source("lunch", &["it is served at noon sharp"]), source("domes", &["it is served at noon sharp"])];
    let found = extract(&question("domes served"), &sources, ROOM);
    assert_eq!(places(&found), [(1, 0)]);
}

#[test]
fn meaning_finds_what_words_do_not() {
    let mut sources = [source("a", &["coating takes four weeks here", "roofs shut by themselves in rain"])];
    sources[0].sentences[0].vector = Some(vec![0.0, 1.0]);
    sources[0].sentences[1].vector = Some(vec![1.0, 0.0]);
    let asked = Question { vector: Some(vec![1.0, 0.0]), ..question("domes closing") };
    let found = extract(&asked, &sources, ROOM);
    assert_eq!(places(&found), [(0, 1)]);
}

#[test]
fn a_question_does_not_answer_a_question() {
    let mut sources = [source("faq", &["what closes the domes at night", "the interlock closes the domes"])];
    sources[0].sentences[0].is_weak = true;
    let found = extract(&question("what closes the domes"), &sources, Limits { sentences_max: 1, words_max: 60 });
    assert_eq!(places(&found), [(0, 1)]);
}
