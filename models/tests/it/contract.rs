//! What every embedder promises, checked on the fake one and, where it was fetched, on the real one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use models::embed::{Embedder, ErrorKind};

use crate::real_model;

fn each_embedder(test: &str, check: impl Fn(&Embedder)) {
    check(&Embedder::fake(64));
    if let Some(embedder) = real_model::embedder(test) {
        check(embedder);
    }
}

fn far() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Texts of very different lengths, shortest neither first nor last.
fn mixed_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "Employees may carry over ten days of holiday into the next year.",
        "ok",
        "",
        "Die Erstattung von Reisekosten wird über das Portal beantragt.",
        "有給休暇の申請は二週間前までに行ってください。",
        "The deploy failed because the connection pool was exhausted; raise `max_connections` and restart.",
        "🙂🙂🙂",
    ]
    .map(str::to_owned)
    .into();
    texts.push("The quarterly review covers hiring, budget and the state of the roadmap. ".repeat(12));
    texts.push("yes".to_owned());
    texts
}

#[test]
fn results_come_back_in_the_order_of_the_texts() {
    each_embedder("results_come_back_in_the_order_of_the_texts", |embedder| {
        let texts = mixed_texts();
        let together = embedder.embed_passages(texts.clone()).unwrap();
        let mut reversed = texts.clone();
        reversed.reverse();
        let mut reversed = embedder.embed_passages(reversed).unwrap();
        reversed.reverse();
        assert_eq!(together.len(), texts.len());
        for (text, (a, b)) in texts.iter().zip(together.iter().zip(&reversed)) {
            assert!(cosine(a, b) > 0.99999, "{text}");
        }
    });
}

#[test]
fn text_has_the_same_vector_alone_and_in_a_mixed_batch() {
    each_embedder("text_has_the_same_vector_alone_and_in_a_mixed_batch", |embedder| {
        let together = embedder.embed_passages(mixed_texts()).unwrap();
        for (text, vector) in mixed_texts().iter().zip(&together) {
            let alone = embedder.embed_passages(vec![text.clone()]).unwrap();
            let as_query = embedder.embed_query(text, far()).unwrap();
            assert!(cosine(&alone[0], vector) > 0.99999, "{text}");
            assert!(cosine(&as_query, vector) > 0.99999, "{text}");
        }
    });
}

#[test]
fn vectors_are_of_unit_length_and_stated_dimensions() {
    each_embedder("vectors_are_of_unit_length_and_stated_dimensions", |embedder| {
        for vector in embedder.embed_passages(mixed_texts()).unwrap() {
            assert_eq!(vector.len(), embedder.dimensions());
            assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-4);
        }
    });
}

#[test]
fn no_texts_give_no_vectors() {
    each_embedder("no_texts_give_no_vectors", |embedder| {
        assert!(embedder.embed_passages(Vec::new()).unwrap().is_empty());
    });
}

#[test]
fn text_beyond_the_length_limit_is_cut_and_does_not_fail() {
    each_embedder("text_beyond_the_length_limit_is_cut_and_does_not_fail", |embedder| {
        let long = "relevance ".repeat(20_000);
        let vectors = embedder.embed_passages(vec![long.clone(), "short".to_owned()]).unwrap();
        assert_eq!(vectors.len(), 2);
        embedder.embed_query(&long, far()).unwrap();
    });
}

#[test]
fn repeated_query_comes_from_the_cache() {
    each_embedder("repeated_query_comes_from_the_cache", |embedder| {
        let first = embedder.embed_query("who approves travel?", far()).unwrap();
        let second = embedder.embed_query("who approves travel?", Instant::now()).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    });
}

#[test]
fn deadline_that_has_passed_is_an_error_to_retry() {
    each_embedder("deadline_that_has_passed_is_an_error_to_retry", |embedder| {
        let past = Instant::now();
        let error = embedder.embed_query("never asked before", past).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retryable);
    });
}

#[test]
fn callers_on_many_threads_get_their_own_answers() {
    each_embedder("callers_on_many_threads_get_their_own_answers", |embedder| {
        let texts = mixed_texts();
        let expected = embedder.embed_passages(texts.clone()).unwrap();
        std::thread::scope(|scope| {
            for (text, expected) in texts.iter().zip(&expected) {
                let embedder = embedder.clone();
                scope.spawn(move || {
                    let passage = embedder.embed_passages(vec![text.clone(), "something else".to_owned()]).unwrap();
                    assert!(cosine(&passage[0], expected) > 0.99999, "{text}");
                    assert!(cosine(&embedder.embed_query(text, far()).unwrap(), expected) > 0.99999, "{text}");
                });
            }
        });
    });
}

#[test]
fn id_is_stable_and_tells_models_apart() {
    let fake = Embedder::fake(64);
    assert_eq!(fake.model_id(), Embedder::fake(64).model_id());
    assert_ne!(fake.model_id(), Embedder::fake(32).model_id());
    if let Some(real) = real_model::embedder("id_is_stable_and_tells_models_apart") {
        assert_ne!(real.model_id(), fake.model_id());
    }
}

#[test]
fn token_counter_grows_with_the_text_and_knows_no_limit() {
    each_embedder("token_counter_grows_with_the_text_and_knows_no_limit", |embedder| {
        let counter = embedder.token_counter();
        assert_eq!(counter.count(""), 0);
        let sentence = "Employees may carry over ten days of holiday. ";
        let one = counter.count(sentence);
        assert!((8..=20).contains(&one), "{one}");
        assert_eq!(counter.count(&sentence.repeat(100)), one * 100);
        assert!(embedder.passage_tokens_max() > 200);
    });
}
