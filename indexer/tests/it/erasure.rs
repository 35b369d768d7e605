//! An erased workspace leaves no bytes in the data folder but its tombstone. Files are looked into as they are and unpacked:
//! stored text is compressed. What dictionaries hold is looked into by the tests of the index.

use std::ops::ControlFlow;
use std::path::Path;

use indexer::engine::{Engine, Wait};
use models::embed::Embedder;
use schemas::event::{Change, Event};
use schemas::grant::Role;
use schemas::ids::WorkspaceId;

use crate::site::{DIMENSIONS, PATIENCE, Site, settle};
use crate::source::Source;

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
            if path.is_dir() { folders.push(path) } else { files.push(std::fs::read(path).unwrap()) }
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
