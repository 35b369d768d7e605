//! Going on with a streamed answer whose connection broke: over HTTP, and with access that changed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, BodyDataStream};
use axum::http::{Request as HttpRequest, StatusCode};
use futures_util::{StreamExt as _, stream};
use models::generate::{Generate, Generating, Generation, Piece, Request, Task};
use query::answer::outgoing::AnswerEvent;
use query::answer::resume::{AskedBy, Reader, Streams};
use query::config::Config;
use schemas::api::answers::{AnswerErrorCode, AnswerRequest};
use serde_json::json;

use super::harness::{Client, PageSpec, acme, caller, token};
use super::scripted::{Script, Scripted, pieces};

const QUESTION: &str = "How long does a rollback take?";

fn writes() -> Arc<dyn Generate> {
    Arc::new(Scripted::new(|_: &Request| Script::Writes(pieces("A rollback takes one minute [1]. It is quick."))))
}

/// A model that says a word and then nothing, for as long as somebody listens.
pub struct Endless(pub Arc<AtomicBool>);

struct Listening(Arc<AtomicBool>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Generate for Endless {
    fn generate(&self, _: Request) -> Generating<'_> {
        let listening = Listening(Arc::clone(&self.0));
        let pieces = stream::unfold((listening, 0), |(listening, at)| async move {
            if at > 0 {
                std::future::pending::<()>().await;
            }
            Some((Ok(Piece::Text("A rollback takes ".to_owned())), (listening, at + 1)))
        });
        Box::pin(async move { Ok(Generation { model: "endless".to_owned(), pieces: Box::pin(pieces) }) })
    }

    fn models(&self, _: Task) -> Vec<String> {
        vec!["endless".to_owned()]
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.len().div_ceil(3)
    }

    fn prompt_tokens_max(&self, _: Task) -> usize {
        4_000
    }
}

fn request(user: &str, question: &str, last_event_id: &str) -> HttpRequest<Body> {
    let request = HttpRequest::post("/v1/answers")
        .header("authorization", format!("Bearer {}", token("acme", user, "")))
        .header("content-type", "application/json")
        .header("x-request-id", "same")
        .header("accept", "text/event-stream")
        .header("last-event-id", last_event_id);
    request.body(Body::from(json!({"question": question}).to_string())).unwrap()
}

/// The blocks of a stream but for signs of life: each its id and all of it.
fn blocks(body: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(body).unwrap();
    let id = |block: &str| block.lines().find_map(|line| line.strip_prefix("id: ")).map(str::to_owned);
    text.split("\n\n").filter_map(|block| Some((id(block)?, block.to_owned()))).collect()
}

