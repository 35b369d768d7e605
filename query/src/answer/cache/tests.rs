use models::extract::Word;
use schemas::api::answers::{AnswerRequest, Length};
use schemas::ids::PageId;

use super::*;
use crate::answer::answering::Sampling;

fn workspace() -> WorkspaceId {
    WorkspaceId::new("acme").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn source(page: &str, content: &str) -> SourceKey {
    SourceKey::new(PageId::new(page).unwrap(), content.as_bytes())
}

/// A question whose long words are rare and whose short ones say nothing.
fn key(request: &AnswerRequest, sampling: Sampling, vector: &[f32]) -> QuestionKey {
    let word = |word: &str| Word { terms: vec![word.to_lowercase()], weight: if word.len() > 3 { 1.0 } else { 0.0 } };
    let words: Vec<Word> = request.question.split(' ').map(word).collect();
    QuestionKey::new(request, sampling, &words, (!vector.is_empty()).then(|| vector.into()))
}

fn asked(question: &str, vector: &[f32]) -> QuestionKey {
    let request = AnswerRequest { question: question.to_owned(), ..AnswerRequest::default() };
    key(&request, Sampling::default(), vector)
}

fn cache() -> Cache {
    Cache::new(CacheConfig::default())
}

fn keep(cache: &Cache, question: &str, vector: &[f32], sources: &[SourceKey], text: &str) {
    cache.keep(&workspace(), &user("ada"), asked(question, vector), sources.to_vec(), text, "small");
}

#[track_caller]
fn check(cache: &Cache, question: &str, vector: &[f32], sources: &[SourceKey], expected: Option<&str>) {
    let found = cache.find(&workspace(), &asked(question, vector), sources);
    assert_eq!(found.map(|known| known.text).as_deref(), expected, "{question}");
}

#[test]
fn the_same_question_over_the_same_sources_is_known_whatever_their_order() {
    let (cache, a, b) = (cache(), source("a", "1"), source("b", "1"));
    keep(&cache, "How is it?", &[], &[a.clone(), b.clone()], "So [1], and [2]; [x].");
    check(&cache, " how is  IT", &[], &[b.clone(), a.clone()], Some("So [2], and [1]; [x]."));
    check(&cache, "how was it", &[], &[a.clone(), b.clone()], None);
    check(&cache, "How is it?", &[], std::slice::from_ref(&a), None);
    check(&cache, "How is it?", &[], &[a.clone(), b.clone(), source("c", "1")], None);
    check(&cache, "How is it?", &[], &[a.clone(), source("b", "2")], None);
    let other = WorkspaceId::new("globex").unwrap();
    assert_eq!(cache.find(&other, &asked("How is it?", &[]), &[a, b]), None);
}

#[test]
fn what_forms_an_answer_is_a_part_of_the_question() {
    let (cache, a) = (cache(), source("a", "1"));
    keep(&cache, "How is it?", &[], std::slice::from_ref(&a), "So [1].");
    let base = AnswerRequest { question: "How is it?".to_owned(), ..AnswerRequest::default() };
    let wishes = AnswerRequest { instructions: Some("Be brief.".to_owned()), ..base.clone() };
    let long = AnswerRequest { length: Length::Long, ..base.clone() };
    for (request, sampling) in [
        (wishes, Sampling::default()),
        (long, Sampling::default()),
        (base, Sampling { tokens_max: Some(9), temperature: None }),
    ] {
        assert_eq!(cache.find(&workspace(), &key(&request, sampling, &[]), std::slice::from_ref(&a)), None);
    }
}

#[test]
fn a_near_question_is_known_where_all_that_was_read_for_it_is_there() {
    let (cache, a, b, c) = (cache(), source("a", "1"), source("b", "1"), source("c", "1"));
    keep(&cache, "how do we coat mirrors", &[1.0, 0.0], &[a.clone(), b.clone()], "So [2].");
    let near = [0.99, 0.141];
    let all = [b.clone(), a.clone(), c.clone()];
    check(&cache, "how do we coat the mirrors", &near, &all, Some("So [1]."));
    // It cites one alone, but may say something of the other, too.
    check(&cache, "how do we coat the mirrors", &near, &[b.clone(), c.clone()], None);
    check(&cache, "how do we coat the mirrors", &near, &[c, b, a], None);
    for other in [
        "when do we coat mirrors",
        "how do we not coat mirrors",
        "how do we coat 2 mirrors",
        "how do we coat lenses",
        "how do mirrors we coat",
        "how do we coat mirrors and lenses",
    ] {
        check(&cache, other, &near, &all, None);
    }
    check(&cache, "how do we coat the mirrors", &[0.9, 0.43], &all, None);
}

#[test]
fn entries_and_bytes_are_bounded_and_what_was_not_used_goes_first() {
    let config = CacheConfig { entries_max: 2, ..CacheConfig::default() };
    let (cache, a) = (Cache::new(config), [source("a", "1")]);
    keep(&cache, "one", &[], &a, "One [1].");
    keep(&cache, "two", &[], &a, "Two [1].");
    check(&cache, "one", &[], &a, Some("One [1]."));
    keep(&cache, "three", &[], &a, "Three [1].");
    check(&cache, "two", &[], &a, None);
    check(&cache, "one", &[], &a, Some("One [1]."));
    keep(&cache, "one", &[], &a, "Other [1].");
    check(&cache, "one", &[], &a, Some("Other [1]."));
    assert_eq!(cache.held().0, 2);
    let config = CacheConfig { bytes_max: 64 << 10, ..CacheConfig::default() };
    let cache = Cache::new(config);
    for at in 0..100 {
        keep(&cache, &format!("question {at}"), &[], &a, &"x".repeat(10_000));
        assert!(cache.held().1 <= 64 << 10);
    }
    keep(&cache, "long", &[], &a, &"x".repeat(70_000));
    check(&cache, "long", &[], &a, None);
    assert!(cache.held().0 > 3);
}
