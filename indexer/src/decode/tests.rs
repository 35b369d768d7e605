use proptest::prelude::*;

use super::*;

const NOW_MS: u64 = 1_780_000_000_000;

fn event(id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/p","type":"page.trashed","workspaceid":"acme","subject":"p1","data":{{"version":{{"clock":{{"eu":1}},"timestamp":{{"wall_ms":7}},"region":"eu"}}}}}}"#
    )
}

/// What became of each item: the id of a good event, or the bytes of a bad one after an exclamation mark.
#[track_caller]
fn check(body: &str, expected: &[&str]) {
    let batch = decode(body.as_bytes(), None, NOW_MS).unwrap();
    let good = batch.events.iter().map(|d| (d.index, d.event.id.clone()));
    let bad = batch.bad.iter().map(|b| (b.index, format!("!{}", &body[b.bytes.clone()])));
    let mut found: Vec<_> = good.chain(bad).collect();
    found.sort();
    assert_eq!(found.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), expected);
    assert!(found.iter().enumerate().all(|(at, (index, _))| at == *index));
}

#[test]
fn lines_arrays_and_a_single_event_are_read() {
    let (a, b) = (event("a"), event("b"));
    check(&format!("{a}\n\n  {b}\r\n"), &["a", "b"]);
    check(&format!("\u{feff} [{a} ,\n{b}]\n"), &["a", "b"]);
    check(&a, &["a"]);
    check(&a.replace(',', ",\n  "), &["a"]);
    check("", &[]);
    check(" [ ] ", &[]);
}

#[test]
fn a_bad_event_costs_no_other() {
    let (a, b) = (event("a"), event("b"));
    check(&format!("{a}\n{{\"half\":\n{b}"), &["a", "!{\"half\":", "b"]);
    check(&format!("nonsense\n{b}"), &["!nonsense", "b"]);
    check(&format!("[{a},{{\"x\": \"],\\\"\"}},{b}]"), &["a", "!{\"x\": \"],\\\"\"}", "b"]);
    check(&format!("[{a},,{b},]"), &["a", "!", "b", "!"]);
}

#[test]
fn a_cut_off_or_overlong_array_is_reported() {
    let a = event("a");
    check(&format!("[{a}"), &["a", "!"]);
    check(&format!("[{a}] ]"), &["a", "!]"]);
    check("[", &["!"]);
}

#[test]
fn a_guard_turns_down_other_workspaces() {
    let guard = WorkspaceId::new("other").unwrap();
    let batch = decode(event("a").as_bytes(), Some(&guard), NOW_MS).unwrap();
    assert!(batch.events.is_empty());
    assert_eq!(
        (batch.bad[0].error.code, batch.bad[0].error.field.as_str()),
        (InvalidCode::WrongWorkspace, "workspaceid")
    );
}

#[test]
fn too_large_a_batch_is_turned_down_whole() {
    let bytes = BATCH_BYTES_MAX + 1;
    assert_eq!(decode(&vec![b' '; bytes], None, 0).unwrap_err(), BatchTooLarge::Bytes { found: bytes });
    let events = BATCH_EVENTS_MAX + 1;
    assert_eq!(decode("x\n".repeat(events).as_bytes(), None, 0).unwrap_err(), BatchTooLarge::Events { found: events });
}

#[test]
fn a_body_that_never_closes_is_read_in_linear_time() {
    // Each line opens a bracket that is never closed; reading on from every line would take hours.
    let opened = format!("{{}}\n{}", "[\n".repeat(BATCH_EVENTS_MAX - 1));
    assert_eq!(decode(opened.as_bytes(), None, 0).unwrap().bad.len(), BATCH_EVENTS_MAX);
    let nested = "[".repeat(BATCH_BYTES_MAX);
    assert_eq!(decode(nested.as_bytes(), None, 0).unwrap().events.len(), 0);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_every_item_is_within_the_body(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(prop::sample::select(br#"[]{},:"\ n1.ae"#.to_vec()), 0..300),
        ],
    ) {
        let batch = decode(&body, None, NOW_MS).unwrap();
        let ranges = batch.events.iter().map(|d| &d.bytes).chain(batch.bad.iter().map(|b| &b.bytes));
        for range in ranges {
            prop_assert!(range.start <= range.end && range.end <= body.len());
        }
    }

    #[test]
    fn a_damaged_batch_never_panics_and_loses_at_most_what_was_damaged(at in 0usize..2000, byte in any::<u8>()) {
        let mut body = (0..8).map(|n| event(&n.to_string())).collect::<Vec<_>>().join("\n").into_bytes();
        let at = at % body.len();
        body[at] = byte;
        let batch = decode(&body, None, NOW_MS).unwrap();
        prop_assert!(batch.events.len() >= 6, "{} events are left", batch.events.len());
    }
}
