//! An erased workspace leaves no bytes in the data folder but its tombstone. Files are looked into as they are and unpacked:
//! stored text is compressed. What dictionaries hold is looked into by the tests of the index.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;

use index::raw::{How, look_for, look_for_words};
use indexer::engine::erase::Erasing;
use indexer::engine::{Engine, Wait};
use models::embed::Embedder;
use schemas::event::{Change, Event};
use schemas::grant::Role;
use schemas::ids::WorkspaceId;

use crate::site::{DIMENSIONS, PATIENCE, Site, settle};
use crate::source::{self, Source};

/// The first bytes of each compressed block.
const ZSTD_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
const BLOCK_BYTES_MAX: usize = 1 << 20;
/// What is planted in the workspace that is erased.
const MARKERS: [&str; 10] =
    ["zqpage", "zqtitle", "zqblock", "zqtext", "zqproperty", "zqvalue", "zqgroup", "zquser", "zqregion", "zqletter"];

fn holds(bytes: &[u8], marker: &str) -> bool {
    bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
}

/// The markers found in the files of a folder and those below, as they are or unpacked.
fn markers_in(dir: &Path) -> Vec<&'static str> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            match std::fs::read(&path) {
                Ok(bytes) => files.push(bytes),
                // A merge removed it since the folder was listed.
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", path.display()),
            }
        }
    }
    let mut unpacked = Vec::new();
    for file in &files {
        let starts = file.windows(4).enumerate().filter(|(_, window)| *window == ZSTD_MAGIC);
        for (at, _) in starts {
            let frame = zstd::zstd_safe::find_frame_compressed_size(&file[at..]);
            let Ok(bytes) = frame else { continue };
            unpacked.extend(zstd::bulk::decompress(&file[at..at + bytes], BLOCK_BYTES_MAX));
        }
    }
    files.extend(unpacked);
    MARKERS.into_iter().filter(|marker| files.iter().any(|file| holds(file, marker))).collect()
}

fn events(source: &mut Source, name: &str, from: usize) -> Vec<Event> {
    let mut events = vec![
        source.member(&format!("{name}user"), Role::Member),
        source.group(&format!("{name}group"), &[&format!("user:{name}user")]),
    ];
    for at in from..from + 5 {
        let page = format!("{name}page{at}");
        events.push(source.page(&page, &format!("{name}title"), None));
        events.push(source.property(&page, &format!("{name}property"), &format!("{name}value")));
        events.push(source.grant(&page, &[&format!("group:{name}group:view")]));
        events.push(source.block(&page, &format!("{name}block{at}"), &format!("{name}text of number {at}")));
    }
    events
}

/// Two workspaces in the same commits; the other stays.
fn write(engine: &Engine, gone: &mut Source, kept: &mut Source) {
    for at in 0..3 {
        let mut both = events(gone, "zq", 5 * at);
        both.extend(events(kept, "keep", 5 * at));
        engine.submit(&both, Wait::Searchable).unwrap();
        settle(engine);
    }
    let letters = format!(
        "{{\"id\":\"zqletter\",\"workspaceid\":\"{}\"}}\n{{\"id\":\"keepletter\",\"workspaceid\":\"{}\"}}\nzqletter\n",
        gone.workspace, kept.workspace
    );
    assert_eq!(engine.submit_bytes(None, letters.as_bytes(), Wait::Durable).unwrap().rejected.len(), 3);
}

#[test]
fn an_erase_takes_every_byte_out_of_the_files_and_leaves_the_neighbour() {
    let site = Site::new();
    let engine = site.open();
    let (mut gone, mut kept) = (Source::new("gone", "zqregion"), Source::new("kept", "eu"));
    write(&engine, &mut gone, &mut kept);
    assert_eq!(markers_in(&site.dir), MARKERS, "the search finds what is there");
    let digest = engine.content_digest(&kept.workspace).unwrap();
    engine.submit(&[gone.write(Change::WorkspaceErased)], Wait::Searchable).unwrap();
    assert!(engine.wait_purged(PATIENCE));
    assert!(markers_in(&site.dir).is_empty(), "{:?}", markers_in(&site.dir));
    assert_eq!(engine.content_digest(&kept.workspace).unwrap(), digest);
    let letters = site.dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(letters[0]["event"].as_str().unwrap().contains("keepletter"));
    // The tombstone stays, and nothing of the workspace is taken in any more.
    assert!(engine.workspace_status(&WorkspaceId::new("gone").unwrap()).unwrap().erased);
    engine.submit(&events(&mut gone, "zq", 90), Wait::Searchable).unwrap();
    assert!(markers_in(&site.dir).is_empty());
}

