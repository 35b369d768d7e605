use schemas::event::InvalidCode;
use schemas::ids::{PageId, RegionId, UserId};
use schemas::version::{Timestamp, VectorClock, Version};

use super::*;

fn event(workspace: &str, change: Change) -> Event {
    let region = RegionId::new("eu").unwrap();
    let version = Version {
        clock: VectorClock([(region.clone(), 1)].into()),
        timestamp: Timestamp { wall_ms: 1, logical: 0 },
        region,
    };
    let workspace = WorkspaceId::new(workspace).unwrap();
    Event { id: "1".into(), source: "/t".into(), workspace, time: None, version, change }
}

/// A change that neither gives nor takes access.
fn edit() -> Change {
    Change::PageUpserted { page: PageId::new("home").unwrap(), patch: Box::default() }
}

fn read(partition: i32, offset: i64, workspace: Option<&str>) -> Read {
    let error = InvalidEvent::new(InvalidCode::Malformed, "", "is bad");
    let content =
        workspace.map(|workspace| event(workspace, edit())).ok_or(Refused { key: None, payload: Vec::new(), error });
    Read { place: Place { partition, offset, written_ms: Some(offset) }, bytes: 10, content }
}

fn taken(turn: &Turn) -> Vec<(&str, i64)> {
    turn.events.iter().zip(&turn.places).map(|(event, place)| (event.workspace.as_str(), place.offset)).collect()
}

#[test]
fn a_workspace_with_many_events_lets_others_go_first_when_there_is_no_room_for_it() {
    let mut queue = Queue::default();
    queue.begin(0, 100);
    (100..105).for_each(|offset| queue.push(read(0, offset, Some("import"))));
    queue.push(read(0, 105, Some("edits")));
    let edits = queue.take(0, 5, Instant::now()).unwrap();
    assert_eq!(taken(&edits), [("edits", 105)]);
    assert_eq!(queue.positions_after(&edits), [(0, 100)].into(), "the import before it is not merged");
    queue.done(&edits);
    assert!(queue.take(0, 5, Instant::now()).is_none() && !queue.is_empty());
    let import = queue.take(usize::MAX, 5, Instant::now()).unwrap();
    assert_eq!(import.events.len(), 5);
    assert_eq!(queue.positions_after(&import), [(0, 106)].into());
    queue.done(&import);
    let progress = Progress { position: 106, next: 106, last_written_ms: Some(105), ..Progress::default() };
    assert_eq!(queue.progress(0), progress);
    assert!(queue.is_empty());
}

#[test]
fn few_events_of_several_workspaces_share_a_turn_and_bad_ones_hold_the_position() {
    let mut queue = Queue::default();
    queue.begin(0, 0);
    queue.begin(1, 7);
    [Some("a"), None, Some("b")].into_iter().zip(0..).for_each(|(workspace, at)| queue.push(read(0, at, workspace)));
    let turn = queue.take(usize::MAX, 100, Instant::now()).unwrap();
    assert_eq!((taken(&turn), turn.refused.len()), (vec![("a", 0), ("b", 2)], 1));
    assert_eq!(queue.positions_after(&turn), [(0, 3)].into(), "a partition of which nothing was read does not move");
    queue.done(&turn);
    assert_eq!(queue.progress(0).bytes, 0);
}

#[test]
fn a_large_import_takes_many_turns_between_which_others_come() {
    let mut queue = Queue::default();
    for offset in 0..2_000 {
        queue.push(read(0, offset, Some("import")));
    }
    let first = queue.take(usize::MAX, 100, Instant::now()).unwrap();
    queue.push(read(1, 0, Some("edits")));
    assert_eq!(first.events.len(), TURN_EVENTS_MAX);
    let second = queue.take(usize::MAX, 100, Instant::now()).unwrap();
    let third = queue.take(usize::MAX, 100, Instant::now()).unwrap();
    assert_eq!(second.events.len(), TURN_EVENTS_MAX);
    assert_eq!(taken(&third), [("edits", 0)]);
    assert_eq!(queue.take(150, 100, Instant::now()).unwrap().events.len(), 150, "no more than there is room for");
}

