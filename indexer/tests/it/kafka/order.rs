//! Who goes first and who meets whom: imports beside edits, regions whose messages cross, trees too deep to be true.

use indexer::metrics::Metrics;
use models::embed::Embedder;
use schemas::event::Change;

use super::*;

/// Events of a block each, all in one workspace.
fn import(product: &mut Source, events: usize) -> Vec<Event> {
    (0..events).map(|n| product.block(&format!("page-{}", n % 200), &format!("b{n}"), "words of an import")).collect()
}

#[test]
fn an_edit_behind_an_import_in_its_partition_does_not_wait_for_it() {
    const EVENTS: usize = 12_000;
    let broker = Broker::new(1);
    let mut site = Site::new();
    // What is merged of a bulk waits for its commit, so that the import takes long.
    site.config = EngineConfig { commit_events_max: 300, commit_interval_ms: 100, ..site.config };
    let (mut importer, mut editor) = (Source::new("import", "eu"), Source::new("edits", "eu"));
    let mut events = import(&mut importer, EVENTS);
    broker.send(0, &events);
    let edit = editor.page("home", "Home", None);
    broker.send(0, std::slice::from_ref(&edit));
    events.push(edit);

    let engine = site.open_with(None);
    // A twelfth of the import.
    let config = Config { in_flight_bytes_max: 1 << 20, ..broker.config() };
    let stream = Stream::start(&config, &Secrets::default(), engine.clone()).unwrap();
    until("the edit is merged", || engine.page_record(&editor.workspace, &page("home")).unwrap().is_some());
    let status = stream.status();
    let position = status.partitions[0].position;
    assert!(position < EVENTS as i64 * 2 / 3, "the import was not through: {status:?}");
    assert!(status.partitions[0].in_flight_bytes < 6 << 20, "what waits is bounded: {status:?}");

    // A crash here reads again from where the import stands.
    until("some is committed", || committed(&engine) > 0);
    stream.stop();
    drop((stream, engine));
    let engine = site.open_with(None);
    let stream = Stream::start(&config, &Secrets::default(), engine.clone()).unwrap();
    until("all is committed", || committed(&engine) == events.len() as i64);
    assert_eq!((stream.status().gaps_total, site.dead_letters().len()), (0, 0));

    let other = Site::new();
    let direct = other.open_with(None);
    direct.submit(&events, Wait::Applied).unwrap();
    for workspace in [&importer.workspace, &editor.workspace] {
        let digest = |engine: &Engine| {
            settle(engine);
            engine.content_digest(workspace).unwrap()
        };
        assert_eq!(digest(&engine), digest(&direct), "{workspace}");
    }
}

#[test]
fn an_edit_behind_a_mass_deletion_in_its_partition_does_not_wait_for_it() {
    const PAGES: usize = 12_000;
    let broker = Broker::new(1);
    let mut site = Site::new();
    site.config = EngineConfig { commit_events_max: 300, commit_interval_ms: 100, ..site.config };
    let (mut purged, mut editor) = (Source::new("purged", "eu"), Source::new("edits", "eu"));
    let deleted: Vec<_> =
        (0..PAGES).map(|n| purged.write(Change::PageDeleted { page: page(&format!("page-{n}")) })).collect();
    broker.send(0, &deleted);
    broker.send(0, &[editor.member("ada", Role::Removed), editor.page("home", "Home", None)]);
    let engine = site.open_with(None);
    let config = Config { in_flight_bytes_max: 1 << 20, ..broker.config() };
    let stream = Stream::start(&config, &Secrets::default(), engine.clone()).unwrap();
    until("the edit is merged", || engine.page_record(&editor.workspace, &page("home")).unwrap().is_some());
    let status = stream.status();
    assert!(status.partitions[0].position < PAGES as i64 * 2 / 3, "the deletion was not through: {status:?}");
    assert!(
        engine.member_record(&editor.workspace, &user("ada")).unwrap().is_some(),
        "what was removed before it as well"
    );
    until("all is committed", || committed(&engine) == PAGES as i64 + 2);
    assert_eq!((stream.status().gaps_total, site.dead_letters().len()), (0, 0));
    let record = |n: usize| engine.page_record(&purged.workspace, &page(&format!("page-{n}"))).unwrap();
    assert!((0..PAGES).step_by(97).all(|n| record(n).is_some()), "none of the deletions is lost");
}

