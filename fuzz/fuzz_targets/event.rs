//! Event decoding: the body of a batch. Every item is an event or a bad one, in the order of the body and with its own
//! bytes; an event is the same after it was encoded and decoded; a guard lets through its own workspace alone.

#![no_main]

use fuzz::{NOW_MS, workspace};
use indexer::decode::decode;
use libfuzzer_sys::fuzz_target;
use schemas::event::{Event, InvalidCode};

fuzz_target!(|body: &[u8]| {
    let Ok(batch) = decode(body, None, NOW_MS) else { return };
    let good = batch.events.iter().map(|event| (event.index, event.bytes.clone()));
    let bad = batch.bad.iter().map(|bad| (bad.index, bad.bytes.clone()));
    let mut items: Vec<_> = good.chain(bad).collect();
    items.sort_by_key(|(index, _)| *index);
    let mut end_before = 0;
    for (expected, (index, bytes)) in items.iter().enumerate() {
        assert_eq!(*index, expected);
        assert!(bytes.start >= end_before && bytes.start <= bytes.end && bytes.end <= body.len());
        end_before = bytes.end;
    }

    let mut lines = String::new();
    for decoded in &batch.events {
        let event = &decoded.event;
        assert_eq!(Event::decode(&body[decoded.bytes.clone()], NOW_MS).as_ref(), Ok(event));
        let line = event.encode();
        assert!(!line.contains('\n'));
        lines += &line;
        lines.push('\n');
    }
    let again = decode(lines.as_bytes(), None, NOW_MS).expect("no more events than before");
    assert!(again.bad.is_empty(), "{:?}", again.bad);
    assert!(again.events.iter().map(|decoded| &decoded.event).eq(batch.events.iter().map(|decoded| &decoded.event)));

    let own = workspace();
    let guarded = decode(body, Some(&own), NOW_MS).expect("the same body");
    assert!(guarded.events.iter().all(|decoded| decoded.event.workspace == own));
    let refused = guarded.bad.iter().filter(|bad| bad.error.code == InvalidCode::WrongWorkspace).count();
    assert_eq!(guarded.events.len() + refused, batch.events.len());
});
