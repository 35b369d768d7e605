//! A real handbook, replayed edit by edit, ends in what its last state gives when it is imported at once.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use indexer::engine::{Engine, ImportTarget};
use indexer::import::{Options, Source, run};
use schemas::ids::{PageId, WorkspaceId};

use crate::site::{Site, settle};

fn import(engine: &Engine, workspace: &WorkspaceId, source: &Source) {
    let options = Options::new(workspace.clone(), jiff::Timestamp::UNIX_EPOCH);
    let mut target = ImportTarget::new(engine.clone(), workspace.clone());
    run(source, &options, &mut target, &mut |_| {}).unwrap();
    assert_eq!(target.rejected(), 0);
    settle(engine);
}

/// The last state without the titles that its file gives beside the text: the edits carry none.
fn without_titles(pages: &Path, into: &Path) -> Source {
    let path = into.join("pages.jsonl");
    let mut out = std::fs::File::create(&path).unwrap();
    for line in BufReader::new(GzDecoder::new(std::fs::File::open(pages).unwrap())).lines() {
        let mut page: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line.unwrap()).unwrap();
        page.retain(|name, _| name == "path" || name == "markdown");
        writeln!(out, "{}", serde_json::to_string(&page).unwrap()).unwrap();
    }
    Source::Pages(path)
}

#[test]
fn replaying_two_years_of_edits_gives_the_index_of_the_last_state() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/handbook-sourcegraph");
    if !data.is_dir() {
        eprintln!("SKIPPED: replaying the edits of a handbook; there is no {}", data.display());
        return;
    }
    let workspace = WorkspaceId::new("handbook").unwrap();
    let replayed = Site::new();
    let engine = replayed.open();
    let (base, edits) = (data.join("base-2023-01-01.jsonl.zst"), data.join("edits-2023-2024.jsonl.zst"));
    import(&engine, &workspace, &Source::History { base, edits });

    let direct = Site::new();
    let other = direct.open();
    import(&other, &workspace, &without_titles(&data.join("pages.jsonl.gz"), &direct.dir));
    let stats = [&engine, &other].map(|engine| engine.workspace_status(&workspace).unwrap().stats);
    assert_eq!(stats[0], stats[1]);
    assert!(stats[0].pages > 883 && stats[0].passages > 5_000, "{stats:?}");
    let mut pages = [&engine, &other].map(|engine| engine.pages(&workspace));
    for pages in &mut pages {
        pages.sort();
    }
    assert_eq!(pages[0], pages[1]);
    // Passages, and with them vectors, are cut from just this; the counts above say that they were.
    for page in &pages[0] {
        assert_eq!(shown(&engine, &workspace, page), shown(&other, &workspace, page), "{page}");
    }
}

/// What a page shows, without the versions that wrote it.
fn shown(engine: &Engine, workspace: &WorkspaceId, page: &PageId) -> String {
    let record = engine.page_record(workspace, page).unwrap().unwrap();
    let blocks: Vec<_> = record.blocks_in_order(page).into_iter().map(|(_, content, depth)| (content, depth)).collect();
    let properties: Vec<_> = record.properties.iter().map(|(name, value)| (name, value.value())).collect();
    let about = (record.title.value(), record.parent.value(), record.kind.value(), properties);
    let access = (record.exists(), record.trashed.value(), record.grants.value(), record.restricted.value());
    format!("{about:?} {access:?} {blocks:#?}")
}