#[test]
fn bad_messages_of_an_import_that_was_passed_over_become_dead_letters_once() {
    const EVENTS: usize = 6_000;
    let broker = Broker::new(1);
    let mut site = Site::new();
    site.config = EngineConfig { commit_events_max: 300, commit_interval_ms: 50, ..site.config };
    let mut importer = Source::new("import", "eu");
    for (n, event) in import(&mut importer, EVENTS).into_iter().enumerate() {
        broker.write(0, Some("import"), event.encode().as_bytes(), None);
        if n % 1_000 == 999 {
            broker.write(0, Some("import"), format!("no event {n}").as_bytes(), None);
        }
        broker.producer.poll(Duration::ZERO);
    }
    broker.producer.flush(PATIENCE).unwrap();
    let engine = site.open_with(None);
    let config = Config { in_flight_bytes_max: 1 << 20, ..broker.config() };
    let _stream = Stream::start(&config, &Secrets::default(), engine.clone()).unwrap();
    until("all is committed", || committed(&engine) == EVENTS as i64 + 6);
    assert_eq!(engine.status().accepted_total, EVENTS as u64);
    let mut offsets: Vec<_> = site.dead_letters().iter().map(|letter| letter["offset"].as_i64().unwrap()).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [1_000, 2_001, 3_002, 4_003, 5_004, 6_005]);
}

/// The value of a series.
#[track_caller]
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