#[test]
fn a_workspace_with_a_weight_has_as_many_turns_in_a_row() {
    let weights = [(WorkspaceId::new("paying").unwrap(), 2)].into();
    let mut queue = Queue::weighing(weights);
    for offset in 0..4_000 {
        queue.push(read(0, offset, Some(if offset % 2 == 0 { "other" } else { "paying" })));
    }
    let turns =
        std::iter::from_fn(|| queue.take(usize::MAX, 100, Instant::now())).map(|turn| taken(&turn)[0].0.to_owned());
    let first: Vec<_> = turns.take(6).collect();
    assert_eq!(first, ["other", "paying", "paying", "other", "paying", "paying"]);
}

#[test]
fn a_workspace_of_which_too_much_waits_is_passed_over_and_read_again() {
    let mut queue = Queue::default();
    queue.begin(0, 0);
    (0..10).for_each(|offset| queue.push(read(0, offset, Some("import"))));
    queue.push(read(0, 10, Some("edits")));
    assert!(!queue.partition(0).set_largest_aside(110), "it is not too much yet");
    assert!(queue.partition(0).set_largest_aside(100));
    assert!(!queue.partition(0).set_largest_aside(10), "what is left is not too much");
    assert_eq!(queue.partition(0).bytes_aside(), 100);

    // What comes of it is passed over; others are taken.
    let passes =
        |queue: &mut Queue, key: &str, offset| queue.partition(0).passes_over(key.as_bytes(), offset, Some(offset));
    assert!(passes(&mut queue, "import", 11) && !passes(&mut queue, "edits", 12));
    queue.push(read(0, 12, Some("edits")));
    assert!(passes(&mut queue, "import", 13));
    while let Some(turn) = queue.take(usize::MAX, 5, Instant::now()) {
        queue.done(&turn);
    }
    let progress = queue.progress(0);
    assert_eq!((progress.position, progress.next, progress.bytes), (11, 14, 0), "the position waits for the cursor");
    assert_eq!(progress.first_written_ms, Some(11), "so does the lag");

    // It is read again from there, each message once.
    let was =
        |queue: &mut Queue, key: &str, offset| queue.partition(0).again(key.as_bytes(), offset) == Again::PassedOver;
    assert!(!was(&mut queue, "import", 9) && was(&mut queue, "import", 11) && !was(&mut queue, "edits", 12));
    queue.push(read(0, 11, Some("import")));
    queue.partition(0).read_again_to(12, Some(11));
    assert!(!was(&mut queue, "import", 11) && !queue.partition(0).take_back(100));
    queue.push(read(0, 13, Some("import")));
    queue.partition(0).read_again_to(14, Some(13));
    assert_eq!(queue.progress(0).position, 11);
    assert!(!queue.partition(0).take_back(10), "too much of it waits still");
    let turn = queue.take(usize::MAX, 5, Instant::now()).unwrap();
    assert_eq!(taken(&turn), [("import", 11), ("import", 13)]);
    assert_eq!(queue.positions_after(&turn), [(0, 14)].into());
    queue.done(&turn);
    assert!(queue.partition(0).take_back(10));
    let progress = Progress { position: 14, next: 14, last_written_ms: Some(13), ..Progress::default() };
    assert_eq!(queue.progress(0), progress);
    assert!(!passes(&mut queue, "import", 14), "it is taken as before");
}

#[test]
fn two_workspaces_that_are_set_aside_one_after_the_other_share_a_cursor() {
    let mut queue = Queue::default();
    (0..10).for_each(|offset| queue.push(read(0, offset, Some("a"))));
    assert!(queue.partition(0).set_largest_aside(50));
    (10..20).for_each(|offset| queue.push(read(0, offset, Some("b"))));
    assert!(queue.partition(0).set_largest_aside(50));
    for (offset, key) in [(20, "a"), (21, "b")] {
        assert!(queue.partition(0).passes_over(key.as_bytes(), offset, None));
    }
    assert_eq!(queue.progress(0).cursor, Some(10));
    assert!(queue.partition(0).again(b"b", 15) != Again::PassedOver, "that one was taken");
    assert!(
        queue.partition(0).again(b"b", 21) == Again::PassedOver
            && queue.partition(0).again(b"a", 20) == Again::PassedOver
    );
}