#[test]
fn a_purge_that_a_crash_cut_short_is_done_when_the_engine_opens() {
    let site = Site::new();
    let (mut gone, mut kept) = (Source::new("gone", "zqregion"), Source::new("kept", "eu"));
    let engine = site.open();
    write(&engine, &mut gone, &mut kept);
    drop(engine);
    // The commit of an erase, by an index without the engine that would purge.
    let index = site.index();
    let writer = index.writer().unwrap();
    let workspace = index.catalog().get(&gone.workspace).unwrap();
    writer.erase_workspace(workspace.number).unwrap();
    let payload = index.payload();
    writer.commit(&index::CommitPayload { index_seq: payload.index_seq + 1, ..payload }).unwrap();
    drop((writer, index));
    assert!(!markers_in(&site.dir).is_empty());
    let engine = site.open();
    assert!(engine.wait_purged(PATIENCE));
    assert!(markers_in(&site.dir).is_empty(), "{:?}", markers_in(&site.dir));
    assert_eq!(engine.pages(&kept.workspace).len(), 15);
}

#[test]
fn the_generation_kept_to_go_back_to_is_purged_too() {
    let site = Site::new();
    let engine = site.open();
    let (mut gone, mut kept) = (Source::new("gone", "zqregion"), Source::new("kept", "eu"));
    write(&engine, &mut gone, &mut kept);
    let mut rebuild = engine.rebuild(Some(Embedder::fake(DIMENSIONS)), 120).unwrap();
    rebuild.follow(1.0, &mut |_| ControlFlow::Continue(())).unwrap();
    rebuild.switch().unwrap();
    settle(&engine);
    engine.submit(&[gone.write(Change::WorkspaceErased)], Wait::Searchable).unwrap();
    assert!(engine.wait_purged(PATIENCE));
    assert!(markers_in(&site.dir).is_empty(), "{:?}", markers_in(&site.dir));
    engine.return_to_previous(Some(Embedder::fake(DIMENSIONS))).unwrap().switch().unwrap();
    settle(&engine);
    assert_eq!(engine.pages(&kept.workspace).len(), 15);
    assert!(engine.pages(&gone.workspace).is_empty());
}

/// The texts found in the files and dictionaries of a site, each with how.
fn found(site: &Site, texts: &[&str]) -> Vec<(String, How)> {
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    let mut found = look_for(&site.dir, &texts).unwrap();
    found.extend(look_for_words(&site.dir.join("index"), &texts).unwrap());
    let mut found: Vec<_> = found.into_iter().map(|found| (found.text, found.how)).collect();
    found.sort();
    found.dedup();
    found
}

/// Pages of which one is to go; its texts were edited, so that former ones lie in segments as deleted documents.
fn write_pages(engine: &Engine, source: &mut Source) {
    for round in 0..3 {
        let mut events = Vec::new();
        for page in ["gone", "kept", "below"] {
            let parent = (page == "below").then_some("gone");
            events.push(source.page(page, &format!("{page}title{round}"), parent));
            events.push(source.property(page, "note", &format!("{page}value{round}")));
            events.push(source.block(page, &format!("{page}-block"), &format!("{page}text{round} of the page")));
        }
        engine.submit(&events, Wait::Searchable).unwrap();
        settle(engine);
    }
    // A block that came from another page, where its text is deleted by now.
    engine.submit(&[source.block("kept", "moved", "movedtext of the other page")], Wait::Searchable).unwrap();
    settle(engine);
    engine.submit(&[source.block("gone", "moved", "movedtext of the other page")], Wait::Searchable).unwrap();
    settle(engine);
    let bad = [
        format!(r#"{{"id":"zq","workspaceid":"{}","subject":"gone","data":"goneletter"}}"#, source.workspace),
        format!(r#"{{"id":"y","workspaceid":"{}","subject":"kept"}}"#, source.workspace),
    ];
    let bad = bad.join("\n");
    engine.submit_bytes(None, bad.as_bytes(), Wait::Durable).unwrap();
}

const GONE: [&str; 7] = ["gonetitle0", "gonetitle2", "gonevalue2", "gonetext0", "gonetext2", "movedtext", "goneletter"];

fn erase(engine: &Engine, workspace: &WorkspaceId, what: &Erasing) {
    // It is done later where a segment is merged at the same time.
    let is_done = (0..50).any(|_| engine.erase(workspace, what).unwrap());
    assert!(is_done && engine.remains(workspace, what).unwrap().is_nothing(), "{:?}", engine.remains(workspace, what));
}

#[test]
fn an_erased_page_leaves_no_text_in_any_file_and_its_neighbours_stay() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    write_pages(&engine, &mut source);
    let before = found(&site, &GONE);
    for text in GONE {
        assert!(before.iter().any(|(found, _)| found == text), "the search finds {text}, which is there: {before:?}");
    }
    assert!(
        before.iter().any(|(_, how)| *how == How::Unpacked) && before.iter().any(|(_, how)| *how == How::Dictionary)
    );
    let what = Erasing::Page(source::page("gone"));
    assert!(!engine.remains(&source.workspace, &what).unwrap().is_nothing());
    erase(&engine, &source.workspace, &what);
    assert_eq!(found(&site, &GONE), []);
    assert!(!found(&site, &["kepttext2"]).is_empty() && !found(&site, &["belowtext2"]).is_empty());
    assert_eq!(engine.pages(&source.workspace).len(), 2);
    assert_eq!(site.dead_letters().len(), 1, "the letter of the other page is kept");
    // A write that the page's deletion had seen brings nothing back, now and after a restart.
    let mut late = Source::new("acme", "eu");
    engine
        .submit(
            &[late.page("gone", "gonetitle0", None), late.block("gone", "gone-block", "gonetext0")],
            Wait::Searchable,
        )
        .unwrap();
    drop(engine);
    let engine = site.open();
    assert_eq!(engine.pages(&source.workspace).len(), 2);
    erase(&engine, &source.workspace, &what);
    assert_eq!(found(&site, &GONE), []);
}

#[test]
fn an_erased_page_leaves_the_generation_that_is_kept_to_go_back_to() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    write_pages(&engine, &mut source);
    let mut rebuild = engine.rebuild(Some(Embedder::fake(DIMENSIONS)), 120).unwrap();
    rebuild.follow(1.0, &mut |_| ControlFlow::Continue(())).unwrap();
    let what = Erasing::Page(source::page("gone"));
    assert!(!engine.erase(&source.workspace, &what).unwrap(), "while one is built, it is not over");
    rebuild.follow(1.0, &mut |_| ControlFlow::Continue(())).unwrap();
    rebuild.switch().unwrap();
    settle(&engine);
    erase(&engine, &source.workspace, &what);
    assert_eq!(found(&site, &GONE), []);
    engine.return_to_previous(Some(Embedder::fake(DIMENSIONS))).unwrap().switch().unwrap();
    settle(&engine);
    assert_eq!(engine.pages(&source.workspace).len(), 2);
    assert!(engine.remains(&source.workspace, &what).unwrap().is_nothing());
    assert!(!found(&site, &["kepttext2"]).is_empty());
}