#[test]
fn many_edits_of_a_block_are_cut_and_embedded_once_and_what_is_counted_says_so() {
    const EDITS: usize = 500;
    let broker = Broker::new(1);
    let mut site = Site::new();
    site.config = EngineConfig { commit_interval_ms: 5_000, ..site.config };
    let mut product = Source::new("w", "eu");
    let edits: Vec<_> = (0..EDITS).map(|n| product.block("home", "b", &format!("edit number {n}"))).collect();
    broker.send(0, &edits);
    broker.write(0, Some("w"), b"no event", None);
    broker.write(0, Some("other"), edits[0].encode().as_bytes(), None);
    // Seen before.
    broker.send(0, &edits[..1]);
    let metrics = Metrics::default();
    let index = site.index();
    let model = Some(Embedder::fake(crate::site::DIMENSIONS));
    let engine = Engine::open_counting(index, model, site.config.clone(), metrics.clone()).unwrap();
    let stream = broker.read_into(&engine);
    until("all is committed", || committed(&engine) == EDITS as i64 + 3);
    settle(&engine);
    until("the lag is known", || stream.status().partitions[0].lag_events == Some(0));
    // Edits come for as long as a commit gathers them; one that came late is embedded once more.
    assert!(engine.status().embedded_passages_total <= 5, "{:?}", engine.status());
    let text = metrics.text(std::slice::from_ref(&engine), Some(&stream.status()));
    let counted = |series: &str| value(&text, &format!("tessera_indexer_{series}")) as usize;
    assert_eq!(counted(r#"events_total{outcome="accepted"}"#), EDITS);
    assert_eq!(counted(r#"events_total{outcome="unchanged"}"#), 1);
    assert_eq!(counted(r#"events_total{outcome="rejected"}"#), 2);
    assert_eq!(counted(r#"dead_letters_total{code="malformed"}"#), 1);
    assert_eq!(counted(r#"dead_letters_total{code="wrong_workspace"}"#), 1);
    assert_eq!((counted("freshness_seconds_count"), counted("commit_events_sum")), (EDITS, EDITS));
    assert_eq!(counted("batch_events_sum"), EDITS + 1);
    assert!(counted("coalesced_total") >= EDITS - 5, "{text}");
    assert_eq!((counted("conflicts_total"), counted("pending_events"), counted("stream_connected")), (0, 0, 1));
    for of_partition in ["lag_events", "lag_seconds", "queue_bytes", "partition_paused"] {
        assert_eq!(counted(&format!("{of_partition}{{partition=\"0\"}}")), 0);
    }
    // A partition that is read no more is told of no more.
    let text = metrics.text(&[], Some(&schemas::api::operate::StreamStatus::default()));
    assert!(!text.contains("partition=\"0\""), "{text}");
}

/// Writes the events of two regions to a topic, each in its order, crossing as the seed has it.
fn crossing(broker: &Broker, regions: [&[Event]; 2], seed: u64) {
    let mut left = regions.map(<[Event]>::iter);
    let mut state = seed;
    while left.iter().any(|events| events.len() > 0) {
        // A step of Knuth's generator: only to draw sides.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let side = (state >> 63) as usize;
        if let Some(event) = left[side].next() {
            broker.send(0, std::slice::from_ref(event));
        }
    }
}

#[test]
fn concurrent_edits_of_two_regions_converge_however_their_messages_cross() {
    let (mut eu, mut us) = (Source::new("w", "eu"), Source::new("w", "us"));
    let mut written = [Vec::new(), Vec::new()];
    for round in 0..30 {
        for (region, events) in [&mut eu, &mut us].into_iter().zip(&mut written) {
            let block = format!("b{}", round % 5);
            events.push(region.block("home", &block, &format!("round {round}")));
            events.push(region.page("home", &format!("Round {round}"), None));
            if round % 7 == 6 {
                events.push(region.delete_block("home", &block));
            }
        }
        // They hear of each other now and then.
        if round % 10 == 9 {
            eu.learn_from(&us);
            us.learn_from(&eu);
        }
    }
    let total = written.iter().map(Vec::len).sum::<usize>() as i64;
    let digests = [3, 8, 21].map(|seed| {
        let broker = Broker::new(1);
        crossing(&broker, [&written[0], &written[1]], seed);
        let site = Site::new();
        let engine = site.open();
        let _stream = broker.read_into(&engine);
        until("all is committed", || committed(&engine) == total);
        assert!(engine.status().conflicts_total > 0, "they were concurrent: {:?}", engine.status());
        settle(&engine);
        engine.content_digest(&eu.workspace).unwrap()
    });
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
}

#[test]
fn a_hundred_thousand_pages_below_each_other_hide_themselves_and_stop_nobody() {
    const DEPTH: usize = 100_000;
    let broker = Broker::new(1);
    let mut site = Site::new();
    site.config = EngineConfig { commit_interval_ms: 1_000, ..site.config };
    let mut product = Source::new("w", "eu");
    let workspace = product.workspace.clone();
    let mut events = vec![product.member("ada", Role::Member), product.page("p0", "Top", None)];
    events.push(product.grant("p0", &["workspace:view"]));
    events.extend((1..DEPTH).map(|n| product.page(&format!("p{n}"), "Deep", Some(&format!("p{}", n - 1)))));
    events.push(product.page("other", "Other", None));
    events.push(product.grant("other", &["workspace:view"]));
    // From the bottom up, so that each page that comes puts a longer chain below it.
    events.reverse();
    for some in events.chunks(10_000) {
        broker.send(0, some);
    }
    let index = site.index();
    let engine = Engine::open(index.clone(), None, site.config.clone()).unwrap();
    let stream = broker.read_into(&engine);
    until("all is committed", || committed(&engine) == events.len() as i64);
    assert_eq!(site.dead_letters().len(), 0, "each of them is an event");
    assert!(!stream.status().failing);
    assert!(engine.wait_idle(PATIENCE));
    let seen = discovers(&engine, &index, &workspace, "ada");
    assert!((2..=102).contains(&seen), "the top and the other page are seen, what is too deep is not: {seen}");
}
