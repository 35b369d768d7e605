use std::sync::atomic::{AtomicBool, Ordering};

use access::Subject;
use schemas::api::answers::DeltaEvent;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::gate::Watch;

/// An answer whose events a test feeds.
struct Fed(Receiver<AnswerEvent>);

impl Telling for Fed {
    async fn next(&mut self) -> Option<AnswerEvent> {
        self.0.recv().await
    }

    fn watch(&self) -> Option<Watch> {
        None
    }
}

fn fed() -> (Sender<AnswerEvent>, Fed) {
    let (tx, rx) = channel(1);
    (tx, Fed(rx))
}

fn asked(user: &str, question: &str) -> AskedBy {
    let caller = Caller { workspace: "acme".parse().unwrap(), subject: Subject::User(user.parse().unwrap()) };
    AskedBy::new(&caller, &AnswerRequest { question: question.to_owned(), ..AnswerRequest::default() })
}

fn delta(text: &str) -> AnswerEvent {
    AnswerEvent::Delta(DeltaEvent { text: text.to_owned() })
}

fn begin(streams: &Streams, fed: Fed) -> Reader {
    streams.begin(asked("ada", "Who?"), fed).unwrap_or_else(|_| panic!("there is room"))
}

fn is_gone(streams: &Streams, asked: &AskedBy, id: &str) -> bool {
    matches!(streams.resume(asked, id), Err(QueryError::StreamGone))
}