#[test]
fn an_erased_person_is_known_as_such_and_leaves_the_dead_letters() {
    let site = Site::new();
    let engine = site.open();
    let mut source = Source::new("acme", "eu");
    engine.submit(&[source.member("ada", Role::Member)], Wait::Searchable).unwrap();
    let bad = [
        r#"{"id":"1","workspaceid":"acme","data":{"principal":"user:ada"}}"#,
        r#"{"id":"2","workspaceid":"other","subject":"ada"}"#,
        r#"{"id":"3","workspaceid":"acme","subject":"adam"}"#,
    ];
    let bad = bad.join("\n");
    engine.submit_bytes(None, bad.as_bytes(), Wait::Durable).unwrap();
    let what = Erasing::User(source::user("ada"));
    assert!(engine.remains(&source.workspace, &what).unwrap().is_there);
    erase(&engine, &source.workspace, &what);
    let kept: Vec<String> =
        site.dead_letters().iter().map(|letter| letter["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    engine.submit(&[Source::new("acme", "eu").member("ada", Role::Member)], Wait::Searchable).unwrap();
    assert!(engine.remains(&source.workspace, &what).unwrap().is_nothing(), "a late event brings nobody back");
}

#[test]
fn a_workspace_is_erased_on_request_as_by_its_event() {
    let site = Site::new();
    let engine = site.open();
    let (mut gone, mut kept) = (Source::new("gone", "zqregion"), Source::new("kept", "eu"));
    write(&engine, &mut gone, &mut kept);
    erase(&engine, &gone.workspace, &Erasing::Workspace);
    assert!(markers_in(&site.dir).is_empty(), "{:?}", markers_in(&site.dir));
    assert_eq!(engine.pages(&kept.workspace).len(), 15);
}

/// A server that was told to stop waited until all of the purge was done.
#[test]
fn purges_that_are_told_to_stop_leave_the_rest_to_the_next_start() {
    let site = Site::new();
    let engine = site.open();
    let (mut gone, mut kept) = (Source::new("gone", "zqregion"), Source::new("kept", "eu"));
    write(&engine, &mut gone, &mut kept);
    engine.stop_purges();
    assert!(!engine.erase(&gone.workspace, &Erasing::Workspace).unwrap(), "it is not waited for");
    assert!(!engine.wait_purged(PATIENCE));
    engine.submit(&events(&mut kept, "keep", 15), Wait::Searchable).unwrap();
    assert!(engine.close(), "what comes meanwhile is taken in");
    drop(engine);
    let engine = site.open();
    erase(&engine, &gone.workspace, &Erasing::Workspace);
    assert!(markers_in(&site.dir).is_empty(), "{:?}", markers_in(&site.dir));
    assert_eq!(engine.pages(&kept.workspace).len(), 20);
}
