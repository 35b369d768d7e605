//! Dead letters as an operator sees them.

use index::{Index, OpenMode};
use indexer::dead_letters::{DeadLetter, Origin, SentFor};
use indexer::engine::Engine;
use schemas::event::{Change, Event, InvalidCode, InvalidEvent};
use schemas::ids::{PageId, RegionId, WorkspaceId};
use schemas::version::{Timestamp, VectorClock, Version};

use crate::Site;

#[test]
fn dead_letters_are_listed_with_their_reason_and_place_and_told_from_events() {
    let site = Site { dir: tempfile::tempdir().unwrap() };
    let data_dir = site.dir.path().join("data");
    let config = index::Config { dir: data_dir.join("index"), ..index::Config::default() };
    let settings = indexer::config::Config { data_dir, ..indexer::config::Config::default() };
    let engine = Engine::open(Index::open(&config, OpenMode::ReadWrite).unwrap(), None, settings).unwrap();
    let region = RegionId::new("eu").unwrap();
    let version =
        Version { clock: VectorClock::of(&region, 1), timestamp: Timestamp { wall_ms: 1, logical: 0 }, region };
    let good = Event {
        id: "1".to_owned(),
        source: "/test".to_owned(),
        workspace: WorkspaceId::new("w").unwrap(),
        time: None,
        version,
        change: Change::PageTrashed { page: PageId::new("home").unwrap() },
    };
    let (ahead, malformed) = (
        InvalidEvent::new(InvalidCode::ClockAhead, "data.version.timestamp", "is ahead"),
        InvalidEvent::new(InvalidCode::Malformed, "", "is no JSON"),
    );
    let origin = Some(Origin::Stream { topic: "changes", partition: 2, offset: 17 });
    let good = good.encode();
    let letters = [
        DeadLetter { event: good.as_bytes(), error: &ahead, origin, sent_for: SentFor::One("w") },
        DeadLetter { event: b"\xff", error: &malformed, origin: None, sent_for: SentFor::Nobody },
    ];
    engine.keep(&letters).unwrap();

    let print = |arguments: &[&str]| {
        let output = site.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = print(&["dead-letters", "list"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].ends_with("clock_ahead  changes 2 17  data.version.timestamp: is ahead"), "{listed}");
    assert!(lines[1].ends_with("malformed  -  the event: is no JSON"), "{listed}");
    assert_eq!(lines.len(), 2);
    let json = print(&["dead-letters", "list", "--json", "--code", "clock_ahead"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["event"].as_str(), json["offset"].as_i64()), (Some(good.as_str()), Some(17)));
    assert!(print(&["dead-letters", "list", "--since", "2999-01-01T00:00:00Z"]).is_empty());
    let replayed = print(&["dead-letters", "replay", "--dry-run"]);
    assert!(replayed.starts_with("1 would be written") && replayed.contains("1 are no events"), "{replayed}");
    assert_eq!(replayed.lines().count(), 1, "{replayed}");

    // Of senders who may not write to `w`, and of one who is not known.
    let wrong = InvalidEvent::new(InvalidCode::WrongWorkspace, "workspaceid", "is not the key of the message");
    let of = |error, sent_for| DeadLetter { event: good.as_bytes(), error, origin: None, sent_for };
    let foreign = [of(&wrong, SentFor::Any), of(&ahead, SentFor::One("other")), of(&ahead, SentFor::Nobody)];
    engine.keep(&foreign).unwrap();
    engine.keep(&[of(&ahead, SentFor::Any)]).unwrap();
    let replayed = print(&["dead-letters", "replay", "--dry-run"]);
    let lines: Vec<_> = replayed.lines().collect();
    assert!(lines[0].starts_with("2 would be written"), "{replayed}");
    assert!(
        lines[1].starts_with("3 stay: their senders may not write") && lines[2].starts_with("of 1 of"),
        "{replayed}"
    );
}