#[test]
fn what_takes_access_away_goes_before_all_others_and_holds_its_place() {
    let mut queue = Queue::default();
    (0..1_000).for_each(|offset| queue.push(read(0, offset, Some("import"))));
    let removed = Change::MemberChanged { user: UserId::new("ada").unwrap(), role: Role::Removed };
    let place = Place { partition: 0, offset: 1_000, written_ms: None };
    queue.push(Read { place, bytes: 10, content: Ok(event("import", removed)) });
    let turn = queue.take(0, 100, Instant::now()).unwrap();
    assert_eq!(taken(&turn), [("import", 1_000)], "also where there is no room for the import");
    assert_eq!(queue.positions_after(&turn), [(0, 0)].into());
    queue.done(&turn);
    assert!(queue.take(0, 100, Instant::now()).is_none() && !queue.is_empty());
    assert!(!takes_access(&Change::MemberChanged { user: UserId::new("ada").unwrap(), role: Role::Guest }));
    let page = PageId::new("home").unwrap();
    let grants = Vec::new();
    let restricted = Change::PageAccessChanged { page, grants, restricted: true };
    assert!(!takes_access(&restricted), "what it takes depends on what was there");
}

fn push_change(queue: &mut Queue, offset: i64, workspace: &str, change: Change) {
    let place = Place { partition: 0, offset, written_ms: None };
    queue.push(Read { place, bytes: 10, content: Ok(event(workspace, change)) });
}

fn removal() -> Change {
    Change::MemberChanged { user: UserId::new("ada").unwrap(), role: Role::Removed }
}

/// All of it went first, in small turns that no bound on bulks held.
#[test]
fn a_mass_deletion_is_a_bulk_and_lets_others_and_what_takes_their_access_go_between() {
    let mut queue = Queue::default();
    let deletion = || Change::PageDeleted { page: PageId::new("old").unwrap() };
    (0..2_000).for_each(|offset| push_change(&mut queue, offset, "purged", deletion()));
    push_change(&mut queue, 2_000, "edits", edit());
    push_change(&mut queue, 2_001, "other", removal());
    let now = Instant::now();
    let next = |queue: &mut Queue, room| {
        let turn = queue.take(room, 100, now)?;
        queue.done(&turn);
        Some((turn.events[0].workspace.as_str().to_owned(), turn.places[0].offset, turn.events.len(), turn.is_bulk))
    };
    let told = |workspace: &str, offset, events, is_bulk| Some((workspace.to_owned(), offset, events, is_bulk));
    assert_eq!(next(&mut queue, usize::MAX), told("other", 2_001, 1, false));
    assert_eq!(next(&mut queue, usize::MAX), told("edits", 2_000, 1, false));
    assert_eq!(next(&mut queue, usize::MAX), told("purged", 0, TURN_EVENTS_MAX, true));
    push_change(&mut queue, 2_002, "edits", edit());
    push_change(&mut queue, 2_003, "other", removal());
    assert_eq!(next(&mut queue, usize::MAX), told("edits", 2_002, 1, false), "a few edits come between");
    assert_eq!(next(&mut queue, 0), told("other", 2_003, 1, false), "it needs no room");
    assert_eq!(next(&mut queue, 0), None, "the bulk does");
    assert_eq!(next(&mut queue, 150), told("purged", 512, 150, true), "and takes no more than there is");
    // An import takes turns with it.
    (3_000..4_000).for_each(|offset| push_change(&mut queue, offset, "import", edit()));
    assert_eq!(next(&mut queue, usize::MAX), told("import", 3_000, TURN_EVENTS_MAX, true));
    assert_eq!(next(&mut queue, usize::MAX), told("purged", 662, TURN_EVENTS_MAX, true));
    push_change(&mut queue, 4_000, "other", removal());
    assert_eq!(next(&mut queue, usize::MAX), told("other", 4_000, 1, false), "it waits for neither");
    assert_eq!(next(&mut queue, usize::MAX), told("import", 3_512, 488, true));
    let left: usize = std::iter::from_fn(|| next(&mut queue, usize::MAX)).map(|(.., events, _)| events).sum();
    assert_eq!((left, queue.is_empty()), (2_000 - 662 - TURN_EVENTS_MAX, true));
}

