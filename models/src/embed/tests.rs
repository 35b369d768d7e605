//! The worker and its queues under a model that the test holds back, so that what waits and what overtakes is certain.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::*;

/// Says what it was asked, then waits for permission to answer.
struct GatedModel {
    asked: Sender<Vec<String>>,
    permission: Receiver<Answer>,
}

enum Answer {
    Good,
    NotFinite,
    Failure,
    Panic,
}

impl Model for GatedModel {
    fn embed(&mut self, texts: &[String]) -> Result<Vec<Vec<f32>>, Cause> {
        let _ = self.asked.send(texts.to_vec());
        // A test that has ended lets everything pass.
        match self.permission.recv().unwrap_or(Answer::Good) {
            Answer::Good => Ok(texts.iter().map(|text| axis(text)).collect()),
            Answer::NotFinite => Ok(vec![vec![f32::NAN; 4]; texts.len()]),
            Answer::Failure => Err("scripted failure".into()),
            Answer::Panic => panic!("scripted panic"),
        }
    }
}

/// A unit vector that tells texts apart by their length.
fn axis(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; 4];
    vector[text.len() % 4] = 1.0;
    vector
}

/// An embedder over a [`GatedModel`], one passage in a batch, and the test's two ends of the gate.
fn gated(queue_len_max: usize) -> (Embedder, Receiver<Vec<String>>, Sender<Answer>) {
    let (asked, asked_of_model) = channel();
    let (allow, permission) = channel();
    let config = Config { dimensions: 4, batch_len_max: 1, queue_len_max, ..Config::default() };
    let model = Box::new(GatedModel { asked, permission });
    let id = FakeModel { dimensions: 4 }.id();
    let embedder = Embedder::with_model(config, model, id, TokenCounter::estimate()).unwrap();
    (embedder, asked_of_model, allow)
}

fn far() -> Instant {
    Instant::now() + Duration::from_hours(1)
}