#[tokio::test]
async fn the_same_request_goes_on_after_the_last_event_that_came() {
    let client = Client::writing(acme(), Config::default(), Some(writes()));
    let whole = client.send(request("bob", QUESTION, "")).await;
    assert_eq!(whole.status, 200);
    let told = blocks(&whole.body);
    assert!(told.len() > 5, "{told:?}");
    for at in [0, 1, told.len() - 2] {
        let rest = client.send(request("bob", QUESTION, &told[at].0)).await;
        assert_eq!(blocks(&rest.body), told[at + 1..], "after {at}");
    }
    assert_eq!(blocks(&client.send(request("bob", QUESTION, &told.last().unwrap().0)).await.body), []);
    let gone = client.send(request("bob", QUESTION, "0123456789abcdef0123456789abcdef-1")).await;
    assert_eq!((gone.status, gone.code()), (StatusCode::GONE, "stream_gone"));
    for (user, question) in [("ada", QUESTION), ("bob", "Who coats the mirror?")] {
        let other = client.send(request(user, question, &told[1].0)).await;
        assert_eq!((other.status, &other.body), (gone.status, &gone.body), "{user} {question}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_gone_on_with_while_the_answer_is_written() {
    let stopped = Arc::new(AtomicBool::new(false));
    let mut config = Config::default();
    config.answer.resume.detached_ms = 60_000;
    let client = Client::writing(acme(), config, Some(Arc::new(Endless(Arc::clone(&stopped)))));
    let first = client.begin(request("bob", QUESTION, "")).await;
    let mut body = first.into_body().into_data_stream();
    let mut came = Vec::new();
    while blocks(&came).len() < 2 {
        came.extend(body.next().await.unwrap().unwrap());
    }
    drop(body);
    let told = blocks(&came);
    let again = client.begin(request("bob", QUESTION, &told[0].0)).await;
    assert_eq!(again.status(), 200);
    let chunk = again.into_body().into_data_stream().next().await.unwrap().unwrap();
    assert_eq!(blocks(&chunk), told[1..], "what may not have come");
    assert!(!stopped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_stream_on_which_nothing_comes_shows_signs_of_life() {
    for streams_max in [0, 8] {
        let mut config = Config::default();
        config.answer.heartbeat_ms = 100;
        config.answer.resume.streams_max = streams_max;
        let client = Client::writing(acme(), config, Some(Arc::new(Endless(Arc::default()))));
        let mut body = client.begin(request("bob", QUESTION, "")).await.into_body().into_data_stream();
        let mut came = String::new();
        while came.matches(": heartbeat\n\n").count() < 2 {
            came.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
        }
        assert!(came.starts_with("event: sources") || came.starts_with("id: "), "{came}");
    }
}

/// An answer of which two events came, the second of which is the model's.
async fn with_text(client: &Client) -> (BodyDataStream, Vec<u8>) {
    let mut body = client.begin(request("bob", QUESTION, "")).await.into_body().into_data_stream();
    let mut came = Vec::new();
    while blocks(&came).len() < 2 {
        came.extend(body.next().await.unwrap().unwrap());
    }
    (body, came)
}

#[tokio::test]
async fn an_answer_that_nobody_comes_back_for_is_stopped() {
    let stopped = Arc::new(AtomicBool::new(false));
    let mut config = Config::default();
    config.answer.resume.detached_ms = 0;
    let client = Client::writing(acme(), config, Some(Arc::new(Endless(Arc::clone(&stopped)))));
    let (body, came) = with_text(&client).await;
    assert!(!stopped.load(Ordering::SeqCst));
    drop(body);
    while !stopped.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    loop {
        let gone = client.send(request("bob", QUESTION, &blocks(&came)[0].0)).await;
        if gone.status == StatusCode::GONE {
            break;
        }
    }
}

fn stops(user: &str, stream: &str) -> HttpRequest<Body> {
    let request = HttpRequest::delete(format!("/v1/answers/{stream}"))
        .header("authorization", format!("Bearer {}", token("acme", user, "")))
        .header("x-request-id", "same");
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn whoever_asked_stops_an_answer_at_once_and_nobody_else_does() {
    let stopped = Arc::new(AtomicBool::new(false));
    let mut config = Config::default();
    config.answer.resume.detached_ms = 300_000;
    let client = Client::writing(acme(), config, Some(Arc::new(Endless(Arc::clone(&stopped)))));
    let (mut body, mut came) = with_text(&client).await;
    let last = blocks(&came)[1].0.clone();
    let (stream, _) = last.split_once('-').unwrap();
    let absent = client.send(stops("bob", "00000000000000000000000000000000")).await;
    assert_eq!((absent.status, absent.code()), (StatusCode::NOT_FOUND, "not_found"));
    for (user, stream) in [("ada", stream), ("bob", &*last), ("bob", "1")] {
        let other = client.send(stops(user, stream)).await;
        assert_eq!(
            (other.status, &other.body, &other.headers),
            (absent.status, &absent.body, &absent.headers),
            "{user}"
        );
    }
    assert!(!stopped.load(Ordering::SeqCst));
    assert_eq!(client.send(stops("bob", stream)).await.status, StatusCode::NO_CONTENT);
    assert!(stopped.load(Ordering::SeqCst), "the model is not asked for more, although the connection is open");
    while let Some(chunk) = body.next().await {
        came.extend(chunk.unwrap());
    }
    assert_eq!(blocks(&came).len(), 2, "nothing is told of it any more");
    assert_eq!(client.send(request("bob", QUESTION, &last)).await.status, StatusCode::GONE);
    assert_eq!(client.send(stops("bob", stream)).await.body, absent.body);
}

#[tokio::test]
async fn one_that_is_complete_is_forgotten_when_it_is_stopped() {
    let client = Client::writing(acme(), Config::default(), Some(writes()));
    let told = blocks(&client.send(request("bob", QUESTION, "")).await.body);
    let (stream, _) = told[0].0.split_once('-').unwrap();
    assert_eq!(client.send(stops("bob", stream)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.send(request("bob", QUESTION, &told[0].0)).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn switched_off_events_are_numbered_and_nothing_is_kept() {
    let mut config = Config::default();
    config.answer.resume.streams_max = 0;
    let client = Client::writing(acme(), config, Some(writes()));
    let told = blocks(&client.send(request("bob", QUESTION, "")).await.body);
    assert_eq!((told[0].0.as_str(), told[1].0.as_str()), ("0", "1"));
    assert_eq!(client.send(request("bob", QUESTION, "1")).await.status, StatusCode::GONE);
}

async fn begun(client: &Client, streams: &Streams) -> (AskedBy, Reader) {
    let ask = AnswerRequest { question: QUESTION.to_owned(), stream: true, ..AnswerRequest::default() };
    let bob = caller("acme", "bob");
    let asked = AskedBy::new(&bob, &ask);
    let answering = client.engine.ask(&bob, ask, String::new()).await.unwrap();
    let reader = streams.begin(asked.clone(), answering).unwrap_or_else(|_| panic!("there is room"));
    (asked, reader)
}

fn take_runbook_away(client: &mut Client) {
    let text = &["Deploy the telescope service in the blue green way.", "A rollback takes one minute."];
    let grants = &["user:ada:view"];
    let spec = PageSpec { title: "Deploy runbook", text, grants, restricted: true, ..PageSpec::default() };
    client.content.page("acme", "runbook", spec);
    client.content.commit();
}

#[tokio::test]
async fn nothing_is_told_again_of_what_was_lost_meanwhile() {
    let mut client = Client::writing(acme(), Config::default(), Some(writes()));
    let streams = Streams::new(client.engine.config().answer.resume);
    let (asked, mut reader) = begun(&client, &streams).await;
    let (first, event) = reader.next().await.unwrap();
    assert!(matches!(event, AnswerEvent::Sources(_)));
    while reader.next().await.is_some() {}
    drop(reader);
    take_runbook_away(&mut client);
    let mut again = streams.resume(&asked, &first).unwrap();
    let (_, lost) = again.next().await.unwrap();
    assert!(matches!(lost, AnswerEvent::Error(error) if error.code == AnswerErrorCode::AccessChanged));
    assert!(again.next().await.is_none());
    let mut once_more = streams.resume(&asked, &first).unwrap();
    assert!(matches!(once_more.next().await, Some((_, AnswerEvent::Error(_)))), "the loss alone is left");
}

#[tokio::test]
async fn what_waits_for_a_slow_reader_is_lost_with_its_page() {
    let mut client = Client::writing(acme(), Config::default(), Some(writes()));
    let streams = Streams::new(client.engine.config().answer.resume);
    let (_, mut reader) = begun(&client, &streams).await;
    reader.next().await.unwrap();
    // The writer runs ahead, and what it wrote waits.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    take_runbook_away(&mut client);
    let (_, lost) = reader.next().await.unwrap();
    assert!(matches!(lost, AnswerEvent::Error(error) if error.code == AnswerErrorCode::AccessChanged));
    assert!(reader.next().await.is_none());
}