#[test]
fn what_takes_access_away_in_very_many_workspaces_lets_edits_go_between() {
    let mut queue = Queue::default();
    (0..300).for_each(|offset| push_change(&mut queue, offset, &format!("w{offset}"), removal()));
    (300..500).for_each(|offset| push_change(&mut queue, offset, "import", edit()));
    push_change(&mut queue, 500, "edits", edit());
    let turns = std::iter::from_fn(|| queue.take(usize::MAX, 100, Instant::now()));
    let turns: Vec<_> = turns.map(|turn| (turn.places[0].offset, turn.events.len())).collect();
    assert_eq!(turns, [(0, 99), (500, 1), (99, 99), (198, 99), (297, 3), (300, 200)]);
}

#[test]
fn of_a_workspace_that_is_set_aside_many_removed_pages_are_not_urgent_but_people_are() {
    let mut queue = Queue::default();
    let trashed = Change::PageTrashed { page: PageId::new("old").unwrap() };
    for offset in 0..100 {
        assert!(queue.is_urgent(&event("w", trashed.clone()), 100));
        push_change(&mut queue, offset, "w", trashed.clone());
    }
    assert!(!queue.is_urgent(&event("w", trashed.clone()), 100));
    assert!(queue.is_urgent(&event("w", removal()), 100) && queue.is_urgent(&event("other", trashed), 100));
}

#[test]
fn the_rest_of_a_bulk_is_a_bulk_for_a_moment_and_shares_no_turn_with_edits() {
    let mut queue = Queue::default();
    queue.begin(0, 0);
    (0..5).for_each(|offset| queue.push(read(0, offset, Some("import"))));
    let begun = Instant::now();
    let bulk = queue.take(usize::MAX, 5, begun).unwrap();
    assert!(bulk.is_bulk);
    queue.done(&bulk);
    queue.push(read(0, 5, Some("import")));
    queue.push(read(0, 6, Some("edits")));
    let edits = queue.take(0, 5, begun).unwrap();
    assert_eq!((taken(&edits), edits.is_bulk), (vec![("edits", 6)], false), "the rest waits for room");
    let rest = queue.take(1, 5, begun).unwrap();
    assert_eq!((taken(&rest), rest.is_bulk), (vec![("import", 5)], true));
    queue.push(read(0, 7, Some("import")));
    let later = queue.take(0, 5, begun + BULK_GOES_ON).unwrap();
    assert_eq!((taken(&later), later.is_bulk), (vec![("import", 7)], false), "few events long after are edits");
}

/// What the second reader meets first may still be passed over by the first: it is lost if the cursor moves past it by then.
#[test]
fn what_the_other_reader_has_not_come_to_is_left_for_later() {
    let mut queue = Queue::default();
    queue.begin(0, 0);
    (0..10).for_each(|offset| queue.push(read(0, offset, Some("a"))));
    let partition = queue.partition(0);
    assert!(partition.set_largest_aside(50));
    assert!(partition.passes_over(b"a", 10, None));
    assert_eq!(partition.again(b"a", 10), Again::PassedOver);
    assert_eq!(partition.again(b"a", 9), Again::Known);
    assert_eq!(partition.again(b"a", 11), Again::Ahead);
    assert_eq!(partition.again(b"b", 11), Again::Ahead, "its reader may have yet to set that one aside");
    partition.read_again_to(11, None);
    assert!(!partition.take_back(0), "too much of it waits");
    assert!(partition.passes_over(b"a", 11, None));
    assert_eq!(partition.again(b"a", 11), Again::PassedOver);
    assert_eq!(queue.progress(0).position, 0);
}
