//! Shuffled, duplicated and interrupted, events end in the same stored content as in order.

use indexer::engine::Wait;
use rand::prelude::*;
use rand::rngs::SmallRng;
use schemas::event::{Change, Event};
use schemas::grant::Role;

use crate::site::{Site, settle};
use crate::source::{Source, page, user};

/// Three regions write to a few pages and now and then learn of each other's writes.
pub(crate) fn history(rng: &mut SmallRng, len: usize) -> Vec<Event> {
    let mut regions: Vec<Source> = ["eu", "us", "ap"].iter().map(|region| Source::new("acme", region)).collect();
    let mut events = Vec::new();
    while events.len() < len {
        let (at, other) = (rng.random_range(0..3), rng.random_range(0..3));
        if at != other && rng.random_bool(0.4) {
            let [source, seen] = regions.get_disjoint_mut([at, other]).unwrap();
            source.learn_from(seen);
        }
        let source = &mut regions[at];
        let on = format!("page{}", rng.random_range(0..6));
        let block = format!("block{}", rng.random_range(0..25));
        let words: Vec<_> = (0..rng.random_range(1..60)).map(|_| format!("word{}", rng.random_range(0..500))).collect();
        let text = words.join(" ");
        let event = match rng.random_range(0..24) {
            0..11 => source.block(&on, &block, &text),
            11..13 => source.delete_block(&on, &block),
            13..16 => source.page(&on, &text[..text.len().min(30)], rng.random_bool(0.3).then_some("page0")),
            16 => source.property(&on, "Due", &text),
            17 => source.write(Change::PageTrashed { page: page(&on) }),
            18 => source.write(Change::PageRestored { page: page(&on) }),
            19 => source.write(Change::PageDeleted { page: page(&on) }),
            20 => source.grant(&on, &["workspace:view", "user:ada:edit"]),
            21 => source.group("team", &["user:ada", "user:bob"][..rng.random_range(0..3)]),
            22 => source.member("ada", *[Role::Member, Role::Guest, Role::Removed].choose(rng).unwrap()),
            _ => source.write(Change::UserErased { user: user("bob") }),
        };
        events.push(event);
    }
    events
}

#[test]
fn shuffled_and_duplicated_events_end_in_the_same_stored_content() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    for _ in 0..3 {
        let events = history(&mut rng, 250);
        let workspace = &events[0].workspace;

        let clean_site = Site::new();
        let clean = clean_site.open();
        clean.submit(&events, Wait::Searchable).unwrap();
        settle(&clean);
        let expected = clean.content_digest(workspace).unwrap();

        let mut shuffled = events.clone();
        shuffled.extend(events.choose_multiple(&mut rng, 60).cloned());
        shuffled.shuffle(&mut rng);
        let site = Site::new();
        let mut engine = site.open();
        let mut rest = shuffled.as_slice();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rng.random_range(1..=rest.len().min(40)));
            let wait = *[Wait::Applied, Wait::Durable, Wait::Searchable].choose(&mut rng).unwrap();
            engine.submit(batch, wait).unwrap();
            rest = after;
            if rng.random_bool(0.1) {
                assert!(engine.close());
                drop(engine);
                engine = site.open();
            }
        }
        settle(&engine);
        assert_eq!(engine.content_digest(workspace).unwrap(), expected, "seed {seed}");

        // A crash loses what was not acknowledged and nothing else; replaying brings it back.
        drop(engine);
        let engine = site.open();
        engine.submit(&shuffled, Wait::Searchable).unwrap();
        settle(&engine);
        assert_eq!(engine.content_digest(workspace).unwrap(), expected, "seed {seed}");
        assert_eq!(engine.status().embedded_passages_total, 0);
    }
}