async fn text(reader: &mut Reader) -> (String, String) {
    match reader.next().await {
        Some((id, AnswerEvent::Delta(DeltaEvent { text }))) => (id, text),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_asked_goes_on_where_it_broke_off_and_nobody_else_does() {
    let streams = Streams::new(ResumeConfig::default());
    let (events, answer) = fed();
    let mut reader = begin(&streams, answer);
    events.send(delta("a")).await.unwrap();
    events.send(delta("b")).await.unwrap();
    let (first, a) = text(&mut reader).await;
    let (second, b) = text(&mut reader).await;
    assert_eq!((a.as_str(), b.as_str()), ("a", "b"));
    assert!(first.ends_with("-0") && second.ends_with("-1"), "{first} {second}");
    drop(reader);
    events.send(delta("c")).await.unwrap();
    let mine = asked("ada", "Who?");
    for (other, id) in [
        (asked("bob", "Who?"), first.clone()),
        (asked("ada", "What?"), first.clone()),
        (mine.clone(), first.replace(&first[..1], if first.starts_with('0') { "1" } else { "0" })),
        (mine.clone(), format!("{}-9", &first[..32])),
        (mine.clone(), "-0".to_owned()),
        (mine.clone(), "0".to_owned()),
        (mine.clone(), String::new()),
    ] {
        assert!(is_gone(&streams, &other, &id), "{id}");
    }
    let mut again = streams.resume(&mine, &first).unwrap();
    assert_eq!(text(&mut again).await, (second, "b".to_owned()), "what was told and may not have come is told again");
    assert_eq!(text(&mut again).await.1, "c");
    drop(events);
    assert!(again.next().await.is_none(), "it is complete");
}

#[tokio::test]
async fn one_reads_at_a_time() {
    let streams = Streams::new(ResumeConfig::default());
    let (events, answer) = fed();
    let mut former = begin(&streams, answer);
    events.send(delta("a")).await.unwrap();
    let (first, _) = text(&mut former).await;
    let (waiting, next) = tokio::join!(former.next(), async {
        let mut again = streams.resume(&asked("ada", "Who?"), &first).unwrap();
        events.send(delta("b")).await.unwrap();
        text(&mut again).await.1
    });
    assert!(waiting.is_none() && next == "b", "the former is told no more");
    drop(former);
    assert!(!events.is_closed(), "that the former goes stops nothing");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_stopped_and_a_complete_one_forgotten() {
    let mine = asked("ada", "Who?");
    let streams = Streams::new(ResumeConfig { detached_ms: 0, ..ResumeConfig::default() });
    let (events, answer) = fed();
    let mut reader = begin(&streams, answer);
    events.send(delta("a")).await.unwrap();
    let (first, _) = text(&mut reader).await;
    let reader = {
        let again = streams.resume(&mine, &first).unwrap();
        drop(reader);
        again
    };
    settle().await;
    assert!(!events.is_closed(), "the later one reads");
    drop(reader);
    // What makes it is dropped.
    events.closed().await;
    forgotten(&streams).await;
    assert!(is_gone(&streams, &mine, &first));
    let streams = Streams::new(ResumeConfig { keep_ms: 0, ..ResumeConfig::default() });
    let (events, answer) = fed();
    let mut reader = begin(&streams, answer);
    events.send(delta("a")).await.unwrap();
    let (first, _) = text(&mut reader).await;
    drop(reader);
    settle().await;
    assert!(!events.is_closed() && streams.count() == 1, "whoever asked may come back");
    drop(events);
    forgotten(&streams).await;
    assert!(is_gone(&streams, &mine, &first));
}

/// Lets everything go on as far as it can.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn forgotten(streams: &Streams) {
    while streams.count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_reader_slows_the_writer_down() {
    let streams = Streams::new(ResumeConfig::default());
    let (events, answer) = fed();
    let mut reader = begin(&streams, answer);
    let mut sent = 0;
    for _ in 0..100 {
        settle().await;
        sent += usize::from(events.try_send(delta("a")).is_ok());
    }
    assert!((16..20).contains(&sent), "{sent}");
    text(&mut reader).await;
    settle().await;
    assert!(events.try_send(delta("a")).is_ok());
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let config = ResumeConfig { streams_max: 2, stream_bytes_max: 200, ..ResumeConfig::default() };
    let streams = Streams::new(config);
    let (events, answer) = fed();
    let mut reader = begin(&streams, answer);
    let mut ids = Vec::new();
    for _ in 0..10 {
        events.send(delta(&"a".repeat(50))).await.unwrap();
        ids.push(text(&mut reader).await.0);
    }
    drop(reader);
    assert!(is_gone(&streams, &asked("ada", "Who?"), &ids[0]), "what was read long ago is let go of");
    let reader = streams.resume(&asked("ada", "Who?"), &ids[8]).unwrap();
    drop(reader);
    while events.send(delta(&"a".repeat(50))).await.is_ok() {}
    assert_eq!(streams.count(), 0, "nobody could be told all of it any more");
    let (first_events, first) = fed();
    let first = begin(&streams, first);
    let (second_events, second) = fed();
    let second = begin(&streams, second);
    let (_events, third) = fed();
    let Err(third) = streams.begin(asked("ada", "Who?"), third) else { panic!("both are being read") };
    drop(second);
    let third = begin(&streams, third);
    settle().await;
    assert!(second_events.is_closed() && !first_events.is_closed(), "the one that nobody reads goes");
    assert_eq!(streams.count(), 2);
    drop((first, third));
    let off = Streams::new(ResumeConfig { streams_max: 0, ..config });
    assert!(off.begin(asked("ada", "Who?"), fed().1).is_err());
}

/// As an answer that a test feeds; to leave it takes a while.
struct Leaving(Fed, Arc<AtomicBool>);

impl Telling for Leaving {
    async fn next(&mut self) -> Option<AnswerEvent> {
        self.0.next().await
    }

    fn watch(&self) -> Option<Watch> {
        None
    }

    async fn leave(&mut self) {
        settle().await;
        self.1.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn when_the_server_stops_all_that_is_being_written_is_left_before() {
    let streams = Streams::new(ResumeConfig { detached_ms: 300_000, ..ResumeConfig::default() });
    let (events, answer) = fed();
    let complete = begin(&streams, answer);
    drop(events);
    let (unread, left) = (fed(), Arc::<AtomicBool>::default());
    let reader = streams.begin(asked("ada", "Who?"), Leaving(unread.1, Arc::clone(&left)));
    drop(reader.unwrap_or_else(|_| panic!("there is room")));
    let (being_read, answer) = fed();
    let mut reader = begin(&streams, answer);
    settle().await;
    assert_eq!(streams.count(), 3);
    streams.close().await;
    assert!(left.load(Ordering::SeqCst) && unread.0.is_closed() && being_read.is_closed());
    assert!(reader.next().await.is_none());
    assert_eq!(streams.count(), 0);
    drop(complete);
}

#[tokio::test]
async fn whoever_stops_an_answer_again_does_not_cut_off_that_it_is_left() {
    let streams = Streams::new(ResumeConfig::default());
    let (unread, left) = (fed(), Arc::<AtomicBool>::default());
    unread.0.send(delta("a")).await.unwrap();
    let by = asked("ada", "Who?");
    let reader = streams.begin(by.clone(), Leaving(unread.1, Arc::clone(&left)));
    let mut reader = reader.unwrap_or_else(|_| panic!("there is room"));
    let (id, _) = text(&mut reader).await;
    let (id, _) = id.split_once(BORDER).unwrap();
    let (first, again) = tokio::join!(streams.stop(&by.caller, id), streams.stop(&by.caller, id));
    first.unwrap();
    again.unwrap();
    assert!(left.load(Ordering::SeqCst));
}

#[tokio::test]
async fn when_the_server_goes_so_does_what_is_being_written() {
    let streams = Streams::new(ResumeConfig::default());
    let (events, answer) = fed();
    let reader = begin(&streams, answer);
    drop(streams);
    events.closed().await;
    drop(reader);
}