fn passages(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn query_overtakes_batches_that_wait() {
    let (embedder, asked, allow) = gated(64);
    thread::scope(|scope| {
        scope.spawn(|| embedder.embed_passages(passages(&["a", "bb", "ccc"])).unwrap());
        assert_eq!(asked.recv().unwrap(), ["a"]);
        wait_until(|| embedder.queue_lens() == (0, 2));
        scope.spawn(|| embedder.embed_query("query", far()).unwrap());
        wait_until(|| embedder.queue_lens() == (1, 2));
        for expected in ["query", "bb", "ccc"] {
            allow.send(Answer::Good).unwrap();
            assert_eq!(asked.recv().unwrap(), [expected]);
        }
        allow.send(Answer::Good).unwrap();
    });
}

#[test]
fn producer_of_passages_waits_while_the_queue_is_full() {
    let (embedder, asked, allow) = gated(2);
    thread::scope(|scope| {
        let texts = passages(&["a", "bb", "ccc", "dddd", "eeeee", "ffffff"]);
        let expected: Vec<_> = texts.iter().map(|text| axis(text)).collect();
        let vectors = scope.spawn(|| embedder.embed_passages(texts).unwrap());
        for _ in 0..6 {
            asked.recv().unwrap();
            assert!(embedder.queue_lens().1 <= 2);
            allow.send(Answer::Good).unwrap();
        }
        assert_eq!(vectors.join().unwrap(), expected);
    });
}

#[test]
fn query_beyond_the_bound_is_refused_at_once() {
    let (embedder, asked, allow) = gated(1);
    thread::scope(|scope| {
        scope.spawn(|| embedder.embed_query("being computed", far()).unwrap());
        asked.recv().unwrap();
        scope.spawn(|| embedder.embed_query("waiting", far()).unwrap());
        wait_until(|| embedder.queue_lens() == (1, 0));
        let error = embedder.embed_query("one too many", far()).unwrap_err();
        assert!(matches!(error, EmbedError::Overloaded { queue_len_max: 1 }));
        assert_eq!(error.kind(), ErrorKind::Exhausted);
        allow.send(Answer::Good).unwrap();
        allow.send(Answer::Good).unwrap();
    });
}

#[test]
fn query_whose_deadline_passed_is_answered_so_and_never_computed() {
    let (embedder, asked, allow) = gated(64);
    thread::scope(|scope| {
        scope.spawn(|| embedder.embed_passages(passages(&["a"])).unwrap());
        asked.recv().unwrap();
        let error = embedder.embed_query("late", Instant::now()).unwrap_err();
        assert!(matches!(error, EmbedError::DeadlinePassed));
        scope.spawn(|| embedder.embed_query("in time", far()).unwrap());
        wait_until(|| embedder.queue_lens() == (2, 0));
        allow.send(Answer::Good).unwrap();
        assert_eq!(asked.recv().unwrap(), ["in time"]);
        allow.send(Answer::Good).unwrap();
    });
}

#[test]
fn repeated_query_is_computed_once() {
    let (embedder, asked, allow) = gated(64);
    thread::scope(|scope| {
        // Two at the same time: the second finds the answer of the first when its turn comes.
        let first = scope.spawn(|| embedder.embed_query("same", far()).unwrap());
        asked.recv().unwrap();
        let second = scope.spawn(|| embedder.embed_query("same", far()).unwrap());
        wait_until(|| embedder.queue_lens() == (1, 0));
        allow.send(Answer::Good).unwrap();
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        // Later: even a deadline that has passed does not matter.
        assert!(Arc::ptr_eq(&first, &embedder.embed_query("same", Instant::now()).unwrap()));
        assert!(asked.try_recv().is_err());
    });
}

#[test]
fn failure_of_one_batch_is_told_to_its_caller_and_the_worker_goes_on() {
    let (embedder, _asked, allow) = gated(64);
    allow.send(Answer::Failure).unwrap();
    let error = embedder.embed_passages(passages(&["a"])).unwrap_err();
    assert!(matches!(error, EmbedError::Inference { batch_len: 1, .. }));
    allow.send(Answer::NotFinite).unwrap();
    let error = embedder.embed_query("a", far()).unwrap_err();
    assert!(matches!(error, EmbedError::BadVector));
    allow.send(Answer::Good).unwrap();
    embedder.embed_query("a", far()).unwrap();
}

#[test]
fn panic_in_the_model_reaches_every_caller_as_an_error() {
    let (embedder, asked, allow) = gated(1);
    thread::scope(|scope| {
        // One batch being computed, one waiting in the queue, one waiting for room.
        let producer = scope.spawn(|| embedder.embed_passages(passages(&["a", "bb", "ccc"])));
        asked.recv().unwrap();
        wait_until(|| embedder.queue_lens() == (0, 1));
        let query = scope.spawn(|| embedder.embed_query("query", far()));
        wait_until(|| embedder.queue_lens().0 == 1);
        allow.send(Answer::Panic).unwrap();
        assert!(matches!(producer.join().unwrap(), Err(EmbedError::WorkerGone)));
        assert!(matches!(query.join().unwrap(), Err(EmbedError::WorkerGone)));
    });
    assert!(matches!(embedder.embed_query("after", far()), Err(EmbedError::WorkerGone)));
    assert!(matches!(embedder.embed_passages(passages(&["after"])), Err(EmbedError::WorkerGone)));
}

#[test]
fn prefixes_are_put_before_what_the_model_is_asked() {
    let (asked, asked_of_model) = channel();
    let (allow, permission) = channel();
    drop(allow);
    let config = Config {
        dimensions: 4,
        query_prefix: "query: ".to_owned(),
        passage_prefix: "passage: ".to_owned(),
        ..Config::default()
    };
    let model = Box::new(GatedModel { asked, permission });
    let id = FakeModel { dimensions: 4 }.id();
    let embedder = Embedder::with_model(config, model, id, TokenCounter::estimate()).unwrap();
    embedder.embed_query("cats", far()).unwrap();
    embedder.embed_passages(passages(&["cats"])).unwrap();
    assert_eq!(asked_of_model.recv().unwrap(), ["query: cats"]);
    assert_eq!(asked_of_model.recv().unwrap(), ["passage: cats"]);
}
